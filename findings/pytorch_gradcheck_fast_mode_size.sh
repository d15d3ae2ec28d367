#!/usr/bin/env bash
# PyTorch 2.13.0 (CPU), torch.autograd.gradcheck(fast_mode=True): with 250,000 entries it accepts a gradient of zero, and
# one with the wrong sign, of the function that returns its input, in float64 and with the default tolerances.
#
#   The fast check compares v^T J u for random positive u and v of length 1. For an element-wise function that number is
#   about 0.75, whatever the size. The absolute tolerance, though, is multiplied by sum(u) sum(v), which grows with the
#   number of entries: with atol=1e-5 and 250,000 entries it is more than 1.
#   A smaller input of the same function is refused.
#
# Seen on 2026-11-27, torch.manual_seed(0).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.13.0" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PYTHON' | tee "$work/seen"
import torch


def times(factor):
    class Identity(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, dy):
            return factor * dy

    return Identity.apply


for factor in (1, 0, -1):
    for size in (250, 250_000):
        torch.manual_seed(0)
        x = torch.randn(size, dtype=torch.float64, requires_grad=True)
        accepted = torch.autograd.gradcheck(times(factor), (x,), fast_mode=True, raise_exception=False)
        print(f"{factor} times the gradient, {size} entries: {'accepted' if accepted else 'refused'}")
PYTHON
diff "$work/seen" - <<'SEEN'
1 times the gradient, 250 entries: accepted
1 times the gradient, 250000 entries: accepted
0 times the gradient, 250 entries: refused
0 times the gradient, 250000 entries: accepted
-1 times the gradient, 250 entries: refused
-1 times the gradient, 250000 entries: accepted
SEEN
echo "as seen"
