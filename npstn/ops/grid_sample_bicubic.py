"""The bicubic sampler: reads an image at the points of a grid with sixteen taps a point.

    b, c       a sample of the batch, a channel
    i, j       row and column in the output, 0 .. h-1, 0 .. w-1 (pixels)
    g          a coordinate of the grid, normalised: -1 .. 1 over the image
    x, y       the same point in the input, in pixels: (0, 0) is the centre of the first pixel
    k, l       a tap's row and column round the point, 0 .. 3: the rows floor(y) - 1 .. floor(y) + 2, columns alike
    n, m       row and column in the input, 0 .. H-1, 0 .. W-1 (pixels): where a tap reads
    U (B, C, H, W)   G (B, h, w, 2) with (x, y) last   V (B, C, h, w)

1. From normalised to pixels, as in `grid_sample.py`; ∂x/∂g = (W - 1) / 2 with align_corners, W / 2 without.

2. With s = x - floor(x), the tap l has the distance |l - 1 - s| from the point, and the weight kappa(distance):

    kappa(d) = (a + 2) d^3 - (a + 3) d^2 + 1            for d <= 1
             = a d^3 - 5 a d^2 + 8 a d - 4 a            for 1 < d < 2, with a = -0.75 as in PyTorch

   The weights of the four taps sum to 1, and so their derivatives to 0.

3. A tap outside of the image is padded by itself: "zeros" makes it 0, "border" takes the nearest pixel, "reflection"
   the pixel that mirrors at the image's edges (at the corner pixels' centres with align_corners) lead to.

    V[b, c, i, j] = sum_{k, l} wy_k wx_l U[b, c, n_k, m_l]

By the chain rule, with dV = ∂loss/∂V:

    dU[b, c, n_k, m_l] += dV[b, c, i, j] wy_k wx_l        a scatter-add: two taps may read the same pixel
    dx = sum_c dV[b, c, i, j] sum_{k, l} wy_k wx'_l U[b, c, n_k, m_l]      with wx' = ∂wx/∂x; dy alike with wy'
    dG[b, i, j] = (dx ∂x/∂g_x, dy ∂y/∂g_y)

kappa has a continuous derivative, so V has no kinks; its curvature jumps where x is an integer. Where a coordinate is
NaN or infinite, V and dG are NaN, and no dU is touched; except that "border" takes an infinite one for a finite one far
outside. Whether a tap is inside is decided in floating point, and only then does its place become an integer.

Source: Keys 1981, "Cubic convolution interpolation"; the paper's eq. 3 with kappa as the sampling kernel.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npstn.autograd import Context, Function
from npstn.backend.compiler import kernel
from npstn.backend.parallel import share_out
from npstn.ops import grid_sample_bicubic_fast
from npstn.ops.arguments import contiguous
from npstn.ops.grid_sample_bicubic_fast import BORDER, REFLECTION, ZEROS
from npstn.ops.reference import plain_loops

OUTSIDE = -1  # where a tap reads nothing


@kernel
def weights_and_slopes(s, w, w_slope):
    """The weights w of the four taps at the fraction s, and ∂w/∂s."""
    real = w.dtype.type
    a, one, two = real(-0.75), real(1), real(2)
    for l in range(4):
        d = abs(real(l) - one - s)
        sign = one if real(l) - one < s else -one  # ∂d/∂s
        if l == 1 or l == 2:
            w[l] = ((a + two) * d - (a + real(3))) * d * d + one
            w_slope[l] = sign * (real(3) * (a + two) * d - two * (a + real(3))) * d
        else:
            w[l] = ((a * d - real(5) * a) * d + real(8) * a) * d - real(4) * a
            w_slope[l] = sign * ((real(3) * a * d - real(10) * a) * d + real(8) * a)


@kernel
def pixel_of_tap(x, size, padding, edge):
    """The row or column that a tap at x, a whole number, reads; OUTSIDE for none."""
    zero, last = edge * 0, edge * 0 + (size - 1)
    if padding == REFLECTION:
        low, span = -edge, last + edge + edge  # the mirrors stand at low and at low + span
        distance = abs(x - low)
        rest = np.fmod(distance, span) if span > zero else zero
        if span > zero and np.fmod(np.floor(distance / span), edge * 0 + 2) != zero:
            rest = span - rest
        x = low + rest
    if padding != ZEROS:
        x = min(max(x, zero), last)
    n = np.int64(x) if x >= zero and x <= last else np.int64(OUTSIDE)
    if n >= size:  # float32 may round size - 1 up
        n = np.int64(OUTSIDE) if padding == ZEROS else np.int64(size - 1)
    return n


@kernel
def locate_taps(g, size, padding, align_corners, pixel, w, w_slope):
    """Where the four taps of a coordinate read, their weights and ∂w/∂g; False where g is not finite."""
    real = w.dtype.type
    half, one, huge = real(0.5), real(1), real(1e30)  # in pixels a coordinate must not become infinite
    scale, edge = (real(size - 1) * half, real(0)) if align_corners else (real(size) * half, half)
    if g != g or (padding != BORDER and abs(g) == np.inf):
        return False
    if padding == REFLECTION:
        g = np.fmod(g, real(4))  # exact; after 4 the mirror images repeat
    x = (min(max(g, -huge), huge) + one) * scale - edge
    first = np.floor(x)
    weights_and_slopes(x - first, w, w_slope)
    for l in range(4):
        pixel[l] = pixel_of_tap(first + real(l - 1), size, padding, edge)
        w_slope[l] *= scale
    return True


@kernel
def grid_sample_bicubic_forward(first, end, U, G, padding, align_corners, V):
    """V of the samples first .. end-1."""
    _, C, H, W = U.shape
    n, m = np.empty(4, np.int64), np.empty(4, np.int64)
    wy, wx, unused = np.empty(4, U.dtype), np.empty(4, U.dtype), np.empty(4, U.dtype)
    for b in range(first, end):
        for i in range(G.shape[1]):
            for j in range(G.shape[2]):
                finite_x = locate_taps(G[b, i, j, 0], W, padding, align_corners, m, wx, unused)
                finite_y = locate_taps(G[b, i, j, 1], H, padding, align_corners, n, wy, unused)
                for c in range(C):
                    total = U.dtype.type(0)
                    if finite_x and finite_y:
                        for k in range(4):
                            for l in range(4):
                                if n[k] != OUTSIDE and m[l] != OUTSIDE:
                                    total += wy[k] * wx[l] * U[b, c, n[k], m[l]]
                    else:
                        total = U.dtype.type(np.nan)
                    V[b, c, i, j] = total


@kernel
def grid_sample_bicubic_backward(first, end, U, G, dV, padding, align_corners, need_U, need_G, dU, dG):
    """dU and dG of the samples first .. end-1; dU is zero at first."""
    _, C, H, W = U.shape
    n, m = np.empty(4, np.int64), np.empty(4, np.int64)
    wy, wx = np.empty(4, U.dtype), np.empty(4, U.dtype)
    wy_slope, wx_slope = np.empty(4, U.dtype), np.empty(4, U.dtype)  # ∂wy/∂g_y, ∂wx/∂g_x
    for b in range(first, end):
        for i in range(G.shape[1]):
            for j in range(G.shape[2]):
                finite_x = locate_taps(G[b, i, j, 0], W, padding, align_corners, m, wx, wx_slope)
                finite_y = locate_taps(G[b, i, j, 1], H, padding, align_corners, n, wy, wy_slope)
                if not (finite_x and finite_y):
                    if need_G:
                        dG[b, i, j, 0] = dG[b, i, j, 1] = np.nan
                    continue
                dg_x = dg_y = U.dtype.type(0)
                for c in range(C):
                    for k in range(4):
                        for l in range(4):
                            if n[k] != OUTSIDE and m[l] != OUTSIDE:
                                if need_U:
                                    dU[b, c, n[k], m[l]] += dV[b, c, i, j] * wy[k] * wx[l]
                                if need_G:
                                    dg_x += dV[b, c, i, j] * wy[k] * wx_slope[l] * U[b, c, n[k], m[l]]
                                    dg_y += dV[b, c, i, j] * wy_slope[k] * wx[l] * U[b, c, n[k], m[l]]
                if need_G:
                    dG[b, i, j, 0], dG[b, i, j, 1] = dg_x, dg_y


class GridSampleBicubic(Function):
    """`grid_sample` with mode="bicubic", which checks the arguments."""

    name = "grid_sample"
    gives_new_arrays = True
    keeps = ("input", "grid")

    @staticmethod
    def forward(ctx: Context, U: np.ndarray, G: np.ndarray, padding: int, align_corners: bool) -> np.ndarray:
        U, G = contiguous(U), contiguous(G)
        ctx.save_for_backward(U, G)
        ctx.options = padding, align_corners
        V = np.empty((*U.shape[:2], *G.shape[1:3]), U.dtype)
        # The loops of the formula read the points' own pixels alone, and the others a copy of the image.
        ctx.plain_loops = plain_loops() or not grid_sample_bicubic_fast.fits(U, V)
        if ctx.plain_loops:
            share_out(grid_sample_bicubic_forward, len(V), U, G, *ctx.options, V, work=25 * V.size)  # ns
        else:
            grid_sample_bicubic_fast.forward(U, G, padding, align_corners, V)
        return V

    @staticmethod
    def backward(ctx: Context, dV: np.ndarray) -> Any:
        U, G = ctx.saved
        need_U, need_G, *_ = ctx.needs_input_grad
        dU, dG = np.zeros_like(U if need_U else U[:0]), np.empty_like(G if need_G else G[:0])
        dV = contiguous(dV)
        if ctx.plain_loops:
            given = U, G, dV, *ctx.options, need_U, need_G, dU, dG
            share_out(grid_sample_bicubic_backward, len(dV), *given, work=50 * dV.size)
        else:
            grid_sample_bicubic_fast.backward(U, G, dV, ctx.options, dU, dG)
        return dU if need_U else None, dG if need_G else None, None, None
