"""The rotation: an angle becomes the matrix theta of the transformer.

    b   a sample of the batch        a (B)   its angle, radians        theta (B, 2, 3)

    theta = [[cos a, -sin a, 0],         ∂theta/∂a = [[-sin a, -cos a, 0],
             [sin a,  cos a, 0]]                      [ cos a, -sin a, 0]]

so the chain rule sums over the four entries that depend on a:

    da = -sin a dtheta_00 - cos a dtheta_01 + cos a dtheta_10 - sin a dtheta_11

There are no kinks. Theta takes output coordinates to input coordinates, and y points down: for a > 0 the sampled
picture turns counter-clockwise on the screen. Source: Jaderberg et al. 2015, section 3.2, confined to rotations.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npstn.autograd import Context, Function, Tensor
from npstn.ops.arguments import check_floats, check_shape


class RotationTheta(Function):
    @staticmethod
    def forward(ctx: Context, a: np.ndarray) -> np.ndarray:
        check_floats("rotation_theta", angle=a)
        check_shape("rotation_theta", "angle", a, "B")
        cos, sin = np.cos(a), np.sin(a)
        ctx.save_for_backward(cos, sin)
        theta = np.zeros((len(a), 2, 3), a.dtype)
        theta[:, 0, 0], theta[:, 0, 1] = cos, -sin
        theta[:, 1, 0], theta[:, 1, 1] = sin, cos
        return theta

    @staticmethod
    def backward(ctx: Context, dtheta: np.ndarray) -> Any:
        cos, sin = ctx.saved
        return cos * (dtheta[:, 1, 0] - dtheta[:, 0, 1]) - sin * (dtheta[:, 0, 0] + dtheta[:, 1, 1])


def rotation_theta(angle: Tensor) -> Tensor:
    """The matrices of rotations, for `affine_grid`.

    Args:
        angle: (B,), in radians.

    Returns theta (B, 2, 3) in the dtype of the angle; NaN for an angle that is not finite. Raises TypeError for dtypes
    other than float32 and float64, ValueError for another rank.

    >>> rotation_theta(Tensor([0.0])).data[0]
    array([[ 1., -0.,  0.],
           [ 0.,  1.,  0.]], dtype=float32)
    """
    return RotationTheta.apply(angle)
