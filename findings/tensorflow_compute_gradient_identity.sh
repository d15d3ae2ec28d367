#!/usr/bin/env bash
# TensorFlow 2.21.0 (CPU), tf.test.compute_gradient: the "numerical" Jacobian of the function that returns its input is
# 0 at 20000 and 2 at the next number of float32, where it is 1 of course.
#
#   The step is 1/1024 for every input, and the difference is divided by the step that was meant, not by the one that was
#   taken. Between 16384 and 32768 the step is half of the distance of two neighbours in float32. x + step and x - step
#   lie half way and are rounded to the even neighbour: both back to x, or both away from it, by turns.
#   Above 32768 the steps are lost: the numerical Jacobian of every function is 0.
#
# Seen on 2026-11-27.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "tensorflow-cpu==2.21.0" "numpy==2.4.6"
TF_CPP_MIN_LOG_LEVEL=3 "$work/venv/bin/python" - 2> "$work/log" <<'PYTHON' | tee "$work/seen"
import numpy as np
import tensorflow as tf

first = np.float32(20000)
for x in (np.float32(1), np.float32(8000), first, np.nextafter(first, np.float32(30000)), np.float32(40000)):
    (theoretical,), (numerical,) = tf.test.compute_gradient(tf.identity, [np.array([x])])
    print(f"x = {x:.3f}: theoretical {theoretical.item():g}, numerical {numerical.item():g}")
PYTHON
diff "$work/seen" - <<'SEEN' || { cat "$work/log"; exit 1; }
x = 1.000: theoretical 1, numerical 1
x = 8000.000: theoretical 1, numerical 1
x = 20000.000: theoretical 1, numerical 0
x = 20000.002: theoretical 1, numerical 2
x = 40000.000: theoretical 1, numerical 0
SEEN
echo "as seen"
