#!/usr/bin/env bash
# Warp 1.19.0 (warp-lang), wp.quat_slerp(a, b, t), the rotation between a and b: where a and b are equal, its gradient
# with respect to b is exactly 0, and that with respect to a is all of it, whatever t is. The right shares are t and 1 -
# t, and a thousandth of a degree away Warp gives these. Rotations that are learnt start equal, at the identity: the end
# of a motion then gets no gradient, and never starts to turn; its beginning gets too much. The adjoint goes through an
# axis and an angle. There is no axis where a and b are equal, and what adj_quat_to_axis_angle, in native/quat.h, does
# in this case is stored in variables of the same name within the braces, and lost. No issue on it was found.
#
# Next to it, wp.mod(x, period) has a gradient of 0 for the period, where it is minus the number of whole periods.
#
# Seen on 2026-11-28, float64, on a CPU; the differences are central ones, of the same kernels.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "warp-lang==1.19.0"
cat > "$work/slopes.py" <<'PYTHON'
import sys

import numpy as np
import warp as wp

wp.config.log_level = wp.LOG_ERROR
wp.config.kernel_cache_dir = sys.argv[1]


@wp.kernel
def between(a: wp.array(dtype=wp.quatd), b: wp.array(dtype=wp.quatd), t: wp.float64, out: wp.array(dtype=wp.float64)):
    out[0] = wp.quat_slerp(a[0], b[0], t)[0]


@wp.kernel
def rest(x: wp.array(dtype=wp.float64), period: wp.array(dtype=wp.float64), out: wp.array(dtype=wp.float64)):
    out[0] = wp.mod(x[0], period[0])


def value(kernel, arrays, others=(), keep=False):
    kinds = [wp.quatd if len(array) > 1 else wp.float64 for array in arrays]
    rows = [[array] if len(array) > 1 else array for array in arrays]
    inputs = [wp.array(row, dtype=kind, requires_grad=True, device="cpu") for row, kind in zip(rows, kinds)]
    out = wp.zeros(1, dtype=wp.float64, requires_grad=True, device="cpu")
    tape = wp.Tape()
    with tape:
        wp.launch(kernel, dim=1, inputs=[*inputs, *others], outputs=[out], device="cpu")
    if not keep:
        return out.numpy()[0]
    tape.backward(grads={out: wp.ones(1, dtype=wp.float64, device="cpu")})
    return [float(np.ravel(array.grad.numpy())[0]) for array in inputs]


def differences(kernel, arrays, others=(), step=1e-6):
    found = []
    for i in range(2):
        ends = []
        for sign in (1, -1):
            moved = [np.array(a, dtype=float) for a in arrays]
            moved[i][0] += sign * step
            ends.append(value(kernel, moved, others))
        found.append((ends[0] - ends[1]) / (2 * step))
    return found


def shown(pair):
    return " ".join(f"{round(number, 3) + 0:g}" for number in pair)


for degrees in (0, 0.001, 1):
    for t in (0.25, 0.5):
        half = np.deg2rad(degrees) / 2
        ends = [[0.0, 0, 0, 1], [0.0, np.sin(half), 0, np.cos(half)]]
        slopes = value(between, ends, [wp.float64(t)], keep=True)
        print(f"{degrees:g} degrees apart, t = {t:g}: slopes {shown(slopes)},", end=" ")
        print(f"differences {shown(differences(between, ends, [wp.float64(t)]))}")

for x in (0.7, 3.2, 5.2):
    slopes = value(rest, [[x], [2.0]], keep=True)
    print(f"mod({x:g}, 2): slopes {shown(slopes)}, differences {shown(differences(rest, [[x], [2.0]]))}")
PYTHON
"$work/venv/bin/python" "$work/slopes.py" "$work/cache" 2> "$work/warnings" | tee "$work/seen"
diff "$work/seen" - <<'SEEN' || { cat "$work/warnings"; exit 1; }
0 degrees apart, t = 0.25: slopes 1 0, differences 0.75 0.25
0 degrees apart, t = 0.5: slopes 1 0, differences 0.5 0.5
0.001 degrees apart, t = 0.25: slopes 0.75 0.25, differences 0.75 0.25
0.001 degrees apart, t = 0.5: slopes 0.5 0.5, differences 0.5 0.5
1 degrees apart, t = 0.25: slopes 0.75 0.25, differences 0.75 0.25
1 degrees apart, t = 0.5: slopes 0.5 0.5, differences 0.5 0.5
mod(0.7, 2): slopes 1 0, differences 1 0
mod(3.2, 2): slopes 1 0, differences 1 -1
mod(5.2, 2): slopes 1 0, differences 1 -2
SEEN
echo "as seen"
