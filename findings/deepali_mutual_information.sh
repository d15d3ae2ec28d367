#!/usr/bin/env bash
# deepali 0.6.5 (hf-deepali), mi_loss and nmi_loss, the negative mutual information of two images, and the same
# normalised: two things that should not change the result do.
# - The unit of the intensities. Where they are small numbers, below about 0.1 in a picture of 28 x 28 and 0.01 in a
#   volume of 64 voxels a side, the mutual information shrinks, down to nothing. Diffusivities in mm^2/s are 0.001.
#   nmi_loss becomes lower, that is better: two unrelated pictures in thousandths are rated better than two alike in
#   units. The weights of the histogram are multiplied by the width of a bin where they should be divided by it. So
#   their sum falls with the square of the unit, until the constant that is added to it is larger.
# - The mask, "region of interest". What lies outside is set to 0 in both images, and counted as voxels of intensity 0.
#   So two unrelated images have much mutual information, most of all where the mask is half of the image: they share
#   which voxels are outside. It is right where 0 is outside the range of the intensities, and with num_samples or
#   sample_ratio, which draw inside the mask. In mse_loss the same mask is right.
# No issue on either was found.
#
# Seen on 2026-11-29, with torch 2.13.0, float32, 64 bins, the default; a loss of 0 stands for unrelated images, but for
# the bias of a small sample, and in the normalised one 1 does.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "torch==2.13.0" "hf-deepali==0.6.5"
"$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import numpy as np
import torch
from deepali.losses.functional import mi_loss, mse_loss, nmi_loss

rng = np.random.default_rng(0)


def noise(*size):
    return torch.tensor(rng.uniform(size=(1, 1, *size)), dtype=torch.float32)


def shown(*numbers):
    return " ".join(f"{round(float(number), 2) + 0:g}" for number in numbers)


for size in ((28, 28), (64, 64, 64)):
    image, other = noise(*size), noise(*size)
    alike = image + 0.05 * noise(*size)
    print("size", *size)
    for unit in (1000, 1, 0.1, 0.01, 0.001):
        pairs = (unit * image, unit * alike), (unit * image, unit * other)
        print(f"  times {unit:g}: mi_loss of alike and unrelated", shown(*(mi_loss(*pair) for pair in pairs)), end="; ")
        print("nmi_loss", shown(*(nmi_loss(*pair) for pair in pairs)))

for width in (8, 32, 64):
    mask = torch.zeros(image.shape)
    mask[..., :width] = 1
    print(f"unrelated, a mask of {width} of 64 columns: mi_loss", shown(mi_loss(image, other, mask=mask)), end="; ")
    print("cut out", shown(mi_loss(image[..., :width], other[..., :width])), end="; ")
    print("intensities from 5 to 6", shown(mi_loss(image + 5, other + 5, mask=mask)), end="; ")
    print("mse_loss", shown(mse_loss(image, other, mask=mask)))
PYTHON
diff "$work/seen" - <<'SEEN' || { cat "$work/warnings"; exit 1; }
size 28 28
  times 1000: mi_loss of alike and unrelated -2.71 -0.94; nmi_loss 0.51 0.87
  times 1: mi_loss of alike and unrelated -2.7 -0.94; nmi_loss 0.51 0.87
  times 0.1: mi_loss of alike and unrelated -2.47 -0.94; nmi_loss 0.49 0.85
  times 0.01: mi_loss of alike and unrelated -0.34 -0.23; nmi_loss 0.33 0.59
  times 0.001: mi_loss of alike and unrelated -0.01 -0.01; nmi_loss 0.08 0.11
size 64 64 64
  times 1000: mi_loss of alike and unrelated -2.67 -0.04; nmi_loss 0.52 0.99
  times 1: mi_loss of alike and unrelated -2.67 -0.04; nmi_loss 0.52 0.99
  times 0.1: mi_loss of alike and unrelated -2.67 -0.04; nmi_loss 0.52 0.99
  times 0.01: mi_loss of alike and unrelated -2.6 -0.09; nmi_loss 0.52 0.99
  times 0.001: mi_loss of alike and unrelated -0.8 -0.34; nmi_loss 0.39 0.8
unrelated, a mask of 8 of 64 columns: mi_loss -0.38; cut out -0.07; intensities from 5 to 6 -0.07; mse_loss 0.17
unrelated, a mask of 32 of 64 columns: mi_loss -0.65; cut out -0.05; intensities from 5 to 6 -0.05; mse_loss 0.17
unrelated, a mask of 64 of 64 columns: mi_loss -0.04; cut out -0.04; intensities from 5 to 6 -0.04; mse_loss 0.17
SEEN
echo "as seen"
