#!/usr/bin/env bash
# onnxsim 0.8.1, onnxsim.simplify(model): two reductions in a row become one, with the keepdims of the second for all
# axes. So an axis that should stay is lost, or one that should go comes back.
# - The mean over the columns with keepdims=1, then over the rows with keepdims=0, is (N, C, 1), and (N, C) after
#   simplify. In PyTorch it is x.mean(3, keepdim=True).mean(2). In the order 0, 1 there is an axis too many.
# - Below, grey pictures minus their means. For one picture the answer is right; for two there are four numbers, each
#   picture minus each mean.
# simplify says that all is well (its second result is True): by default it runs neither model. With check_n=1 it says
# False, if the batch has two pictures. onnxruntime warns of the shape, and computes.
# onnxslim 0.1.98 and onnxoptimizer 0.4.2 leave the two nodes alone.
#
# Seen on 2026-11-28, opset 20, with onnx 1.23.2 and onnxruntime 1.32.0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "onnx==1.23.2" "onnxruntime==1.32.0" "onnxsim==0.8.1" \
    "onnxslim==0.1.98" "onnxoptimizer==0.4.2"
"$work/venv/bin/python" -W ignore - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import numpy as np
import onnxoptimizer
import onnxruntime
import onnxsim
import onnxslim
from onnx import TensorProto, helper, numpy_helper


def without_mean(batch, keeps):
    """x (batch, 1, 2, 3), its mean over columns and then rows, and x (batch, 1, 6) minus the mean."""
    axes = {"columns": [3], "rows": [2], "flat": [0, 0, -1]}
    nodes = [
        helper.make_node("ReduceMean", ["x", "columns"], ["means"], keepdims=keeps[0]),
        helper.make_node("ReduceMean", ["means", "rows"], ["mean"], keepdims=keeps[1]),
        helper.make_node("Reshape", ["x", "flat"], ["pixels"]),
        helper.make_node("Sub", ["pixels", "mean"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(*end) for end in (
        ("x", TensorProto.FLOAT, (batch, 1, 2, 3)), ("y", TensorProto.FLOAT, (batch, 1, 6)),
    )]
    constants = [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in axes.items()]
    graph = helper.make_graph(nodes, "centre", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def run(model, x):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


for keeps in ((1, 0), (0, 1)):
    for batch in (1, 2):
        x = np.repeat(np.arange(batch), 6).reshape(batch, 1, 2, 3).astype(np.float32)  # picture k is k everywhere
        model = without_mean(batch, keeps)
        simplified, well = onnxsim.simplify(model)
        before, after = run(model, x), run(simplified, x)
        print(f"keepdims {keeps}:", *before.shape, "to", *after.shape, f"({well});", *after[..., 0].ravel())
        for other in (onnxslim.slim(model), onnxoptimizer.optimize(model)):
            assert (run(other, x) == before).all()
PYTHON
diff "$work/seen" - <<'SEEN'
keepdims (1, 0): 1 1 6 to 1 1 6 (True); 0.0
keepdims (1, 0): 2 1 6 to 2 2 6 (True); 0.0 -1.0 1.0 0.0
keepdims (0, 1): 1 1 6 to 1 1 1 6 (True); 0.0
keepdims (0, 1): 2 1 6 to 2 2 1 6 (True); 0.0 1.0 -1.0 0.0
SEEN
echo "as seen"
