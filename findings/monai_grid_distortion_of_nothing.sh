#!/usr/bin/env bash
# MONAI 1.6.1, GridDistortion and RandGridDistortion: with every distort step 1, or with a limit of 0, nothing should move.
# - Each cell of the grid is magnified: its n rows are read at n places from its first row to the first row of the next
#   cell, both included, so in steps of n / (n - 1). The row at each border is read twice, the last row of each cell comes
#   from one row further on, and all of the picture moves by half a pixel in the mean, to one side. With cells of two rows
#   every second row is never read, and gets no gradient. Of the default limit of 0.03 this is much: it moves the end of a
#   cell by less than a pixel, as long as the cell has fewer than 33 rows.
# - The rows are cut into num_cells + 1 cells of size // num_cells rows. Where more is left, as in 9, 14 or 19 rows with the
#   default of 5 cells, the last rows are forgotten, and are copies of the first row. For a volume these are slices.
# Labels move with the image, so no overlap shows it; landmarks and fields that were made elsewhere do not. It is a port of
# what Albumentations did in 2021 (MONAI's pull request 3117). No issue on it was found.
#
# Seen on 2026-11-28, float32; each row of the image holds its number. The second axis is one cell, which is not looked at.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "torch==2.13.0" "monai==1.6.1"
"$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import torch
from monai.transforms import GridDistortion, RandGridDistortion

nothing = GridDistortion((5, 1), [[1.0] * 6, [1.0] * 2])


def image(size):
    return torch.arange(size, dtype=torch.float32)[None, :, None].expand(1, size, 4).clone()


def shown(rows):
    return " ".join(f"{round(value, 2) + 0:g}" for value in rows.tolist())


for size in (5, 10, 20, 9, 14, 19):
    print(f"{size} rows: {shown(nothing(image(size))[0, :, 0])}")

random = RandGridDistortion(num_cells=5, prob=1.0, distort_limit=0.0).set_random_state(0)
print(f"10 rows, at random, limit 0: {shown(random(image(10))[0, :, 0])}")

pixels = image(10).requires_grad_()
nothing(pixels).sum().backward()
print(f"10 rows, the gradient of the sum: {shown(pixels.grad[0, :, 0])}")

for size in (50, 250):
    off = (nothing(image(size)) - image(size))[0, :-1, 0]  # without the last row, which the border stops
    print(f"{size} rows: off by up to {off.max():.2f}, by {off.mean():.2f} in the mean")
PYTHON
diff "$work/seen" - <<'SEEN'
5 rows: 0 1 2 3 4
10 rows: 0 2 2 4 4 6 6 8 8 9
20 rows: 0 1.33 2.67 4 4 5.33 6.67 8 8 9.33 10.67 12 12 13.33 14.67 16 16 17.33 18.67 19
9 rows: 0 1 2 3 4 5 0 0 0
14 rows: 0 2 2 4 4 6 6 8 8 10 10 12 0 0
19 rows: 0 1.5 3 3 4.5 6 6 7.5 9 9 10.5 12 12 13.5 15 15 16.5 18 0
10 rows, at random, limit 0: 0 2 2 4 4 6 6 8 8 9
10 rows, the gradient of the sum: 1 0 2 0 2 0 2 0 2 1
50 rows: off by up to 1.00, by 0.49 in the mean
250 rows: off by up to 1.00, by 0.50 in the mean
SEEN
echo "as seen"
