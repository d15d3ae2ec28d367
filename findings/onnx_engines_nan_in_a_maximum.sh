#!/usr/bin/env bash
# onnxruntime 1.32.0, OpenVINO 2026.4.1, onnx 1.23.2 (CPU): where a NaN goes at the operators that compare.
#
# NumPy and PyTorch let NaN win every maximum. Here it depends on the engine and on the place of the NaN: onnxruntime's
# ReduceMax keeps a NaN that comes first, OpenVINO's one that comes last, and onnxruntime's MaxPool the last of a window.
# OpenVINO's Relu makes 0 of NaN, and its Exp makes inf. The MaxPool of ONNX's own evaluator loses NaN everywhere.
#
# So a NaN in a picture, or from a broken weight, comes out of a converted classifier as a confident class: the check
# "is the output finite" that caught it in training catches nothing in the engine. Check the inputs instead.
# Seen on 2026-11-27, on a processor with AVX2 and AVX-512; float32.
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

NAN = np.nan
core = openvino.Core()


def everywhere(operator, x, **attributes):
    x = np.float32(x)
    value_in, value_out = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * x.ndim) for name in "xy")
    graph = helper.make_graph([helper.make_node(operator, ["x"], ["y"], **attributes)], "one", [value_in], [value_out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    content = model.SerializeToString()
    compiled = core.compile_model(core.read_model(content), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    yield "onnxruntime", onnxruntime.InferenceSession(content).run(None, {"x": x})[0]
    yield "OpenVINO", compiled({"x": x})[0]
    yield "reference", ReferenceEvaluator(model).run(None, {"x": x})[0]


def show(title, *arguments, **attributes):
    found = (f"{name} {np.ravel(y)[0]:g}" for name, y in everywhere(*arguments, **attributes))
    print(f"{title}: {', '.join(found)}")


show("Relu of NaN", "Relu", [NAN])
show("Exp of NaN", "Exp", [NAN])
show("ReduceMax of NaN 1 2", "ReduceMax", [NAN, 1, 2])
show("ReduceMax of 1 2 NaN", "ReduceMax", [1, 2, NAN])
for place in range(4):
    window = np.ones(4)
    window[place] = NAN
    show(f"MaxPool of {' '.join(f'{u:g}' for u in window)}", "MaxPool", window.reshape(1, 1, 2, 2), kernel_shape=[2, 2])
PYTHON
diff "$work/seen" - <<'SEEN'
Relu of NaN: onnxruntime nan, OpenVINO 0, reference nan
Exp of NaN: onnxruntime nan, OpenVINO inf, reference nan
ReduceMax of NaN 1 2: onnxruntime nan, OpenVINO 2, reference nan
ReduceMax of 1 2 NaN: onnxruntime 2, OpenVINO nan, reference nan
MaxPool of nan 1 1 1: onnxruntime 1, OpenVINO 1, reference 1
MaxPool of 1 nan 1 1: onnxruntime 1, OpenVINO 1, reference 1
MaxPool of 1 1 nan 1: onnxruntime 1, OpenVINO 1, reference 1
MaxPool of 1 1 1 nan: onnxruntime nan, OpenVINO 1, reference 1
SEEN
echo "as seen"
