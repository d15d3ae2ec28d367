"""The fast kernels of the bicubic sampler. The formula, and its own loops, stand in `grid_sample_bicubic.py`.

    p          an output pixel, row by row
    x, y, s    a point in pixels; the fraction of a coordinate, x - floor(x)
    k, l       a tap's row and column round the point, 0 .. 3: the rows floor(y) - 1 .. floor(y) + 2, columns alike
    n, m       row and column in the plane
    o          where the first tap of a point stands in the plane
    U (B, C, H W)   G (B, 2 h w)   V (B, C, h w)   wy, wx, wy_slope, wx_slope (4, h w): the weights and ∂w/∂g

1. The image is laid out in a plane with RING pixels round it, which hold what the padding makes of taps outside. So the
   sixteen taps of any point are read without a test, `across` pixels from one row to the next. Behind the plane there
   are zeros, "nowhere", for points that reach no pixel.

2. "border" takes a point further outside for one whose taps all read the border. "reflection" mirrors a point beyond an
   edge into the image: its taps come in the reverse order at the same distances, and ∂x/∂g changes its sign.

3. The points of a sample are located, and their weights found, once for all channels, in loops without a branch.

Where a coordinate is not finite its weights are NaN; it reads what lies nowhere, and adds to that.
"""

from __future__ import annotations

import functools

import numpy as np

from npstn.backend.compiler import kernel
from npstn.backend.parallel import share_out
from npstn.ops.arguments import planes, rows

FEW = 8  # with more pixels of the image than this for each point, the points' own loops take less time
RING = 3  # of a point with one tap inside, at most three are outside
ZEROS, BORDER, REFLECTION = range(3)  # the order of grid_sample's PADDINGS


@functools.lru_cache(maxsize=64)  # a training loop asks for the same ones at each step
def ring(size: int, padding: int, align_corners: bool) -> np.ndarray:
    """Which row of the image stands in each row of the plane (size + 2 RING), -1 for none; columns alike.

    >>> ring(3, REFLECTION, True).tolist(), ring(3, ZEROS, True).tolist()
    ([1, 2, 1, 0, 1, 2, 1, 0, 1], [-1, -1, -1, 0, 1, 2, -1, -1, -1])
    """
    inner = np.arange(size)
    if padding == ZEROS:
        return np.pad(inner, RING, constant_values=-1)
    return np.pad(inner, RING, mode="edge" if padding == BORDER else "reflect" if align_corners else "symmetric")


@kernel
def locate(x, options, s, slope):
    """Replace one coordinate of all points, x = g, by floor(x) in pixels; write the fractions s and the slopes ∂x/∂g.

    floor(x) is within -2 .. size, unless the point reaches no pixel.
    """
    size, padding, align_corners = options
    real = x.dtype.type
    zero, half, one, two, huge = real(0), real(0.5), real(1), real(2), real(1e30)  # huge: finite in pixels, too
    scale, edge = (real(size - 1) * half, zero) if align_corners else (real(size) * half, half)
    low, span = -edge, real(size - 1) + edge + edge  # the mirrors stand at low and at low + span
    for p in range(x.size):
        g_p = x[p]
        bad = zero if padding == BORDER and g_p == g_p else g_p - g_p  # NaN where a coordinate is not finite
        if padding == REFLECTION:
            g_p = np.fmod(g_p, real(4))  # exact; after 4 the mirror images repeat
        g_p = -huge if g_p < -huge else huge if g_p > huge else g_p
        x_p, sign = (g_p + one) * scale - edge, one
        if padding == REFLECTION:
            distance = abs(x_p - low)
            sign = one if x_p >= low else -one
            turns = np.floor(distance / span) if span > zero else zero
            rest = distance - turns * span if span > zero else zero
            odd = turns - two * np.floor(turns * half)  # 0 or 1
            x_p, sign = low + (span - rest if odd == one else rest), (-sign if odd == one else sign)
        first = np.floor(x_p)
        s[p], slope[p] = x_p - first + bad, sign * scale
        if padding == BORDER:
            first = -two if first < -two else real(size) if first > real(size) else first
        x[p] = first + bad


