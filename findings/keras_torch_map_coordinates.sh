#!/usr/bin/env bash
# Keras 3.15.1, keras.ops.image on its three backends NumPy, JAX and PyTorch (2.13.0): two ways in which PyTorch's differs.
# - interpolation="nearest" reads half-way between two pixels at the even one: a row that is shifted by half a pixel has
#   some pixels twice and lacks others. NumPy (SciPy) and JAX read the next one, at each place.
# - affine_transform with fill_mode="mirror" raises ZeroDivisionError for an image of one channel, such as a grey digit:
#   the axis of the channels is mirrored, too, and has the period 0. With two channels all backends agree.
#
# Seen on 2026-11-28.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "scipy==1.17.1" "keras==3.15.1" "jax==0.10.2" "torch==2.13.0"
cat > "$work/transform.py" <<'PYTHON'
import os

import keras
import numpy as np

row = np.arange(10, 16, dtype=np.float32).reshape(1, 1, 6, 1)
shifted = np.array([[1, 0, 0.5, 0, 1, 0, 0, 0]], np.float32)  # each pixel reads half a pixel to the right


def moved(image, **how):
    try:
        found = keras.ops.image.affine_transform(image, shifted, **how)
        return " ".join(f"{value:g}" for value in keras.ops.convert_to_numpy(found)[0, 0, :, 0])
    except Exception as error:
        last = error
        while last.__cause__ or last.__context__:
            last = last.__cause__ or last.__context__
        return next(name for name in ("ZeroDivisionError", type(last).__name__) if name in f"{last!r} {error}")


name = os.environ["KERAS_BACKEND"]
print(f"{name}: nearest {moved(row, interpolation='nearest', fill_mode='nearest')}", end="; ")
tall = np.tile(row, (1, 4, 1, 1))
print(f"mirror, 1 channel {moved(tall, fill_mode='mirror')}", end="; ")
print(f"2 channels {moved(np.tile(tall, (1, 1, 1, 2)), fill_mode='mirror')}")
PYTHON
for backend in numpy jax torch; do
    KERAS_BACKEND=$backend "$work/venv/bin/python" "$work/transform.py" 2>> "$work/warnings"
done | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
numpy: nearest 11 12 13 14 15 15; mirror, 1 channel 10.5 11.5 12.5 13.5 14.5 14.5; 2 channels 10.5 11.5 12.5 13.5 14.5 14.5
jax: nearest 11 12 13 14 15 15; mirror, 1 channel 10.5 11.5 12.5 13.5 14.5 14.5; 2 channels 10.5 11.5 12.5 13.5 14.5 14.5
torch: nearest 10 12 12 14 14 15; mirror, 1 channel ZeroDivisionError; 2 channels 10.5 11.5 12.5 13.5 14.5 14.5
SEEN
echo "as seen"
