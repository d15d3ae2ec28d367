#!/usr/bin/env bash
# scikit-image 0.26.0, ThinPlateSplineTransform.from_estimate with float64 points: the spline misses the points that it is
# to go through, by half a pixel of a 4000 x 4000 image with 16 x 16 of them. SciPy's RBFInterpolator (1.17.1) with the
# kernel thin_plate_spline misses the same points by 1e-8 pixels. In skimage/transform/_thin_plate_splines.py the matrix
# of the equations is rounded to float32 before they are solved; with more points they are worse conditioned.
#
# Seen on 2026-11-28. The printed numbers are powers of ten, as the last digits depend on the BLAS.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "scipy==1.17.1" "scikit-image==0.26.0"
"$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import numpy as np
from scipy.interpolate import RBFInterpolator
from skimage.transform import ThinPlateSplineTransform

side = 4000
for count in (4, 16):
    places = np.linspace(0, side, count)
    source = np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2)
    target = source + np.random.default_rng(0).normal(0, side / 18, source.shape)
    here = ThinPlateSplineTransform.from_estimate(source, target)(source)
    there = RBFInterpolator(source, target, kernel="thin_plate_spline")(source)
    for name, reached in (("scikit-image", here), ("SciPy", there)):
        miss = np.abs(reached - target).max()
        print(f"{count} x {count} points, {name}: {reached.dtype}, misses by 1e{np.log10(miss):.0f} pixels")
PYTHON
diff "$work/seen" - <<'SEEN'
4 x 4 points, scikit-image: float64, misses by 1e-3 pixels
4 x 4 points, SciPy: float64, misses by 1e-11 pixels
16 x 16 points, scikit-image: float64, misses by 1e-0 pixels
16 x 16 points, SciPy: float64, misses by 1e-8 pixels
SEEN
echo "as seen"
