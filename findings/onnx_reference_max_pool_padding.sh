#!/usr/bin/env bash
# onnx 1.23.2: the MaxPool of the reference evaluator reads `pads` in another order where the stride is 1.
#
# The standard has all beginnings first, then all ends: top, left, bottom, right. The evaluator takes them in pairs, as
# if they were top, bottom, left, right. Where rows and columns have the same padding nothing shows. Where they have not,
# the result has another shape: 3 x 3 windows on 7 x 8 pixels with one column of padding on either side give 5 x 8 in
# onnxruntime 1.32.0 and OpenVINO 2026.4.1, and 6 x 7 in the evaluator. Some windows then raise an error of NumPy. With a
# stride of 2 it reads them as the standard has it.
#
# Whoever compares an exported network with the evaluator takes the network for wrong.
# Seen on 2026-11-27.
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
from onnx.reference import ReferenceEvaluator

core = openvino.Core()
x = np.arange(56, dtype=np.float32).reshape(1, 1, 7, 8)
ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", x.shape), ("y", None))]


def show(window, rows, columns, stride=1):
    pads, strides = [rows, columns, rows, columns], [stride, stride]
    node = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=window, pads=pads, strides=strides)
    graph = helper.make_graph([node], "one", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    content = model.SerializeToString()
    (runtime,) = onnxruntime.InferenceSession(content).run(None, {"x": x})
    compiled = core.compile_model(core.read_model(content), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert np.array_equal(compiled({"x": x})[0], runtime)
    try:
        (y,) = ReferenceEvaluator(model).run(None, {"x": x})
        reference = "the same" if np.array_equal(y, runtime) else "{} x {}".format(*y.shape[2:])
    except ValueError:
        reference = "ValueError"
    engines = "{} x {}".format(*runtime.shape[2:])
    print(f"window {window}, pads {pads}, stride {stride}: engines {engines}, reference {reference}")


show([3, 3], 1, 1)
show([3, 3], 0, 1)
show([3, 3], 1, 0)
show([4, 4], 1, 2)
show([4, 4], 1, 2, stride=2)
show([2, 4], 0, 2)
PYTHON
diff "$work/seen" - <<'SEEN'
window [3, 3], pads [1, 1, 1, 1], stride 1: engines 7 x 8, reference the same
window [3, 3], pads [0, 1, 0, 1], stride 1: engines 5 x 8, reference 6 x 7
window [3, 3], pads [1, 0, 1, 0], stride 1: engines 7 x 6, reference 6 x 7
window [4, 4], pads [1, 2, 1, 2], stride 1: engines 6 x 9, reference 7 x 8
window [4, 4], pads [1, 2, 1, 2], stride 2: engines 3 x 5, reference the same
window [2, 4], pads [0, 2, 0, 2], stride 1: engines 6 x 9, reference ValueError
SEEN
echo "as seen"
