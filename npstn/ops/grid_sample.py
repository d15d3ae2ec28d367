"""The sampler: reads an image at the points of a grid (the paper's eq. 3-7).

    b, c       a sample of the batch, a channel
    n, m       row and column in the input, 0 .. H-1, 0 .. W-1 (pixels)
    p          an output pixel, 0 .. h w - 1: row p // w, column p % w
    g          a coordinate of the grid, normalised: -1 .. 1 over the image
    x, y       the same point in the input, in pixels: (0, 0) is the centre of the first pixel
    U (B, C, H, W)   G (B, h, w, 2) with (x, y) last   V (B, C, h, w)

1. From normalised to pixels, a factor that the paper leaves out (size is W for x, H for y):

    x = (g + 1) (W - 1) / 2        dx/dg = (W - 1) / 2      align_corners: -1 and 1 are the corner pixels' centres
    x = (g + 1) W / 2 - 1/2        dx/dg = W / 2            else: they are the image's outer edges

2. A point outside, by padding_mode: "zeros" leaves x alone, and the image is 0 outside; "border" moves x to the nearest
   pixel, where dx/dg = 0; "reflection" mirrors x at -1 and 1 until it is inside, which may turn the sign of dx/dg.

3. The bilinear sampler, eq. 5. Every pixel pulls with the weight of a tent one pixel wide:

    V[b, c, p] = sum_{n, m} U[b, c, n, m] max(0, 1 - |x - m|) max(0, 1 - |y - n|)

   Only four tents reach the point: with m = floor(x), n = floor(y), and the fractions fx = x - m, fy = y - n,

    V[b, c, p] = (1 - fy) ((1 - fx) U[n, m] + fx U[n, m+1]) + fy ((1 - fx) U[n+1, m] + fx U[n+1, m+1])

By the chain rule, with dV = d loss / d V:

    eq. 6   dU[b, c, n, m] += dV[b, c, p] (1 - fx)(1 - fy), and the other three pixels with their own weights:
            the sum runs over the output pixels p that read this input pixel, a scatter-add
    eq. 7   dx = sum_c dV[b, c, p] ((1 - fy) (U[n, m+1] - U[n, m]) + fy (U[n+1, m+1] - U[n+1, m]))
            dy = sum_c dV[b, c, p] ((1 - fx) (U[n+1, m] - U[n, m]) + fx (U[n+1, m+1] - U[n, m+1]))
            dG[b, p] = (dx dx/dg_x, dy dy/dg_y)

Where x is an integer the tents have a kink; floor and floor + 1 give the right-hand derivative. "nearest" (eq. 4) reads
the one pixel at (round(y), round(x)), halves to the even one: dG = 0.

Not-a-number: a NaN coordinate gives V = NaN, dG = NaN and touches no dU. So does an infinite one, except that "border"
moves it to the border like any other that is outside. A huge finite one is outside and nothing else: whether a point is
inside is decided in floating point, and only then do its coordinates become integers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from npstn.autograd import Context, Function, Tensor
from npstn.ops.checks import check_floats, check_shape, contiguous
from npstn.runtime import kernel

RUNS = 16  # at most so many runs of samples, each with one set of buffers
MODES = ("bilinear", "nearest")
PADDINGS = ("zeros", "border", "reflection")
BILINEAR, NEAREST = range(2)
ZEROS, BORDER, REFLECTION = range(3)


@kernel
def to_pixels(g, size, padding, align_corners, x, slope):
    """Steps 1 and 2 for one axis: x[p], and slope[p] = dx/dg, of every point."""
    real = x.dtype.type  # beside a float32, the literals 1 and 0.5 would turn the arithmetic into float64's
    zero, one, half, last = real(0), real(1), real(0.5), real(size - 1)
    scale, edge = (last * half, zero) if align_corners else (real(size) * half, half)
    for p in range(g.size):
        x[p] = (g[p] + one) * scale - edge
        slope[p] = scale
    if padding == REFLECTION:
        low, span = -edge, last + edge + edge  # the mirrors stand at low and at low + span
        for p in range(g.size):
            distance = abs(x[p] - low)
            rest = np.fmod(distance, span) if span > zero else distance * zero
            turned = x[p] < low
            if span > zero and np.fmod(np.floor(distance / span), real(2)) == one:
                rest, turned = span - rest, not turned
            x[p] = low + rest
            if turned:
                slope[p] = -slope[p]
    if padding != ZEROS:  # the mirrors at the outer edge leave a point up to half a pixel beyond the border
        for p in range(g.size):
            if x[p] <= zero:
                x[p], slope[p] = zero, zero
            elif x[p] >= last:
                x[p], slope[p] = last, zero


@kernel
def locate(G, H, W, mode, padding, align_corners, offset, fx, fy, slope_x, slope_y):
    """Where each point p of one sample lies: offset[p] of pixel (n, m) in a `ringed` plane, and the fractions fx, fy.

    A point that reaches no pixel lies NOWHERE: among the zeros behind the plane. Its fractions are x - x, which is 0,
    or NaN where a coordinate is not finite; so the loops after this need no test.
    """
    real = fx.dtype.type
    x, y = fx, fy  # the fractions replace the coordinates in the same memory
    to_pixels(G[:, 0], W, padding, align_corners, x, slope_x)
    to_pixels(G[:, 1], H, padding, align_corners, y, slope_y)
    if mode == NEAREST:
        for p in range(offset.size):
            x[p], y[p] = np.rint(x[p]), np.rint(y[p])
    first = real(0) if mode == NEAREST else real(-1)
    for p in range(offset.size):
        if x[p] >= first and x[p] < real(W) and y[p] >= first and y[p] < real(H):
            m, n = np.int32(x[p]), np.int32(y[p])
            m, n = m - (real(m) > x[p]), n - (real(n) > y[p])  # the cast cuts towards 0; floor goes down
            offset[p] = (n + 1) * (W + 2) + m + 1
            fx[p], fy[p] = x[p] - real(m), y[p] - real(n)
        else:
            offset[p] = (H + 2) * (W + 2)
            fx[p] = fy[p] = (x[p] - x[p]) + (y[p] - y[p])


@kernel
def ringed(H, W, dtype):
    """A plane of zeros for an image (H, W) with a ring of one pixel round it, so that the four pixels round any point
    are there, and with zeros behind it, that NOWHERE and its neighbours are. Flat; pixel (n, m) is (n+1) (W+2) + m+1."""
    return np.zeros((H + 2) * (W + 2) + (W + 2) + 2, dtype)


@kernel
def inside_ring(plane, H, W):
    """The part of a `ringed` plane that is the image, (H, W)."""
    return plane[: (H + 2) * (W + 2)].reshape(H + 2, W + 2)[1 : H + 1, 1 : W + 1]


@kernel(parallel=True)
def grid_sample_forward(U, G, mode, padding, align_corners, V):
    B, C, H, W = U.shape
    points = G.shape[1]
    runs = min(B, RUNS)
    for run in prange(runs):
        one = U.dtype.type(1)
        offset = np.empty(points, np.uint32)  # unsigned: Numba need not look for indices counted from the end
        fx, fy = np.empty(points, U.dtype), np.empty(points, U.dtype)
        slope_x, slope_y = np.empty(points, U.dtype), np.empty(points, U.dtype)
        plane = ringed(H, W, U.dtype)
        right, below, below_right = plane[1:], plane[W + 2 :], plane[W + 3 :]
        for b in range(run * B // runs, (run + 1) * B // runs):
            locate(G[b], H, W, mode, padding, align_corners, offset, fx, fy, slope_x, slope_y)
            for c in range(C):
                inside_ring(plane, H, W)[:] = U[b, c]
                for p in range(points):
                    o = offset[p]
                    if mode == NEAREST:
                        V[b, c, p] = plane[o] + fx[p]  # fx is 0, or NaN
                    else:
                        above = (one - fx[p]) * plane[o] + fx[p] * right[o]
                        under = (one - fx[p]) * below[o] + fx[p] * below_right[o]
                        V[b, c, p] = (one - fy[p]) * above + fy[p] * under


@kernel(parallel=True)
def grid_sample_backward_input(G, dV, mode, padding, align_corners, dU):
    B, C, H, W = dU.shape
    points = G.shape[1]
    runs = min(B, RUNS)
    for run in prange(runs):
        one = dU.dtype.type(1)
        offset = np.empty(points, np.uint32)
        fx, fy = np.empty(points, dU.dtype), np.empty(points, dU.dtype)
        slope_x, slope_y = np.empty(points, dU.dtype), np.empty(points, dU.dtype)
        plane = ringed(H, W, dU.dtype)
        right, below, below_right = plane[1:], plane[W + 2 :], plane[W + 3 :]
        for b in range(run * B // runs, (run + 1) * B // runs):
            locate(G[b], H, W, mode, padding, align_corners, offset, fx, fy, slope_x, slope_y)
            for c in range(C):
                plane[:] = 0
                for p in range(points):
                    o = offset[p]
                    if mode == NEAREST:
                        plane[o] += dV[b, c, p]
                    else:
                        above, under = (one - fy[p]) * dV[b, c, p], fy[p] * dV[b, c, p]
                        plane[o] += (one - fx[p]) * above
                        right[o] += fx[p] * above
                        below[o] += (one - fx[p]) * under
                        below_right[o] += fx[p] * under
                dU[b, c] = inside_ring(plane, H, W)


@kernel(parallel=True)
def grid_sample_backward_grid(U, G, dV, mode, padding, align_corners, dG):
    B, C, H, W = U.shape
    points = G.shape[1]
    runs = min(B, RUNS)
    for run in prange(runs):
        one = U.dtype.type(1)
        offset = np.empty(points, np.uint32)
        fx, fy = np.empty(points, U.dtype), np.empty(points, U.dtype)
        slope_x, slope_y = np.empty(points, U.dtype), np.empty(points, U.dtype)
        dx, dy = np.empty(points, U.dtype), np.empty(points, U.dtype)
        plane = ringed(H, W, U.dtype)
        right, below, below_right = plane[1:], plane[W + 2 :], plane[W + 3 :]
        for b in range(run * B // runs, (run + 1) * B // runs):
            locate(G[b], H, W, mode, padding, align_corners, offset, fx, fy, slope_x, slope_y)
            if mode == NEAREST:
                dG[b, :, 0] = fx  # 0, or NaN
                dG[b, :, 1] = fx
                continue
            dx[:] = 0
            dy[:] = 0
            for c in range(C):
                inside_ring(plane, H, W)[:] = U[b, c]
                for p in range(points):
                    o = offset[p]
                    u00, u01, u10, u11 = plane[o], right[o], below[o], below_right[o]
                    dx[p] += dV[b, c, p] * ((one - fy[p]) * (u01 - u00) + fy[p] * (u11 - u10))
                    dy[p] += dV[b, c, p] * ((one - fx[p]) * (u10 - u00) + fx[p] * (u11 - u01))
            for p in range(points):
                dG[b, p, 0], dG[b, p, 1] = dx[p] * slope_x[p], dy[p] * slope_y[p]


class GridSample(Function):
    @staticmethod
    def forward(ctx: Context, U: Any, G: Any, mode: str, padding_mode: str, align_corners: bool) -> np.ndarray:
        check_floats("grid_sample", input=U, grid=G)
        check_shape("grid_sample", "input", U, "B, C, H, W")
        check_shape("grid_sample", "grid", G, f"{len(U)}, h, w, 2")
        if mode not in MODES:
            raise ValueError(f"grid_sample: expected mode to be one of {', '.join(MODES)}, got {mode!r}")
        if padding_mode not in PADDINGS:
            raise ValueError(f"grid_sample: expected padding_mode to be one of {', '.join(PADDINGS)}, got {padding_mode!r}")
        if U.shape[2] < 1 or U.shape[3] < 1:
            raise ValueError(f"grid_sample: expected images of at least one pixel, got shape {U.shape}")
        B, h, w, _ = G.shape
        U, points = contiguous(U), contiguous(G).reshape(B, h * w, 2)
        ctx.save_for_backward(U, points)
        ctx.options = MODES.index(mode), PADDINGS.index(padding_mode), bool(align_corners)
        V = np.empty((B, U.shape[1], h * w), U.dtype)
        grid_sample_forward(U, points, *ctx.options, V)
        return V.reshape(B, U.shape[1], h, w)

    @staticmethod
    def backward(ctx: Context, dV: np.ndarray) -> Any:
        U, points = ctx.saved
        need_U, need_G, *_ = ctx.needs_input_grad
        B, C, h, w = dV.shape
        dV = contiguous(dV).reshape(B, C, h * w)
        dU = dG = None
        if need_U:
            dU = np.empty_like(U)
            grid_sample_backward_input(points, dV, *ctx.options, dU)
        if need_G:
            dG = np.empty_like(points)
            grid_sample_backward_grid(U, points, dV, *ctx.options, dG)
            dG = dG.reshape(B, h, w, 2)
        return dU, dG, None, None, None


def grid_sample(
    input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool = False
) -> Tensor:
    """Read an image at the points of a grid.

    Args:
        input: (B, C, H, W) images or feature maps.
        grid: (B, h, w, 2) of (x, y), normalised: -1 .. 1 over the image; h and w may differ from H and W.
        mode: "bilinear", or "nearest".
        padding_mode: what lies outside: "zeros", the "border" pixels, or a "reflection".
        align_corners: whether -1 and 1 are the centres of the corner pixels, or the image's outer edges.

    Returns (B, C, h, w) in the inputs' dtype. Raises TypeError for dtypes other than one of float32 and float64,
    ValueError for shapes that do not fit, an image without pixels, an unknown mode or padding_mode.
    A NaN or infinite coordinate gives NaN (with "border" an infinite one the border), and its gradient touches no pixel.

    >>> image = Tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    >>> centre = Tensor([[[[0.0, 0.0]]]])
    >>> grid_sample(image, centre, align_corners=True).item()
    2.5
    """
    return GridSample.apply(input, grid, mode, padding_mode, align_corners)
