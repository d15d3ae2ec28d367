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
from npstn.ops.affine_grid import PIECE, normalised_coordinates, of_pixels
from npstn.ops.arguments import check_floats, check_shape, contiguous, output_size, rows


@kernel
def numbers_of(theta):
    """The nine numbers of one sample's theta (3, 3): read from memory once, and not for each pixel."""
    row_0, row_1, row_2 = theta[0], theta[1], theta[2]
    return row_0[0], row_0[1], row_0[2], row_1[0], row_1[1], row_1[2], row_2[0], row_2[1], row_2[2]


@kernel
def homogeneous(numbers, x, y):
    """q of one point, for the numbers of one theta."""
    theta_00, theta_01, theta_02, theta_10, theta_11, theta_12, theta_20, theta_21, theta_22 = numbers
    q_0 = theta_00 * x + theta_01 * y + theta_02
    q_1 = theta_10 * x + theta_11 * y + theta_12
    q_2 = theta_20 * x + theta_21 * y + theta_22
    return q_0, q_1, q_2


@kernel
def projective_grid_forward(first, end, theta, x, y, G):
    """G (B, 2 h w) of the samples first .. end-1."""
    next_, (x_p, y_p) = np.uintp(1), of_pixels(x, y)
    for b in range(first, end):
        numbers, G_b = numbers_of(theta[b]), G[b]
        for p in range(np.uintp(x_p.size)):  # unsigned: Numba need not look for indices counted from the end
            q_0, q_1, q_2 = homogeneous(numbers, x_p[p], y_p[p])
            G_b[p + p], G_b[p + p + next_] = q_0 / q_2, q_1 / q_2


@kernel
def of_quotients(dG_x, dG_y, q_0, q_1, q_2):
    """dq of one point. In the kernel below the compiler might divide dG_x q_0 by q_2, which can overflow on the way."""
    return dG_x / q_2, dG_y / q_2, -(dG_x * (q_0 / q_2) + dG_y * (q_1 / q_2)) / q_2


@kernel(fastmath={"reassoc", "contract"})  # sums of several numbers at once, added up at the end
def projective_grid_backward(first, end, dG, theta, x, y, dtheta):
    """dtheta of the samples first .. end-1, from dG (B, 2 h w)."""
    next_, zero, (x_p, y_p) = np.uintp(1), x.dtype.type(0), of_pixels(x, y)
    for b in range(first, end):
        numbers, dG_b, dtheta_b = numbers_of(theta[b]), dG[b], dtheta[b]
        dtheta_b[:] = 0
        for start in range(0, x_p.size, PIECE):  # sums of short sums lose fewer digits than one long one
            d_00 = d_01 = d_02 = d_10 = d_11 = d_12 = d_20 = d_21 = d_22 = zero
            for p in range(np.uintp(start), np.uintp(min(start + PIECE, x_p.size))):
                q_0, q_1, q_2 = homogeneous(numbers, x_p[p], y_p[p])
                dG_x, dG_y = dG_b[p + p], dG_b[p + p + next_]
                dq_0, dq_1, dq_2 = of_quotients(dG_x, dG_y, q_0, q_1, q_2)
                # dtheta_r0 = sum_p dq_r x_p, dtheta_r1 = sum_p dq_r y_p, dtheta_r2 = sum_p dq_r
                d_00, d_01, d_02 = d_00 + dq_0 * x_p[p], d_01 + dq_0 * y_p[p], d_02 + dq_0
                d_10, d_11, d_12 = d_10 + dq_1 * x_p[p], d_11 + dq_1 * y_p[p], d_12 + dq_1
                d_20, d_21, d_22 = d_20 + dq_2 * x_p[p], d_21 + dq_2 * y_p[p], d_22 + dq_2
            dtheta_b[0, 0] += d_00
            dtheta_b[0, 1] += d_01
            dtheta_b[0, 2] += d_02
            dtheta_b[1, 0] += d_10
            dtheta_b[1, 1] += d_11
            dtheta_b[1, 2] += d_12
            dtheta_b[2, 0] += d_20
            dtheta_b[2, 1] += d_21
            dtheta_b[2, 2] += d_22


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
        share_out(projective_grid_forward, len(G), theta, x, y, rows(G), work=G.size // 4)  # ns
        return G

    @staticmethod
    def backward(ctx: Context, dG: np.ndarray) -> Any:
        theta, x, y = ctx.saved
        dtheta = np.empty_like(theta)
        share_out(projective_grid_backward, len(dG), rows(contiguous(dG)), theta, x, y, dtheta, work=dG.size // 2)
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
