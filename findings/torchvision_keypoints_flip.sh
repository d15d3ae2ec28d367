#!/usr/bin/env bash
# torchvision 0.28.0 (torch 2.13.0), transforms.v2 with KeyPoints: no convention for coordinates suits all transforms.
# - A flip maps x to W - 1 - x: it counts pixels, and a pixel's centre has whole numbers. rotate, affine and
#   resize map it as in boxes: the picture goes from 0 to W, and a pixel's centre has a half.
# - Two flips make the same picture as a rotation by 180 degrees, and other key points, by one pixel in x and in y.
#   With whole numbers for centres a rotation is off by up to one pixel, and a resize to s times the size by
#   (s - 1) / 2; with halves the flips are off by one pixel.
# - BoundingBoxes are right in all of these. So a key point in the middle of its box leaves the middle by one pixel when both
#   are flipped in one call.
# A network that learns landmarks from randomly flipped and rotated pictures learns from targets that jump by a pixel.
#
# Seen on 2026-11-28: one bright pixel, column 20 and row 15 of 60 x 40, the box around it, and two points for it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "torch==2.13.0" "pillow==13.0.0"
"$work/venv/bin/pip" install --quiet --no-deps "torchvision==0.28.0"
"$work/venv/bin/python" -W ignore - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import torch

try:
    import torchvision
except RuntimeError:  # beside a torch without CUDA the compiled operators are missing, which are not needed here
    missing = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        missing.define(f"{name}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
    import torchvision
from torchvision.transforms.v2 import functional as F
from torchvision.tv_tensors import BoundingBoxes, Image, KeyPoints

size = (40, 60)
picture = torch.zeros(1, *size)
picture[0, 15, 20] = 1
for name, transform in (
    ("nothing", lambda x: x),
    ("flips", lambda x: F.vertical_flip(F.horizontal_flip(x))),
    ("rotate 180", lambda x: F.rotate(x, 180)),
    ("rotate 90, expand", lambda x: F.rotate(x, 90, expand=True)),
    ("affine, -180", lambda x: F.affine(x, -180, [0, 0], 1.0, [0, 0])),
    ("resize by 3", lambda x: F.resize(x, [120, 180], interpolation=F.InterpolationMode.NEAREST)),
):
    bright = transform(Image(picture))[0].nonzero().flip(-1).double()
    points = [transform(KeyPoints([point], canvas_size=size))[0].tolist() for point in ((20.0, 15.0), (20.5, 15.5))]
    box = transform(BoundingBoxes([[20.0, 15, 21, 16]], format="XYXY", canvas_size=size))[0]
    print(f"{name}, whole numbers: pixel {bright.mean(0).tolist()}, point {points[0]}")
    middle = ((box[:2] + box[2:]) / 2).tolist()
    print(f"{name}, halves: pixel {(bright.mean(0) + 0.5).tolist()}, point {points[1]}, middle of the box {middle}")
PYTHON
diff "$work/seen" - <<'SEEN'
nothing, whole numbers: pixel [20.0, 15.0], point [20.0, 15.0]
nothing, halves: pixel [20.5, 15.5], point [20.5, 15.5], middle of the box [20.5, 15.5]
flips, whole numbers: pixel [39.0, 24.0], point [39.0, 24.0]
flips, halves: pixel [39.5, 24.5], point [38.5, 23.5], middle of the box [39.5, 24.5]
rotate 180, whole numbers: pixel [39.0, 24.0], point [40.0, 25.0]
rotate 180, halves: pixel [39.5, 24.5], point [39.5, 24.5], middle of the box [39.5, 24.5]
rotate 90, expand, whole numbers: pixel [15.0, 39.0], point [15.0, 40.0]
rotate 90, expand, halves: pixel [15.5, 39.5], point [15.5, 39.5], middle of the box [15.5, 39.5]
affine, -180, whole numbers: pixel [39.0, 24.0], point [40.0, 25.0]
affine, -180, halves: pixel [39.5, 24.5], point [39.5, 24.5], middle of the box [39.5, 24.5]
resize by 3, whole numbers: pixel [61.0, 46.0], point [60.0, 45.0]
resize by 3, halves: pixel [61.5, 46.5], point [61.5, 46.5], middle of the box [61.5, 46.5]
SEEN
echo "as seen"
