#!/usr/bin/env bash
# Numba 0.68.1, np.sign in a compiled function: of an unsigned number in the upper half of its type it is minus one,
# which is the largest number there. So np.sign of a bright pixel in uint8, from 128 on, is 255, where NumPy gives 1;
# of a dark one it is 1. The comparison with 0 is one of signed numbers, for all types. The same in @vectorize and for
# one number. To count the pixels that are not black by the sum of the signs, or to make a mask of them, works in
# NumPy, and in a test with dark pictures. Labels of up to 127 in uint8 are right, too. No issue on it was found.
#
# Seen on 2026-11-28, with NumPy 2.4.6.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "numba==0.68.1" "llvmlite==0.50.0"
"$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import numpy as np
from numba import njit, vectorize


def sign(x):
    return np.sign(x)


compiled, element = njit(sign), vectorize(sign)
for dtype in (np.uint8, np.uint16, np.uint32, np.uint64, np.int8, np.int16):
    info = np.iinfo(dtype)
    half = info.max // 2 + 1 if info.min == 0 else info.min
    x = np.array([0, 1, half - 1 if info.min == 0 else info.max, half, info.max], dtype)
    signs = ["max" if sign == info.max else int(sign) for sign in compiled(x)]
    same = "vectorize the same" if np.array_equal(compiled(x), element(x)) else "vectorize differs"
    print(f"{x.dtype} with {half}: NumPy {np.sign(x).tolist()}, Numba {signs}, {same}")


def not_black(picture):
    return np.sign(picture).sum()


picture = np.array([[0, 90, 120], [0, 180, 250]], np.uint8)
print("pixels that are not black: NumPy", not_black(picture), "Numba", njit(not_black)(picture))
print("the same, half as bright: NumPy", not_black(picture // 2), "Numba", njit(not_black)(picture // 2))
PYTHON
diff "$work/seen" - <<'SEEN'
uint8 with 128: NumPy [0, 1, 1, 1, 1], Numba [0, 1, 1, 'max', 'max'], vectorize the same
uint16 with 32768: NumPy [0, 1, 1, 1, 1], Numba [0, 1, 1, 'max', 'max'], vectorize the same
uint32 with 2147483648: NumPy [0, 1, 1, 1, 1], Numba [0, 1, 1, 'max', 'max'], vectorize the same
uint64 with 9223372036854775808: NumPy [0, 1, 1, 1, 1], Numba [0, 1, 1, 'max', 'max'], vectorize the same
int8 with -128: NumPy [0, 1, 1, -1, 1], Numba [0, 1, 1, -1, 1], vectorize the same
int16 with -32768: NumPy [0, 1, 1, -1, 1], Numba [0, 1, 1, -1, 1], vectorize the same
pixels that are not black: NumPy 4 Numba 512
the same, half as bright: NumPy 4 Numba 4
SEEN
echo "as seen"
