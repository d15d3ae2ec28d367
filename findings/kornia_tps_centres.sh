#!/usr/bin/env bash
# kornia 0.9.0, get_tps_transform and warp_points_tps, used as their docstrings say: the map goes through its points,
# but is not the thin-plate spline through them. Its kernels stand at the target points, where the spline has them at the
# source points. So it bends more, and is not linear in the targets: with far moves, places between the control points
# leave the image. SciPy's RBFInterpolator and scikit-image's ThinPlateSplineTransform give the spline.
#
# Seen on 2026-11-28: 4 x 4 points over -1 .. 1, moved by a normal; the maps are compared at 1000 other places.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "scipy==1.17.1" "scikit-image==0.26.0" \
    "kornia==0.9.0" "torch==2.13.0"
"$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import numpy as np
import torch
from kornia.geometry.transform import get_tps_transform, warp_points_tps
from scipy.interpolate import RBFInterpolator
from skimage.transform import ThinPlateSplineTransform

side = np.linspace(-1, 1, 4)
source = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
elsewhere = np.random.default_rng(1).uniform(-1, 1, (1000, 2))
noise = np.random.default_rng(0).normal(0, 1, source.shape)


def batch(array):
    return torch.tensor(array)[None]


def kornia(target, places):
    kernels, affine = get_tps_transform(batch(source), batch(target))
    return warp_points_tps(batch(places), batch(target), kernels, affine)[0].numpy()


for move in (0.02, 0.1, 0.2):
    target = source + move * noise
    spline = RBFInterpolator(source, target, kernel="thin_plate_spline")(elsewhere)
    other = ThinPlateSplineTransform.from_estimate(source, target)(elsewhere)
    assert np.abs(kornia(target, source) - target).max() < 1e-12  # through its points
    twice = source + 2 * (target - source)  # a spline is linear in its targets
    linear = np.abs(2 * kornia(target, elsewhere) - elsewhere - kornia(twice, elsewhere)).max()
    off = np.abs(kornia(target, elsewhere) - spline).max()
    apart = np.abs(other - spline).max()
    print(f"moved by {move}: off SciPy's spline by {off:.3f}, scikit-image by {apart:.3f};", end=" ")
    print(f"twice the moves are off twice the change by {linear:.3f}")
PYTHON
diff "$work/seen" - <<'SEEN'
moved by 0.02: off SciPy's spline by 0.002, scikit-image by 0.000; twice the moves are off twice the change by 0.004
moved by 0.1: off SciPy's spline by 0.048, scikit-image by 0.000; twice the moves are off twice the change by 0.129
moved by 0.2: off SciPy's spline by 0.184, scikit-image by 0.000; twice the moves are off twice the change by 1.328
SEEN
echo "as seen"
