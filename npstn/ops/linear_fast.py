"""The fast kernel of the linear layer. The formula, and its own loops, stand in `linear.py`.

    r, j     row and column of a product of matrices, 0 .. R-1, 0 .. C-1
    t        what is summed over, 0 .. T-1

    y[r, j] = bias[j] + sum_t left[r, t] right[t, j]

All three products of the layer, y, dx and dW, are of this kind. The columns are taken in panels of three lanes, whose
tiles are those of the convolution: `multiply_tiles` in `conv2d_fast.py`. Panels are shared out to threads; the number
of threads changes no bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npstn.backend.compiler import kernel
from npstn.backend.lanes import BYTES, lane_count
from npstn.backend.parallel import share_out
from npstn.ops.arguments import contiguous
from npstn.ops.conv2d_fast import LONG, empty_from_line, multiply_tiles, stack

MOVED = 64  # rows: to get the weights to another core's cache takes as long as the products of so many


@kernel
def copy_panel(right, c, columns, panel, pitch):
    """Columns c .. c + columns - 1 of the rows of `right`."""
    for t in range(len(right)):
        source, row = right[t, c : c + columns], panel[t * pitch : t * pitch + columns]
        for j in range(columns):
            row[j] = source[j]


@kernel
def put_panel(sums, pitch, bias, c, columns, y):
    """y[r, c + j] = bias[c + j] + sums[r, j]"""
    for r in range(len(y)):
        y_r, sums_r, bias_c = y[r, c : c + columns], sums[r * pitch : r * pitch + columns], bias[c : c + columns]
        for j in range(columns):
            y_r[j] = bias_c[j] + sums_r[j]


@kernel
def multiply(first, end, left, right, transpose, bias, y):
    """Of y = left right + bias, (R, C) from (R, T) and (T, C), the panels first .. end-1: three lanes of columns each.

    With `transpose`, `right` is given as (C, T). A panel of it is copied, its rows one behind the other: so the T lanes
    of a tile come from neighbouring memory.
    """
    (R, T), C, tile = left.shape, y.shape[1], 3 * lane_count(left)
    panel, sums = empty_from_line((T + 1) * tile, left.dtype), empty_from_line(R * tile, left.dtype)
    nothing, start = np.zeros(R, left.dtype), np.empty(T, np.int64)
    for c in range(first * tile, min(end * tile, C), tile):
        columns = min(tile, C - c)  # what stands in a tile behind the last column is never read
        pitch = columns if transpose else tile
        for t in range(T):
            start[t] = t * pitch
        if transpose:
            stack(right.reshape(C, 1, T), c, columns, panel, 0, 0)
        else:
            copy_panel(right, c, columns, panel, pitch)
        multiply_tiles(left, 0, T, panel, start, 0, nothing, sums, tile)
        put_panel(sums, tile, bias, c, columns, y)


def product(left: np.ndarray, right: np.ndarray, transpose: bool, bias: np.ndarray, y: np.ndarray, B: int) -> None:
    """Write y, for a batch of B rows. Args: as for `multiply`. Long sums are joined in float64, piece by piece."""
    if left.shape[1] > LONG:
        sums, some, nothing = np.zeros(y.shape), np.empty_like(y), np.zeros_like(bias)
        for t in range(0, left.shape[1], LONG):
            piece = right[:, t : t + LONG] if transpose else right[t : t + LONG]
            product(contiguous(left[:, t : t + LONG]), contiguous(piece), transpose, nothing, some, B)
            sums += some
        y[...] = sums + bias
        return
    panels = -(-y.shape[1] * y.itemsize // (3 * BYTES))
    work = left.size * y.shape[1] / 100 * max(1 - MOVED / max(B, 1), 0)  # ns
    share_out(multiply, panels, left, right, transpose, bias, y, work=work)


def forward(x: np.ndarray, W: np.ndarray, bias: np.ndarray, y: np.ndarray) -> None:
    """y = x W^T + bias"""
    product(x, W, True, bias, y, len(x))


def backward(x: Any, W: Any, dy: np.ndarray, dx: np.ndarray | None, dW: np.ndarray | None) -> None:
    """dx = dy W and dW = dy^T x, those that are given."""
    if dx is not None:
        product(dy, W, False, np.zeros(dx.shape[1], dx.dtype), dx, len(dy))
    if dW is not None:
        product(contiguous(dy.T), x, False, np.zeros(dW.shape[1], dW.dtype), dW, len(dy))
