"""The grid generator: where each output pixel looks in the input (the paper's T_theta(G), eq. 1).

    b          a sample of the batch
    i, j       row and column in the output, 0 .. h-1, 0 .. w-1 (pixels)
    x_j, y_i   the same place in normalised coordinates: -1 .. 1 over the output, x to the right, y down
    theta (B, 2, 3)   G (B, h, w, 2) with (x, y) last: normalised coordinates in the input

    G[b, i, j, 0] = theta_00 x_j + theta_01 y_i + theta_02
    G[b, i, j, 1] = theta_10 x_j + theta_11 y_i + theta_12

    x_j = 2 j / (w - 1) - 1      with align_corners: -1 and 1 are the centres of the corner pixels
    x_j = (2 j + 1) / w - 1      without: they are the outer edges of the corner pixels; y_i with h alike

G is linear in theta, so the chain rule sums over the output pixels:

    dtheta_r0 = sum_{i, j} dG[b, i, j, r] x_j      dtheta_r1 = sum_{i, j} dG[b, i, j, r] y_i
    dtheta_r2 = sum_{i, j} dG[b, i, j, r]          for r = 0 (x) and r = 1 (y)

With align_corners a single row or column lies at 0, the middle, as in PyTorch. Volumes: `affine_grid_3d.py`.
"""

from __future__ import annotations

import functools
import math
import operator
from typing import Any

import numpy as np

from npstn.autograd import Context, Function, Tensor
from npstn.backend.compiler import kernel
from npstn.backend.parallel import share_out
from npstn.messages import one_line
from npstn.ops.affine_grid_3d import AffineGrid3d
from npstn.ops.arguments import MOST, array_of, check_floats, check_shape, contiguous, rows

PIECE = 1024  # pixels at a time: short sums, and numbers that stay in the nearest cache


@functools.lru_cache(maxsize=64)  # a training loop asks for the same ones at each step
def normalised_coordinates(n: int, align_corners: bool, dtype: np.dtype) -> np.ndarray:
    """x_j for j = 0 .. n-1: rounded once, from float64. They are for everybody, and cannot be written to."""
    j = np.arange(n, dtype=np.float64)
    x = (2 * j + 1) / n - 1 if not align_corners else 2 * j / (n - 1) - 1 if n > 1 else 0 * j
    x = x.astype(dtype)
    x.setflags(write=False)
    return x


@kernel
def of_pixels(x, y):
    """x_j and y_i of each output pixel p, two arrays (h w): so that one loop is long, where those of rows are short."""
    h, w = y.size, x.size
    x_p, y_p = np.empty(h * w, x.dtype), np.empty(h * w, x.dtype)
    for i in range(h):
        for j in range(w):
            x_p[i * w + j], y_p[i * w + j] = x[j], y[i]
    return x_p, y_p


@kernel
def affine_grid_forward(first, end, theta, x, y, G):
    """G (B, 2 h w) of the samples first .. end-1."""
    next_, (x_p, y_p) = np.uintp(1), of_pixels(x, y)
    for b in range(first, end):
        theta_00, theta_01, theta_02 = theta[b, 0, 0], theta[b, 0, 1], theta[b, 0, 2]
        theta_10, theta_11, theta_12 = theta[b, 1, 0], theta[b, 1, 1], theta[b, 1, 2]
        G_b = G[b]
        for p in range(np.uintp(x_p.size)):  # unsigned: Numba need not look for indices counted from the end
            G_b[p + p] = theta_00 * x_p[p] + theta_01 * y_p[p] + theta_02
            G_b[p + p + next_] = theta_10 * x_p[p] + theta_11 * y_p[p] + theta_12


