#!/usr/bin/env bash
# jaxlie 1.5.0, SE2 in float32, JAX's usual dtype: for small turns the derivatives of exp and of log are wrong, and are
# right at 0 and for large ones. Whoever starts at the identity passes such angles.
# - exp((x, y, angle)): from 0.00001 to 0.0002 radians the translation is (x, y), as if there were no turn, and its
#   derivative along the angle is twice the right one: it does not fit the function's own values, either.
# - log: at 0.005 radians, a third of a degree, translations are wrong by up to 0.2 %, and the Jacobian of log(exp(v)),
#   which is the identity, has entries of half of the translation where it should have 0.
# The cause is 1 - cos(angle), of which float32 leaves no digit below 0.0002 and two or three at 0.005. A series takes
# its place for exp only below 0.00001, and for log where 1 - cos(angle) is below 0.00001, which is at 0.0045. In
# float64 the same happens at far smaller angles. The rotation itself is right. It is in _SE2_jac_left and
# _SE2_jac_left_inv in jaxlie/_se2.py. No issue on it was found.
#
# Seen on 2026-11-29, with JAX 0.10.2, on a CPU: 200 angles at random for each line, the translation (3, 4), the truth
# by a series in NumPy's float64.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "jax==0.10.2" "jaxlie==1.5.0"
JAX_PLATFORMS=cpu "$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import jax
import jax.numpy as jnp
import jaxlie
import numpy as np

x, y = 3.0, 4.0


def exp_of(angle):
    return jaxlie.SE2.exp(jnp.stack([jnp.float32(x), jnp.float32(y), angle])).translation()


def there_and_back(v):
    return jaxlie.SE2.exp(v).log()


def truth(angle):
    t = angle.astype(np.float64)
    s, c = 1 - t**2 / 6 + t**4 / 120, t / 2 - t**3 / 24 + t**5 / 720
    ds, dc = -t / 3 + t**3 / 30, 0.5 - t**2 / 8 + t**4 / 144
    return np.stack([s * x - c * y, c * x + s * y], -1), np.stack([ds * x - dc * y, dc * x + ds * y], -1)


def median_part(found, right):
    return np.median(np.sum(found * right, -1) / np.sum(right**2, -1))


values = jax.jit(jax.vmap(exp_of))
slopes = jax.jit(jax.vmap(jax.jacfwd(exp_of)))
back = jax.jit(jax.vmap(there_and_back))
jacobians = jax.jit(jax.vmap(jax.jacrev(there_and_back)))
draw = np.random.default_rng(0)
for low, high in ((1e-7, 9e-6), (2e-5, 2e-4), (4.7e-3, 6e-3), (0.3, 0.4)):
    angles = draw.uniform(low, high, 200).astype(np.float32)
    vectors = np.stack([np.full(200, x), np.full(200, y), angles], -1).astype(np.float32)
    place, slope = truth(angles)
    turned = median_part(np.asarray(values(angles)) - (x, y), place - (x, y))
    ratio = median_part(np.asarray(slopes(angles)), slope)
    length = np.abs(np.linalg.norm(np.asarray(back(vectors))[:, :2], axis=-1) / 5 - 1).max()
    entry = np.abs(np.asarray(jacobians(vectors)) - np.eye(3)).max()
    print(f"angles from {low:g} to {high:g}: exp moves by {turned:.1f} of what it should,", end=" ")
    print(f"its derivative is {ratio:.1f} times the right one;", end=" ")
    print(f"log(exp(v)): length right to 0.03 % {length < 3e-4}, Jacobian right to 0.1 {entry < 0.1}")
PYTHON
diff "$work/seen" - <<'SEEN' || { cat "$work/warnings"; exit 1; }
angles from 1e-07 to 9e-06: exp moves by 1.0 of what it should, its derivative is 1.0 times the right one; log(exp(v)): length right to 0.03 % True, Jacobian right to 0.1 True
angles from 2e-05 to 0.0002: exp moves by 0.0 of what it should, its derivative is 2.0 times the right one; log(exp(v)): length right to 0.03 % True, Jacobian right to 0.1 False
angles from 0.0047 to 0.006: exp moves by 1.0 of what it should, its derivative is 1.0 times the right one; log(exp(v)): length right to 0.03 % False, Jacobian right to 0.1 False
angles from 0.3 to 0.4: exp moves by 1.0 of what it should, its derivative is 1.0 times the right one; log(exp(v)): length right to 0.03 % True, Jacobian right to 0.1 True
SEEN
echo "as seen"
