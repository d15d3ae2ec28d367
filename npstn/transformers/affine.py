"""The affine map: six parameters, the matrix theta of the paper's eq. 1, row by row.

    theta = [[theta_00, theta_01, theta_02],
             [theta_10, theta_11, theta_12]]

from normalised output coordinates (x, y, 1) to normalised input coordinates.

A grid moves against the picture: where the grid is twice as large, the picture appears at half its size. A person sees
the picture, so `describe_affine` tells the inverse map, in pixels to the right and down. With theta's 2 x 2 part A and
its last column t, both in pixels,

    P = A^-1        shift = -t

The picture is shifted first, which brings the point t to the centre. Then P turns, scales and shears it about the
centre. So an image that was turned or scaled about its own centre, and then moved, is undone by minus that shift.

The angle is that from the x axis to P's first column, counter-clockwise; the scale is sqrt |det P|; the shear is the
part of P's second column along its first, relative to the scale.
"""

from __future__ import annotations

import numpy as np

import npstn.functional as F
from npstn.autograd import Tensor
from npstn.transformers.base import Transformer


class Affine(Transformer):
    """Any affine map: turns, scales, shears, shifts.

    >>> Affine().describe(np.array([[0.5, 0, 0.1, 0, 0.5, 0]]), (21, 21))["scale"]  # a grid of half the size
    array([2.])
    """

    name = "affine"
    identity = np.array([1, 0, 0, 0, 1, 0], np.float32)
    parameter_names = "theta_00", "theta_01", "theta_02", "theta_10", "theta_11", "theta_12"

    def grid(self, parameters: Tensor, size: tuple[int, int]) -> Tensor:
        theta = parameters.reshape(len(parameters), 2, 3)
        return F.affine_grid(theta, (len(parameters), 1, *size), align_corners=True)

    def describe(self, parameters: np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
        theta = parameters.reshape(-1, 2, 3)
        return describe_affine(theta[:, :, :2], theta[:, :, 2], size)


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def describe_affine(A: np.ndarray, t: np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """What a grid z -> A z + t does to the picture: angle, scale, shear and shift; NaN or infinite where A is singular.

    Args:
        A: (B, 2, 2), t: (B, 2), from normalised to normalised coordinates.
        size: rows and columns of the picture, (h, w).
    """
    h, w = size
    pixels = np.array([max(w - 1, 1), max(h - 1, 1)]) / 2  # of a step of 1, along x and y
    A, t = A.astype(np.float64) * pixels[:, None] / pixels, t.astype(np.float64) * pixels
    det = A[:, 0, 0] * A[:, 1, 1] - A[:, 0, 1] * A[:, 1, 0]
    P = np.stack([A[:, 1, 1], -A[:, 0, 1], -A[:, 1, 0], A[:, 0, 0]], axis=1).reshape(-1, 2, 2) / det[:, None, None]
    first, second = P[:, :, 0], P[:, :, 1]
    scale = np.sqrt(abs(1 / det))
    return {
        "angle_deg": np.rad2deg(np.arctan2(-first[:, 1], first[:, 0])),
        "scale": scale,
        "shear": (first * second).sum(axis=1) / np.linalg.norm(first, axis=1) / scale,
        "shift_x_px": -t[:, 0],
        "shift_y_px": -t[:, 1],
    }
