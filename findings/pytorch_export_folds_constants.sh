#!/usr/bin/env bash
# PyTorch 2.13.0, torch.onnx.export with onnxscript 0.7.2: the exported file has other numbers than the network. What
# depends on parameters and constants only is computed at export, by the reference evaluator of onnx 1.23.2
# (onnx.reference.ops), with all that differs there:
# - log_softmax rounds the softmax to 0: -inf from about 104 below the largest score on, and fewer digits before that.
# - grid_sample with mode="bicubic" and padding_mode="border" moves the point to the border, in place of each tap.
# - interpolate, align_corners=True and a scale_factor: the last pixel is missed where scale times size is no integer.
# - max_pool2d with a stride of 1 and padding on one axis only: another shape.
# With optimize=False the nodes stay in the file, and onnxruntime 1.32.0 gives what PyTorch gives; optimize=True is the
# default. A test of the engine's operators finds nothing, as the operators are no longer there. It meets learned
# templates, priors and position tables that are read by a fixed rule.
#
# Seen on 2026-11-28, float32. Each network adds x = 0 to an operator of a parameter.
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
    def __init__(self, operator, parameter):
        super().__init__()
        self.operator, self.parameter = operator, torch.nn.Parameter(parameter)

    def forward(self, x):
        return x + self.operator(self.parameter)


def reads(image, mode):
    grid = torch.tensor([[[[1.2, 0.0], [0.2, 0.0]]]])
    return F.grid_sample(image, grid, mode=mode, padding_mode="border", align_corners=True)


def shrinks(row):
    return F.interpolate(row, scale_factor=(1, 0.4), mode="bilinear", align_corners=True)


image, row = torch.arange(1.0, 10).reshape(1, 1, 3, 3), torch.arange(6.0).reshape(1, 1, 1, 6)
for name, operator, parameter in (
    ("log_softmax", lambda scores: F.log_softmax(scores, dim=-1), torch.tensor([0.0, -100, -200])),
    ("grid_sample, bicubic", lambda image: reads(image, "bicubic"), image),
    ("grid_sample, bilinear", lambda image: reads(image, "bilinear"), image),
    ("interpolate", shrinks, row),
    ("max_pool2d", lambda image: F.max_pool2d(image, 3, stride=1, padding=(0, 1)), image),
):
    network, x = Net(operator, parameter).eval(), torch.zeros(1)
    answers = {"PyTorch": network(x).detach().numpy()}
    for optimize in (False, True):
        model = torch.onnx.export(network, (x,), dynamo=True, optimize=optimize, verbose=False).model_proto
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        answers[f"optimize={optimize}"] = session.run(None, {model.graph.input[0].name: x.numpy()})[0]
    lists = {who: answer.squeeze().astype(float).round(3).tolist() for who, answer in answers.items()}
    print(f"{name}:", "; ".join(f"{who} {numbers}" for who, numbers in lists.items()))
PYTHON
diff "$work/seen" - <<'SEEN'
log_softmax: PyTorch [0.0, -100.0, -200.0]; optimize=False [0.0, -100.0, -200.0]; optimize=True [0.0, -99.983, -inf]
grid_sample, bicubic: PyTorch [6.096, 5.272]; optimize=False [6.096, 5.272]; optimize=True [6.0, 5.272]
grid_sample, bilinear: PyTorch [6.0, 5.2]; optimize=False [6.0, 5.2]; optimize=True [6.0, 5.2]
interpolate: PyTorch [0.0, 5.0]; optimize=False [0.0, 5.0]; optimize=True [0.0, 3.571]
max_pool2d: PyTorch [8.0, 9.0, 9.0]; optimize=False [8.0, 9.0, 9.0]; optimize=True [[9.0, 9.0], [9.0, 9.0]]
SEEN
echo "as seen"
