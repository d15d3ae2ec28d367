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
from npstn.backend.lanes import add_product, four, four_times, put
from npstn.backend.parallel import share_out
from npstn.ops.arguments import planes, rows

FEW = 8  # with more pixels of the image than this for each point, the points' own loops take less time
PIECE = 512  # points: what is read of their taps stays in the nearest cache
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
def take_image(dU_planes, H, W, row_of, column_of, dU):
    """The transpose of `put_image`: add up in each pixel what stands in the four planes, and leave zeros behind."""
    across, size = column_of.size, dU_planes.size // 4
    first, second, third, fourth = dU_planes, dU_planes[size:], dU_planes[2 * size :], dU_planes[3 * size :]
    for o in range(size):
        first[o] += second[o] + third[o] + fourth[o]
    for p in range(dU.size):
        dU[p] = 0
    for n in range(row_of.size):
        line = first[n * across : (n + 1) * across]
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
    for o in range(dU_planes.size):
        dU_planes[o] = 0


@kernel
def read_taps(plane, across, offset, wy, columns):
    """columns[4 p + l] = sum_k wy_k U[n_k, m_l] of some points: four neighbours at once, one line after the other."""
    wy0, wy1, wy2, wy3 = wy
    for p in range(offset.size):
        o, sums = np.int64(offset[p]), four_times(plane.dtype.type(0))
        sums = add_product(sums, four_times(wy0[p]), four(plane, o))
        sums = add_product(sums, four_times(wy1[p]), four(plane, o + across))
        sums = add_product(sums, four_times(wy2[p]), four(plane, o + 2 * across))
        sums = add_product(sums, four_times(wy3[p]), four(plane, o + 3 * across))
        put(columns, 4 * p, sums)


@kernel(fastmath={"contract"})
def add_up_columns(columns, wx, V):
    """V[p] = sum_l wx_l columns[4 p + l]"""
    wx0, wx1, wx2, wx3 = wx
    one, two, three, taps = np.uintp(1), np.uintp(2), np.uintp(3), np.uintp(4)
    for p in range(np.uintp(wx0.size)):
        q = taps * p
        left = wx0[p] * columns[q] + wx1[p] * columns[q + one]
        right = wx2[p] * columns[q + two] + wx3[p] * columns[q + three]
        V[p] = left + right


@kernel
def share_out_to_columns(dV, wx, columns):
    """columns[4 p + l] = dV[p] wx_l: the transpose of `add_up_columns`."""
    wx0, wx1, wx2, wx3 = wx
    one, two, three, taps = np.uintp(1), np.uintp(2), np.uintp(3), np.uintp(4)
    for p in range(np.uintp(dV.size)):
        q = taps * p
        columns[q], columns[q + one] = dV[p] * wx0[p], dV[p] * wx1[p]
        columns[q + two], columns[q + three] = dV[p] * wx2[p], dV[p] * wx3[p]


@kernel
def add_to_four(dU_planes, o, factor, columns, p):
    """dU[n_k, m_l] += factor columns[4 p + l].

    Neighbouring points add to fours that overlap. A processor waits before it reads four numbers of which it has just
    written some. So there are four planes, by where the four begin: in one of them they are the same, or apart.
    """
    at = o + (o & 3) * (dU_planes.size // 4)
    put(dU_planes, at, add_product(four(dU_planes, at), four_times(factor), four(columns, 4 * p)))


@kernel
def add_to_taps(columns, dU_planes, across, offset, wy):
    """dU[n_k, m_l] += wy_k columns[4 p + l]: the transpose of `read_taps`."""
    wy0, wy1, wy2, wy3 = wy
    for p in range(offset.size):
        o = np.int64(offset[p])
        add_to_four(dU_planes, o, wy0[p], columns, p)
        add_to_four(dU_planes, o + across, wy1[p], columns, p)
        add_to_four(dU_planes, o + 2 * across, wy2[p], columns, p)
        add_to_four(dU_planes, o + 3 * across, wy3[p], columns, p)


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
def piece_of(weights, start, stop):
    """The weights of some points, one array for each of the four taps."""
    w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
    return w0[start:stop], w1[start:stop], w2[start:stop], w3[start:stop]


@kernel
def grid_sample_bicubic_fast_forward(first, end, U, G, options, row_of, column_of, V):
    """V of the samples first .. end-1."""
    H, W, _, _ = options
    count = V.shape[2]
    points = empty_points(count, False, U.dtype)
    offset, wy, wx, _, _ = points
    across, plane = column_of.size, empty_plane(row_of, column_of, U.dtype)
    columns = np.empty(4 * PIECE, U.dtype)
    for b in range(first, end):
        locate_taps(G[b], options, points)
        for c in range(U.shape[1]):
            put_image(U[b, c], H, W, row_of, column_of, plane)
            for start in range(0, count, PIECE):
                stop = min(start + PIECE, count)
                read_taps(plane, across, offset[start:stop], piece_of(wy, start, stop), columns)
                add_up_columns(columns, piece_of(wx, start, stop), V[b, c, start:stop])


@kernel
def grid_sample_bicubic_fast_backward(first, end, U, G, dV, options, row_of, column_of, dU, dG):
    """dU and dG of the samples first .. end-1; an empty one is not asked for."""
    H, W, _, _ = options
    count, across = dV.shape[2], column_of.size
    points = empty_points(count, dG.size > 0, U.dtype)
    offset, wy, wx, wy_slope, wx_slope = points
    plane = empty_plane(row_of, column_of, U.dtype)
    dU_planes = np.zeros(4 * plane.size if dU.size > 0 else 0, U.dtype)
    columns = np.empty(4 * PIECE, U.dtype)
    read_x, read_y = np.empty(PIECE, U.dtype), np.empty(PIECE, U.dtype)  # ∂V/∂g_x, ∂V/∂g_y of one channel
    all_dx, all_dy = np.empty(count, U.dtype), np.empty(count, U.dtype)
    for b in range(first, end):
        locate_taps(G[b], options, points)
        all_dx[:], all_dy[:] = 0, 0
        for c in range(U.shape[1]):
            if dG.size > 0:
                put_image(U[b, c], H, W, row_of, column_of, plane)
            for start in range(0, count, PIECE):
                stop = min(start + PIECE, count)
                places, dV_c = offset[start:stop], dV[b, c, start:stop]
                wy_c, wx_c = piece_of(wy, start, stop), piece_of(wx, start, stop)
                if dU.size > 0:
                    share_out_to_columns(dV_c, wx_c, columns)
                    add_to_taps(columns, dU_planes, across, places, wy_c)
                if dG.size > 0:
                    read_taps(plane, across, places, wy_c, columns)
                    add_up_columns(columns, piece_of(wx_slope, start, stop), read_x)
                    read_taps(plane, across, places, piece_of(wy_slope, start, stop), columns)
                    add_up_columns(columns, wx_c, read_y)
                    dx, dy = all_dx[start:stop], all_dy[start:stop]
                    for p in range(dx.size):
                        dx[p] += dV_c[p] * read_x[p]
                        dy[p] += dV_c[p] * read_y[p]
            if dU.size > 0:
                take_image(dU_planes, H, W, row_of, column_of, dU[b, c])
        if dG.size > 0:
            dG_b, one = dG[b], np.uintp(1)
            for p in range(np.uintp(count)):
                dG_b[p + p], dG_b[p + p + one] = all_dx[p], all_dy[p]


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
