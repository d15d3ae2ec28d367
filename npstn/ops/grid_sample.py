"""The sampler: reads an image at the points of a grid (the paper's eq. 3-7).

    b, c       a sample of the batch, a channel
    n, m       row and column in the input, 0 .. H-1, 0 .. W-1 (pixels)
    p          an output pixel, 0 .. h w - 1: row p // w, column p % w
    g          a coordinate of the grid, normalised: -1 .. 1 over the image
    x, y       the same point in the input, in pixels: (0, 0) is the centre of the first pixel
    U (B, C, H, W)   G (B, h, w, 2) with (x, y) last   V (B, C, h, w)

1. From normalised to pixels, a factor that the paper leaves out (size is W for x, H for y):

    x = (g + 1) (W - 1) / 2        ∂x/∂g = (W - 1) / 2      align_corners: -1 and 1 are the corner pixels' centres
    x = (g + 1) W / 2 - 1/2        ∂x/∂g = W / 2            else: they are the outer edges of the image

2. A point outside, by padding_mode: "zeros" leaves x alone, and the image is 0 outside; "border" moves x to the nearest
   pixel, where ∂x/∂g = 0; "reflection" mirrors x at g = -1 and 1 until it is inside, which may turn the sign of ∂x/∂g.
   Where the mirrors are the outer edges, it then moves x by up to half a pixel to the nearest pixel, as "border" does.

3. The bilinear sampler, eq. 5. Every pixel pulls with the weight of a tent that reaches one pixel to each side:

    V[b, c, p] = sum_{n, m} U[b, c, n, m] max(0, 1 - |x - m|) max(0, 1 - |y - n|)

   Only four tents reach the point: with m = floor(x), n = floor(y), and the fractions fx = x - m, fy = y - n,

    V[b, c, p] = (1 - fy) ((1 - fx) U[n, m] + fx U[n, m+1]) + fy ((1 - fx) U[n+1, m] + fx U[n+1, m+1])

V is linear in U, and each tent depends on x or on y alone. With dV, the gradient of the loss in V, the chain rule gives

    eq. 6   dU[b, c, n, m] += dV[b, c, p] (1 - fx)(1 - fy), and the other three pixels with their own weights:
            the sum runs over the output pixels p that read this input pixel, a scatter-add
    eq. 7   dx = sum_c dV[b, c, p] ((1 - fy) (U[n, m+1] - U[n, m]) + fy (U[n+1, m+1] - U[n+1, m]))
            dy = sum_c dV[b, c, p] ((1 - fx) (U[n+1, m] - U[n, m]) + fx (U[n+1, m+1] - U[n, m+1]))
            dG[b, p] = (dx ∂x/∂g_x, dy ∂y/∂g_y)

Where x is an integer the tents have a kink; floor and floor + 1 give the right-hand derivative. At the first and the
last pixel "border" and "reflection" have a kink of their own: ∂x/∂g = 0 there, as in PyTorch. "nearest" (eq. 4) reads
the one pixel at (round(y), round(x)), halves to the even one: dG = 0.

A NaN coordinate gives V = NaN, dG = NaN and touches no dU. So does an infinite one, except that "border" moves it to
the border like any other coordinate outside. A huge finite one is just outside: whether a point is inside is decided in
floating point, and only then do its coordinates become integers. Mirror images repeat after 4 in g, so "reflection"
first takes the remainder of g / 4, which is exact: step 1 would round a huge g to a whole pixel.

The bicubic sampler is in `grid_sample_bicubic.py`, that of volumes in `grid_sample_3d.py`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from npstn.autograd import Context, Function, Tensor
from npstn.backend.compiler import kernel
from npstn.backend.lanes import pair, plus, put
from npstn.backend.parallel import share_out
from npstn.messages import check_name
from npstn.ops.arguments import MOST, array_of, check_floats, check_shape, contiguous, rows
from npstn.ops.grid_sample_3d import GridSample3d
from npstn.ops.grid_sample_bicubic import GridSampleBicubic

MODES = ("bilinear", "nearest", "bicubic")
PADDINGS = ("zeros", "border", "reflection")
MOST_RINGED = 2**32  # pixels with a ring round the image: their places have 32 bits
FEW = 30  # pixels of the image for each point, and more: then its own pixels take less time than a copy of the image
NEAR = 2**17  # pixels of the image at most: then two planes stay in the second cache
PIECE = 1024  # points: what is read of their pixels stays in the nearest cache
RIM = np.uint32(2**32 - 1)  # in place of a pixel: not all of a point's four are in the image
NEAREST = 1
ZEROS, BORDER, REFLECTION = range(3)


@kernel
def bring_inside(x, size, padding, edge, slope):
    """Step 2 for one axis: move each x[p] by "border" or "reflection", and change slope[p] = ∂x/∂g with it."""
    real = x.dtype.type
    zero, last, slopes = real(0), real(size - 1), slope.size > 0
    if padding == REFLECTION:
        low, span = -edge, last + edge + edge  # the mirrors stand at low and at low + span
        for p in range(x.size):
            distance = abs(x[p] - low)
            turned = x[p] < low
            rest = np.fmod(distance, span) if span > zero else distance * zero
            if span > zero and np.fmod(np.floor(distance / span), real(2)) == real(1):
                rest, turned = span - rest, not turned
            x[p] = low + rest
            if turned and slopes:
                slope[p] = -slope[p]
    if last >= size:  # float32 has rounded size - 1 up
        last = np.nextafter(last, zero)
    for p in range(x.size):  # a mirror at the outer edge leaves a point up to half a pixel beyond the border
        if x[p] <= zero or x[p] >= last:
            x[p] = zero if x[p] <= zero else last
            if slopes:
                slope[p] = zero


@kernel
def fold(g):
    """Each coordinate less a multiple of 4, after which the mirror images repeat: exact, also of the largest number."""
    near, period = np.empty_like(g), g.dtype.type(4)
    for p in range(g.size):
        near[p] = np.fmod(g[p], period)
    return near


@kernel
def locate(g, options, points):
    """Write where the points of one sample lie: the offset of pixel (n, m) in a ringed plane, the fractions, and the
    slopes ∂x/∂g and ∂y/∂g, unless these have no room.

    A point that reaches no pixel lies among the zeros behind the plane, "nowhere". Its fractions are x - x, which is 0,
    or NaN where a coordinate is not finite. So the loops that read the plane need no test.
    """
    H, W, mode, padding, align_corners = options
    offset, fx, fy, slope_x, slope_y = points
    real = fx.dtype.type  # with a float32, the literals 1 and 0.5 would give a float64
    zero, half, one = real(0), real(0.5), real(1)
    scale_x, scale_y, edge = real(W) * half, real(H) * half, half
    if align_corners:
        scale_x, scale_y, edge = real(W - 1) * half, real(H - 1) * half, zero
    if padding == REFLECTION:
        g = fold(g)
    x, y = fx, fy  # the fractions will take the coordinates' place in memory
    huge, next_ = real(1e30), np.uintp(1)  # outside of any image; in pixels it must not become infinite
    for p in range(np.uintp(x.size)):  # unsigned: Numba need not look for indices counted from the end
        g_x, g_y = g[p + p], g[p + p + next_]
        nan_x, nan_y = g_x - g_x, g_y - g_y  # 0, or NaN where a coordinate is not finite
        if padding == BORDER:
            nan_x, nan_y = zero, zero
        g_x, g_y = huge if g_x > huge else g_x, huge if g_y > huge else g_y
        g_x, g_y = -huge if g_x < -huge else g_x, -huge if g_y < -huge else g_y
        x[p], y[p] = (g_x + one) * scale_x - edge + nan_x, (g_y + one) * scale_y - edge + nan_y
    for p in range(slope_x.size):
        slope_x[p], slope_y[p] = scale_x, scale_y
    if padding != ZEROS:
        bring_inside(x, W, padding, edge, slope_x)
        bring_inside(y, H, padding, edge, slope_y)
    first, width, height = -one, real(W), real(H)
    if mode == NEAREST:
        first = zero
        for p in range(x.size):
            x[p], y[p] = np.rint(x[p]), np.rint(y[p])
    nowhere = (H + 2) * (W + 2)
    for p in range(x.size):  # no branch, so that it goes through vector registers
        x_p, y_p = x[p], y[p]
        inside = (x_p >= first) & (x_p < width) & (y_p >= first) & (y_p < height)
        m, n = np.floor(x_p if inside else zero), np.floor(y_p if inside else zero)
        offset[p] = (np.int32(n) + 1) * (W + 2) + np.int32(m) + 1 if inside else nowhere
        outside = (x_p - x_p) + (y_p - y_p)
        fx[p], fy[p] = x_p - m if inside else outside, y_p - n if inside else outside


@kernel
def memory_for(H, W, count, dtype):
    """Memory for so many points of an image: a plane of zeros, `in_image`, and the pixels of a piece of the points.

    Many points read in a ringed image, where pixel (n, m) is at (n + 1) (W + 2) + m + 1. A ring of one pixel round the
    image provides the four pixels round any point; more zeros behind the plane provide those of a point that lies
    nowhere. A few points in a large image do without a copy of it: they have places `in_image`, and no plane.
    """
    few = 0 < FEW * count < H * W
    plane = np.zeros(0 if few else (H + 3) * (W + 2) + 2, dtype)
    piece = 2 * min(count, PIECE)
    return plane, np.empty(count if few else 0, np.uint32), np.empty(piece, dtype), np.empty(piece, dtype)


@kernel
def put_image(U, W, plane):
    """Copy an image, H W pixels, into a ringed plane."""
    if plane.size == 0:
        return
    for n in range(U.size // W):
        row, inner = U[n * W :], plane[(n + 1) * (W + 2) + 1 :]
        for m in range(W):
            inner[m] = row[m]


@kernel
def place_in_image(offset, H, W, in_image):
    """Where points are few: the place of pixel (n, m) in the image, and RIM for a point that needs pixels outside."""
    across, one = np.uint32(W + 2), np.uint32(1)
    for p in range(in_image.size):
        row = offset[p] // across  # of the ringed image; n + 1
        column = offset[p] - row * across
        all_four = one <= row < np.uint32(H) and one <= column < np.uint32(W)
        in_image[p] = (row - one) * np.uint32(W) + column - one if all_four else RIM


@kernel
def read_pixels(U, plane, options, offset, in_image, above, under):
    """Read the four pixels of some points: above[2 p] and above[2 p + 1] of row n, those of `under` of row n + 1.

    Two neighbours are read at once: one by one, or gathered for several points, takes three times as long.
    """
    H, W, _, _, _ = options
    for p in range(offset.size if plane.size > 0 else 0):
        o = np.int64(offset[p])
        put(above, 2 * p, pair(plane, o))
        put(under, 2 * p, pair(plane, o + W + 2))
    for p in range(in_image.size):  # each waits for memory: the less there is to do, the more wait at the same time
        o = np.int64(in_image[p])
        if in_image[p] != RIM:
            put(above, 2 * p, pair(U, o))
            put(under, 2 * p, pair(U, o + W))
            continue
        n, m = np.int64(offset[p]) // (W + 2) - 1, np.int64(offset[p]) % (W + 2) - 1
        for j in range(2):
            within = 0 <= m + j < W
            above[2 * p + j] = U[n * W + m + j] if within and 0 <= n < H else 0
            under[2 * p + j] = U[(n + 1) * W + m + j] if within and 0 <= n + 1 < H else 0


@kernel
def add_pixels(above, under, options, offset, in_image, planes, dU):
    """The transpose of `read_pixels`: add in one or two `planes`, or in dU where points are few.

    Neighbouring points add to pairs that overlap. A processor waits before it reads a pair of which it has just written
    one half. So pairs that begin at odd places have a plane of their own: there they are the same, or apart. Two planes
    of a large image do not stay in the second cache. There the numbers are added one by one.
    """
    H, W, _, _, _ = options
    across, flat = np.int64(W + 2), planes.reshape(-1)
    for p in range(offset.size if len(planes) == 2 else 0):
        o = np.int64(offset[p])
        n_th = o + (o & 1) * planes.shape[1]
        next_ = o + across + ((o + across) & 1) * planes.shape[1]
        put(flat, n_th, plus(pair(flat, n_th), pair(above, 2 * p)))
        put(flat, next_, plus(pair(flat, next_), pair(under, 2 * p)))
    for p in range(offset.size if len(planes) == 1 else 0):
        n_th, next_ = np.int64(offset[p]), np.int64(offset[p]) + across
        for j in range(2):
            flat[n_th + j] += above[2 * p + j]
            flat[next_ + j] += under[2 * p + j]
    for p in range(in_image.size):
        n, m = np.int64(offset[p]) // across - 1, np.int64(offset[p]) % across - 1
        for j in range(2):
            if 0 <= m + j < W and 0 <= n < H:
                dU[n * W + m + j] += above[2 * p + j]
            if 0 <= m + j < W and 0 <= n + 1 < H:
                dU[(n + 1) * W + m + j] += under[2 * p + j]


@kernel
def take_image(planes, W, dU):
    """Take the image out of the sum of all planes, and leave zeros. What was added in the rings is never read."""
    if len(planes) == 0:
        return
    sums = planes[0]
    for k in range(1, len(planes)):
        plane = planes[k]
        for place in range(plane.size):  # rings and all: rows may be short
            sums[place] += plane[place]
            plane[place] = 0
    for n in range(dU.size // W):
        row, inner = dU[n * W :], sums[(n + 1) * (W + 2) + 1 :]
        for m in range(W):
            row[m] = inner[m]
    sums[:] = 0


@kernel(fastmath={"contract"})  # products fused with sums
def grid_sample_forward(first, end, U, G, options, V):
    """V (B, C, h w) of the samples first .. end-1 of U (B, C, H W) and G (B, 2 h w)."""
    H, W, mode, _, _ = options
    count, one, next_ = V.shape[2], U.dtype.type(1), np.uintp(1)
    offset = np.empty(count, np.uint32)
    all_fx, all_fy, no_slopes = np.empty(count, U.dtype), np.empty(count, U.dtype), np.empty(0, U.dtype)
    plane, in_image, above, under = memory_for(H, W, count, U.dtype)
    for b in range(first, end):
        locate(G[b], options, (offset, all_fx, all_fy, no_slopes, no_slopes))
        place_in_image(offset, H, W, in_image)
        for c in range(U.shape[1]):
            put_image(U[b, c], W, plane)
            for start in range(0, count, PIECE):
                stop = min(start + PIECE, count)
                read_pixels(U[b, c], plane, options, offset[start:stop], in_image[start:stop], above, under)
                fx, fy, V_c = all_fx[start:stop], all_fy[start:stop], V[b, c, start:stop]
                for p in range(np.uintp(0 if mode == NEAREST else V_c.size)):  # unsigned, as above
                    left, right = p + p, p + p + next_
                    # (1 - fy) ((1 - fx) U[n, m] + fx U[n, m+1]) + fy ((1 - fx) U[n+1, m] + fx U[n+1, m+1])
                    upper = (one - fx[p]) * above[left] + fx[p] * above[right]
                    lower = (one - fx[p]) * under[left] + fx[p] * under[right]
                    V_c[p] = (one - fy[p]) * upper + fy[p] * lower
                for p in range(np.uintp(V_c.size if mode == NEAREST else 0)):
                    V_c[p] = above[p + p] + fx[p]  # fx is 0, or NaN


@kernel
def grid_sample_backward_input(dV, options, points, in_image, planes, above, under, dU):
    """dU (C, H W) of a sample with located points. The last four before dU: see `memory_for`."""
    _, W, mode, _, _ = options
    offset, all_fx, all_fy, _, _ = points
    zero, one, next_ = dU.dtype.type(0), dU.dtype.type(1), np.uintp(1)
    for c in range(dU.shape[0]):
        if in_image.size > 0:
            dU[c] = 0
        for start in range(0, offset.size, PIECE):
            stop = min(start + PIECE, offset.size)
            fx, fy, dV_c = all_fx[start:stop], all_fy[start:stop], dV[c, start:stop]
            for p in range(np.uintp(0 if mode == NEAREST else dV_c.size)):
                left, right = p + p, p + p + next_
                # eq. 6: dV (1 - fx)(1 - fy) for pixel (n, m), and the weights of the other three
                upper, lower = (one - fy[p]) * dV_c[p], fy[p] * dV_c[p]
                above[left], above[right] = (one - fx[p]) * upper, fx[p] * upper
                under[left], under[right] = (one - fx[p]) * lower, fx[p] * lower
            for p in range(np.uintp(dV_c.size if mode == NEAREST else 0)):
                left, right = p + p, p + p + next_
                above[left], above[right], under[left], under[right] = dV_c[p], zero, zero, zero
            add_pixels(above, under, options, offset[start:stop], in_image[start:stop], planes, dU[c])
        take_image(planes, W, dU[c])


@kernel(fastmath={"contract"})  # as in the forward pass
def grid_sample_backward_grid(U, dV, options, points, in_image, plane, above, under, dx, dy, dg):
    """dG (2 h w) of a sample with located points, as above. Of dx and dy (h w) only the memory is used."""
    _, W, mode, _, _ = options
    offset, all_fx, all_fy, slope_x, slope_y = points
    next_ = np.uintp(1)
    dx[:], dy[:] = 0, 0
    for p in range(offset.size if mode == NEAREST else 0):
        dx[p] = dy[p] = all_fx[p]  # 0, or NaN
    for c in range(0 if mode == NEAREST else U.shape[0]):
        put_image(U[c], W, plane)
        for start in range(0, offset.size, PIECE):
            stop = min(start + PIECE, offset.size)
            read_pixels(U[c], plane, options, offset[start:stop], in_image[start:stop], above, under)
            fx, fy, dV_c = all_fx[start:stop], all_fy[start:stop], dV[c, start:stop]
            dx_c, dy_c = dx[start:stop], dy[start:stop]
            for p in range(np.uintp(dV_c.size)):
                left, right = p + p, p + p + next_
                along_above, along_below = above[right] - above[left], under[right] - under[left]
                down_left, down_right = under[left] - above[left], under[right] - above[right]
                # eq. 7, regrouped: the difference between neighbours above, and what it changes by below
                dx_c[p] += dV_c[p] * (along_above + fy[p] * (along_below - along_above))
                dy_c[p] += dV_c[p] * (down_left + fx[p] * (down_right - down_left))
    for p in range(np.uintp(offset.size)):
        dg[p + p], dg[p + p + next_] = dx[p] * slope_x[p], dy[p] * slope_y[p]


@kernel
def grid_sample_backward(first, end, U, G, dV, options, dU, dG):
    """dU and dG of the samples first .. end-1; an empty one is not asked for.

    The points of a sample are located once for both.
    """
    H, W, _, _, _ = options
    count = dV.shape[2]
    offset = np.empty(count, np.uint32)
    fx, fy = np.empty(count, U.dtype), np.empty(count, U.dtype)
    slope_x, slope_y = np.empty(count, U.dtype), np.empty(count, U.dtype)
    dx, dy = np.empty(count, U.dtype), np.empty(count, U.dtype)
    points = offset, fx, fy, slope_x, slope_y
    plane, in_image, above, under = memory_for(H, W, count, U.dtype)
    copies = 0 if dU.size == 0 or plane.size == 0 else 2 if H * W <= NEAR else 1
    planes = np.zeros((copies, plane.size), U.dtype)
    for b in range(first, end):
        locate(G[b], options, points)
        place_in_image(offset, H, W, in_image)
        if dU.size > 0:
            grid_sample_backward_input(dV[b], options, points, in_image, planes, above, under, dU[b])
        if dG.size > 0:
            grid_sample_backward_grid(U[b], dV[b], options, points, in_image, plane, above, under, dx, dy, dG[b])


class GridSample(Function):
    gives_new_arrays = True
    keeps = ("input", "grid")

    @staticmethod
    def forward(ctx: Context, U: np.ndarray, G: np.ndarray, mode: int, padding: int, align_corners: bool) -> np.ndarray:
        (B, C, H, W), (h, w) = U.shape, G.shape[1:3]
        U, G = contiguous(U).reshape(B, C, H * W), rows(contiguous(G))
        ctx.save_for_backward(U, G)
        ctx.options = H, W, mode, padding, align_corners
        V = np.empty((B, C, h, w), U.dtype)
        share_out(grid_sample_forward, B, U, G, ctx.options, V.reshape(B, C, h * w), work=4 * V.size)  # ns
        return V

    @staticmethod
    def backward(ctx: Context, dV: np.ndarray) -> Any:
        U, G = ctx.saved
        H, W, *_ = ctx.options
        need_U, need_G, *_ = ctx.needs_input_grad
        B, C, h, w = dV.shape
        dU, dG = np.empty_like(U if need_U else U[:0]), np.empty_like(G if need_G else G[:0])
        dV = contiguous(dV).reshape(B, C, h * w)
        share_out(grid_sample_backward, B, U, G, dV, ctx.options, dU, dG, work=8 * dV.size)
        dU, dG = dU.reshape(B, C, H, W) if need_U else None, dG.reshape(B, h, w, 2) if need_G else None
        return dU, dG, None, None, None


def grid_sample(
    input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool = False
) -> Tensor:
    """Read an image, or a volume, at the points of a grid.

    Args:
        input: (B, C, H, W) images or feature maps, or (B, C, D, H, W) volumes.
        grid: (B, h, w, 2) of (x, y) for images, (B, d, h, w, 3) of (x, y, z) for volumes, normalised: -1 .. 1 over the
            input; its size may differ from the input's.
        mode: "bilinear" (of volumes: trilinear), "nearest", or, of images only, "bicubic".
        padding_mode: what lies outside: "zeros", the "border" pixels, or a "reflection".
        align_corners: True: -1 and 1 are the centres of the corner pixels. False: they are the image's outer edges.

    Returns (B, C, h, w) or (B, C, d, h, w) in the dtype of the inputs. A NaN or infinite coordinate gives NaN and sends
    no gradient to any pixel; only with "border" an infinite one reads the border. Raises TypeError unless both inputs
    are float32 or both float64; ValueError for shapes that do not fit, for an image without pixels, of 2^31 and more,
    or of 2^32 and more with a ring of one pixel round it (a single row of 1.43e9); for an unknown mode or padding_mode.

    >>> image = Tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    >>> centre = Tensor([[[[0.0, 0.0]]]])
    >>> grid_sample(image, centre, align_corners=True).item()
    2.5
    """
    U, G = array_of(input), array_of(grid)
    check_floats("grid_sample", input=U, grid=G)
    volume = U.ndim == 5
    check_shape("grid_sample", "input", U, "B, C, D, H, W" if volume else "B, C, H, W")
    check_shape("grid_sample", "grid", G, f"{len(U)}, d, h, w, 3" if volume else f"{len(U)}, h, w, 2")
    check_name("grid_sample", "mode", mode, MODES)
    check_name("grid_sample", "padding_mode", padding_mode, PADDINGS)
    if volume and mode == "bicubic":
        raise ValueError("grid_sample: expected mode to be bilinear or nearest for volumes, got 'bicubic'")
    if not 1 <= math.prod(U.shape[2:]) < MOST:
        raise ValueError(f"grid_sample: expected images of at least one and fewer than 2^31 pixels, got {U.shape}")
    if not volume and (U.shape[2] + 2) * (U.shape[3] + 2) >= MOST_RINGED:
        raise ValueError(f"grid_sample: expected fewer than 2^32 pixels with a ring of one round them, got {U.shape}")
    padding, align_corners = PADDINGS.index(padding_mode), bool(align_corners)
    if mode == "bicubic":
        return GridSampleBicubic.apply(input, grid, padding, align_corners)
    return (GridSample3d if volume else GridSample).apply(input, grid, MODES.index(mode), padding, align_corners)
