#!/usr/bin/env bash
# PyTorch 2.13.0, torch.onnx.export with onnxscript 0.7.2: what the rewriting rules of onnxscript make of valid
# networks. They run by default, optimize=True.
# - Two clamps in a row become one, with the larger of the lower and the smaller of the upper bounds. If the intervals
#   do not meet, the second clamp has the last word in PyTorch; in the file the upper bound has it: a Clip whose min
#   is above its max is max. So relu(x.clamp(-3.0, -1.0)) is -1. For a Min before a Max the rule compares the bounds,
#   for Clip and Relu it does not.
# - Two pairs that become one each, and read the same tensor, get constants of the same name; one set is lost, and
#   onnxruntime does not load the file. clamp with two whole numbers is such a pair, a Max and a Min; with floats it
#   is one Clip. So x.clamp(0, 1) + x.clamp(2, 3) cannot be used, and x.clamp(0.0, 1.0) + x.clamp(2.0, 3.0) can.
# - index_add for all rows in order: the rule for "all rows are overwritten" does not look at the reduction, and what
#   is added to is lost. It is known: onnxscript's pull request 3049, open when this was written.
# - avg_pool2d with divisor_override: the divisor is ignored, also with optimize=False. The older exporter,
#   dynamo=False, raises an error (issue 105349 of PyTorch, closed); in this one a comment in the source says that it
#   is missing.
# Apart from the last one, optimize=False is right. No issue on the first two was found.
#
# Seen on 2026-11-28, float32, with onnxruntime 1.32.0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "onnx==1.23.2" "onnxruntime==1.32.0" "onnxscript==0.7.2" \
    "onnx-ir==1.1.0" "torch==2.13.0"
"$work/venv/bin/python" -W ignore - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import onnxruntime
import torch
import torch.nn.functional as F


class Net(torch.nn.Module):
    def __init__(self, operator):
        super().__init__()
        self.operator = operator

    def forward(self, x):
        return self.operator(x)


def run(network, x, optimize):
    model = torch.onnx.export(network, (x,), dynamo=True, optimize=optimize, verbose=False).model_proto
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception as error:
        return type(error).__name__
    return rounded(session.run(None, {model.graph.input[0].name: x.numpy()})[0])


def rounded(numbers):
    return [round(float(number), 3) for number in numbers.ravel()]


x = torch.tensor([[-2.0, 0.0, 0.5, 9.0]])
for name, operator in (
    ("clamp(max=0.2).clamp(min=0.3)", lambda x: x.clamp(max=0.2).clamp(min=0.3)),
    ("clamp(0.0, 1.0).clamp(2.0, 3.0)", lambda x: x.clamp(0.0, 1.0).clamp(2.0, 3.0)),
    ("relu(clamp(-3.0, -1.0))", lambda x: torch.relu(x.clamp(-3.0, -1.0))),
    ("clamp(-3.0, 1.0).clamp(0.0, 3.0)", lambda x: x.clamp(-3.0, 1.0).clamp(0.0, 3.0)),
    ("clamp(0.0, 1.0) + clamp(2.0, 3.0)", lambda x: x.clamp(0.0, 1.0) + x.clamp(2.0, 3.0)),
    ("clamp(0, 1) + clamp(2, 3)", lambda x: x.clamp(0, 1) + x.clamp(2, 3)),
    ("index_add, columns 0 1 2", lambda x: x.T[:3].index_add(0, torch.arange(3), torch.ones(3, 1))),
    ("index_add, columns 2 1 0", lambda x: x.T[:3].index_add(0, torch.tensor([2, 1, 0]), torch.ones(3, 1))),
    ("sum of pairs", lambda x: F.avg_pool2d(x[None], (1, 2), divisor_override=1)),
):
    network = Net(operator).eval()
    print(f"{name}: PyTorch {rounded(network(x))}")
    print(f"    optimize=False {run(network, x, False)}; optimize=True {run(network, x, True)}")
PYTHON
diff "$work/seen" - <<'SEEN'
clamp(max=0.2).clamp(min=0.3): PyTorch [0.3, 0.3, 0.3, 0.3]
    optimize=False [0.3, 0.3, 0.3, 0.3]; optimize=True [0.2, 0.2, 0.2, 0.2]
clamp(0.0, 1.0).clamp(2.0, 3.0): PyTorch [2.0, 2.0, 2.0, 2.0]
    optimize=False [2.0, 2.0, 2.0, 2.0]; optimize=True [1.0, 1.0, 1.0, 1.0]
relu(clamp(-3.0, -1.0)): PyTorch [0.0, 0.0, 0.0, 0.0]
    optimize=False [0.0, 0.0, 0.0, 0.0]; optimize=True [-1.0, -1.0, -1.0, -1.0]
clamp(-3.0, 1.0).clamp(0.0, 3.0): PyTorch [0.0, 0.0, 0.5, 1.0]
    optimize=False [0.0, 0.0, 0.5, 1.0]; optimize=True [0.0, 0.0, 0.5, 1.0]
clamp(0.0, 1.0) + clamp(2.0, 3.0): PyTorch [2.0, 2.0, 2.5, 4.0]
    optimize=False [2.0, 2.0, 2.5, 4.0]; optimize=True [2.0, 2.0, 2.5, 4.0]
clamp(0, 1) + clamp(2, 3): PyTorch [2.0, 2.0, 2.5, 4.0]
    optimize=False [2.0, 2.0, 2.5, 4.0]; optimize=True InvalidArgument
index_add, columns 0 1 2: PyTorch [-1.0, 1.0, 1.5]
    optimize=False [-1.0, 1.0, 1.5]; optimize=True [1.0, 1.0, 1.0]
index_add, columns 2 1 0: PyTorch [-1.0, 1.0, 1.5]
    optimize=False [-1.0, 1.0, 1.5]; optimize=True [-1.0, 1.0, 1.5]
sum of pairs: PyTorch [-2.0, 9.5]
    optimize=False [-1.0, 4.75]; optimize=True [-1.0, 4.75]
SEEN
echo "as seen"
