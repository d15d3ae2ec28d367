#!/usr/bin/env bash
# autograd 1.9.1 (HIPS), reverse mode: np.repeat with a negative axis, and np.tile with fewer repetitions than axes,
# have a wrong gradient. The values are right, forward mode is right, and nothing is raised where the sizes happen to
# divide.
# - np.repeat(x, 2, axis=-1), nearest-neighbour zoom: the entries of the gradient are added up in another order, as if
#   the copies were the first axis. With axis=1, which is the same axis, it is right. With axis=-2 other entries still
#   are added, and the gradient has another shape than x.
# - np.tile(x, 2) of a matrix repeats its columns. The gradient is cut along the rows. With reps=(1, 2), which means the
#   same, it is right. Of an odd number of rows, it raises.
# - np.linalg.norm(x, np.inf) is taken for a p-norm with p infinite: the largest entry, whose slope is 1, gets NaN.
# The sum over a gradient of repeat or tile is right, and descent goes on, in another direction. check_grads of
# autograd's own test_util refuses all of them. The code is grad_repeat and grad_tile in autograd/numpy/numpy_vjps.py, which take axis
# and the places in reps as they come, and norm_vjp in linalg.py. No issue was found; 252, open, is on repeats of
# unequal number.
#
# Seen on 2026-11-28, float64.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "autograd==1.9.1"
"$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import autograd.numpy as np
from autograd import grad, make_jvp
from autograd.test_util import check_grads


def differences(f, x, step=1e-6):
    moves = step * np.eye(x.size).reshape(-1, *x.shape)
    return np.array([(f(x + move) - f(x - move)) / (2 * step) for move in moves]).reshape(x.shape)


def show(name, g, x):
    weights = np.arange(1.0, np.size(g(x)) + 1).reshape(np.shape(g(x)))

    def f(x):
        return np.sum(weights * g(x))

    along = np.arange(1.0, x.size + 1).reshape(x.shape)
    right = differences(f, x)
    forward = make_jvp(f)(x)(along)[1]
    print(f"{name}: forward", "right" if np.allclose(forward, np.sum(along * right)) else forward)
    print("  differences", right.round(3).tolist())
    try:
        print("  reverse    ", grad(f)(x).tolist())
        check_grads(g, modes=["rev"], order=1)(x)
        print("  accepted by check_grads")
    except (AssertionError, ValueError) as error:
        print("  refused, with", type(error).__name__)


x = np.array([[1.0, 2.0, 4.0], [3.0, -5.0, 0.5]])
show("repeat, axis=1", lambda x: np.repeat(x, 2, axis=1), x)
show("repeat, axis=-1", lambda x: np.repeat(x, 2, axis=-1), x)
show("repeat, axis=-2", lambda x: np.repeat(x, 2, axis=-2), x)
show("tile, (1, 2)", lambda x: np.tile(x, (1, 2)), x)
show("tile, 2", lambda x: np.tile(x, 2), x)
show("tile, 2, three rows", lambda x: np.tile(x, 2), x.T)
show("norm, inf", lambda x: np.linalg.norm(x, np.inf), x[0])
PYTHON
diff "$work/seen" - <<'SEEN' || { cat "$work/warnings"; exit 1; }
repeat, axis=1: forward right
  differences [[3.0, 7.0, 11.0], [15.0, 19.0, 23.0]]
  reverse     [[3.0, 7.0, 11.0], [15.0, 19.0, 23.0]]
  accepted by check_grads
repeat, axis=-1: forward right
  differences [[3.0, 7.0, 11.0], [15.0, 19.0, 23.0]]
  reverse     [[8.0, 10.0, 12.0], [14.0, 16.0, 18.0]]
  refused, with AssertionError
repeat, axis=-2: forward right
  differences [[5.0, 7.0, 9.0], [17.0, 19.0, 21.0]]
  reverse     [[6.0, 15.0], [24.0, 33.0]]
  refused, with AssertionError
tile, (1, 2): forward right
  differences [[5.0, 7.0, 9.0], [17.0, 19.0, 21.0]]
  reverse     [[5.0, 7.0, 9.0], [17.0, 19.0, 21.0]]
  accepted by check_grads
tile, 2: forward right
  differences [[5.0, 7.0, 9.0], [17.0, 19.0, 21.0]]
  reverse     [[8.0, 10.0, 12.0], [14.0, 16.0, 18.0]]
  refused, with AssertionError
tile, 2, three rows: forward right
  differences [[4.0, 6.0], [12.0, 14.0], [20.0, 22.0]]
  refused, with ValueError
norm, inf: forward nan
  differences [0.0, 0.0, 1.0]
  reverse     [0.0, nan, nan]
  refused, with AssertionError
SEEN
echo "as seen"