@kernel(fastmath={"reassoc", "contract"})  # sums of several numbers at once, added up at the end
def affine_grid_backward(first, end, dG, x, y, dtheta):
    """dtheta of the samples first .. end-1, from dG (B, 2 h w)."""
    next_, zero, (x_p, y_p) = np.uintp(1), x.dtype.type(0), of_pixels(x, y)
    for b in range(first, end):
        dG_b, dtheta_b = dG[b], dtheta[b]
        dtheta_b[:] = 0
        for start in range(0, x_p.size, PIECE):  # sums of short sums lose fewer digits than one long one
            d_00 = d_01 = d_02 = d_10 = d_11 = d_12 = zero
            for p in range(np.uintp(start), np.uintp(min(start + PIECE, x_p.size))):
                dG_0, dG_1 = dG_b[p + p], dG_b[p + p + next_]
                # dtheta_r0 = sum_p dG_r x_p, dtheta_r1 = sum_p dG_r y_p, dtheta_r2 = sum_p dG_r
                d_00, d_01, d_02 = d_00 + dG_0 * x_p[p], d_01 + dG_0 * y_p[p], d_02 + dG_0
                d_10, d_11, d_12 = d_10 + dG_1 * x_p[p], d_11 + dG_1 * y_p[p], d_12 + dG_1
            dtheta_b[0, 0] += d_00
            dtheta_b[0, 1] += d_01
            dtheta_b[0, 2] += d_02
            dtheta_b[1, 0] += d_10
            dtheta_b[1, 1] += d_11
            dtheta_b[1, 2] += d_12


class AffineGrid(Function):
    """`affine_grid` of theta (B, 2, 3); the public function checks the arguments."""

    gives_new_arrays = True

    @staticmethod
    def forward(ctx: Context, theta: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        ctx.save_for_backward(x, y)
        G = np.empty((len(theta), y.size, x.size, 2), theta.dtype)
        share_out(affine_grid_forward, len(theta), contiguous(theta), x, y, rows(G), work=G.size // 16)  # ns
        return G

    @staticmethod
    def backward(ctx: Context, dG: np.ndarray) -> Any:
        x, y = ctx.saved
        dtheta = np.empty((len(dG), 2, 3), dG.dtype)
        share_out(affine_grid_backward, len(dG), rows(contiguous(dG)), x, y, dtheta, work=dG.size // 8)
        return dtheta, None, None


def affine_grid(theta: Tensor, size: tuple[int, ...], align_corners: bool = False) -> Tensor:
    """The sampling grid of affine maps, of images or of volumes.

    Args:
        theta: (B, 2, 3), from normalised output coordinates (x, y, 1) to normalised input coordinates (x, y); or
            (B, 3, 4), from (x, y, z, 1) to (x, y, z).
        size: (B, C, h, w) or (B, C, d, h, w), the size of the output; C is not used.
        align_corners: whether -1 and 1 are the centres of the corner pixels, or the image's outer edges.

    Returns the grid (B, h, w, 2) of (x, y), or (B, d, h, w, 3) of (x, y, z), normalised, in theta's dtype. A single
    row, column or slice lies at 0, the middle, under both conventions: other libraries read the top, the bottom or NaN
    there with align_corners (see docs/elsewhere.md). Raises TypeError for dtypes other than float32 and float64,
    ValueError for other shapes.

    >>> affine_grid(Tensor([[[1, 0, 0], [0, 1, 0]]]), (1, 1, 1, 2), align_corners=True).data.tolist()
    [[[[-1.0, 0.0], [1.0, 0.0]]]]
    """
    array = array_of(theta)
    check_floats("affine_grid", theta=array)
    try:
        sizes = tuple(operator.index(n) for n in size)
    except TypeError:
        sizes = ()
    volume = len(sizes) == 5
    check_shape("affine_grid", "theta", array, "B, 3, 4" if volume else "B, 2, 3")
    B, (B_of_size, _, *extents) = len(array), sizes if len(sizes) in (4, 5) else (-1, 1)
    if B != B_of_size or min(extents) < 1:
        expected = f"({B}, C, d, h, w) with d, h and w" if volume else f"({B}, C, h, w) with h and w"
        raise ValueError(f"affine_grid: expected size {expected} at least 1, got {one_line(size)}")
    if math.prod(extents) >= MOST:
        raise ValueError(f"affine_grid: expected size of fewer than 2^31 pixels, got {one_line(size)}")
    coordinates = [normalised_coordinates(n, bool(align_corners), array.dtype) for n in reversed(extents)]
    return (AffineGrid3d if volume else AffineGrid).apply(theta, *coordinates)
