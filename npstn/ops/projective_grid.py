"""The projective grid generator: where each output pixel looks in the input under a homography.

    b          a sample of the batch
    i, j       row and column in the output, 0 .. h-1, 0 .. w-1 (pixels)
    x_j, y_i   the same place in normalised coordinates: x_j = 2 j / (w - 1) - 1, y_i = 2 i / (h - 1) - 1
    theta (B, 3, 3)   G (B, h, w, 2) with (x, y) last: normalised coordinates in the input
    q          the homogeneous coordinates of a point of the grid, three numbers

    q_r = theta_r0 x_j + theta_r1 y_i + theta_r2          for r = 0, 1, 2
    G[b, i, j] = (q_0 / q_2, q_1 / q_2)

By the quotient rule, with dG = ∂loss/∂G:

    dq_0 = dG_x / q_2      dq_1 = dG_y / q_2      dq_2 = -(dG_x G_x + dG_y G_y) / q_2

and since q is linear in theta, the chain rule sums over the output pixels:

    dtheta_r0 = sum_{i, j} dq_r x_j      dtheta_r1 = sum_{i, j} dq_r y_i      dtheta_r2 = sum_{i, j} dq_r

Theta and any multiple of it give the same grid. Where q_2 = 0, on the horizon of the map, G is infinite or NaN, and
the sampler treats it as such; next to the horizon G is far away, and finite. With align_corners -1 and 1 are the
centres of the corner pixels, and a single row or column lies at 0, the middle, as for `affine_grid`.

Source: Hartley and Zisserman, Multiple View Geometry, section 2.3; its use here: Jaderberg et al. 2015, section 3.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npstn.autograd import Context, Function, Tensor
from npstn.backend.compiler import kernel
from npstn.backend.parallel import share_out
from npstn.ops.affine_grid import normalised_coordinates
from npstn.ops.arguments import check_floats, check_shape, contiguous, output_size


@kernel
def homogeneous(theta, x, y):
    """q of one point, for one sample's theta (3, 3)."""
    q_0 = theta[0, 0] * x + theta[0, 1] * y + theta[0, 2]
    q_1 = theta[1, 0] * x + theta[1, 1] * y + theta[1, 2]
    q_2 = theta[2, 0] * x + theta[2, 1] * y + theta[2, 2]
    return q_0, q_1, q_2


@kernel
def projective_grid_forward(first, end, theta, x, y, G):
    """G of the samples first .. end-1."""
    _, h, w, _ = G.shape
    for b in range(first, end):
        for i in range(h):
            for j in range(w):
                q_0, q_1, q_2 = homogeneous(theta[b], x[j], y[i])
                G[b, i, j, 0] = q_0 / q_2
                G[b, i, j, 1] = q_1 / q_2


@kernel
def projective_grid_backward(first, end, dG, theta, x, y, dtheta):
    """dtheta of the samples first .. end-1."""
    _, h, w, _ = dG.shape
    zero = dG.dtype.type(0)
    for b in range(first, end):
        for r in range(3):
            for k in range(3):
                dtheta[b, r, k] = zero
        for i in range(h):
            # Row by row: y_i is one number there, and sums of short sums lose fewer digits than one long one.
            along_x, along_1 = np.zeros(3, dG.dtype), np.zeros(3, dG.dtype)
            for j in range(w):
                q_0, q_1, q_2 = homogeneous(theta[b], x[j], y[i])
                dG_x, dG_y = dG[b, i, j, 0], dG[b, i, j, 1]
                dq = dG_x / q_2, dG_y / q_2, -(dG_x * (q_0 / q_2) + dG_y * (q_1 / q_2)) / q_2
                for r in range(3):
                    along_x[r] += dq[r] * x[j]
                    along_1[r] += dq[r]
            for r in range(3):
                dtheta[b, r, 0] += along_x[r]
                dtheta[b, r, 1] += along_1[r] * y[i]
                dtheta[b, r, 2] += along_1[r]


class ProjectiveGrid(Function):
    gives_new_arrays = True
    keeps = ("theta", "x", "y")

    @staticmethod
    def forward(ctx: Context, theta: np.ndarray, size: Any) -> np.ndarray:
        check_floats("projective_grid", theta=theta)
        check_shape("projective_grid", "theta", theta, "B, 3, 3")
        h, w = output_size("projective_grid", size)
        x, y = (normalised_coordinates(n, True, theta.dtype) for n in (w, h))
        theta = contiguous(theta)
        ctx.save_for_backward(theta, x, y)
        G = np.empty((len(theta), h, w, 2), theta.dtype)
        share_out(projective_grid_forward, len(G), theta, x, y, G, work=2 * G.size)  # ns
        return G

    @staticmethod
    def backward(ctx: Context, dG: np.ndarray) -> Any:
        theta, x, y = ctx.saved
        dtheta = np.empty_like(theta)
        share_out(projective_grid_backward, len(dG), contiguous(dG), theta, x, y, dtheta, work=4 * dG.size)
        return dtheta, None


def projective_grid(theta: Tensor, size: tuple[int, int]) -> Tensor:
    """The sampling grid of projective maps.

    Args:
        theta: (B, 3, 3), from normalised output coordinates (x, y, 1) to homogeneous input coordinates.
        size: rows and columns of the output in pixels, (h, w), each at least 1.

    Returns the grid (B, h, w, 2) of (x, y), normalised: -1 and 1 are the centres of the corner pixels (align_corners);
    in theta's dtype. On the map's horizon the grid is infinite or NaN. Raises TypeError for dtypes other than float32
    and float64, ValueError for other shapes and sizes.

    >>> tilt = Tensor([[[1.0, 0, 0], [0, 1, 0], [0.5, 0, 1]]])
    >>> projective_grid(tilt, (1, 3)).data.tolist()
    [[[[-2.0, 0.0], [0.0, 0.0], [0.6666666865348816, 0.0]]]]
    """
    return ProjectiveGrid.apply(theta, size)
