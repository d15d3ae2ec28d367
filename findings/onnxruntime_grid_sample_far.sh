#!/usr/bin/env bash
# onnxruntime 1.32.0 (CPU), GridSample (opset 20, linear, align_corners=1): a finite point far outside the image is read
# as 0 with padding_mode="border", and as the opposite edge from about 9e18 on, with "zeros" padding too. The
# reference evaluator of onnx reads the border, and 0; so does PyTorch. A projective map reaches such points near its horizon.
#
# Seen on 2026-11-27, float32; the row is 4 5 6, so the right border is 6 and the left one 4.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "onnx==1.23.2" "onnxruntime==1.32.0"
"$work/venv/bin/python" - <<'PYTHON' | tee "$work/seen"
import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

image = np.arange(1, 10, dtype=np.float32).reshape(1, 1, 3, 3)
grid = np.array([[[[x, 0] for x in (9, 2.0**24, 1e9, 9.3e18, 1e38)]]], np.float32)
ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in ("image", "grid", "read")]
for padding in ("zeros", "border"):
    node = helper.make_node("GridSample", ["image", "grid"], ["read"], mode="linear", padding_mode=padding, align_corners=1)
    graph = helper.make_graph([node], "sample", ends[:2], ends[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {"image": image, "grid": grid}
    found = {
        "onnx": ReferenceEvaluator(model).run(None, feeds)[0],
        "onnxruntime": session.run(None, feeds)[0],
    }
    for name, read in found.items():
        print(f"{padding}, {name}: {' '.join(f'{v:g}' for v in read.ravel())}")
PYTHON
diff "$work/seen" - <<'SEEN'
zeros, onnx: 0 0 0 0 0
zeros, onnxruntime: 0 0 0 4 4
border, onnx: 6 6 6 6 6
border, onnxruntime: 6 0 0 4 4
SEEN
echo "as seen"
