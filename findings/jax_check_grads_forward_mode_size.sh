#!/usr/bin/env bash
# JAX 0.10.2 (CPU), jax.test_util.check_grads: in forward mode a large enough array makes every JVP right, a zero one too.
#
#   The check compares the JVP with a finite difference, array by array, and multiplies both tolerances by the number of
#   entries. In float32, JAX's usual dtype, the tolerance is 2e-3: from 500 entries on the relative tolerance is 1 and
#   more, so zero is "close" to any tangent; from 1,000 entries on so is the tangent with the wrong sign.
#   In reverse mode the two sides are numbers, not arrays, and the same rule is refused. So check_grads with its default
#   modes refuses it too; modes=("fwd",), which an operation without a transpose needs, proves nothing.
#
# Seen on 2026-11-27: a custom_jvp rule of sin, whose tangent is 0 or has the wrong sign, in float32.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "jax==0.10.2" "jaxlib==0.10.2" "numpy==2.4.6"
JAX_PLATFORMS=cpu "$work/venv/bin/python" - <<'PYTHON' | tee "$work/seen"
import jax
import jax.numpy as jnp
import numpy as np
from jax.test_util import check_grads


def verdict(factor, size, mode):
    sin = jax.custom_jvp(jnp.sin)
    sin.defjvp(lambda primals, tangents: (jnp.sin(*primals), factor * jnp.cos(*primals) * tangents[0]))
    x = np.random.default_rng(0).uniform(0.5, 1, size).astype(np.float32)
    try:
        check_grads(sin, (x,), order=1, modes=(mode,))
    except AssertionError:
        return "refused"
    return "accepted"


for factor in (1.0, 0.0, -1.0):
    for size in (100, 600, 1200):
        print(f"{factor:g} times the tangent, {size} entries:", *(f"{m} {verdict(factor, size, m)}" for m in ("fwd", "rev")))
PYTHON
diff "$work/seen" - <<'SEEN'
1 times the tangent, 100 entries: fwd accepted rev accepted
1 times the tangent, 600 entries: fwd accepted rev accepted
1 times the tangent, 1200 entries: fwd accepted rev accepted
0 times the tangent, 100 entries: fwd refused rev refused
0 times the tangent, 600 entries: fwd accepted rev refused
0 times the tangent, 1200 entries: fwd accepted rev refused
-1 times the tangent, 100 entries: fwd refused rev refused
-1 times the tangent, 600 entries: fwd refused rev refused
-1 times the tangent, 1200 entries: fwd accepted rev refused
SEEN
echo "as seen"
