#!/usr/bin/env bash
# PaddlePaddle 3.3.1 (CPU), grid_sample with padding_mode="border" (or "reflection") and align_corners=True: at a point on
# the border the gradient of the grid is that of padding_mode="zeros". Its forward has the one-sided slopes 1 and 0 there,
# and the gradient is -6. An identity start puts every pixel of the border at such a point. PyTorch gives 0.
#
# Seen on 2026-11-27, float32; the middle row of the image is 4 5 6, read at its right end.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "paddlepaddle==3.3.1"
"$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import numpy as np
import paddle

image = np.arange(1, 10, dtype=np.float32).reshape(1, 1, 3, 3)


def read(x, padding):
    grid = paddle.to_tensor(np.array([[[[x, 0]]]], np.float32), stop_gradient=False)
    image_ = paddle.to_tensor(image, stop_gradient=False)
    return paddle.nn.functional.grid_sample(image_, grid, padding_mode=padding, align_corners=True), grid


for padding in ("zeros", "border", "reflection"):
    here, grid = read(1.0, padding)
    here.backward()
    step = 0.125
    left = (here.item() - read(1 - step, padding)[0].item()) / step
    right = (read(1 + step, padding)[0].item() - here.item()) / step
    slopes = f"slopes of Paddle's forward {left:g} and {right:g}"
    print(f"{padding}: {slopes}, its gradient {grid.grad[0, 0, 0, 0].item():g}")
PYTHON
diff "$work/seen" - <<'SEEN'
zeros: slopes of Paddle's forward 1 and -6, its gradient -6
border: slopes of Paddle's forward 1 and 0, its gradient -6
reflection: slopes of Paddle's forward 1 and -1, its gradient -6
SEEN
echo "as seen"
