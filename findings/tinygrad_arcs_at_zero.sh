#!/usr/bin/env bash
# tinygrad 0.14.0 (float32): the gradients of asin, acos, atan and elu at 0 are 0. The functions are smooth there, with
# the slopes 1, -1, 1 and 1; the values are right, and so are the gradients on both sides.
# - asin is sign(x) times a function of |x|. At 0 the gradients of sign and of |x| are 0, and the sign is 0 as well.
#   acos and atan are made of asin. An angle that is read off as atan(b / a) and starts at 0 never moves: a rotation
#   that starts from the identity is not learnt.
# - elu is relu(x) - relu(1 - exp(x)), and relu has the slope 0 at 0, twice. A unit that starts at 0 stays there. celu,
#   with the same values, has the slope 1.
# Gradient checks at random points see nothing. asinh had the same fault for a while: pull request 17758 of tinygrad.
# Pull request 17852 rewrites elu, for large numbers, and is not in this version. On the others no issue was found.
#
# Seen on 2026-11-29, on the device that runs in Python, so that no compiler is needed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "tinygrad==0.14.0"
DEV=PYTHON XDG_CACHE_HOME="$work" "$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import numpy as np
from tinygrad import Tensor

STEP = 1 / 64


def values(f, places):
    return f(Tensor(np.array(places, np.float32))).numpy()


def gradient(f, places):
    x = Tensor(np.array(places, np.float32))
    return f(x).sum().gradient(x)[0].numpy()


def shown(numbers):
    return " ".join(f"{round(float(number), 1) + 0:g}" for number in numbers)


places = [-0.25, 0, 0.25]
for name in ("asin", "acos", "atan", "elu", "celu", "tanh"):

    def f(x):
        return getattr(x, name)()

    left, middle, right = (values(f, np.array(places) + move) for move in (-STEP, 0, STEP))
    slopes = (middle - left) / STEP, (right - middle) / STEP
    print(f"{name} at -0.25, 0 and 0.25: left slope {shown(slopes[0])}, right {shown(slopes[1])}")
    print(f"  gradient {shown(gradient(f, places))}")

# Turn the direction (1, b) to the direction of 30 degrees, from b = start on.
for start in (0.0, 0.01):
    b = start
    for _ in range(100):
        x = Tensor(np.array([b], np.float32))
        b -= float(((x.atan() - np.pi / 6) ** 2).sum().gradient(x)[0].numpy()[0])
    print(f"an angle from b = {start:g} on: {np.degrees(np.arctan(b)):.0f} degrees of 30 after 100 steps")
PYTHON
diff "$work/seen" - <<'SEEN' || { cat "$work/warnings"; exit 1; }
asin at -0.25, 0 and 0.25: left slope 1 1 1, right 1 1 1
  gradient 1 0 1
acos at -0.25, 0 and 0.25: left slope -1 -1 -1, right -1 -1 -1
  gradient -1 0 -1
atan at -0.25, 0 and 0.25: left slope 0.9 1 0.9, right 0.9 1 0.9
  gradient 0.9 0 0.9
elu at -0.25, 0 and 0.25: left slope 0.8 1 1, right 0.8 1 1
  gradient 0.8 0 1
celu at -0.25, 0 and 0.25: left slope 0.8 1 1, right 0.8 1 1
  gradient 0.8 1 1
tanh at -0.25, 0 and 0.25: left slope 0.9 1 0.9, right 0.9 1 0.9
  gradient 0.9 1 0.9
an angle from b = 0 on: 0 degrees of 30 after 100 steps
an angle from b = 0.01 on: 30 degrees of 30 after 100 steps
SEEN
echo "as seen"
