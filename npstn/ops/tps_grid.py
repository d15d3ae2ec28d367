"""The spline grid generator: a thin-plate spline through control points tells where each output pixel looks.

    b          a sample of the batch
    k          a control point, 0 .. K-1
    p          an output pixel, 0 .. h w - 1: row p // w, column p % w, at z_p in normalised coordinates
    c_k        a control point in the output, (x, y) normalised: fixed
    points     (B, K, 2), where each control point looks in the input, (x, y) normalised
    G (B, h, w, 2) with (x, y) last: normalised coordinates in the input
    U(r) = r^2 ln r, with U(0) = 0: the radial function; w_k and a_0, a_1, a_2: the spline's coefficients

Of all maps f that take each c_k to its point, the spline bends least (the integral of its squared second derivatives is
smallest). For each of the two coordinates it is

    f(z) = a_0 + a_1 x + a_2 y + sum_k w_k U(|z - c_k|)      with sum_k w_k = 0 and sum_k w_k c_k = 0

The coefficients solve a linear system, whose matrix L depends on the control points alone:

    L = [ U(|c_k - c_l|)   1  c_k ]        L [w; a] = [points; 0]
        [ 1, c_l           0   0  ]

so f at all output pixels is linear in the points. With Phi (h w, K + 3) the rows (U(|z_p - c_k|), 1, z_p):

    M = Phi L^-1, its first K columns        G[b, p] = sum_k M[p, k] points[b, k]

M is solved once for each size, in float64, and kept. The backward pass is its transpose, with dG = ∂loss/∂G:

    dpoints[b, k] = sum_p M[p, k] dG[b, p]

The kernels have the transpose of M, in which neighbouring pixels are neighbours: so the loops over p go through vector
registers.

The rows of M sum to 1, and M c = z: points that are an affine map of the control points give that affine map.
With align_corners -1 and 1 are the centres of the corner pixels, and a single row or column lies at 0, the middle.

Source: Bookstein 1989, "Principal warps"; its use here: Jaderberg et al. 2015, section 3.2.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from npstn.autograd import Context, Function, Tensor
from npstn.backend.compiler import kernel
from npstn.backend.parallel import share_out
from npstn.ops.affine_grid import PIECE, normalised_coordinates
from npstn.ops.arguments import check_floats, check_shape, contiguous, output_size, rows

LEAST_SPREAD = 1e-6  # of the control points across the line that fits them best, relative to that along it
FARTHEST = 1e3  # outside of 1/1000 to 1000 the two units in L, r^2 ln r and x, differ too much for float64


def radial(z: np.ndarray, c: np.ndarray) -> np.ndarray:
    """U(|z_p - c_k|), (P, K), for z (P, 2) and c (K, 2)."""
    r2 = ((z[:, None] - c) ** 2).sum(axis=2)
    return np.where(r2 > 0, r2 * np.log(np.where(r2 > 0, r2, 1)) / 2, 0)  # r^2 ln r = r^2 ln(r^2) / 2


def check_control_points(c: np.ndarray) -> None:
    """Raise ValueError where no spline goes through control points (K, 2), or none that rounding leaves intact."""
    if c.ndim != 2 or c.shape[1] != 2 or len(c) < 3 or not np.isfinite(c).all():
        raise ValueError(
            f"tps_grid: expected control_points of shape (K, 2), finite, K at least 3, got {np.shape(c)}"
            + (" with NaN or infinity" if c.ndim == 2 and not np.isfinite(c).all() else "")
        )
    farthest, spread = np.abs(c).max(), np.ptp(c, axis=0).max()
    if farthest > FARTHEST or 0 < spread < 1 / FARTHEST:
        raise ValueError(
            f"tps_grid: expected normalised control_points, at most {FARTHEST:g} from 0 and spread over at least "
            f"{1 / FARTHEST:g}, got points {farthest:g} from 0, spread over {spread:g}"
        )
    along, across = np.linalg.svd(c - c.mean(axis=0), compute_uv=False)
    if not across > LEAST_SPREAD * along:
        raise ValueError("tps_grid: expected control_points that do not all lie on one line, got points that do")
    distance = np.linalg.norm(c[:, None] - c, axis=2) + np.diag(np.full(len(c), np.inf))
    k, l = np.unravel_index(distance.argmin(), distance.shape)
    if not distance[k, l] > LEAST_SPREAD * along:
        raise ValueError(f"tps_grid: expected control_points that all differ, got points {k} and {l} at one place")


@functools.lru_cache(maxsize=64)
def coefficients(control_points: bytes) -> np.ndarray:
    """The first K columns of L^-1, (K + 3, K): from the points of one coordinate to the spline's w and a.

    Args:
        control_points: (K, 2), as the bytes of their float64.
    """
    from scipy.linalg import solve

    c = np.frombuffer(control_points).reshape(-1, 2)
    check_control_points(c)
    K = len(c)
    L = np.zeros((K + 3, K + 3))
    L[:K, :K] = radial(c, c)
    L[:K, K], L[:K, K + 1 :] = 1, c
    L[K:, :K] = L[:K, K:].T
    return solve(L, np.eye(K + 3, K), assume_a="sym")


@functools.lru_cache(maxsize=64)  # a training loop asks for the same one at each step
def spline_matrix(control_points: bytes, h: int, w: int, dtype: np.dtype) -> np.ndarray:
    """The transpose of M (K, h w), rounded once, from float64. Args: the control points as for `coefficients`."""
    solved = coefficients(control_points)  # refuses what makes no spline
    y, x = np.meshgrid(*(normalised_coordinates(n, True, np.dtype(np.float64)) for n in (h, w)), indexing="ij")
    z = np.stack([x.ravel(), y.ravel()], axis=1)  # (P, 2)
    c = np.frombuffer(control_points).reshape(-1, 2)
    Phi = np.concatenate([radial(z, c), np.ones((len(z), 1)), z], axis=1)  # (P, K + 3)
    return np.ascontiguousarray((Phi @ solved).T, dtype)


@kernel
def tps_grid_forward(first, end, points, M, G):
    """G (B, 2 h w) of the samples first .. end-1."""
    K, count = M.shape
    all_x, all_y, next_ = np.empty(PIECE, M.dtype), np.empty(PIECE, M.dtype), np.uintp(1)
    for start in range(0, count, PIECE):
        stop = min(start + PIECE, count)
        x, y = all_x[: stop - start], all_y[: stop - start]
        for b in range(first, end):
            x[:], y[:] = 0, 0
            for k in range(K):
                # sum_k M[p, k] points[b, k]
                M_k, point_x, point_y = M[k, start:stop], points[b, k, 0], points[b, k, 1]
                for p in range(x.size):
                    x[p] += M_k[p] * point_x
                    y[p] += M_k[p] * point_y
            G_b = G[b, 2 * start : 2 * stop]
            for p in range(np.uintp(x.size)):  # unsigned: Numba need not look for indices counted from the end
                G_b[p + p], G_b[p + p + next_] = x[p], y[p]


@kernel(fastmath={"reassoc", "contract"})  # sums of several numbers at once, added up at the end
def tps_grid_backward(first, end, dG, M, dpoints):
    """dpoints (B, K, 2) of the samples first .. end-1, from dG (B, 2 h w)."""
    K, count = M.shape
    all_x, all_y, next_ = np.empty(PIECE, M.dtype), np.empty(PIECE, M.dtype), np.uintp(1)
    dpoints[first:end] = 0
    for start in range(0, count, PIECE):
        stop = min(start + PIECE, count)
        x, y = all_x[: stop - start], all_y[: stop - start]
        for b in range(first, end):
            dG_b = dG[b, 2 * start : 2 * stop]
            for p in range(np.uintp(x.size)):  # unsigned, as above
                x[p], y[p] = dG_b[p + p], dG_b[p + p + next_]
            for k in range(K):
                # sum_p M[p, k] dG[b, p]
                M_k, dx, dy = M[k, start:stop], M.dtype.type(0), M.dtype.type(0)
                for p in range(x.size):
                    dx += M_k[p] * x[p]
                    dy += M_k[p] * y[p]
                dpoints[b, k, 0] += dx
                dpoints[b, k, 1] += dy


class TpsGrid(Function):
    gives_new_arrays = True

    @staticmethod
    def forward(ctx: Context, points: np.ndarray, control_points: np.ndarray, size: Any) -> np.ndarray:
        check_floats("tps_grid", points=points)
        if ctx.needs_input_grad[1]:
            expected = "expected control_points that do not require grad, as they have no gradient"
            raise ValueError(f"tps_grid: {expected}, got some that do: give control_points.detach()")
        try:
            c = np.asarray(control_points)
            if c.dtype.kind not in "biuf":
                raise TypeError
            c = np.array(c, np.float64, order="C")
        except (TypeError, ValueError):
            got = type(control_points).__name__
            raise TypeError(f"tps_grid: expected control_points to be a (K, 2) array of numbers, got {got}") from None
        h, w = output_size("tps_grid", size)
        if c.ndim != 2 or c.shape[1] != 2:
            check_control_points(c)
        check_shape("tps_grid", "points", points, f"B, {len(c)}, 2")
        M = spline_matrix(c.tobytes(), h, w, points.dtype)
        ctx.save_for_backward(M)
        G = np.empty((len(points), h, w, 2), points.dtype)
        share_out(tps_grid_forward, len(G), contiguous(points), M, rows(G), work=G.size * len(c) / 20)  # ns
        return G

    @staticmethod
    def backward(ctx: Context, dG: np.ndarray) -> Any:
        (M,) = ctx.saved
        dpoints = np.empty((len(dG), len(M), 2), dG.dtype)
        share_out(tps_grid_backward, len(dG), rows(contiguous(dG)), M, dpoints, work=dG.size * len(M) / 20)
        return dpoints, None, None


def tps_grid(points: Tensor, control_points: np.ndarray, size: tuple[int, int]) -> Tensor:
    """The sampling grid of thin-plate splines; linear in `points`.

    Args:
        points: (B, K, 2), where each control point looks in the input, (x, y) normalised.
        control_points: (K, 2), where the control points are in the output, (x, y) normalised; K at least 3.
        size: rows and columns of the output in pixels, (h, w), each at least 1.

    Returns the grid (B, h, w, 2) of (x, y), normalised: -1 and 1 are the centres of the corner pixels (align_corners);
    in the dtype of the points. Raises TypeError for dtypes other than float32 and float64, ValueError for other shapes
    and sizes, for control points that lie on one line or at one place, and for such that require a gradient.

    >>> corners = np.array([[-1.0, -1], [1, -1], [-1, 1], [1, 1]])
    >>> halved = Tensor(corners[None] / 2 + 0.25)
    >>> tps_grid(halved, corners, (1, 3)).data[..., 0].round(6).tolist()
    [[[-0.25, 0.25, 0.75]]]
    """
    return TpsGrid.apply(points, control_points, size)
