#!/usr/bin/env bash
# PyTorch 2.13.0, torch.optim.Muon: its page says that a step is a quintic of B, five times, with B = momentum B + g. It
# is not quite that.
#
#   The quintics are computed in bfloat16, whatever the parameters are, which the page does not say. So a step has 8 bits,
#   also in float64. Where the gradient is the identity of 4 x 4, the formula gives 0.765, and the step is 0.824, 8 %
#   more. The size of a gradient, which should not count, changes the step, too, unless the factor is a power of two.
#   The buffer holds (1 - momentum) of B: after the first gradient g it is g / 20. So a buffer that comes from code that
#   follows the page is twenty times too large.
#
# Seen on 2026-11-29.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "torch==2.13.0"
"$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import torch


def step(gradient, momentum=0.95):
    """The step of Muon from zeros at rate 1, and its buffer."""
    p = torch.nn.Parameter(torch.zeros_like(gradient))
    optimizer = torch.optim.Muon([p], lr=1.0, weight_decay=0, momentum=momentum)
    p.grad = gradient
    optimizer.step()
    return -p.detach(), optimizer.state[p]["momentum_buffer"]


def quintics(s):
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return s


torch.manual_seed(0)
for n in (2, 4, 9):
    found, _ = step(torch.eye(n, dtype=torch.float64))
    print(f"identity of {n} x {n}, {found.dtype}: a step of {found[0, 0]:.5f}; by the formula {quintics(n**-0.5):.5f}")
g = torch.randn(4, 6, dtype=torch.float64)
found, buffer = step(g)
print("a step in float64 has 8 bits:", torch.equal(found, found.bfloat16().double()))
for factor in (2.0, 1.1):
    other, _ = step(factor * g)
    print(f"{factor} times the gradient: the step changes by", f"{(other - found).abs().max():.4f} at most")
print("the buffer over the first gradient:", *(f"{ratio:.3f}" for ratio in (buffer / g).aminmax()))
print("the same with a momentum of 0.5:", *(f"{ratio:.3f}" for ratio in (step(g, 0.5)[1] / g).aminmax()))
PYTHON
diff "$work/seen" - <<'SEEN'
identity of 2 x 2, torch.float64: a step of 1.12500; by the formula 1.10811
identity of 4 x 4, torch.float64: a step of 0.82422; by the formula 0.76544
identity of 9 x 9, torch.float64: a step of 1.09375; by the formula 1.11579
a step in float64 has 8 bits: True
2.0 times the gradient: the step changes by 0.0000 at most
1.1 times the gradient: the step changes by 0.0117 at most
the buffer over the first gradient: 0.050 0.050
the same with a momentum of 0.5: 0.500 0.500
SEEN
echo "as seen"
