#!/usr/bin/env bash
# onnx 1.23.2, onnx.reference.ReferenceEvaluator: a GridSample node of opset 16 is evaluated by the rules of opset 20.
#
# Opset 16 calls the modes bilinear, nearest, bicubic; opset 20 linear, nearest, cubic. In a model of opset 16 the
# evaluator raises for "bilinear" and "bicubic", and takes "linear" and "cubic", which opset 16 does not have. With the
# attribute left out, which means "bilinear" there, it works. onnxruntime has each name where the standard has it.
# onnx.checker is no help: it takes all ten models.
#
# So a model that PyTorch exports at opset 16 to 19, which has mode="bilinear" in it, cannot be judged by ONNX's own
# evaluator; the exporter must write opset 20. Seen on 2026-11-27: a 2 x 2 image 1 2 3 4, read at its centre.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "onnx==1.23.2" "onnxruntime==1.32.0" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PYTHON' | tee "$work/seen"
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

image, centre = np.float32([[[[1, 2], [3, 4]]]]), np.zeros((1, 1, 1, 2), np.float32)


def model(opset, **mode):
    node = helper.make_node("GridSample", ["image", "grid"], ["y"], align_corners=1, **mode)
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, None, None, None]) for name in ("image", "grid", "y")]
    graph = helper.make_graph([node], "one", tensors[:2], tensors[2:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def tried(run):
    try:
        return f"{run().item():g}"
    except Exception:
        return "refused"


options = onnxruntime.SessionOptions()
options.log_severity_level = 4
for opset in (16, 20):
    for mode in ({}, {"mode": "bilinear"}, {"mode": "linear"}, {"mode": "bicubic"}, {"mode": "cubic"}):
        made = model(opset, **mode)
        onnx.checker.check_model(made)
        feed = {"image": image, "grid": centre}
        reference = tried(lambda: ReferenceEvaluator(made).run(None, feed)[0])
        runtime = tried(lambda: onnxruntime.InferenceSession(made.SerializeToString(), options).run(None, feed)[0])
        print(f"opset {opset}, mode {mode.get('mode', 'left out')}: reference {reference}, onnxruntime {runtime}")
PYTHON
diff "$work/seen" - <<'SEEN'
opset 16, mode left out: reference 2.5, onnxruntime 2.5
opset 16, mode bilinear: reference refused, onnxruntime 2.5
opset 16, mode linear: reference 2.5, onnxruntime refused
opset 16, mode bicubic: reference refused, onnxruntime 3.52539
opset 16, mode cubic: reference 3.52539, onnxruntime refused
opset 20, mode left out: reference 2.5, onnxruntime 2.5
opset 20, mode bilinear: reference refused, onnxruntime refused
opset 20, mode linear: reference 2.5, onnxruntime 2.5
opset 20, mode bicubic: reference refused, onnxruntime refused
opset 20, mode cubic: reference 3.52539, onnxruntime 3.52539
SEEN
echo "as seen"
