#!/usr/bin/env bash
# torch-fourier-rescale 0.6.0, fourier_rescale_2d and fourier_rescale_3d, which change the spacing of the pixels: where
# a size is odd, before or after, the picture is moved, too.
# - From an odd number of pixels it moves by one pixel of the picture that comes in, towards the first; to an odd number
#   by one pixel of the picture that comes out, away from the first; both add up. That is measured from the middle
#   pixel, n // 2, which the source names as the centre. Measured from the first pixel it is half as much. So by no
#   convention do the points stay where they were, and rows and columns move apart where one size is odd.
# - Even sizes are right. A spacing such as 1.5 makes an odd size of an even one, 64 pixels to 43. And back again moves
#   it the other way, so that a test there and back sees nothing.
# - The spacing that is returned is right.
# The centre is brought to the first pixel by fftshift and back by ifftshift, where it should be the other way round,
# which is the same for even sizes. No issue on it was found; in torch-fourier-slice, of the same repository, the same
# slip was mended: teamtomo's pull request 109.
#
# Seen on 2026-11-29, with torch 2.13.0: a blob, and the centre of its mass before and after, in pixels of the picture
# that comes in.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "torch==2.13.0" "torch-fourier-rescale==0.6.0"
"$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import numpy as np
import torch
from torch_fourier_rescale import fourier_rescale_2d, fourier_rescale_3d


def blob(shape, centre):
    """A smooth blob in float64, well inside the picture."""
    axes = np.meshgrid(*(np.arange(n) - at for n, at in zip(shape, centre)), indexing="ij")
    return torch.tensor(np.exp(-sum(axis**2 for axis in axes) / 18))


def mass(picture):
    picture = picture.numpy()
    axes = np.meshgrid(*(np.arange(n) for n in picture.shape), indexing="ij")
    return np.array([(axis * picture).sum() for axis in axes]) / picture.sum()


def shown(numbers):
    return " ".join(f"{round(number, 2) + 0:.2f}" for number in numbers)


def report(shape, spacing, rescale=fourier_rescale_2d):
    picture = blob(shape, [n // 2 + move for n, move in zip(shape, (3.2, -4.6, 1.3))])
    out, scale = rescale(picture, source_spacing=1.0, target_spacing=spacing)
    scale = np.array(scale)
    middles = np.array(shape) // 2, np.array(out.shape) // 2
    from_middle = (mass(out) - middles[1]) * scale - (mass(picture) - middles[0])
    print(*shape, "to", *out.shape, f"spacing {shown(scale)}: from the middle {shown(from_middle)}", end=", ")
    print("from the first pixel", shown(mass(out) * scale - mass(picture)))
    return out, from_middle


for rows, columns, spacing in ((64, 64, 2), (64, 60, 1.5), (64, 63, 2), (63, 63, 1.5), (101, 101, 1.5), (63, 63, 0.5)):
    report((rows, columns), spacing)
report((48, 44, 41), 1.5, fourier_rescale_3d)

picture = blob((64, 64), (35.2, 27.4))
there, _ = fourier_rescale_2d(picture, target_shape=(43, 43))
back, _ = fourier_rescale_2d(there, target_shape=(64, 64))
print("64 64 to 43 43 and back: moved by", shown(mass(back) - mass(picture)))
PYTHON
diff "$work/seen" - <<'SEEN' || { cat "$work/warnings"; exit 1; }
64 64 to 32 32 spacing 2.00 2.00: from the middle 0.00 0.00, from the first pixel 0.00 0.00
64 60 to 43 40 spacing 1.49 1.50: from the middle 1.49 0.00, from the first pixel 0.74 0.00
64 63 to 32 32 spacing 2.00 1.97: from the middle 0.00 -1.00, from the first pixel 0.00 -0.50
63 63 to 42 42 spacing 1.50 1.50: from the middle -1.00 -1.00, from the first pixel -0.50 -0.50
101 101 to 67 67 spacing 1.51 1.51: from the middle 0.51 0.51, from the first pixel 0.25 0.25
63 63 to 126 126 spacing 0.50 0.50: from the middle -1.00 -1.00, from the first pixel -0.50 -0.50
48 44 41 to 32 29 27 spacing 1.50 1.52 1.52: from the middle 0.00 1.52 0.52, from the first pixel 0.00 0.76 0.26
64 64 to 43 43 and back: moved by 0.00 0.00
SEEN
echo "as seen"
