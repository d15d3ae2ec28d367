#!/usr/bin/env bash
# thin-plate-spline 1.2.2 (module tps), ThinPlateSpline: two ways to a wrong spline, without a message.
# - Points of an integer dtype, as pixels mostly are: their distances are rounded down to whole numbers, so the kernel
#   has steps. A spline that was fitted to float points and is asked for whole pixels, as a warp of an image does,
#   misses its own control points by 14 pixels of 31; fitted to int and asked for float, by 7. Both in int, it meets
#   them, and is off by 13 elsewhere. Both in float, it is right.
# - alpha > 0, the regularisation, in 3D: it has the wrong sign. The kernel r is negative definite where the equations K
#   + alpha I need a positive one (SciPy's kernel is -r). So the fit does not go from the data to the affine fit as
#   alpha grows, but past it: the residual is 16 times that of the affine fit, which does not bend at all. No minimum of
#   "misfit plus bending", which alpha is documented to weigh, can do so. The README's example is of this kind: 3D,
#   alpha = 0.5. It is the same for order=3 in 1D and 2D. The usual order 2 in 1D and 2D is right, and so is alpha = 0.
# The distances become X.dtype, and the power gets no sign, in ThinPlateSpline._radial_distance of
# tps/thin_plate_spline.py. No issue on either was found.
#
# Seen on 2026-11-28. SciPy 1.17.1's RBFInterpolator has the kernels with their signs.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "scipy==1.17.1" "thin-plate-spline==1.2.2"
"$work/venv/bin/python" - <<'PYTHON' | tee "$work/seen"
import numpy as np
from scipy.interpolate import RBFInterpolator
from tps import ThinPlateSpline

draw = np.random.RandomState(0)
axis = np.array([0, 10, 20, 30])
points = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
targets = points + draw.randint(-3, 4, points.shape)
pixels = np.stack(np.meshgrid(np.arange(31), np.arange(31), indexing="ij"), -1).reshape(-1, 2)
right = RBFInterpolator(points, targets, kernel="thin_plate_spline")(pixels)
print("pixels off: at the control points, anywhere")
for fitted in (float, int):
    spline = ThinPlateSpline().fit(points.astype(fitted), targets.astype(fitted))
    for asked in (float, int):
        misses = np.abs(spline.transform(points.astype(asked)) - targets).max()
        off = np.abs(spline.transform(pixels.astype(asked)) - right).max()
        print(f"  fitted to {fitted.__name__}, asked for {asked.__name__}: {misses:.1f}, {off:.1f}")

print("residual, by alpha: this, SciPy's")
for dims, order, kernel in ((2, 2, "thin_plate_spline"), (3, 2, "linear"), (1, 3, "quintic")):
    x = draw.rand(40, dims)
    y = np.sin(3 * x[:, :1]) + x[:, -1:] ** 2 + 0.1 * draw.randn(40, 1)
    print(f"  {dims}D, order {order}:", end="")
    for alpha in (0.01, 0.1, 1, 10, 1e9):
        spline = ThinPlateSpline(alpha=alpha, order=order).fit(x, y)
        other = RBFInterpolator(x, y, kernel=kernel, degree=order - 1, smoothing=alpha)
        here, there = (np.sqrt(np.mean((f(x) - y) ** 2)) for f in (spline.transform, other))
        print(f"  {here:.3f} {there:.3f}", end="")
    print()
PYTHON
diff "$work/seen" - <<'SEEN'
pixels off: at the control points, anywhere
  fitted to float, asked for float: 0.0, 0.0
  fitted to float, asked for int: 14.4, 20.8
  fitted to int, asked for float: 6.6, 6.6
  fitted to int, asked for int: 0.0, 12.9
residual, by alpha: this, SciPy's
  2D, order 2:  0.069 0.069  0.103 0.103  0.189 0.189  0.310 0.310  0.341 0.341
  3D, order 2:  0.010 0.008  0.583 0.059  5.355 0.207  0.353 0.309  0.329 0.329
  1D, order 3:  0.164 0.097  0.103 0.098  0.098 0.098  0.098 0.098  0.098 0.098
SEEN
echo "as seen"
