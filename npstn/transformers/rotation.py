"""The rotation: one parameter, the angle a in radians. The output has h rows and w columns.

    theta = [[cos a, -sin a (h-1)/(w-1), 0],
             [sin a (w-1)/(h-1), cos a, 0]]

The angle is measured between pixels. But theta acts on normalised coordinates, whose unit is (w-1)/2 pixels along x and
(h-1)/2 along y. The two factors convert between these units; without them an image that is not square would be sheared.
For a square image both factors are 1. A picture sampled with a > 0 turns counter-clockwise on the screen.

Source: Jaderberg et al. 2015, section 3.2, confined to rotations.
"""

from __future__ import annotations

import numpy as np

import npstn.functional as F
from npstn.autograd import Tensor
from npstn.transformers.base import Transformer


class Rotation(Transformer):
    """Turns an image about its centre.

    >>> quarter = Tensor([[np.pi / 2]])
    >>> middle_row = Rotation().grid(quarter, (3, 3)).data[0, 1]
    >>> (middle_row.round() + 0).tolist()  # it reads the middle column
    [[0.0, -1.0], [0.0, 0.0], [0.0, 1.0]]
    """

    name = "rotation"
    identity = np.zeros(1, np.float32)
    parameter_names = ("angle_deg",)

    def grid(self, parameters: Tensor, size: tuple[int, int]) -> Tensor:
        B = len(parameters)
        theta = rotation_matrix(parameters.reshape(B), size)
        return F.affine_grid(theta, (B, 1, *size), align_corners=True)

    def describe(self, parameters: np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
        return {"angle_deg": np.rad2deg(parameters[:, 0])}


def rotation_matrix(angle: Tensor, size: tuple[int, int]) -> Tensor:
    """theta (B, 2, 3) for angles (B,) in radians and an image of (h, w) pixels."""
    theta, (h, w) = F.rotation_theta(angle), size
    if h != w:
        aspect = max(h - 1, 1) / max(w - 1, 1)
        theta = theta * np.array([[1, aspect, 1], [1 / aspect, 1, 1]], theta.dtype)
    return theta
