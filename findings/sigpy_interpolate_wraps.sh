#!/usr/bin/env bash
# sigpy 0.1.27, interpolate(array, points), linear by default, and gridding, its adjoint:
# - The array is periodic. A point outside reads the opposite side, however far it is, and on the way there blends the
#   last pixel with the first. gridding adds there. The formula in the documentation has a sum over the pixels of the
#   array, by which all beyond one pixel outside is 0. A picture that is warped so comes in again on the other side. For
#   the Fourier transforms of sigpy, which have these functions for a part, it is as it must be.
# - With param=0 and width=1, the nearest pixel, a point halfway between two reads their sum, and halfway between four
#   the sum of four. The documentation recommends this width, that the weights add up to one. With param 1 and 2 they
#   do. Points at halves are what comes of doubling or halving a size.
# No issue on either was found.
#
# Seen on 2026-11-29, with numba 0.68.1.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "scipy==1.17.1" "numba==0.68.1" "sigpy==0.1.27"
"$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import numpy as np
import sigpy
from scipy.ndimage import map_coordinates

row = np.arange(1.0, 7.0)
points = np.array([[-2.0], [-1.0], [-0.25], [0.5], [5.0], [5.25], [6.0], [61.0]])


def shown(numbers):
    return " ".join(f"{round(number, 3) + 0:g}" for number in np.ravel(numbers))


print("a row of 1 to 6, read at", shown(points))
print("  sigpy", shown(sigpy.interpolate(row, points)))
for mode in ("grid-constant", "grid-wrap"):
    print(f"  SciPy, {mode}", shown(map_coordinates(row, points.T, order=1, mode=mode)))
print("gridding of 1 at -1 and at 5.25:")
for point in points[[1, 5]]:
    print(" ", shown(sigpy.gridding(np.ones(1), point[None], (6,))))

picture = np.zeros((6, 6))
picture[1, 4:] = 1
grid = np.stack(np.meshgrid(np.arange(6.0), np.arange(6.0), indexing="ij"), axis=-1)
print("a mark at the end of a row, moved right by 1.5 pixels:", shown(sigpy.interpolate(picture, grid - [0, 1.5])[1]))

halves = {"between two": [[2.0, 2.5]], "between four": [[2.5, 2.5]], "elsewhere": [[2.2, 2.6]]}
for order in (0, 1, 2):
    print(f"order {order}, the sum of the weights", end="")
    for name, at in halves.items():
        weights = sigpy.interpolate(np.ones((6, 6)), np.array(at), width=order + 1, param=order)
        print(f", {name} {shown(weights)}", end="")
    print()
PYTHON
diff "$work/seen" - <<'SEEN' || { cat "$work/warnings"; exit 1; }
a row of 1 to 6, read at -2 -1 -0.25 0.5 5 5.25 6 61
  sigpy 5 6 2.25 1.5 6 4.75 1 2
  SciPy, grid-constant 0 0 0.75 1.5 6 4.5 0 0
  SciPy, grid-wrap 5 6 2.25 1.5 6 4.75 1 2
gridding of 1 at -1 and at 5.25:
  0 0 0 0 0 1
  0.25 0 0 0 0 0.75
a mark at the end of a row, moved right by 1.5 pixels: 1 0.5 0 0 0 0.5
order 0, the sum of the weights, between two 2, between four 4, elsewhere 1
order 1, the sum of the weights, between two 1, between four 1, elsewhere 1
order 2, the sum of the weights, between two 1, between four 1, elsewhere 1
SEEN
echo "as seen"
