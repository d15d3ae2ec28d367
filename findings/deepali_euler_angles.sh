#!/usr/bin/env bash
# deepali 0.6.5 (hf-deepali): the angles that are read off a rotation matrix are not those of that matrix.
# - In 3D, for both orders that are known, ZXZ (the default) and XZX, euler_rotation_angles returns the first angle last
#   and the last one first. EulerRotation.matrix_(matrix), which sets a rotation and with it the start of a
#   registration, sets another one thereby. The angle in the middle is right, so it cannot be seen where the two others
#   are equal.
# - A turn about the first of the axes alone, that of z for ZXZ, is read as no turn at all: all angles are 0.
# - In 2D euler_rotation_angles is an arc cosine and loses the sign: -30 degrees become 30.
# euler_rotation_matrix follows what both say, the first angle is applied last; QuaternionRotation.matrix_ is right. A
# note in the source of euler_rotation_angles says that a test is to be written, and quadrants to be checked. No issue
# was found.
#
# Seen on 2026-11-29, with torch 2.13.0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "scipy==1.17.1" "torch==2.13.0" "hf-deepali==0.6.5"
"$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import numpy as np
import torch
from deepali.core import Grid
from deepali.core.functional import euler_rotation_angles, euler_rotation_matrix
from deepali.spatial import EulerRotation, QuaternionRotation
from scipy.spatial.transform import Rotation

grid = Grid(size=(8, 8, 8))


def shown(angles):
    return " ".join(f"{degrees:.0f}" for degrees in np.rad2deg(angles.detach().numpy()).ravel().round(2) + 0)


def apart(first, second):
    """The angle in degrees between two rotations."""
    first, second = (Rotation.from_matrix(each.detach().double().numpy()[0, :, :3]) for each in (first, second))
    return round(np.rad2deg((first.inv() * second).magnitude()), 1)


for order in ("ZXZ", "XZX"):
    for degrees in ((10, 40, 80), (80, 40, 10), (30, 40, 30), (20, 0, 0), (0, 20, 0), (-60, 40, 0)):
        angles = torch.deg2rad(torch.tensor([degrees], dtype=torch.float32))
        matrix = euler_rotation_matrix(angles, order=order)
        right = Rotation.from_euler(order, np.deg2rad([degrees])).as_matrix()
        assert np.abs(matrix.numpy() - right).max() < 1e-6
        found = euler_rotation_angles(matrix, order=order)
        print(f"{order} {shown(angles)}: read off {shown(found)}", end="; ")
        kinds = EulerRotation(grid, order=order), QuaternionRotation(grid)
        off = (apart(kind.matrix_(matrix).tensor(), matrix) for kind in kinds)
        print("degrees off: EulerRotation.matrix_ {:.1f}, QuaternionRotation.matrix_ {:.1f}".format(*off))

for degrees in (30, -30, -150):
    angles = torch.deg2rad(torch.tensor([[degrees]], dtype=torch.float32))
    print(f"2D {shown(angles)}: read off {shown(euler_rotation_angles(euler_rotation_matrix(angles)))}")
PYTHON
diff "$work/seen" - <<'SEEN' || { cat "$work/warnings"; exit 1; }
ZXZ 10 40 80: read off 80 40 10; degrees off: EulerRotation.matrix_ 45.3, QuaternionRotation.matrix_ 0.0
ZXZ 80 40 10: read off 10 40 80; degrees off: EulerRotation.matrix_ 45.3, QuaternionRotation.matrix_ 0.0
ZXZ 30 40 30: read off 30 40 30; degrees off: EulerRotation.matrix_ 0.0, QuaternionRotation.matrix_ 0.0
ZXZ 20 0 0: read off 0 0 0; degrees off: EulerRotation.matrix_ 20.0, QuaternionRotation.matrix_ 0.0
ZXZ 0 20 0: read off 0 20 0; degrees off: EulerRotation.matrix_ 0.0, QuaternionRotation.matrix_ 0.0
ZXZ -60 40 0: read off 0 40 -60; degrees off: EulerRotation.matrix_ 39.4, QuaternionRotation.matrix_ 0.0
XZX 10 40 80: read off 80 40 10; degrees off: EulerRotation.matrix_ 45.3, QuaternionRotation.matrix_ 0.0
XZX 80 40 10: read off 10 40 80; degrees off: EulerRotation.matrix_ 45.3, QuaternionRotation.matrix_ 0.0
XZX 30 40 30: read off 30 40 30; degrees off: EulerRotation.matrix_ 0.0, QuaternionRotation.matrix_ 0.0
XZX 20 0 0: read off 0 0 0; degrees off: EulerRotation.matrix_ 20.0, QuaternionRotation.matrix_ 0.0
XZX 0 20 0: read off 0 20 0; degrees off: EulerRotation.matrix_ 0.0, QuaternionRotation.matrix_ 0.0
XZX -60 40 0: read off 0 40 -60; degrees off: EulerRotation.matrix_ 39.4, QuaternionRotation.matrix_ 0.0
2D 30: read off 30
2D -30: read off 30
2D -150: read off 150
SEEN
echo "as seen"
