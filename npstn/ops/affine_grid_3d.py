"""The grid generator of volumes: where each output voxel looks in the input (the paper's eq. 1, one axis more).

    b              a sample of the batch
    k, i, j        slice, row and column in the output, 0 .. d-1, 0 .. h-1, 0 .. w-1 (voxels)
    x_j, y_i, z_k  the same place in normalised coordinates: -1 .. 1 over the output, x along a row, y from row to row,
                   z from slice to slice, each computed as in `affine_grid.py`
    r              a coordinate in the input: 0 for x, 1 for y, 2 for z
    theta (B, 3, 4)   G (B, d, h, w, 3) with (x, y, z) last: normalised coordinates in the input

    G[b, k, i, j, r] = theta_r0 x_j + theta_r1 y_i + theta_r2 z_k + theta_r3

G is linear in theta, so the chain rule sums over the output voxels:

    dtheta_r0 = sum_{k, i, j} dG[b, k, i, j, r] x_j      dtheta_r1 = sum_{k, i, j} dG[b, k, i, j, r] y_i
    dtheta_r2 = sum_{k, i, j} dG[b, k, i, j, r] z_k      dtheta_r3 = sum_{k, i, j} dG[b, k, i, j, r]
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npstn.autograd import Context, Function
from npstn.backend.compiler import kernel
from npstn.backend.parallel import share_out
from npstn.ops.arguments import contiguous


@kernel
def affine_grid_3d_forward(first, end, theta, x, y, z, G):
    """G of the samples first .. end-1."""
    for b in range(first, end):
        for k in range(z.size):
            for i in range(y.size):
                for j in range(x.size):
                    for r in range(3):
                        along_row = theta[b, r, 0] * x[j] + theta[b, r, 1] * y[i]
                        G[b, k, i, j, r] = along_row + theta[b, r, 2] * z[k] + theta[b, r, 3]


@kernel
def affine_grid_3d_backward(first, end, dG, x, y, z, dtheta):
    """dtheta of the samples first .. end-1."""
    zero = dG.dtype.type(0)
    for b in range(first, end):
        for r in range(3):
            dtheta[b, r, 0] = dtheta[b, r, 1] = dtheta[b, r, 2] = dtheta[b, r, 3] = zero
            for k in range(z.size):
                # A sum for each row and each slice: sums of short sums lose fewer digits than one long one.
                slice_x, slice_y, slice_1 = zero, zero, zero
                for i in range(y.size):
                    row_x, row_1 = zero, zero
                    for j in range(x.size):
                        row_x += dG[b, k, i, j, r] * x[j]
                        row_1 += dG[b, k, i, j, r]
                    slice_x += row_x
                    slice_y += row_1 * y[i]
                    slice_1 += row_1
                dtheta[b, r, 0] += slice_x
                dtheta[b, r, 1] += slice_y
                dtheta[b, r, 2] += slice_1 * z[k]
                dtheta[b, r, 3] += slice_1


class AffineGrid3d(Function):
    """`affine_grid` of theta (B, 3, 4); the public function checks the arguments."""

    name = "affine_grid"
    gives_new_arrays = True

    @staticmethod
    def forward(ctx: Context, theta: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        ctx.save_for_backward(x, y, z)
        G = np.empty((len(theta), z.size, y.size, x.size, 3), theta.dtype)
        share_out(affine_grid_3d_forward, len(theta), contiguous(theta), x, y, z, G, work=G.size)  # ns
        return G

    @staticmethod
    def backward(ctx: Context, dG: np.ndarray) -> Any:
        x, y, z = ctx.saved
        dtheta = np.empty((len(dG), 3, 4), dG.dtype)
        share_out(affine_grid_3d_backward, len(dG), contiguous(dG), x, y, z, dtheta, work=dG.size)
        return dtheta, None, None, None
