"""The projective map: eight parameters, the matrix of a homography without its last entry, which is 1.

    theta = [[p_0, p_1, p_2],
             [p_3, p_4, p_5],        (x, y) -> (q_0 / q_2, q_1 / q_2) with q = theta (x, y, 1)
             [p_6, p_7,  1 ]]

p_6 and p_7 tilt the plane: they make one side of the picture smaller than the other. The map is described by what it
does at the centre of the output, (0, 0), where q_2 = 1: it goes to (p_2, p_5), and its derivative there is

    A = [[p_0 - p_2 p_6, p_1 - p_2 p_7],
         [p_3 - p_5 p_6, p_4 - p_5 p_7]]
"""

from __future__ import annotations

import numpy as np

import npstn.functional as F
from npstn.autograd import Tensor
from npstn.transformers.affine import describe_affine
from npstn.transformers.base import Transformer

LAST_ENTRY = np.array([0, 0, 0, 0, 0, 0, 0, 0, 1])


class Projective(Transformer):
    """Any projective map: what a camera sees of a plane.

    >>> tilted = np.array([[1, 0, 0, 0, 1, 0, 0.2, 0]])
    >>> {name: values.item() for name, values in Projective().describe(tilted, (21, 21)).items() if values.item()}
    {'scale': 1.0, 'tilt_x': 0.2}
    """

    name = "projective"
    identity = np.array([1, 0, 0, 0, 1, 0, 0, 0], np.float32)
    parameter_names = "p_0", "p_1", "p_2", "p_3", "p_4", "p_5", "p_6", "p_7"

    def grid(self, parameters: Tensor, size: tuple[int, int]) -> Tensor:
        entries = parameters @ np.eye(8, 9, dtype=parameters.dtype) + LAST_ENTRY
        return F.projective_grid(entries.reshape(len(parameters), 3, 3), size)

    def describe(self, parameters: np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
        p = parameters.T
        A = np.stack([p[0] - p[2] * p[6], p[1] - p[2] * p[7], p[3] - p[5] * p[6], p[4] - p[5] * p[7]], axis=1)
        found = describe_affine(A.reshape(-1, 2, 2), np.stack([p[2], p[5]], axis=1), size)
        return {**found, "tilt_x": p[6], "tilt_y": p[7]}
