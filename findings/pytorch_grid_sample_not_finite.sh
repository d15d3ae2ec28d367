#!/usr/bin/env bash
# PyTorch 2.13.0 (CPU), torch.nn.functional.grid_sample: what comes out for a coordinate that is NaN or infinite depends
# on mode and padding_mode together, and no rule covers all nine pairs.
#
#   bilinear   zeros: NaN for all three.       border: NaN and -inf read the first column, inf the last.
#              reflection: all three read the first column.
#   nearest    zeros: 0 for all three.         border, reflection: as bilinear.
#   bicubic    NaN for all three, with any padding: with "border" an infinite coordinate is NaN, while 1e38, which
#              is just as far outside, reads the last column, and bilinear sampling reads it for inf as well.
#
# So a NaN that a localisation network produces is seen at once with zeros and bilinear sampling, looks like a black
# pixel with zeros and nearest, and like the left edge of the image with border or reflection padding.
# Seen on 2026-11-27, float32, one row of four pixels 1 2 3 4, the middle row read.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.13.0" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PYTHON' | tee "$work/seen"
import torch
from torch.nn.functional import grid_sample

image = torch.tensor([[[[1.0, 2.0, 3.0, 4.0]]]])
for mode in ("bilinear", "nearest", "bicubic"):
    for padding in ("zeros", "border", "reflection"):
        read = []
        for x in ("nan", "inf", "-inf", "1e38"):
            grid = torch.tensor([[[[float(x), 0.0]]]])
            read.append(f"{x} {grid_sample(image, grid, mode, padding, align_corners=False).item():g}")
        print(f"{mode} {padding}: {', '.join(read)}")
PYTHON
diff "$work/seen" - <<'SEEN'
bilinear zeros: nan nan, inf nan, -inf nan, 1e38 0
bilinear border: nan 1, inf 4, -inf 1, 1e38 4
bilinear reflection: nan 1, inf 1, -inf 1, 1e38 1
nearest zeros: nan 0, inf 0, -inf 0, 1e38 0
nearest border: nan 1, inf 4, -inf 1, 1e38 4
nearest reflection: nan 1, inf 1, -inf 1, 1e38 1
bicubic zeros: nan nan, inf nan, -inf nan, 1e38 0
bicubic border: nan nan, inf nan, -inf nan, 1e38 4
bicubic reflection: nan nan, inf nan, -inf nan, 1e38 1
SEEN
echo "as seen"
