#!/usr/bin/env bash
# ONNX AffineGrid (opset 20), align_corners=1, identity theta, an output of one row and three columns: where does the row
# lie? Every runtime has another answer.
#
#   onnx 1.23.2, reference           y = -1, the top; the standard's own function body divides by max(1, size - 1)
#   onnxruntime 1.32.0               y = 1, the bottom
#   openvino 2026.4.1                a grid of two rows, both y = 0
#
# So a network that pools an image to one row, exported with an AffineGrid node, reads another row in each runtime. With
# align_corners=0 all give y = 0, the middle, and so does PyTorch's affine_grid with either. Seen on 2026-11-27, float32.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "onnx==1.23.2" "onnxruntime==1.32.0" "openvino==2026.4.1"
"$work/venv/bin/python" - <<'PYTHON' | tee "$work/seen"
import numpy as np
import onnxruntime
import openvino
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

node = helper.make_node("AffineGrid", ["theta", "size"], ["grid"], align_corners=1)
inputs = [helper.make_tensor_value_info("theta", TensorProto.FLOAT, [1, 2, 3]),
          helper.make_tensor_value_info("size", TensorProto.INT64, [4])]
outputs = [helper.make_tensor_value_info("grid", TensorProto.FLOAT, [None] * 4)]
graph = helper.make_graph([node], "grid", inputs, outputs)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
theta, size = np.eye(2, 3, dtype=np.float32)[None], np.array([1, 1, 1, 3])
feeds, core = {"theta": theta, "size": size}, openvino.Core()
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
found = {
    "onnx": ReferenceEvaluator(model).run(None, feeds)[0],
    "onnxruntime": session.run(None, feeds)[0],
    "openvino": core.compile_model(core.read_model(model.SerializeToString()), "CPU")([theta, size])[0],
}
for name, grid in found.items():
    print(f"{name}: {grid.shape[1]} row(s), y = {', '.join(f'{y:g}' for y in grid[0, :, 0, 1])}")
PYTHON
diff "$work/seen" - <<'SEEN'
onnx: 1 row(s), y = -1
onnxruntime: 1 row(s), y = 1
openvino: 2 row(s), y = 0, 0
SEEN
echo "as seen"
