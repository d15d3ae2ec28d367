#!/usr/bin/env bash
# MLX 0.32.4 (CPU), mx.vmap: a function that writes a constant into a slice writes it for the first example only. The other
# examples keep what they had, and nothing is said. So does every value that is the same for all examples, whichever way
# it is written: x[1:3] = 0, x.at[1:3].add(2), x.at[2].multiply(2), mx.slice_update. With an array of indices in place of
# the slice, and with values that differ between the examples, it is right.
#
# mx.vmap(mx.grad(f)) is the usual way to a gradient for each example. Where f masks a part of its input, such as a border,
# the masked entries get no gradient in the first example and a full one in all the others. A check of one example, or of a
# batch of one, finds everything right.
# (Two other mistakes of vmap and slices are reported, issues 4321 and 4444 of MLX; they need an axis of 2 or more, or a
# strided slice of one element.)
#
# Seen on 2026-11-28.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "mlx[cpu]==0.32.4" "mlx-cpu==0.32.4"
"$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import mlx.core as mx

mx.set_default_device(mx.cpu)


def masked(x):
    x = x + 0
    x[1:3] = 0
    return x


def energy(x):
    return mx.sum(masked(x) ** 2)


def update(x):
    return mx.slice_update(x, mx.array([0.0, 0.0]), mx.array([1]), [0])


examples = mx.array([[1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 30.0, 40.0], [100.0, 200.0, 300.0, 400.0]])
for name, f in (
    ("x[1:3] = 0", masked),
    ("mx.slice_update", update),
    ("x.at[1:3].add(2)", lambda x: x.at[1:3].add(2)),
    ("x.at[1:3].multiply(2)", lambda x: x.at[1:3].multiply(2)),
    ("x.at[2].add(2)", lambda x: x.at[2].add(2)),
    ("x.at[[1, 2]].add(2)", lambda x: x.at[mx.array([1, 2])].add(2)),
    ("x.at[1:3].add(x[:2])", lambda x: x.at[1:3].add(x[:2])),
    ("gradient of the masked sum of squares", mx.grad(energy)),
):
    for how, results in (("one by one", [f(x) for x in examples]), ("vmap", mx.vmap(f)(examples))):
        print(f"{name}, {how}:", *([round(value) for value in result.tolist()] for result in results))
PYTHON
diff "$work/seen" - <<'SEEN' || { cat "$work/warnings"; exit 1; }
x[1:3] = 0, one by one: [1, 0, 0, 4] [10, 0, 0, 40] [100, 0, 0, 400]
x[1:3] = 0, vmap: [1, 0, 0, 4] [10, 20, 30, 40] [100, 200, 300, 400]
mx.slice_update, one by one: [1, 0, 0, 4] [10, 0, 0, 40] [100, 0, 0, 400]
mx.slice_update, vmap: [1, 0, 0, 4] [10, 20, 30, 40] [100, 200, 300, 400]
x.at[1:3].add(2), one by one: [1, 4, 5, 4] [10, 22, 32, 40] [100, 202, 302, 400]
x.at[1:3].add(2), vmap: [1, 4, 5, 4] [10, 20, 30, 40] [100, 200, 300, 400]
x.at[1:3].multiply(2), one by one: [1, 4, 6, 4] [10, 40, 60, 40] [100, 400, 600, 400]
x.at[1:3].multiply(2), vmap: [1, 4, 6, 4] [10, 20, 30, 40] [100, 200, 300, 400]
x.at[2].add(2), one by one: [1, 2, 5, 4] [10, 20, 32, 40] [100, 200, 302, 400]
x.at[2].add(2), vmap: [1, 2, 5, 4] [10, 20, 30, 40] [100, 200, 300, 400]
x.at[[1, 2]].add(2), one by one: [1, 4, 5, 4] [10, 22, 32, 40] [100, 202, 302, 400]
x.at[[1, 2]].add(2), vmap: [1, 4, 5, 4] [10, 22, 32, 40] [100, 202, 302, 400]
x.at[1:3].add(x[:2]), one by one: [1, 3, 5, 4] [10, 30, 50, 40] [100, 300, 500, 400]
x.at[1:3].add(x[:2]), vmap: [1, 3, 5, 4] [10, 30, 50, 40] [100, 300, 500, 400]
gradient of the masked sum of squares, one by one: [2, 0, 0, 8] [20, 0, 0, 80] [200, 0, 0, 800]
gradient of the masked sum of squares, vmap: [2, 0, 0, 8] [20, 40, 60, 80] [200, 400, 600, 800]
SEEN
echo "as seen"
