#!/usr/bin/env bash
# geomstats 2.8.0, the Jacobian of a translation in the special Euclidean group, with point_type="vector": two of four
# are not the derivative of the group's own product.
# - SE(3), right: in the lower left block stands the cross-product matrix of the rotation vector; the derivative is that
#   of the translation vector. Left is right.
# - SE(2), left and right: the identity matrix for every point.
# - SO(3): both are right. So it is the translations that are wrong.
# The documentation promises the matrix of the differential of the left or right translation from the identity to the
# point. No issue on it was found.
#
# Seen on 2026-11-29, with NumPy 2.2.6: this version of geomstats asks NumPy for trapz, which newer ones do not have.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.2.6" "geomstats==2.8.0"
"$work/venv/bin/python" - <<'PYTHON' 2> "$work/warnings" | tee "$work/seen"
import numpy as np
from geomstats.geometry.special_euclidean import SpecialEuclidean
from geomstats.geometry.special_orthogonal import SpecialOrthogonal

STEP = 1e-6


def derivative(f, size):
    """Of f at the identity, by central differences."""
    columns = [(f(STEP * e) - f(-STEP * e)) / (2 * STEP) for e in np.eye(size)]
    return np.stack(columns, axis=1)


points = {
    "SO(3)": (SpecialOrthogonal(3, point_type="vector"), [0.3, -0.2, 0.4]),
    "SE(3)": (SpecialEuclidean(3, point_type="vector"), [0.3, -0.2, 0.4, 1, 2, 3]),
    "SE(2)": (SpecialEuclidean(2, point_type="vector"), [0.5, 1, 2]),
}
for name, (group, numbers) in points.items():
    point = np.array(numbers, float)
    for side in ("left", "right"):
        product = (lambda x: group.compose(point, x)) if side == "left" else (lambda x: group.compose(x, point))
        expected = derivative(product, len(point))
        given = group.jacobian_translation(point, left=side == "left")
        same = np.allclose(given, expected, atol=1e-6)
        print(f"{name}, {side}: {'right' if same else 'wrong'}")
        if name == "SE(3)" and not same:
            print("  lower left, given:", given[3:, :3].round(6).ravel().tolist())
            print("  lower left, by differences:", (expected[3:, :3].round(6) + 0).ravel().tolist())
        if name == "SE(2)":
            print("  the identity matrix:", bool((given == np.eye(3)).all()))
PYTHON
diff "$work/seen" - <<'SEEN' || { cat "$work/warnings"; exit 1; }
SO(3), left: right
SO(3), right: right
SE(3), left: right
SE(3), right: wrong
  lower left, given: [-0.0, 0.4, 0.2, -0.4, -0.0, 0.3, -0.2, -0.3, -0.0]
  lower left, by differences: [0.0, 3.0, -2.0, -3.0, 0.0, 1.0, 2.0, -1.0, 0.0]
SE(2), left: wrong
  the identity matrix: True
SE(2), right: wrong
  the identity matrix: True
SEEN
echo "as seen"
