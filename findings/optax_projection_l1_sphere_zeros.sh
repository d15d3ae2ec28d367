#!/usr/bin/env bash
# optax 0.2.8, optax.projections.projection_l1_sphere(tree, scale): a point with zeros in it, inside of the sphere, is
# not moved onto the sphere, and no error is raised.
# - The absolute values are projected onto the simplex, which gives each zero its share too. Then the signs are put
#   back, and the sign of 0 is 0: what the zeros had been given is lost. (1, 0, 0) with scale 2 becomes (4/3, 0, 0).
# - A second call moves the result again, to (14/9, 0, 0): it is no projection. The norm creeps up to 2.
# - The origin stays at the origin.
# - Next to zero all is right: (1, 0.001, 0.001) has the norm 2 afterwards.
# The documentation promises the nearest point whose L1 norm is scale. Sparse points are what this norm is used for.
# Points outside are projected rightly, so projection_l1_ball is right: it calls the other for those alone. No issue on
# it was found.
#
# Seen on 2026-11-29, float64, on a CPU, with JAX 0.10.2.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "scipy==1.17.1" "jax==0.10.2" "jaxlib==0.10.2" "optax==0.2.8"
"$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import jax
import jax.numpy as jnp
from optax.projections import projection_l1_ball, projection_l1_sphere

jax.config.update("jax_enable_x64", True)


def shown(x):
    return "(" + ", ".join(f"{number + 0:.4g}" for number in x.tolist()) + ")"


def show(x, y, what="onto the sphere"):
    print(f"{shown(x)} {what} of 2: {shown(y)}, norm {jnp.abs(y).sum():.4g}")


for point in ([1, 0, 0], [0.5, -0.5, 0, 0], [0, 0, 0], [1, 0.001, 0.001], [0.5, -0.5], [3, 0, 0], [3, -1, 0]):
    x = jnp.array(point, float)
    show(x, projection_l1_sphere(x, 2.0))

x = jnp.array([1.0, 0, 0])
for count in range(2):
    y = projection_l1_sphere(x, 2.0)
    print(f"call {count + 1}: {shown(x)} becomes {shown(y)}")
    x = y

nearest = jnp.array([2.0, 0, 0])
print(f"(2, 0, 0) is on the sphere: norm {jnp.abs(nearest).sum():g}, stays {shown(projection_l1_sphere(nearest, 2.0))}")
for point in ([1, 0, 0], [3, -1, 0]):
    x = jnp.array(point, float)
    show(x, projection_l1_ball(x, 2.0), "onto the ball")
PYTHON
diff "$work/seen" - <<'SEEN' || { cat "$work/warnings"; exit 1; }
(1, 0, 0) onto the sphere of 2: (1.333, 0, 0), norm 1.333
(0.5, -0.5, 0, 0) onto the sphere of 2: (0.75, -0.75, 0, 0), norm 1.5
(0, 0, 0) onto the sphere of 2: (0, 0, 0), norm 0
(1, 0.001, 0.001) onto the sphere of 2: (1.333, 0.3337, 0.3337), norm 2
(0.5, -0.5) onto the sphere of 2: (1, -1), norm 2
(3, 0, 0) onto the sphere of 2: (2, 0, 0), norm 2
(3, -1, 0) onto the sphere of 2: (2, 0, 0), norm 2
call 1: (1, 0, 0) becomes (1.333, 0, 0)
call 2: (1.333, 0, 0) becomes (1.556, 0, 0)
(2, 0, 0) is on the sphere: norm 2, stays (2, 0, 0)
(1, 0, 0) onto the ball of 2: (1, 0, 0), norm 1
(3, -1, 0) onto the ball of 2: (2, 0, 0), norm 2
SEEN
echo "as seen"
