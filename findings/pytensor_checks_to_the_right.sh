#!/usr/bin/env bash
# pytensor 3.0.7: the gradient of pt.max is 1 for each of n equal numbers, which is n along a direction in which the
# maximum rises by 1. The gradient check, verify_grad, accepts that, and refuses right gradients at the same point.
# - A blank picture under a global max pooling, or what a ReLU made 0, has the whole gradient at each pixel. That is no
#   subgradient: if all pixels rise by 1, so does the maximum, and the sum must be 1. It is 1 by way of pt.sort, of
#   pt.maximum and of pt.argmax. pt.min, pt.ptp and the infinity norm do as pt.max does.
# - verify_grad takes differences to the right only, one number at a time. One of n equal numbers that rises alone does
#   lift the maximum. So (1, 1, 1) agrees, and the maxima that share the gradient are refused. For pt.min it is the
#   other way round: a single one that rises lifts nothing, and pt.min is refused.
# - pt.maximum(x, 0) and pt.maximum(0, x) are equal, with the gradients 1 and 0 at x = 0. One is accepted, one refused.
# In the code a comment says that the gradient of max is not the strict one. Theano, where it comes from, has an open
# issue on it: 4568. On verify_grad no issue was found.
#
# Seen on 2026-11-29, float64, with pytensor's Python linker, so that no compiler is needed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "scipy==1.17.1" "numba==0.65.1" "pytensor==3.0.7"
export PYTENSOR_FLAGS="cxx=,base_compiledir=$work/compiled"
"$work/venv/bin/python" -W ignore - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.mode import Mode
from pytensor.gradient import verify_grad

MODE = Mode(linker="py", optimizer="fast_run")
STEP = 1e-6


def accepted(f, x):
    try:
        verify_grad(f, [x], rng=np.random.default_rng(0), mode=MODE)
    except pytensor.gradient.GradientError:
        return "refused"
    return "accepted"


def show(name, f, x):
    x = np.array(x, float)
    v = pt.dvector()
    value = pytensor.function([v], f(v), mode=MODE)
    found = pytensor.function([v], pytensor.grad(f(v), v), mode=MODE)(x)
    all_up = [(value(x + side) - value(x)) / side for side in (-STEP, STEP)]
    print(f"{name} at {shown(x)}: gradient {shown(found)}, its sum {found.sum():g};", end=" ")
    print(f"all together, slope {all_up[0].round() + 0:g} and {all_up[1].round() + 0:g}; {accepted(f, x)}")


def shown(numbers):
    return "(" + ", ".join(f"{number + 0:g}" for number in numbers) + ")"


ties = [2, 2, 2]
show("max", pt.max, ties)
show("sort, last", lambda x: pt.sort(x)[-1], ties)
show("maximum of maximum", lambda x: pt.maximum(pt.maximum(x[0], x[1]), x[2]), ties)
show("x[argmax]", lambda x: x[pt.argmax(x)], ties)
show("min", pt.min, ties)
show("max", pt.max, [1, 2, 3])
show("maximum(x, 0)", lambda x: pt.maximum(x[0], 0), [0])
show("maximum(0, x)", lambda x: pt.maximum(0, x[0]), [0])

v = pt.dvector()
pooled = pytensor.function([v], pytensor.grad(pt.max(pt.maximum(v, 0)), v), mode=MODE)
for pixels in (4, 400):
    print(f"max over a ReLU of {pixels} zeros: the gradient's sum is {pooled(np.zeros(pixels)).sum():g}")
PYTHON
diff "$work/seen" - <<'SEEN' || { cat "$work/warnings"; exit 1; }
max at (2, 2, 2): gradient (1, 1, 1), its sum 3; all together, slope 1 and 1; accepted
sort, last at (2, 2, 2): gradient (0, 0, 1), its sum 1; all together, slope 1 and 1; refused
maximum of maximum at (2, 2, 2): gradient (1, 0, 0), its sum 1; all together, slope 1 and 1; refused
x[argmax] at (2, 2, 2): gradient (1, 0, 0), its sum 1; all together, slope 1 and 1; refused
min at (2, 2, 2): gradient (1, 1, 1), its sum 3; all together, slope 1 and 1; refused
max at (1, 2, 3): gradient (0, 0, 1), its sum 1; all together, slope 1 and 1; accepted
maximum(x, 0) at (0): gradient (1), its sum 1; all together, slope 0 and 1; accepted
maximum(0, x) at (0): gradient (0), its sum 0; all together, slope 0 and 1; refused
max over a ReLU of 4 zeros: the gradient's sum is 4
max over a ReLU of 400 zeros: the gradient's sum is 400
SEEN
echo "as seen"
