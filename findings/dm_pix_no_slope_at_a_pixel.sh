#!/usr/bin/env bash
# dm-pix 0.4.5 (on JAX 0.10.2): linear interpolation has no slope where the points are whole numbers. The neighbours are
# floor(x) and ceil(x), which are the same pixel there, and so the derivative of the coordinates is 0, on a straight ramp
# too, where there is no doubt what it is. JAX's own map_coordinates takes floor(x) and floor(x) + 1, and gives the slope.
# A registration that starts from the identity, or from a shift by whole pixels, has a gradient of exactly 0: it never
# starts. Gradient checks at random points see nothing; at the identity, JAX's check_grads refuses it.
# It is known: dm_pix's pull request 126, open when this was written.
#
# Next to it, with mode="constant" and cval NaN, the usual way to mark what lies outside: all of the image is NaN, since
# inside and outside are mixed by a product with 0 and 1.
#
# Seen on 2026-11-28, float32, on a CPU.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "scipy==1.17.1" "jax==0.10.2" "jaxlib==0.10.2" "chex==0.1.92" \
    "dm-pix==0.4.5"
"$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import dm_pix
import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates
from jax.test_util import check_grads

ramp = jnp.arange(5.0) * 3  # a slope of 3 everywhere


def pix(x):
    return dm_pix.flat_nd_linear_interpolate(ramp, x[None])


def own(x):
    return map_coordinates(ramp, [x], order=1, mode="nearest")


for place in (1.75, 2.0, 2.25):
    x = jnp.float32(place)
    print(f"at {place}: value {pix(x):g}, slope {jax.grad(pix)(x):g}; map_coordinates {own(x):g}, {jax.grad(own)(x):g}")

picture = jnp.arange(16.0).reshape(4, 4, 1) ** 2
other = jnp.roll(picture, 1, axis=1)


def apart(offset, mode="nearest"):
    moved = dm_pix.affine_transform(picture, jnp.eye(3), offset=jnp.append(offset, 0.0), mode=mode)
    return jnp.mean((moved - other) ** 2)


for offset in ([0.0, 0.0], [0.0, 1.0], [0.01, 0.01]):
    slope = jax.grad(apart)(jnp.array(offset))
    found = f"{apart(jnp.array(offset)):.0f} apart, gradient {slope[0] + 0:.0f} {slope[1] + 0:.0f}"
    print(f"two pictures, moved by {offset}: {found}")

for place in (1.75, 2.0):
    try:
        check_grads(pix, (jnp.float32(place),), order=1, modes=["rev"], eps=1e-2)
        print(f"check_grads at {place}: accepted")
    except AssertionError:
        print(f"check_grads at {place}: refused")

inside = jnp.array([1.0, 1.5, 9.0])
outside = dm_pix.flat_nd_linear_interpolate_constant(ramp, inside[None], cval=jnp.nan)
print("constant, NaN, at 1, 1.5 and 9:", *(f"{value:g}" for value in outside.tolist()))
PYTHON
diff "$work/seen" - <<'SEEN'
at 1.75: value 5.25, slope 3; map_coordinates 5.25, 3
at 2.0: value 6, slope 0; map_coordinates 6, 3
at 2.25: value 6.75, slope 3; map_coordinates 6.75, 3
two pictures, moved by [0.0, 0.0]: 917 apart, gradient 0 0
two pictures, moved by [0.0, 1.0]: 1040 apart, gradient 0 0
two pictures, moved by [0.01, 0.01]: 918 apart, gradient 284 -94
check_grads at 1.75: accepted
check_grads at 2.0: refused
constant, NaN, at 1, 1.5 and 9: nan nan nan
SEEN
echo "as seen"
