#!/usr/bin/env bash
# dipy 1.12.1: a displacement field composed with the identity loses its last row and its last column, and in three
# dimensions the last slice along each axis. There it becomes 0.
# - compose_vector_fields_2d and _3d: with d1 = 0 the result should be d2, as their documentation has
#   comp[i] = d1[i] + t d2[i + d1[i]]. A point that is not inside gets 0, and not d1[i].
# - The interpolation calls the last pixel outside, and the first one inside. The value that it gives there is right.
#   Nearest-neighbour interpolation calls both inside.
# - So DiffeomorphicMap.warp_endomorphism of an identity map changes what it is given.
# - Warping an image by a field of zeros leaves it as it is, the last pixels too.
# Nothing in the documentation says so. No issue on it was found.
#
# Seen on 2026-11-29.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "dipy==1.12.1"
"$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import numpy as np
from dipy.align.imwarp import DiffeomorphicMap
from dipy.align.vector_fields import compose_vector_fields_2d, compose_vector_fields_3d, warp_2d
from dipy.core.interpolation import interpolate_scalar_2d, interpolate_scalar_nn_2d

zero = np.zeros((4, 5, 2), np.float32)
composed, _ = compose_vector_fields_2d(zero, zero + 1, None, None, 1.0, None)
print("0 then 1, 2D:", *("".join(f"{value:.0f}" for value in row) for row in np.asarray(composed)[..., 0]))
composed, _ = compose_vector_fields_2d(zero + 0.25, zero + 1, None, None, 1.0, None)
print("1/4 then 1, its last row:", np.unique(np.asarray(composed)[-1]).tolist())
volume = np.zeros((3, 4, 5, 3), np.float32)
composed, _ = compose_vector_fields_3d(volume, volume + 1, None, None, 1.0, None)
lost = np.argwhere(np.asarray(composed)[..., 0] == 0)
print("0 then 1, 3D: zeros", len(lost), "of 60, in a last slice", int((lost == [2, 3, 4]).any(axis=1).sum()))

shape = {name: (4, 5) for name in ("disp_shape", "domain_shape", "codomain_shape")}
identity, ones = (DiffeomorphicMap(2, **shape) for _ in range(2))
identity.forward, identity.backward, ones.forward, ones.backward = zero, zero, zero + 1, zero - 1
both = identity.warp_endomorphism(ones)
print("identity, then a map that moves by 1:", int((np.asarray(both.forward)[..., 0] == 0).sum()), "of 20 do not move")

image = np.arange(1, 21, dtype=np.float32).reshape(4, 5)
print("an image, warped by 0, is the same:", bool((np.asarray(warp_2d(image, zero)) == image).all()))
for name, read in (("linear", interpolate_scalar_2d), ("nearest", interpolate_scalar_nn_2d)):
    values, inside = read(image, np.array([[0.0, 0.0], [3.0, 4.0]]))
    print(f"{name}, first and last pixel:", np.asarray(values).tolist(), "inside:", np.asarray(inside).tolist())
PYTHON
diff "$work/seen" - <<'SEEN' || { cat "$work/warnings"; exit 1; }
0 then 1, 2D: 11110 11110 11110 00000
1/4 then 1, its last row: [0.0]
0 then 1, 3D: zeros 36 of 60, in a last slice 36
identity, then a map that moves by 1: 8 of 20 do not move
an image, warped by 0, is the same: True
linear, first and last pixel: [1.0, 20.0] inside: [1, 0]
nearest, first and last pixel: [1.0, 20.0] inside: [1, 1]
SEEN
echo "as seen"
