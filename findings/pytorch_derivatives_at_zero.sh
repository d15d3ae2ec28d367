#!/usr/bin/env bash
# PyTorch 2.13.0 (CPU, float64): the derivative of a smooth function at a zero depends on how it is asked for.
# - torch.linalg.det of a singular matrix: backward() gives 0, and so does forward mode. With create_graph=True, which
#   asks for the same gradient and a graph of it, it is the adjugate, which is right; so is torch.func.grad. Therefore a
#   penalty such as (det - 1)^2 does not move a warp of rank 1 at all, unless the same line has create_graph=True. Where
#   the matrix is not exactly singular, all agree. (The zero alone is reported, and closed: issue 104675 of PyTorch.)
# - torch.polar(radius, angle) at radius 0: every backward gives 0 for the radius. Forward mode gives the cosine of the
#   angle, which is right. An amplitude that starts at 0 never learns.
# At kinks the two modes take different sides: prelu at 0 the left one in reverse and the right one in forward mode, and
# fmax of two equal numbers gives the first one the slope in reverse, the second one in forward mode.
# So neither mode can stand in for differences when the other is checked, and random points show nothing of this.
#
# Seen on 2026-11-28.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "torch==2.13.0"
"$work/venv/bin/python" -W ignore - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import torch


def derivatives(f, x, step=1e-6):
    moves = torch.eye(x.numel(), dtype=x.dtype).reshape(-1, *x.shape)
    yield "left and right", [(f(x + side * move) - f(x)) / side for side in (-step, step) for move in moves]
    for create_graph in (False, True):
        leaf = x.clone().requires_grad_()
        gradient = torch.autograd.grad(f(leaf), leaf, create_graph=create_graph)[0]
        yield f"grad, create_graph={create_graph}", gradient.flatten()
    yield "torch.func.grad", torch.func.grad(f)(x).flatten()
    yield "torch.func.jvp", [torch.func.jvp(f, (x,), (move,))[1] for move in moves]


slope = torch.tensor([0.25], dtype=torch.float64)
for name, f, x in (
    ("det", torch.linalg.det, [[1, 2], [2, 4]]),
    ("polar", lambda radius: torch.polar(radius, torch.full_like(radius, 0.5)).real.sum(), [0]),
    ("prelu", lambda x: torch.nn.functional.prelu(x, slope).sum(), [0]),
    ("fmax", lambda x: torch.fmax(x[0], x[1]), [1, 1]),
):
    for how, slopes in derivatives(f, torch.tensor(x, dtype=torch.float64)):
        print(f"{name}, {how}:", *(f"{float(value) + 0.0:.3f}".replace("-0.000", "0.000") for value in slopes))
PYTHON
diff "$work/seen" - <<'SEEN'
det, left and right: 4.000 -2.000 -2.000 1.000 4.000 -2.000 -2.000 1.000
det, grad, create_graph=False: 0.000 0.000 0.000 0.000
det, grad, create_graph=True: 4.000 -2.000 -2.000 1.000
det, torch.func.grad: 4.000 -2.000 -2.000 1.000
det, torch.func.jvp: 0.000 0.000 0.000 0.000
polar, left and right: 0.878 0.878
polar, grad, create_graph=False: 0.000
polar, grad, create_graph=True: 0.000
polar, torch.func.grad: 0.000
polar, torch.func.jvp: 0.878
prelu, left and right: 0.250 1.000
prelu, grad, create_graph=False: 0.250
prelu, grad, create_graph=True: 0.250
prelu, torch.func.grad: 0.250
prelu, torch.func.jvp: 1.000
fmax, left and right: 0.000 0.000 1.000 1.000
fmax, grad, create_graph=False: 1.000 0.000
fmax, grad, create_graph=True: 1.000 0.000
fmax, torch.func.grad: 1.000 0.000
fmax, torch.func.jvp: 0.000 1.000
SEEN
echo "as seen"
