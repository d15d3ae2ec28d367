#!/usr/bin/env bash
# SciPy 1.17.1, ndimage with mode="reflect" or "grid-mirror" and order 2 to 5: along an axis of few samples the spline misses
# its samples, so an identity, or a shift by nothing, changes the array. The first coefficient is summed up in place, and
# the last term of the sum reads it when it has already been changed. The error falls with the length: for order 3 it is
# 0.0005 at two samples and 5e-8 at six, for order 5 0.01 and 3e-5. The other modes are exact.
# Short axes are those that nobody looks at. A picture's colours and the components of a displacement field are an axis,
# too: moved by nothing, a field along y also gets 0.05 % and 1 % of it along x. A constant volume of two slices is no
# longer constant. Errors of this size pass for rounding in float32, and are far too large for a gradient check.
# It is known, SciPy's issue 24550, and mended by its pull request 24615, of 2026; 1.17.1 is the newest for Python 3.11.
#
# Seen on 2026-11-28, float64.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "scipy==1.17.1"
"$work/venv/bin/python" - <<'PYTHON' | tee "$work/seen"
import numpy as np
from scipy.ndimage import affine_transform, map_coordinates, shift

for mode in ("reflect", "mirror", "nearest", "grid-wrap"):
    for order in (3, 5):
        off = []
        for size in (2, 3, 4, 6, 8):
            identity = np.array([map_coordinates(row, [np.arange(size)], order=order, mode=mode) for row in np.eye(size)])
            off.append(np.abs(identity - np.eye(size)).max())
        print(f"{mode}, order {order}:", *("exact" if error < 1e-12 else f"{error:.0e}" for error in off))

field = np.zeros((8, 8, 2))
field[..., 1] = 10  # all of it moves along the second axis, by ten pixels
picture = np.zeros((8, 8, 3))
picture[..., 1] = 255  # green
for order in (3, 5):
    moved = shift(field, 0, order=order, mode="reflect")
    red = shift(picture, 0, order=order, mode="reflect")[..., 0]
    vector = f"{moved[4, 4, 0]:.3f} {moved[4, 4, 1]:.3f}"
    print(f"order {order}: the field 0 10 becomes {vector}, and the red of a green picture {red[4, 4]:.2f}")

volume = affine_transform(np.ones((2, 16, 16)), np.eye(3), order=5, mode="reflect")
print(f"a constant volume of two slices, order 5: {volume[0, 8, 8]:.4f} {volume[1, 8, 8]:.4f}")
PYTHON
diff "$work/seen" - <<'SEEN'
reflect, order 3: 5e-04 1e-04 1e-05 5e-08 3e-10
reflect, order 5: 1e-02 4e-03 9e-04 3e-05 1e-06
mirror, order 3: exact exact exact exact exact
mirror, order 5: exact exact exact exact exact
nearest, order 3: exact exact exact exact exact
nearest, order 5: exact exact exact exact exact
grid-wrap, order 3: exact exact exact exact exact
grid-wrap, order 5: exact exact exact exact exact
order 3: the field 0 10 becomes 0.005 10.000, and the red of a green picture -0.03
order 5: the field 0 10 becomes 0.112 10.000, and the red of a green picture -1.13
a constant volume of two slices, order 5: 1.0112 1.0000
SEEN
echo "as seen"
