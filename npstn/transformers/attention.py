"""Attention: three parameters, a scale s and a shift (t_x, t_y), the paper's eq. 2.

    theta = [[s, 0, t_x],
             [0, s, t_y]]

A grid of half the size (s = 1/2) looks at a part of the image, at twice its size. Two more kinds of maps that are parts
of the affine one could be written in the same way: theta is linear in the parameters, theta = parameters E.
"""

from __future__ import annotations

import numpy as np

import npstn.functional as F
from npstn.autograd import Tensor
from npstn.transformers.affine import describe_affine
from npstn.transformers.base import Transformer

E = np.array(
    [
        [1, 0, 0, 0, 1, 0],  # s
        [0, 0, 1, 0, 0, 0],  # t_x
        [0, 0, 0, 0, 0, 1],  # t_y
    ]
)


class Attention(Transformer):
    """Scales an image, the same along x and y, and shifts it.

    >>> found = Attention().describe(np.array([[0.5, 0.1, 0.0]]), (21, 21))
    >>> found["scale"].item(), found["shift_x_px"].item()
    (2.0, -1.0)
    """

    name = "attention"
    identity = np.array([1, 0, 0], np.float32)
    parameter_names = "s", "t_x", "t_y"

    def grid(self, parameters: Tensor, size: tuple[int, int]) -> Tensor:
        theta = (parameters @ E.astype(parameters.dtype)).reshape(len(parameters), 2, 3)
        return F.affine_grid(theta, (len(parameters), 1, *size), align_corners=True)

    def describe(self, parameters: np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
        s = parameters[:, 0]
        found = describe_affine(s[:, None, None] * np.eye(2), parameters[:, 1:], size)
        return {name: found[name] for name in ("scale", "shift_x_px", "shift_y_px")}
