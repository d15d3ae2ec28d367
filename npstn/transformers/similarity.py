"""The similarity: four parameters, an angle a in radians, a scale s and a shift (t_x, t_y).

    theta = [[s cos a, -s sin a (h-1)/(w-1), t_x],
             [s sin a (w-1)/(h-1), s cos a, t_y]]

the matrix of a rotation (see rotation.py, also for the two factors), times s, and a shift in normalised coordinates.
"""

from __future__ import annotations

import numpy as np

import npstn.functional as F
from npstn.autograd import Tensor
from npstn.transformers.affine import describe_affine
from npstn.transformers.base import Transformer
from npstn.transformers.rotation import rotation_matrix

LAST_COLUMN = np.array([[0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1]])  # where t_x and t_y stand in theta


class Similarity(Transformer):
    """Turns, scales and shifts an image; angles and proportions stay.

    >>> found = Similarity().describe(np.array([[0.5, 2.0, 0.0, 0.0]]), (21, 41))
    >>> found["angle_deg"].round(2).item(), found["scale"].round(2).item()
    (28.65, 0.5)
    """

    name = "similarity"
    identity = np.array([0, 1, 0, 0], np.float32)
    parameter_names = "angle_deg", "s", "t_x", "t_y"

    def grid(self, parameters: Tensor, size: tuple[int, int]) -> Tensor:
        B = len(parameters)
        s = parameters[:, 1].reshape(B, 1, 1)
        shift = (parameters[:, 2:] @ LAST_COLUMN.astype(parameters.dtype)).reshape(B, 2, 3)
        theta = rotation_matrix(parameters[:, 0], size) * s + shift
        return F.affine_grid(theta, (B, 1, *size), align_corners=True)

    def describe(self, parameters: np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
        a, s = Tensor(parameters[:, 0]), parameters[:, 1, None, None]
        A = s * rotation_matrix(a, size).data[:, :, :2]
        found = describe_affine(A, parameters[:, 2:], size)
        return {name: found[name] for name in ("angle_deg", "scale", "shift_x_px", "shift_y_px")}
