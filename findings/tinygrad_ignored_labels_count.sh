#!/usr/bin/env bash
# tinygrad 0.14.0, sparse_categorical_crossentropy(Y, ignore_index=-1): labels of -1 are not ignored. With any other
# number they are.
# - -1 is the default of ignore_index, and in the code it means that nothing is ignored. A label of -1 has no class, so
#   its own loss is 0, but it counts in the mean: with half of the pixels unlabelled, loss and gradient are halved.
# - With label_smoothing the unlabelled pixels have a gradient: they are drawn towards equal probabilities.
# - The same labels with 255 or 9 in the place of -1, and ignore_index=255 or 9, give the mean over the labelled ones.
# The documentation names PyTorch's loss for the meaning. There ignore_index=-1 ignores -1, as it does in many data sets
# of masks. The weight of a pixel so depends on how many others in the batch have no label. No issue on it was found.
#
# Seen on 2026-11-29, float32, on the device that runs in Python, so that no compiler is needed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "tinygrad==0.14.0"
DEV=PYTHON XDG_CACHE_HOME="$work" "$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import numpy as np
from tinygrad import Tensor

ROWS = np.array([[1, 2, 3], [3, 1, 1], [0, 2, 0], [2, 0, 1]], np.float32)


def loss(x, labels, **options):
    return x.sparse_categorical_crossentropy(Tensor(np.array(labels, np.int32)), **options)


def right(labels, smoothing):
    """The mean over the rows that have a label, in NumPy."""
    logs = ROWS - np.log(np.exp(ROWS).sum(axis=1, keepdims=True))
    kept = [(1 - smoothing) * row[label] + smoothing * row.mean() for row, label in zip(logs, labels) if 0 <= label < 3]
    return -np.mean(kept)


for smoothing in (0.0, 0.3):
    for nothing in (-1, 9, 255, -2):
        labels = [2, nothing, 1, nothing]
        x = Tensor(ROWS)
        value = loss(x, labels, ignore_index=nothing, label_smoothing=smoothing)
        slopes = np.abs(value.gradient(x)[0].numpy()).sum(axis=1)
        print(f"smoothing {smoothing:g}, ignore_index={nothing}: loss {value.item():.3f},", end=" ")
        print(f"right {right(labels, smoothing):.3f}; gradient by rows", *(f"{slope:.2f}" for slope in slopes))
PYTHON
diff "$work/seen" - <<'SEEN' || { cat "$work/warnings"; exit 1; }
smoothing 0, ignore_index=-1: loss 0.162, right 0.324; gradient by rows 0.17 0.00 0.11 0.00
smoothing 0, ignore_index=9: loss 0.324, right 0.324; gradient by rows 0.33 0.00 0.21 0.00
smoothing 0, ignore_index=255: loss 0.324, right 0.324; gradient by rows 0.33 0.00 0.21 0.00
smoothing 0, ignore_index=-2: loss 0.324, right 0.324; gradient by rows 0.33 0.00 0.21 0.00
smoothing 0.3, ignore_index=-1: loss 0.560, right 0.674; gradient by rows 0.07 0.07 0.01 0.05
smoothing 0.3, ignore_index=9: loss 0.674, right 0.674; gradient by rows 0.14 0.00 0.01 0.00
smoothing 0.3, ignore_index=255: loss 0.674, right 0.674; gradient by rows 0.14 0.00 0.01 0.00
smoothing 0.3, ignore_index=-2: loss 0.674, right 0.674; gradient by rows 0.14 0.00 0.01 0.00
SEEN
echo "as seen"