@kernel
def weights_of(s, slope, w, w_slope):
    """The weights w (4, h w) of the taps at the fractions s, and ∂w/∂g; w_slope may be empty."""
    real = s.dtype.type
    a, one, two, three = real(-0.75), real(1), real(2), real(3)
    w0, w1, w2, w3 = w[0], w[1], w[2], w[3]
    for p in range(s.size):
        s_p, t_p = s[p], one - s[p]  # the distances of taps 1 and 2; of taps 0 and 3 one more
        far, farther = s_p + one, t_p + one
        w0[p] = ((a * far - real(5) * a) * far + real(8) * a) * far - real(4) * a
        w1[p] = ((a + two) * s_p - (a + three)) * s_p * s_p + one
        w2[p] = ((a + two) * t_p - (a + three)) * t_p * t_p + one
        w3[p] = ((a * farther - real(5) * a) * farther + real(8) * a) * farther - real(4) * a
    if w_slope.size == 0:
        return
    slope0, slope1, slope2, slope3 = w_slope[0], w_slope[1], w_slope[2], w_slope[3]
    for p in range(s.size):
        s_p, t_p, along = s[p], one - s[p], slope[p]
        far, farther = s_p + one, t_p + one
        slope0[p] = along * ((three * a * far - real(10) * a) * far + real(8) * a)
        slope1[p] = along * ((three * (a + two) * s_p - two * (a + three)) * s_p)
        slope2[p] = -along * ((three * (a + two) * t_p - two * (a + three)) * t_p)
        slope3[p] = -along * ((three * a * farther - real(10) * a) * farther + real(8) * a)


@kernel
def locate_taps(G, options, points):
    """Of all points of a sample: where the first tap stands in the plane, the weights of the taps, and ∂w/∂g."""
    H, W, padding, align_corners = options
    offset, wy, wx, wy_slope, wx_slope = points
    real = wx.dtype.type
    y, x, s = np.empty(offset.size, wx.dtype), np.empty(offset.size, wx.dtype), np.empty(offset.size, wx.dtype)
    slope = np.empty_like(s)
    for p in range(np.uintp(offset.size)):  # unsigned: Numba need not look for indices counted from the end
        x[p], y[p] = G[p + p], G[p + p + np.uintp(1)]
    locate(x, (W, padding, align_corners), s, slope)
    weights_of(s, slope, wx, wx_slope)
    locate(y, (H, padding, align_corners), s, slope)
    weights_of(s, slope, wy, wy_slope)
    nowhere, first, width, height = (H + 2 * RING) * (W + 2 * RING), real(-2), real(W), real(H)
    for p in range(offset.size):
        inside = (x[p] >= first) & (x[p] <= width) & (y[p] >= first) & (y[p] <= height)
        m, n = np.int32(x[p] if inside else real(0)), np.int32(y[p] if inside else real(0))
        offset[p] = (n + (RING - 1)) * (W + 2 * RING) + m + (RING - 1) if inside else nowhere


@kernel
def put_image(U, H, W, row_of, column_of, plane):
    """Lay an image (H W) out in the plane. `row_of` and `column_of`: see `ring`."""
    across = column_of.size
    for n in range(row_of.size):
        line = plane[n * across : (n + 1) * across]
        if row_of[n] < 0:
            line[:] = 0
            continue
        row = U[row_of[n] * W : (row_of[n] + 1) * W]
        for m in range(W):
            line[m + RING] = row[m]
        for m in range(RING):
            left, right = column_of[m], column_of[across - 1 - m]
            line[m] = row[left] if left >= 0 else 0
            line[across - 1 - m] = row[right] if right >= 0 else 0


