"""The sampler of volumes: reads a volume at the points of a grid (the paper's eq. 3-7, one axis more).

    b, c       a sample of the batch, a channel
    l, n, m    slice, row and column in the input, 0 .. D-1, 0 .. H-1, 0 .. W-1 (voxels)
    p          an output voxel, 0 .. d h w - 1, numbered slice by slice and row by row
    g          a coordinate of the grid, normalised: -1 .. 1 over the volume
    x, y, z    the same point in the input, in voxels: (0, 0, 0) is the centre of the first voxel
    k, i, j    which of two neighbours, 0 or 1: along z, y and x
    U (B, C, D, H, W)   G (B, d, h, w, 3) with (x, y, z) last   V (B, C, d, h, w)

1, 2. From normalised to voxels, and a point outside: each coordinate by itself, as in `grid_sample.py`.

3. The trilinear sampler, eq. 5 with a tent for each axis:

    V[b, c, p] = sum_{l, n, m} U[b, c, l, n, m] max(0, 1 - |x - m|) max(0, 1 - |y - n|) max(0, 1 - |z - l|)

   Only eight products of tents reach the point. With m = floor(x), n = floor(y), l = floor(z), and for each axis the
   weights of the two neighbours, such as wx_0 = 1 - (x - m) and wx_1 = x - m,

    V[b, c, p] = sum_{k, i, j} wz_k wy_i wx_j U[b, c, l+k, n+i, m+j]

With dV, the gradient of the loss in V, the chain rule gives

    eq. 6   dU[b, c, l+k, n+i, m+j] += dV[b, c, p] wz_k wy_i wx_j        a scatter-add over the output voxels p
    eq. 7   dx = sum_c dV[b, c, p] sum_{k, i} wz_k wy_i (U[l+k, n+i, m+1] - U[l+k, n+i, m])
            dy = sum_c dV[b, c, p] sum_{k, j} wz_k wx_j (U[l+k, n+1, m+j] - U[l+k, n, m+j])
            dz = sum_c dV[b, c, p] sum_{i, j} wy_i wx_j (U[l+1, n+i, m+j] - U[l, n+i, m+j])
            dG[b, p] = (dx ∂x/∂g_x, dy ∂y/∂g_y, dz ∂z/∂g_z)

"nearest" (eq. 4) reads the one voxel at (round(z), round(y), round(x)), halves to the even one: dG = 0. Kinks, NaN,
infinite and huge coordinates are as in `grid_sample.py`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from npstn.autograd import Context, Function
from npstn.backend.compiler import kernel
from npstn.backend.parallel import share_out
from npstn.ops.arguments import contiguous

NEAREST = 1  # the order of grid_sample's MODES
ZEROS, BORDER, REFLECTION = range(3)  # and of its PADDINGS
NOWHERE = -2  # the first of two neighbours that are both outside


@kernel
def mirrored(x, low, span):
    """x between mirrors at `low` and low + span, and whether an odd number of them has turned it."""
    distance, turned = abs(x - low), x < low
    rest = np.fmod(distance, span)
    if np.fmod(np.floor(distance / span), 2) == 1:
        rest, turned = span - rest, not turned
    return low + rest, turned


@kernel(inline="always")  # 9 ns a point; as a call that the compiler leaves standing, 30
def locate(G, b, p, r, size, options):
    """Coordinate r of a point: the first of its two neighbours on that axis, their weights, and ∂x/∂g.

    Where a coordinate is not finite, the weights and the derivative are NaN; "border" takes an infinite one.
    """
    mode, padding, align_corners = options
    real = G.dtype.type  # with a float32, the literals 1 and 0.5 would give a float64
    zero, half, one, last = real(0), real(0.5), real(1), real(size - 1)
    huge, nan = real(1e30), real(np.nan)  # huge: outside of any volume; in voxels it must not become infinite
    slope, edge = (last * half, zero) if align_corners else (real(size) * half, half)
    g = G[b, p, r]
    if g != g or (padding != BORDER and abs(g) == np.inf):
        return np.int64(NOWHERE), (nan, nan), nan
    if padding == REFLECTION:
        g = np.fmod(g, real(4))  # exact; after 4 the mirror images repeat
    x = (min(max(g, -huge), huge) + one) * slope - edge
    if padding == REFLECTION and last + edge > zero:  # else the mirrors meet, and the border is everywhere
        x, turned = mirrored(x, -edge, last + edge + edge)
        slope = -slope if turned else slope
    if last >= size:  # float32 has rounded size - 1 up
        last = np.nextafter(last, zero)
    if padding != ZEROS and (x <= zero or x >= last):
        x, slope = min(max(x, zero), last), zero
    if mode == NEAREST:
        x = np.rint(x)
    if x < -one or x > last + one:  # decided in floating point, and only then is x an integer
        return np.int64(NOWHERE), (one, zero), slope
    m = np.floor(x)
    return np.int64(m), (one - (x - m), x - m), slope


@kernel
def inside(l, n, m, size):
    D, H, W = size
    return 0 <= l < D and 0 <= n < H and 0 <= m < W


@kernel
def offset(v, l, n, m, size):
    """Where a voxel of the volume v = b C + c stands in the flat array."""
    D, H, W = size
    return np.uintp(((v * D + l) * H + n) * W + m)  # unsigned: Numba need not look for indices counted from the end


@kernel
def voxel(U, v, l, n, m, size, amid):
    """The voxel of U, or the 0 outside; `amid`: it is known to be inside."""
    return U[offset(v, l, n, m, size)] if amid or inside(l, n, m, size) else U.dtype.type(0)


@kernel
def grid_sample_3d_forward(first, end, U, G, size, options, V):
    """V (B, C, d h w) of the samples first .. end-1 of U (B C D H W) and G (B, d h w, 3)."""
    (D, H, W), C = size, V.shape[1]
    for b in range(first, end):
        for p in range(V.shape[2]):
            m, wx, _ = locate(G, b, p, 0, W, options)
            n, wy, _ = locate(G, b, p, 1, H, options)
            l, wz, _ = locate(G, b, p, 2, D, options)
            amid = inside(l, n, m, size) and inside(l + 1, n + 1, m + 1, size)
            nothing = (wx[0] - wx[0]) + (wy[0] - wy[0]) + (wz[0] - wz[0])  # 0, or NaN where a coordinate is not finite
            for c in range(C):
                v, total = b * C + c, nothing
                if options[0] == NEAREST:
                    total += voxel(U, v, l, n, m, size, amid)
                else:
                    for k in range(2):
                        for i in range(2):
                            for j in range(2):
                                total += wz[k] * wy[i] * wx[j] * voxel(U, v, l + k, n + i, m + j, size, amid)
                V[b, c, p] = total


@kernel
def grid_sample_3d_backward_input(first, end, G, dV, size, options, dU):
    """dU (B C D H W) of the samples first .. end-1; it is zero at first."""
    (D, H, W), C = size, dV.shape[1]
    for b in range(first, end):
        for p in range(dV.shape[2]):
            m, wx, _ = locate(G, b, p, 0, W, options)
            n, wy, _ = locate(G, b, p, 1, H, options)
            l, wz, _ = locate(G, b, p, 2, D, options)
            amid = inside(l, n, m, size) and inside(l + 1, n + 1, m + 1, size)
            for c in range(C):
                v, dV_p = b * C + c, dV[b, c, p]
                if options[0] == NEAREST:
                    if inside(l, n, m, size):
                        dU[offset(v, l, n, m, size)] += dV_p
                else:
                    for k in range(2):
                        for i in range(2):
                            for j in range(2):
                                if amid or inside(l + k, n + i, m + j, size):  # eq. 6
                                    dU[offset(v, l + k, n + i, m + j, size)] += dV_p * wz[k] * wy[i] * wx[j]


@kernel
def grid_sample_3d_backward_grid(first, end, U, G, dV, size, options, dG):
    """dG (B, d h w, 3) of the samples first .. end-1."""
    (D, H, W), C = size, dV.shape[1]
    for b in range(first, end):
        for p in range(dV.shape[2]):
            m, wx, slope_x = locate(G, b, p, 0, W, options)
            n, wy, slope_y = locate(G, b, p, 1, H, options)
            l, wz, slope_z = locate(G, b, p, 2, D, options)
            amid = inside(l, n, m, size) and inside(l + 1, n + 1, m + 1, size)
            dx = dy = dz = (wx[0] - wx[0]) + (wy[0] - wy[0]) + (wz[0] - wz[0])  # 0, or NaN as above
            for c in range(0 if options[0] == NEAREST else C):
                v, dV_p = b * C + c, dV[b, c, p]
                for e in range(2):  # e and f: two of k, i and j
                    for f in range(2):
                        x0, x1 = voxel(U, v, l + e, n + f, m, size, amid), voxel(U, v, l + e, n + f, m + 1, size, amid)
                        y0, y1 = voxel(U, v, l + e, n, m + f, size, amid), voxel(U, v, l + e, n + 1, m + f, size, amid)
                        z0, z1 = voxel(U, v, l, n + e, m + f, size, amid), voxel(U, v, l + 1, n + e, m + f, size, amid)
                        # eq. 7: the differences along one axis, weighted along the two others
                        dx += dV_p * wz[e] * wy[f] * (x1 - x0)
                        dy += dV_p * wz[e] * wx[f] * (y1 - y0)
                        dz += dV_p * wy[e] * wx[f] * (z1 - z0)
            dG[b, p, 0], dG[b, p, 1], dG[b, p, 2] = dx * slope_x, dy * slope_y, dz * slope_z


class GridSample3d(Function):
    """`grid_sample` of volumes; the public function checks the arguments."""

    name = "grid_sample"
    gives_new_arrays = True
    keeps = ("input", "grid")

    @staticmethod
    def forward(ctx: Context, U: np.ndarray, G: np.ndarray, mode: int, padding: int, align_corners: bool) -> np.ndarray:
        B, C, *size = U.shape
        U, grid = contiguous(U).reshape(U.size), contiguous(G).reshape(B, math.prod(G.shape[1:4]), 3)
        ctx.save_for_backward(U, grid)
        ctx.options = tuple(size), (mode, padding, align_corners)
        V = np.empty((B, C, grid.shape[1]), U.dtype)
        share_out(grid_sample_3d_forward, B, U, grid, *ctx.options, V, work=20 * V.size)  # ns
        return V.reshape(B, C, *G.shape[1:4])

    @staticmethod
    def backward(ctx: Context, dV: np.ndarray) -> Any:
        U, G = ctx.saved
        need_U, need_G, *_ = ctx.needs_input_grad
        (B, C, *size), dU, dG = dV.shape, None, None
        dV = contiguous(dV).reshape(B, C, G.shape[1])
        if need_U:
            dU = np.zeros_like(U)
            share_out(grid_sample_3d_backward_input, B, G, dV, *ctx.options, dU, work=20 * dV.size)
            dU = dU.reshape(B, C, *ctx.options[0])
        if need_G:
            dG = np.empty_like(G)
            share_out(grid_sample_3d_backward_grid, B, U, G, dV, *ctx.options, dG, work=30 * dV.size)
            dG = dG.reshape(B, *size, 3)
        return dU, dG, None, None, None
