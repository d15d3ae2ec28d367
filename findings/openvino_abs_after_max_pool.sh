#!/usr/bin/env bash
# OpenVINO 2026.4.1 (CPU, float32): Abs after Conv and MaxPool is taken before the MaxPool.
#
# To take a pointwise operator before the MaxPool is right for one that grows with its input, such as Relu, and wrong for
# Abs: the largest of |u| is not |the largest u|. A
# Conv with the weight 1, a MaxPool and an Abs give 3 for the pixels -3 and 1, in place of 1. onnxruntime 1.32.0 gives 1.
# Without the convolution, with an AveragePool, or with Cos, Relu or the square in place of Abs, the answer is right; an
# Identity in between changes nothing. Max(x, Neg(x)) is right too.
#
# Whoever converts a network that takes magnitudes after a pooled convolution gets other numbers without a message.
# Seen on 2026-11-27, on a processor with AVX2 and AVX-512.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "onnx==1.23.2" "onnxruntime==1.32.0" "openvino==2026.4.1" "numpy==2.4.6"
"$work/venv/bin/python" -W ignore - <<'PYTHON' | tee "$work/seen"
import numpy as np
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper

core = openvino.Core()
ONE = numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "one")
NODES = {
    "Conv": lambda x, y: [helper.make_node("Conv", [x, "one"], [y])],
    "MaxPool": lambda x, y: [helper.make_node("MaxPool", [x], [y], kernel_shape=[1, 2])],
    "AveragePool": lambda x, y: [helper.make_node("AveragePool", [x], [y], kernel_shape=[1, 2])],
    "Max(x, Neg(x))": lambda x, y: [helper.make_node("Neg", [x], ["minus"]), helper.make_node("Max", [x, "minus"], [y])],
    "x x": lambda x, y: [helper.make_node("Mul", [x, x], [y])],
    "Abs": lambda x, y: [helper.make_node("Abs", [x], [y])],
    "Cos": lambda x, y: [helper.make_node("Cos", [x], [y])],
    "Relu": lambda x, y: [helper.make_node("Relu", [x], [y])],
    "Identity": lambda x, y: [helper.make_node("Identity", [x], [y])],
}


def show(*chain):
    nodes = [node for k, name in enumerate(chain) for node in NODES[name](f"v{k}", f"v{k + 1}")]
    first, last = helper.make_tensor_value_info("v0", TensorProto.FLOAT, [1, 1, 1, 2]), f"v{len(chain)}"
    graph = helper.make_graph(nodes, "one", [first], [helper.make_tensor_value_info(last, TensorProto.FLOAT, None)], [ONE])
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()
    x = np.float32([[[[-3, 1]]]])
    compiled = core.compile_model(core.read_model(content), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    (runtime,) = onnxruntime.InferenceSession(content).run(None, {"v0": x})
    print(f"{', '.join(chain)}: onnxruntime {runtime.item():.4g}, OpenVINO {compiled({'v0': x})[0].item():.4g}")


print("pixels -3 1")
show("Conv", "MaxPool", "Abs")
show("Conv", "MaxPool", "Identity", "Abs")
show("Conv", "MaxPool", "Max(x, Neg(x))")
show("Conv", "MaxPool", "x x")
show("Conv", "MaxPool", "Cos")
show("Conv", "MaxPool", "Relu")
show("Conv", "AveragePool", "Abs")
show("MaxPool", "Abs")
show("Conv", "Abs", "MaxPool")
PYTHON
diff "$work/seen" - <<'SEEN'
pixels -3 1
Conv, MaxPool, Abs: onnxruntime 1, OpenVINO 3
Conv, MaxPool, Identity, Abs: onnxruntime 1, OpenVINO 3
Conv, MaxPool, Max(x, Neg(x)): onnxruntime 1, OpenVINO 1
Conv, MaxPool, x x: onnxruntime 1, OpenVINO 1
Conv, MaxPool, Cos: onnxruntime 0.5403, OpenVINO 0.5403
Conv, MaxPool, Relu: onnxruntime 1, OpenVINO 1
Conv, AveragePool, Abs: onnxruntime 1, OpenVINO 1
MaxPool, Abs: onnxruntime 1, OpenVINO 1
Conv, Abs, MaxPool: onnxruntime 3, OpenVINO 3
SEEN
echo "as seen"
