#!/usr/bin/env bash
# Numba 0.68.1: np.isclose of two matrices, in a compiled function, compares their first numbers only.
#
#   Of two arrays of n rows it compares the first n numbers, in the order of memory, and repeats these n answers for every
#   row. Two 2 x 2 matrices whose second rows have nothing in common are "close" everywhere, and a difference in the first
#   row is reported in both rows. Where a row is not as long as there are rows, a ValueError speaks of shapes that "could
#   not be broadcast together", though the two are equal. np.allclose of the same matrices is right, and so is np.isclose
#   of vectors, and of a matrix and a number.
#
# Seen on 2026-11-29.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "numba==0.68.1"
"$work/venv/bin/python" - <<'PYTHON' | tee "$work/seen"
import numba
import numpy as np

isclose, allclose = numba.njit(lambda a, b: np.isclose(a, b)), numba.njit(lambda a, b: np.allclose(a, b))


def of(a, b):
    try:
        return isclose(a, b).tolist()
    except ValueError as error:
        return f"ValueError: {error}"


a = np.array([[1.0, 2.0], [3.0, 4.0]])
for b in (np.array([[1.0, 2.0], [30.0, 40.0]]), np.array([[1.0, 20.0], [3.0, 4.0]])):
    print("NumPy", np.isclose(a, b).tolist(), "Numba", of(a, b), "allclose", allclose(a, b))
cube = np.arange(27.0).reshape(3, 3, 3)
print("27 numbers, one of which differs:", int(isclose(cube, np.where(cube == 20, -1, cube)).sum()), "are close")
wide = np.ones((2, 3))
print("2 x 3 and itself:", of(wide, wide))
print("a vector:", of(a[0], np.array([1.0, 9.0])), "a matrix and a number:", of(a, 2.0))
PYTHON
diff "$work/seen" - <<'SEEN'
NumPy [[True, True], [False, False]] Numba [[True, True], [True, True]] allclose False
NumPy [[True, False], [True, True]] Numba [[True, False], [True, False]] allclose False
27 numbers, one of which differs: 27 are close
2 x 3 and itself: ValueError: operands could not be broadcast together with remapped shapes
a vector: [True, False] a matrix and a number: [[False, True], [False, False]]
SEEN
echo "as seen"
