#!/usr/bin/env bash
# voxelmorph 0.3.4, voxelmorph.nn.functional (the one in PyTorch): compose makes one field of several, and two things
# happen.
# - A batch of three fields of images is composed as if it were one field of a volume, for it has as many axes and as
#   many entries along the first: three samples are taken for three components, and the two components for two slices.
#   The result has the right shape and wrong numbers, and each sample depends on the others. With one, two, four or five
#   samples all is right. In volumes it is a batch of four, which raises an error. Among the batches of a training set
#   only the last one may have three samples.
# - spatial_transform inverts a matrix before it moves the image, so that its content goes where the matrix says, and
#   does not invert a field. compose makes a field of a matrix without inverting. So a matrix, and what compose makes of
#   it and a field of zeros, move the image in opposite directions. The documentation of both speaks of affine matrices
#   and fields, but not of the inverse. A matrix that an affine network found first has to be inverted before it is
#   composed with a field.
# No issue on either was found.
#
# Seen on 2026-11-28, with torch 2.13.0, float32.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "torch==2.13.0" "voxelmorph==0.3.4" "neurite==0.3.4" "pystrum==0.4"
"$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import numpy as np
import torch
from voxelmorph.nn.functional import compose, spatial_transform

print("two fields that shift by 1 and by 2 pixels along x, composed: the shift of each sample in the middle")
for samples in range(1, 6):
    fields = [torch.zeros(samples, 2, 9, 9) for _ in range(2)]
    fields[0][:, 1], fields[1][:, 1] = 1, 2
    found = compose(fields)[:, :, 4, 4]
    print(f"  {samples} samples:", *(f"({y + 0:g}, {x + 0:g})" for y, x in found.tolist()))

first, second = (torch.tensor(np.random.default_rng(i).normal(size=(5, 2, 9, 9)), dtype=torch.float32) for i in (0, 1))
alone = torch.stack([compose([first[i], second[i]]) for i in range(5)])
for samples in range(1, 6):
    off = (compose([first[:samples], second[:samples]]) - alone[:samples]).abs().max()
    print(f"fields at random, {samples} samples: off by {off:.1f}")

image = torch.arange(7.0).expand(1, 1, 5, 7)
shift = torch.tensor([[1.0, 0, 0], [0, 1, 1], [0, 0, 1]])
nothing = torch.zeros(2, 5, 7)
moves = {
    "a matrix that shifts by 1 along x": shift,
    "compose of it and a field of zeros": compose([shift, nothing]),
    "compose of a field of zeros and it": compose([nothing, shift]),
    "compose of its inverse and the zeros": compose([torch.linalg.inv(shift), nothing]),
}
for name, move in moves.items():
    row = spatial_transform(image, move, padding_mode="border")[0, 0, 2]
    print(f"{name}:", *(f"{round(value, 3) + 0:g}" for value in row.tolist()))
PYTHON
diff "$work/seen" - <<'SEEN' || { cat "$work/warnings"; exit 1; }
two fields that shift by 1 and by 2 pixels along x, composed: the shift of each sample in the middle
  1 samples: (0, 3)
  2 samples: (0, 3) (0, 3)
  3 samples: (0, 2) (0, 2) (0, 2)
  4 samples: (0, 3) (0, 3) (0, 3) (0, 3)
  5 samples: (0, 3) (0, 3) (0, 3) (0, 3) (0, 3)
fields at random, 1 samples: off by 0.0
fields at random, 2 samples: off by 0.0
fields at random, 3 samples: off by 3.4
fields at random, 4 samples: off by 0.0
fields at random, 5 samples: off by 0.0
a matrix that shifts by 1 along x: 0 0 1 2 3 4 5
compose of it and a field of zeros: 1 2 3 4 5 6 6
compose of a field of zeros and it: 1 2 3 4 5 6 6
compose of its inverse and the zeros: 0 0 1 2 3 4 5
SEEN
echo "as seen"
