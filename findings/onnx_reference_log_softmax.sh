#!/usr/bin/env bash
# onnx 1.23.2, onnx.reference.ReferenceEvaluator: LogSoftmax is the logarithm of the softmax. The softmax of float32 is
# rounded to 0 about 104 below the largest score, and the result is -inf from there on; between 88 and 104 the softmax
# has fewer and fewer digits, and the result with it. The standard names the same formula, log(softmax(x)), but its own
# function body for LogSoftmax, which is expanded below, subtracts the logarithm of the sum and is right everywhere.
# So are onnxruntime and OpenVINO.
#
# So a confident classifier has infinite losses in the evaluator, and finite ones in every engine; an exporter that is
# checked against the evaluator with small random weights will not see it. Seen on 2026-11-27, scores 0 and -s.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "onnx==1.23.2" "onnxruntime==1.32.0" "openvino==2026.4.1" "numpy==2.4.6"
"$work/venv/bin/python" -W ignore - <<'PYTHON' | tee "$work/seen"
import numpy as np
import onnxruntime
import openvino
from onnx import TensorProto, helper
from onnx.inliner import inline_selected_functions
from onnx.reference import ReferenceEvaluator

x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in "xy")
graph = helper.make_graph([helper.make_node("LogSoftmax", ["x"], ["y"], axis=1)], "one", [x], [y])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
expanded = inline_selected_functions(model, [("", "LogSoftmax")], exclude=False, inline_schema_functions=True)
content = model.SerializeToString()
session, core = onnxruntime.InferenceSession(content), openvino.Core()
compiled = core.compile_model(core.read_model(content), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
engines = {
    "reference": lambda feed: ReferenceEvaluator(model).run(None, feed)[0],
    "reference, function body": lambda feed: ReferenceEvaluator(expanded).run(None, feed)[0],
    "onnxruntime": lambda feed: session.run(None, feed)[0],
    "OpenVINO": lambda feed: compiled(feed)[0],
}
for name, run in engines.items():
    found = (run({"x": np.float32([[0, -s]])})[0, 1] for s in (80, 100, 103, 104, 1000))
    print(f"{name}: {', '.join(f'{y:.2f}' for y in found)}")
PYTHON
diff "$work/seen" - <<'SEEN'
reference: -80.00, -99.98, -103.28, -inf, -inf
reference, function body: -80.00, -100.00, -103.00, -104.00, -1000.00
onnxruntime: -80.00, -100.00, -103.00, -104.00, -1000.00
OpenVINO: -80.00, -100.00, -103.00, -104.00, -1000.00
SEEN
echo "as seen"