@kernel
def take_image(plane, H, W, row_of, column_of, dU):
    """The transpose of `put_image`: add up in each pixel what stands where it was laid out; and leave zeros behind."""
    across = column_of.size
    for p in range(dU.size):
        dU[p] = 0
    for n in range(row_of.size):
        line = plane[n * across : (n + 1) * across]
        if row_of[n] >= 0:
            row = dU[row_of[n] * W : (row_of[n] + 1) * W]
            for m in range(W):
                row[m] += line[m + RING]
            for m in range(RING):
                left, right = column_of[m], column_of[across - 1 - m]
                if left >= 0:
                    row[left] += line[m]
                if right >= 0:
                    row[right] += line[across - 1 - m]
    for o in range(plane.size):
        plane[o] = 0


@kernel(fastmath={"contract"})
def four(line, o, w0, w1, w2, w3):
    """sum_l w_l line[o + l]"""
    one, two, three = np.uintp(1), np.uintp(2), np.uintp(3)
    return w0 * line[o] + w1 * line[o + one] + w2 * line[o + two] + w3 * line[o + three]


@kernel(fastmath={"contract"})
def read_taps(plane, across, offset, wy, wx, read):
    """read[p] = sum_k wy_k sum_l wx_l U[n_k, m_l]"""
    line0, line1, line2, line3 = plane, plane[across:], plane[2 * across :], plane[3 * across :]
    wy0, wy1, wy2, wy3 = wy[0], wy[1], wy[2], wy[3]
    wx0, wx1, wx2, wx3 = wx[0], wx[1], wx[2], wx[3]
    for p in range(np.uintp(offset.size)):
        o, w0, w1, w2, w3 = np.uintp(offset[p]), wx0[p], wx1[p], wx2[p], wx3[p]
        above = wy0[p] * four(line0, o, w0, w1, w2, w3) + wy1[p] * four(line1, o, w0, w1, w2, w3)
        below = wy2[p] * four(line2, o, w0, w1, w2, w3) + wy3[p] * four(line3, o, w0, w1, w2, w3)
        read[p] = above + below


@kernel
def add_to_four(line, o, x, w0, w1, w2, w3):
    """line[o + l] += x w_l"""
    one, two, three = np.uintp(1), np.uintp(2), np.uintp(3)
    line[o] += x * w0
    line[o + one] += x * w1
    line[o + two] += x * w2
    line[o + three] += x * w3


@kernel
def add_to_taps(dV, plane, across, offset, wy, wx):
    """dU[n_k, m_l] += dV[p] wy_k wx_l"""
    line0, line1, line2, line3 = plane, plane[across:], plane[2 * across :], plane[3 * across :]
    wy0, wy1, wy2, wy3 = wy[0], wy[1], wy[2], wy[3]
    wx0, wx1, wx2, wx3 = wx[0], wx[1], wx[2], wx[3]
    for p in range(np.uintp(offset.size)):
        o, w0, w1, w2, w3 = np.uintp(offset[p]), wx0[p], wx1[p], wx2[p], wx3[p]
        add_to_four(line0, o, dV[p] * wy0[p], w0, w1, w2, w3)
        add_to_four(line1, o, dV[p] * wy1[p], w0, w1, w2, w3)
        add_to_four(line2, o, dV[p] * wy2[p], w0, w1, w2, w3)
        add_to_four(line3, o, dV[p] * wy3[p], w0, w1, w2, w3)


@kernel
def empty_points(count, slopes, dtype):
    """Memory for `locate_taps`."""
    offset, none = np.empty(count, np.uint32), count if slopes else 0
    wy, wx = np.empty((4, count), dtype), np.empty((4, count), dtype)
    return offset, wy, wx, np.empty((4, none), dtype), np.empty((4, none), dtype)


@kernel
def empty_plane(row_of, column_of, dtype):
    """A plane of zeros, and behind it what the taps of a point read that lies nowhere."""
    return np.zeros((row_of.size + 3) * column_of.size + 4, dtype)


