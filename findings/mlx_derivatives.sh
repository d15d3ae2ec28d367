#!/usr/bin/env bash
# MLX 0.32.4 (CPU, float32): derivatives of smooth functions that differ from the slope of their own values.
# - nn.celu at 0: the slope is 1 on both sides, and mx.grad gives 0. It is the sum of a maximum and of a function of a
#   minimum, whose second argument gets the whole gradient at a tie: here that is the constant. A unit that starts at 0
#   never moves. nn.prelu has the slopes 0.25 and 1 there, and mx.grad gives their sum.
# - nn.elu and nn.selu at 89: the slope is 1, and mx.grad gives NaN, as exp(89) is infinite in the branch that is not taken.
# - |z| of a complex number: the gradient is right, and its own gradient is 0. So a Newton step or a gradient penalty on the
#   magnitude of a spectrum does nothing. The square root of the sum of the squares has the right one.
# - mx.divmod(x, y)[1] has the values of mx.remainder(x, y), and no gradient in either mode.
# - mx.addmm(c, a, b, alpha, beta) = alpha a b + beta c: forward mode leaves alpha and beta out. Where both are 1, as in
#   nn.Linear, nothing is seen. Reverse mode is right.
# (Reported are that divmod crashed in forward mode, issue 3634 of MLX, closed, and other complex gradients, 2178.)
#
# Seen on 2026-11-28.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "mlx[cpu]==0.32.4" "mlx-cpu==0.32.4"
"$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import mlx.core as mx
import mlx.nn as nn

mx.set_default_device(mx.cpu)
mx.disable_compile()  # no compiler is needed then
STEP = 1 / 64


def addmm(i):
    """addmm as a function of c, a or b alone, the other two fixed."""

    def f(x):
        c, a, b = (x if i == j else mx.array(value) for j, value in enumerate((5.0, 2.0, 3.0)))
        return mx.addmm(c.reshape(1, 1), a.reshape(1, 1), b.reshape(1, 1), alpha=10, beta=100)[0, 0]

    return f


def magnitude(x):
    return mx.abs(x + 1j)


def root(x):
    return mx.sqrt(x * x + 1)


for name, f, x in (
    ("celu", nn.celu, 0),
    ("prelu", lambda x: nn.prelu(x, mx.array(0.25)), 0),
    ("elu", nn.elu, 89),
    ("selu", nn.selu, 89),
    ("magnitude", magnitude, 0.75),
    ("gradient of the magnitude", mx.grad(magnitude), 0.75),
    ("gradient of the root", mx.grad(root), 0.75),
    ("divmod(x, 0.75)[1]", lambda x: mx.divmod(x, mx.array(0.75))[1], 1),
    ("remainder(x, 0.75)", lambda x: mx.remainder(x, mx.array(0.75)), 1),
    ("addmm, c", addmm(0), 5),
    ("addmm, a", addmm(1), 2),
    ("addmm, b", addmm(2), 3),
):
    value, low, high = (f(mx.array(float(x + move))).item() for move in (0, -STEP, STEP))
    reverse = mx.grad(f)(mx.array(float(x))).item()
    forward = mx.jvp(f, [mx.array(float(x))], [mx.array(1.0)])[1][0].item()
    print(f"{name}: left {(value - low) / STEP:.2f}, right {(high - value) / STEP:.2f},", end=" ")
    print(f"reverse {reverse:.2f}, forward {forward:.2f}")
PYTHON
diff "$work/seen" - <<'SEEN' || { cat "$work/warnings"; exit 1; }
celu: left 0.99, right 1.00, reverse 0.00, forward 0.00
prelu: left 0.25, right 1.00, reverse 1.25, forward 1.25
elu: left 1.00, right 1.00, reverse nan, forward nan
selu: left 1.05, right 1.05, reverse nan, forward nan
magnitude: left 0.60, right 0.60, reverse 0.60, forward 0.60
gradient of the magnitude: left 0.52, right 0.51, reverse 0.00, forward 0.00
gradient of the root: left 0.52, right 0.51, reverse 0.51, forward 0.51
divmod(x, 0.75)[1]: left 1.00, right 1.00, reverse 0.00, forward 0.00
remainder(x, 0.75): left 1.00, right 1.00, reverse 1.00, forward 1.00
addmm, c: left 100.00, right 100.00, reverse 100.00, forward 1.00
addmm, a: left 30.00, right 30.00, reverse 30.00, forward 3.00
addmm, b: left 20.00, right 20.00, reverse 20.00, forward 2.00
SEEN
echo "as seen"
