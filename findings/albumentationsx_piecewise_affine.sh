#!/usr/bin/env bash
# AlbumentationsX 2.5.1, PiecewiseAffine: points that do not move distort the image all the same. With scale_range=(0, 0)
# nothing happens; with 1e-9 pixels move by up to a sixth of the image, and with 0.05, a recommended value, hardly further.
#
#   The map is not piecewise affine. Each pixel reads at the mean of all control points' new places, weighted by the
#   inverse square of the distance to them (Shepard's interpolation), which gives back no affine map but a constant one,
#   so not the identity either. All is drawn to the middle of the points: the middle of the picture is magnified, its rim
#   is lost. More points hardly help: 16 x 16 still move pixels by an eighth of the image.
#
# Seen on 2026-11-28: the pictures are the coordinates themselves, 201 x 201, so the result says where each pixel read.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "scipy==1.17.1" "albumentationsx==2.5.1" "albucore==0.2.21" \
    "opencv-python-headless==5.0.0.93" "torch==2.13.0"
NO_ALBUMENTATIONS_UPDATE=1 "$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import albumentations
import numpy as np

side = 200
y, x = np.mgrid[: side + 1, : side + 1].astype(np.float32)
picture = np.stack([x, y, np.zeros_like(x)], axis=-1) / side


def read_at(count, scale):
    warp = albumentations.PiecewiseAffine(
        scale_range=(scale, scale), nb_rows_range=(count, count), nb_cols_range=(count, count), p=1
    )
    return side * albumentations.Compose([warp], seed=0)(image=picture)["image"][..., :2]


def shepard(count):
    places = np.linspace(0, side, count)
    points = np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2)
    weights = 1 / (((x[..., None] - points[:, 0]) ** 2 + (y[..., None] - points[:, 1]) ** 2) + 1e-8)
    return (weights @ points) / weights.sum(axis=-1, keepdims=True)


for count in (2, 4, 16):
    for scale in (0, 1e-9, 0.05):
        read = read_at(count, scale)
        moves = np.hypot(read[..., 0] - x, read[..., 1] - y)
        print(f"{count} x {count} points, scale {scale:g}:", end=" ")
        print(f"moved by {moves.mean():.0f} pixels, at most {moves.max():.0f};", end=" ")
        print("the middle row reads at x =", *(f"{value:.0f}" for value in read[side // 2, ::40, 0]))
    off = np.abs(read_at(count, 1e-9) - shepard(count)).max()
    print(f"    scale 1e-09 is Shepard's interpolation of points that stay: {off < 0.05}")
PYTHON
diff "$work/seen" - <<'SEEN'
2 x 2 points, scale 0: moved by 0 pixels, at most 0; the middle row reads at x = 0 40 80 120 160 200
2 x 2 points, scale 1e-09: moved by 15 pixels, at most 33; the middle row reads at x = 33 49 80 120 151 167
2 x 2 points, scale 0.05: moved by 15 pixels, at most 34; the middle row reads at x = 34 50 81 120 151 167
    scale 1e-09 is Shepard's interpolation of points that stay: True
4 x 4 points, scale 0: moved by 0 pixels, at most 0; the middle row reads at x = 0 40 80 120 160 200
4 x 4 points, scale 1e-09: moved by 15 pixels, at most 31; the middle row reads at x = 27 58 82 118 142 173
4 x 4 points, scale 0.05: moved by 15 pixels, at most 32; the middle row reads at x = 27 59 83 119 142 173
    scale 1e-09 is Shepard's interpolation of points that stay: True
16 x 16 points, scale 0: moved by 0 pixels, at most 0; the middle row reads at x = 0 40 80 120 160 200
16 x 16 points, scale 1e-09: moved by 10 pixels, at most 25; the middle row reads at x = 20 49 83 117 151 180
16 x 16 points, scale 0.05: moved by 10 pixels, at most 27; the middle row reads at x = 22 48 81 117 150 179
    scale 1e-09 is Shepard's interpolation of points that stay: True
SEEN
echo "as seen"
