#!/usr/bin/env bash
# OpenCV 5.0.0, cv2.dnn.readNetFromONNX: windows at the end of a row. onnxruntime 1.32.0 and the reference evaluator of
# onnx 1.23.2 agree in all of the cases below; OpenCV says nothing, and differs in three ways.
# - AveragePool, ceil_mode=1, count_include_pad=1: the last window is divided by its full size, also by what lies beyond
#   the padding. It is what PyTorch writes for AvgPool2d(2, ceil_mode=True): the last row and column are halved, and the
#   corner is a quarter.
# - ceil_mode=1 with padding: one more window, which lies in the padding only, so the output has one column more. It is 0
#   or NaN in an AveragePool, and the lowest float in a MaxPool.
# - auto_pad="SAME_LOWER" is read as SAME_UPPER: with an even window all of the output moves by one pixel.
# With ceil_mode=0, or with SAME_UPPER, OpenCV agrees.
#
# Seen on 2026-11-28, float32; the row is 1 2 3 4 5. The Conv has the filter 1 10.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "onnx==1.23.2" "onnxruntime==1.32.0" \
    "opencv-python-headless==5.0.0.93"
"$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import cv2
import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

row = np.arange(1, 6, dtype=np.float32).reshape(1, 1, 1, 5)
weight = numpy_helper.from_array(np.float32([[[[1, 10]]]]), "weight")


def run(title, operator, columns, **attributes):
    inputs = ["row", "weight"] if operator == "Conv" else ["row"]
    node = helper.make_node(operator, inputs, ["y"], kernel_shape=[1, 2], **attributes)
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 1, size]) for name, size in (("row", 5), ("y", columns))
    ]
    graph = helper.make_graph([node], "one", ends[:1], ends[1:], [weight] if operator == "Conv" else [])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    content = model.SerializeToString()
    there = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, {"row": row})[0]
    assert np.array_equal(there, ReferenceEvaluator(model).run(None, {"row": row})[0])
    network = cv2.dnn.readNetFromONNX(np.frombuffer(content, np.uint8))
    network.setInput(row)
    here = network.forward()
    print(f"{title}: {', OpenCV '.join(' '.join(f'{value:g}' for value in found.flat) for found in (there, here))}")


ceil = {"strides": [1, 2], "ceil_mode": 1}
padded = {"strides": [1, 2], "pads": [0, 1, 0, 1], "ceil_mode": 1}
run("average", "AveragePool", 3, **ceil)
run("average, padding counts", "AveragePool", 3, count_include_pad=1, **ceil)
run("average, padded", "AveragePool", 3, **padded)
run("average, padded, padding counts", "AveragePool", 3, count_include_pad=1, **padded)
run("largest, padded", "MaxPool", 3, **padded)
for padding in ("SAME_UPPER", "SAME_LOWER"):
    for operator in ("AveragePool", "MaxPool", "Conv"):
        run(f"{operator}, {padding}", operator, 5, auto_pad=padding)
PYTHON
diff "$work/seen" - <<'SEEN'
average: 1.5 3.5 5, OpenCV 1.5 3.5 5
average, padding counts: 1.5 3.5 5, OpenCV 1.5 3.5 2.5
average, padded: 1 2.5 4.5, OpenCV 1 2.5 4.5 nan
average, padded, padding counts: 0.5 2.5 4.5, OpenCV 0.5 2.5 4.5 0
largest, padded: 1 3 5, OpenCV 1 3 5 -3.40282e+38
AveragePool, SAME_UPPER: 1.5 2.5 3.5 4.5 5, OpenCV 1.5 2.5 3.5 4.5 5
MaxPool, SAME_UPPER: 2 3 4 5 5, OpenCV 2 3 4 5 5
Conv, SAME_UPPER: 21 32 43 54 5, OpenCV 21 32 43 54 5
AveragePool, SAME_LOWER: 1 1.5 2.5 3.5 4.5, OpenCV 1.5 2.5 3.5 4.5 5
MaxPool, SAME_LOWER: 1 2 3 4 5, OpenCV 2 3 4 5 5
Conv, SAME_LOWER: 10 21 32 43 54, OpenCV 21 32 43 54 5
SEEN
echo "as seen"