@kernel
def grid_sample_bicubic_fast_forward(first, end, U, G, options, row_of, column_of, V):
    """V of the samples first .. end-1."""
    H, W, _, _ = options
    points = empty_points(V.shape[2], False, U.dtype)
    offset, wy, wx, _, _ = points
    across, plane = column_of.size, empty_plane(row_of, column_of, U.dtype)
    for b in range(first, end):
        locate_taps(G[b], options, points)
        for c in range(U.shape[1]):
            put_image(U[b, c], H, W, row_of, column_of, plane)
            read_taps(plane, across, offset, wy, wx, V[b, c])


@kernel
def grid_sample_bicubic_fast_backward(first, end, U, G, dV, options, row_of, column_of, dU, dG):
    """dU and dG of the samples first .. end-1; an empty one is not asked for."""
    H, W, _, _ = options
    count, across = dV.shape[2], column_of.size
    points = empty_points(count, dG.size > 0, U.dtype)
    offset, wy, wx, wy_slope, wx_slope = points
    plane_U, plane_dU = empty_plane(row_of, column_of, U.dtype), empty_plane(row_of, column_of, U.dtype)
    read_x, read_y = np.empty(count, U.dtype), np.empty(count, U.dtype)  # ∂V/∂g_x, ∂V/∂g_y of one channel
    dx, dy = np.empty(count, U.dtype), np.empty(count, U.dtype)
    for b in range(first, end):
        locate_taps(G[b], options, points)
        dx[:], dy[:] = 0, 0
        for c in range(U.shape[1]):
            dV_c = dV[b, c]
            if dU.size > 0:
                add_to_taps(dV_c, plane_dU, across, offset, wy, wx)
                take_image(plane_dU, H, W, row_of, column_of, dU[b, c])
            if dG.size > 0:
                put_image(U[b, c], H, W, row_of, column_of, plane_U)
                read_taps(plane_U, across, offset, wy, wx_slope, read_x)
                read_taps(plane_U, across, offset, wy_slope, wx, read_y)
                for p in range(count):
                    dx[p] += dV_c[p] * read_x[p]
                    dy[p] += dV_c[p] * read_y[p]
        if dG.size > 0:
            dG_b, one = dG[b], np.uintp(1)
            for p in range(np.uintp(count)):
                dG_b[p + p], dG_b[p + p + one] = dx[p], dy[p]


def fits(U: np.ndarray, V: np.ndarray) -> bool:
    """Whether there are points enough for the pixels of an image to lay it out, and 32 bits hold a place in it."""
    (_, C, H, W), (_, _, h, w) = U.shape, V.shape
    return 0 < C and H * W <= FEW * h * w and max(H, W) < 2**24 and (H + 3 * RING + 1) * (W + 2 * RING) < 2**32


def _given(U: np.ndarray, G: np.ndarray, padding: int, align_corners: bool) -> tuple:
    """The first arguments of both kernels, and the rings."""
    H, W = U.shape[2:]
    rings = ring(H, padding, align_corners), ring(W, padding, align_corners)
    return (planes(U), rows(G)), ((H, W, padding, align_corners), *rings)


def forward(U: np.ndarray, G: np.ndarray, padding: int, align_corners: bool, V: np.ndarray) -> None:
    """Write V (B, C, h, w) of U (B, C, H, W) and G (B, h, w, 2)."""
    given, options = _given(U, G, padding, align_corners)
    share_out(grid_sample_bicubic_fast_forward, len(V), *given, *options, planes(V), work=8 * V.size)  # ns


def backward(U: np.ndarray, G: np.ndarray, dV: np.ndarray, options: tuple, dU: np.ndarray, dG: np.ndarray) -> None:
    """Write dU and dG, which have no samples where they are not asked for. The options: padding, align_corners."""
    given, options = _given(U, G, *options)
    arrays = *given, planes(dV), *options, planes(dU), rows(dG)
    share_out(grid_sample_bicubic_fast_backward, len(dV), *arrays, work=20 * dV.size)
