#!/usr/bin/env bash
# onnx 1.23.2, onnx.version_converter.convert_version copies nodes to an opset in which they mean another thing.
# - Softmax and LogSoftmax, 13 to 12: the axis is kept, but up to opset 12 all axes from that one on are normalised
#   together. So a softmax over the classes of each pixel, axis=1 of (N, C, H, W), becomes one over classes and pixels:
#   a pixel's probabilities add up to 1 before, and to anything after. Only axis=-1 is right. The way up, 12 to 13, is
#   right: Flatten, Softmax, Reshape.
# - Hardmax, 12 to 13, has the same mistake on the way up: one class for each pixel, in place of one in all.
# - Resize, 10 to 11: a linear one reads up to half a pixel away, as the attribute that is new in opset 11 is left out
#   (issue 8480 of onnx, open).
# The converter says nothing, and onnx.checker takes the files.
#
# Seen on 2026-11-28, with onnxruntime 1.32.0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "onnx==1.23.2" "onnxruntime==1.32.0"
"$work/venv/bin/python" -W ignore - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper, version_converter


def run(model, x):
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


scores = np.array([[0, 1], [2, 0], [0, 0], [3, 1]], np.float32).reshape(1, 2, 2, 2)  # two classes, 2 x 2 pixels
row = np.arange(4, dtype=np.float32).reshape(1, 1, 1, 4)
for kind, opsets, x, attributes in (
    ("Softmax", (13, 12), scores, {"axis": 1}),
    ("LogSoftmax", (13, 12), scores, {"axis": 1}),
    ("Softmax", (13, 12), scores, {"axis": -1}),
    ("Softmax", (12, 13), scores, {"axis": 1}),
    ("Hardmax", (12, 13), scores, {"axis": 1}),
    ("Resize", (10, 11), row, {"mode": "linear"}),
):
    scales = [numpy_helper.from_array(np.array([1, 1, 1, 2], np.float32), "scales")] if kind == "Resize" else []
    node = helper.make_node(kind, ["x", *(scale.name for scale in scales)], ["y"], **attributes)
    shape = (*x.shape[:3], x.shape[3] * (2 if scales else 1))
    sizes = {"x": x.shape, "y": shape}
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in sizes.items()]
    graph = helper.make_graph([node], "one", ends[:1], ends[1:], scales)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opsets[0])], ir_version=7)
    for opset, content in ((opsets[0], model), (opsets[1], version_converter.convert_version(model, opsets[1]))):
        print(f"{kind}, {attributes}, opset {opset}:", *(f"{value:.2f}" for value in run(content, x).ravel()))
PYTHON
diff "$work/seen" - <<'SEEN'
Softmax, {'axis': 1}, opset 13: 0.50 0.73 0.27 0.27 0.50 0.27 0.73 0.73
Softmax, {'axis': 1}, opset 12: 0.03 0.07 0.20 0.03 0.03 0.03 0.54 0.07
LogSoftmax, {'axis': 1}, opset 13: -0.69 -0.31 -1.31 -1.31 -0.69 -1.31 -0.31 -0.31
LogSoftmax, {'axis': 1}, opset 12: -3.61 -2.61 -1.61 -3.61 -3.61 -3.61 -0.61 -2.61
Softmax, {'axis': -1}, opset 13: 0.27 0.73 0.88 0.12 0.50 0.50 0.88 0.12
Softmax, {'axis': -1}, opset 12: 0.27 0.73 0.88 0.12 0.50 0.50 0.88 0.12
Softmax, {'axis': 1}, opset 12: 0.03 0.07 0.20 0.03 0.03 0.03 0.54 0.07
Softmax, {'axis': 1}, opset 13: 0.03 0.07 0.20 0.03 0.03 0.03 0.54 0.07
Hardmax, {'axis': 1}, opset 12: 0.00 0.00 0.00 0.00 0.00 0.00 1.00 0.00
Hardmax, {'axis': 1}, opset 13: 1.00 1.00 0.00 0.00 0.00 0.00 1.00 1.00
Resize, {'mode': 'linear'}, opset 10: 0.00 0.50 1.00 1.50 2.00 2.50 3.00 3.00
Resize, {'mode': 'linear'}, opset 11: 0.00 0.25 0.75 1.25 1.75 2.25 2.75 3.00
SEEN
echo "as seen"
