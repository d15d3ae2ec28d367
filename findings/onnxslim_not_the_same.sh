#!/usr/bin/env bash
# onnxslim 0.1.98, onnxslim.slim(model): four small models that have other numbers afterwards. Nothing is said.
# - Two Clips of one input, one with a lower bound and one with an upper bound of the same value, are taken for the
#   same node: what is left out, "", is removed before the inputs are compared. So x.clamp(min=0) + 0.25 *
#   x.clamp(max=0), a leaky ReLU, is 1.25 times a ReLU. It needs an empty name at the end of the first one's inputs,
#   as PyTorch's older exporter (dynamo=False) writes it.
# - Two nodes of noise with the same attributes are one afterwards: their difference is 0.
# - Dropout is removed, in training_mode too: Monte Carlo dropout gives the same answer each time.
# - Conv, then Mul by a row of constants, a window over the columns: if there are as many columns as filters, the
#   filters are scaled in place of the columns. The pattern for Add looks at the axis, the one for Mul does not. With
#   one filter more the same model is right.
# slim(..., model_check=True), which is not the default, runs both models on random numbers, logs an error and returns
# None. What goes wrong can be left out: skip_fusion_patterns=["FusionConvMul"], and
# skip_optimizations=["subexpression_elimination", "dead_node_elimination"]. No issue on any of the four was found.
#
# Seen on 2026-11-28, float32, with onnx 1.23.2 and onnxruntime 1.32.0, whose own optimisations are off.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "onnx==1.23.2" "onnxruntime==1.32.0" "onnxslim==0.1.98"
"$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import numpy as np
import onnx
import onnxruntime
import onnxslim
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info
from onnx.numpy_helper import from_array


def model(nodes, shape, **constants):
    ends = [make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in "xy"]
    if "filters" in constants:
        ends[1].type.tensor_type.shape.dim[1].dim_value = len(constants["filters"])
    weights = [from_array(np.asarray(value), name) for name, value in constants.items()]
    made = make_model(make_graph(nodes, "g", ends[:1], ends[1:], weights), opset_imports=[make_opsetid("", 20)])
    made.ir_version = 10
    onnx.checker.check_model(made, full_check=True)
    return made


def run(made, x):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def show(name, made, x, what):
    slim = onnxslim.slim(made)
    kinds = [" ".join(node.op_type for node in which.graph.node) for which in (made, slim)]
    print(f"{name}: {kinds[0]} -> {kinds[1]}")
    print(f"    before: {what(run(made, x))}\n    after: {what(run(slim, x))}")


def numbers(y):
    return [float(number) for number in y.ravel().round(3)]


def spread(y):
    return "noise" if np.std(y) > 0.5 else f"all {y.ravel()[0]:g}"


two_clips = [
    make_node("Clip", ["x", "zero", ""], ["up"]),
    make_node("Clip", ["x", "", "zero"], ["down"]),
    make_node("Mul", ["down", "slope"], ["less"]),
    make_node("Add", ["up", "less"], ["y"]),
]
x = np.array([-2, -1, 1, 2], np.float32)
show("clips", model(two_clips, [4], zero=np.float32(0), slope=np.float32(0.25)), x, numbers)

one = np.ones(1000, np.float32)
noise = [make_node("RandomNormalLike", ["x"], [name]) for name in "ab"] + [make_node("Sub", ["a", "b"], ["y"])]
show("noise", model(noise, [1000]), one, spread)

drop = [make_node("Dropout", ["x", "half", "training"], ["d"]), make_node("Mul", ["d", "three"], ["y"])]
constants = {"half": np.float32(0.5), "training": np.True_, "three": np.float32(3)}
show("dropout", model(drop, [1000], **constants), one, spread)

for many in (3, 4):
    window = [make_node("Conv", ["x", "filters"], ["c"]), make_node("Mul", ["c", "row"], ["y"])]
    filters = np.ones((many, 1, 1, 1), np.float32)
    made = model(window, [1, 1, 1, 3], filters=filters, row=np.array([0, 0.5, 1], np.float32))
    show(f"{many} filters, 3 columns", made, np.ones((1, 1, 1, 3), np.float32), numbers)
PYTHON
diff "$work/seen" - <<'SEEN'
clips: Clip Clip Mul Add -> Clip Mul Add
    before: [-0.5, -0.25, 1.0, 2.0]
    after: [0.0, 0.0, 1.25, 2.5]
noise: RandomNormalLike RandomNormalLike Sub -> RandomNormalLike Sub
    before: noise
    after: all 0
dropout: Dropout Mul -> Mul
    before: noise
    after: all 3
3 filters, 3 columns: Conv Mul -> Conv
    before: [0.0, 0.5, 1.0, 0.0, 0.5, 1.0, 0.0, 0.5, 1.0]
    after: [0.0, 0.0, 0.0, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0]
4 filters, 3 columns: Conv Mul -> Conv Mul
    before: [0.0, 0.5, 1.0, 0.0, 0.5, 1.0, 0.0, 0.5, 1.0, 0.0, 0.5, 1.0]
    after: [0.0, 0.5, 1.0, 0.0, 0.5, 1.0, 0.0, 0.5, 1.0, 0.0, 0.5, 1.0]
SEEN
echo "as seen"
