#!/usr/bin/env bash
# Numba 0.68.1: np.fmod of negative integers, in a compiled function, is the remainder of other numbers.
#
#   NumPy's fmod is C's remainder, with the sign of the dividend: fmod(-7, 3) is -1. Numba's takes the remainder of the bits
#   as if they were an integer without a sign. -7 in 64 bits is then 2^64 - 7, which leaves 0. With a negative divisor,
#   which is then larger than any positive integer, the dividend comes back as it was: fmod(7, -3) is 7. So it is for
#   integers of 8 to 64 bits, in arrays and alone. The operator % and np.remainder are right, and np.fmod of floats.
#
# Seen on 2026-11-29.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "numba==0.68.1"
"$work/venv/bin/python" - <<'PYTHON' | tee "$work/seen"
import math

import numba
import numpy as np

x = np.array([-7, -6, -5, 5, 7])
functions = {
    "np.fmod": lambda a, b: np.fmod(a, b),
    "np.remainder": lambda a, b: np.remainder(a, b),
    "the operator %": lambda a, b: a % b,
}
for name, function in functions.items():
    compiled = numba.njit(function)
    for divisor in (3, -3):
        print(name, "by", divisor, "NumPy", function(x, divisor).tolist(), "Numba", compiled(x, divisor).tolist())
fmod = numba.njit(functions["np.fmod"])
for dtype in (np.int8, np.int16, np.int32, np.int64):
    print(dtype.__name__, fmod(x.astype(dtype), dtype(3)).tolist())
print("float64", fmod(x.astype(np.float64), 3.0).tolist(), "one number", fmod(-7, 3))
PYTHON
diff "$work/seen" - <<'SEEN'
np.fmod by 3 NumPy [-1, 0, -2, 2, 1] Numba [0, 1, 2, 2, 1]
np.fmod by -3 NumPy [-1, 0, -2, 2, 1] Numba [-7, -6, -5, 5, 7]
np.remainder by 3 NumPy [2, 0, 1, 2, 1] Numba [2, 0, 1, 2, 1]
np.remainder by -3 NumPy [-1, 0, -2, -1, -2] Numba [-1, 0, -2, -1, -2]
the operator % by 3 NumPy [2, 0, 1, 2, 1] Numba [2, 0, 1, 2, 1]
the operator % by -3 NumPy [-1, 0, -2, -1, -2] Numba [-1, 0, -2, -1, -2]
int8 [0, 1, 2, 2, 1]
int16 [0, 1, 2, 2, 1]
int32 [0, 1, 2, 2, 1]
int64 [0, 1, 2, 2, 1]
float64 [-1.0, -0.0, -2.0, 2.0, 1.0] one number 0
SEEN
echo "as seen"
