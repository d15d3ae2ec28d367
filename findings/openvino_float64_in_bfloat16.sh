#!/usr/bin/env bash
# OpenVINO 2026.4.1 (CPU): on a processor with bfloat16 instructions a model of float64 is computed in bfloat16.
#
# The input, the weights and the output are declared as float64, and come out as float64 arrays whose numbers have eight
# bits. On a processor without bfloat16 the same file gives seven digits. Whoever converts a model to float64 to be on
# the safe side gets no word of it; only the hint INFERENCE_PRECISION_HINT="f32" at compile_model gives float32.
# Sums alone are not touched: below, an Add keeps its digits, a Conv does not.
#
# So the same file with the same package has another accuracy on another machine. Seen on 2026-11-27, on a processor
# with avx512_bf16: one pixel 1.001953125, which is 1 + 2^-9, through a 1 x 1 filter of 1, and plus 0.
set -euo pipefail
if ! grep -q -E "avx512_bf16|amx_bf16" /proc/cpuinfo; then
    echo "this processor has no bfloat16: nothing to see"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "onnx==1.23.2" "openvino==2026.4.1" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PYTHON' | tee "$work/seen"
import numpy as np
import openvino
from onnx import TensorProto, helper, numpy_helper

core = openvino.Core()
x = np.full((1, 1, 8, 8), 1 + 2.0**-9)
for operator, constant in (("Conv", np.ones((1, 1, 1, 1))), ("Add", np.zeros((1, 1, 1, 1)))):
    value_in, value_out = (helper.make_tensor_value_info(name, TensorProto.DOUBLE, [1, 1, 8, 8]) for name in "xy")
    constants = [numpy_helper.from_array(constant, "c")]
    graph = helper.make_graph([helper.make_node(operator, ["x", "c"], ["y"])], "one", [value_in], [value_out], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    for hint in ({}, {"INFERENCE_PRECISION_HINT": "f32"}):
        y = core.compile_model(core.read_model(model.SerializeToString()), "CPU", hint)(x)[0]
        print(f"{operator}, {'hint f32' if hint else 'no hint'}: {y.dtype}, {y[0, 0, 4, 4]:.9f}")
PYTHON
diff "$work/seen" - <<'SEEN'
Conv, no hint: float64, 1.000000000
Conv, hint f32: float64, 1.001953125
Add, no hint: float64, 1.001953125
Add, hint f32: float64, 1.001953125
SEEN
echo "as seen"
