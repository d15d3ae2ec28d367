#!/usr/bin/env bash
# OpenCV 5.0.0, cv2.dnn.readNetFromONNX: no GridSample node is sampled by cubic convolution, and nothing says so.
# - Opset 20 and 22 call the mode "cubic". OpenCV takes the model, and samples bilinearly: it knows the name of opset 16
#   only, "bicubic", and a name that it does not know is bilinear to it.
# - "bicubic" at opset 16 has the cubic weights, but the sum is clipped to the range of the sixteen pixels it is made of.
#   So an edge has no overshoot, and the sampler is not linear: two images added are not read as the sum of the two.
# "linear", "bilinear" and "nearest" are as in onnxruntime 1.32.0. onnxruntime has the cubic weights at all three opsets.
# So whoever exports a network with a cubic sampler has another one in OpenCV, whatever opset the exporter writes.
#
# Seen on 2026-11-28, float32: a white pixel in a black row, read 0, 1/4, 1/2 and 5/4 pixels away from it, where cubic
# convolution is negative; then 1000 points in an image of normals.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "onnx==1.23.2" "onnxruntime==1.32.0" "opencv-python-headless==5.0.0.93"
"$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import cv2
import numpy as np
import onnxruntime
from onnx import TensorProto, helper


def both(image, points, opset, mode):
    """image (H, W) at points (n, 2), normalised: as onnxruntime reads it, and as OpenCV does."""
    feeds = {"image": np.float32(image)[None, None], "grid": np.float32(points)[None, None]}
    node = helper.make_node("GridSample", ["image", "grid"], ["read"], mode=mode, align_corners=1)
    shapes = {**{name: value.shape for name, value in feeds.items()}, "read": (1, 1, 1, len(points))}
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    graph = helper.make_graph([node], "sample", ends[:2], ends[2:])
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9).SerializeToString()
    network = cv2.dnn.readNetFromONNX(np.frombuffer(content, np.uint8))
    for name, value in feeds.items():
        network.setInput(value, name)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0].ravel(), network.forward().ravel().copy()


pixel = [[0, 0, 0, 0, 1, 0, 0, 0, 0]]
for opset, mode in ((16, "bilinear"), (16, "bicubic"), (20, "linear"), (20, "cubic"), (22, "cubic")):
    reads = both(pixel, [(pixels / 4, 0) for pixels in (0, 0.25, 0.5, 1.25)], opset, mode)
    for engine, read in zip(("onnxruntime", "OpenCV"), reads):
        print(f"opset {opset}, {mode}, {engine}:", *(f"{value:.3f}" for value in read))

rng = np.random.default_rng(0)
image, points = rng.normal(size=(9, 9)), np.float32(rng.uniform(-0.7, 0.7, (1000, 2)))
there, here = both(image, points, 16, "bicubic")
taps = [image[row - 1 : row + 3, column - 1 : column + 3] for column, row in np.floor(4 * points + 4).astype(int)]
clipped = np.clip(there, [tap.min() for tap in taps], [tap.max() for tap in taps])
print(f"bicubic: {(abs(here - there) > 0.001).sum()} of 1000 points differ, by up to {abs(here - there).max():.2f};", end=" ")
print(f"{(abs(here - clipped) > 0.001).sum()} after clipping")
PYTHON
diff "$work/seen" - <<'SEEN'
opset 16, bilinear, onnxruntime: 1.000 0.750 0.500 0.000
opset 16, bilinear, OpenCV: 1.000 0.750 0.500 0.000
opset 16, bicubic, onnxruntime: 1.000 0.879 0.594 -0.105
opset 16, bicubic, OpenCV: 1.000 0.879 0.594 0.000
opset 20, linear, onnxruntime: 1.000 0.750 0.500 0.000
opset 20, linear, OpenCV: 1.000 0.750 0.500 0.000
opset 20, cubic, onnxruntime: 1.000 0.879 0.594 -0.105
opset 20, cubic, OpenCV: 1.000 0.750 0.500 0.000
opset 22, cubic, onnxruntime: 1.000 0.879 0.594 -0.105
opset 22, cubic, OpenCV: 1.000 0.750 0.500 0.000
bicubic: 31 of 1000 points differ, by up to 0.29; 0 after clipping
SEEN
echo "as seen"
