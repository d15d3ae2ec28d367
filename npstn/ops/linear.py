"""The linear layer: y = x W^T + bias.

    b       a row of the input, 0 .. B-1: all its leading axes, flattened
    i, o    an input feature, 0 .. I-1; an output feature, 0 .. O-1
    x (B, I)   W (O, I)   bias (O)   y (B, O)

    y[b, o] = sum_i x[b, i] W[o, i] + bias[o]

y is linear in each of x, W and bias:

    ∂y[b, o] / ∂x[b, i] = W[o, i]      ∂y[b, o] / ∂W[o, i] = x[b, i]      ∂y[b, o] / ∂bias[o] = 1

so by the chain rule, with dy the gradient of the loss in y:

    dx[b, i]  = sum_o dy[b, o] W[o, i]       dx = dy W
    dW[o, i]  = sum_b dy[b, o] x[b, i]       dW = dy^T x
    dbias[o]  = sum_b dy[b, o]

There are no kinks. All three products of matrices are made by `multiply`, whose tiles are those of the convolution.
Source: Goodfellow et al., Deep Learning, section 6.5.6.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from npstn.autograd import Context, Function, Tensor
from npstn.backend.compiler import kernel
from npstn.backend.lanes import BYTES, lane_count
from npstn.backend.parallel import share_out
from npstn.ops.arguments import check_floats, check_shape, contiguous
from npstn.ops.conv2d_fast import LONG, empty_from_line, multiply_tiles, stack
from npstn.ops.summation import total

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
    of a tile come from neighbouring memory. The sums of stretches of LONG products are added up in float64.
    """
    (R, T), C, tile = left.shape, y.shape[1], 3 * lane_count(left)
    panel, sums = empty_from_line((T + 1) * tile, left.dtype), empty_from_line(R * tile, left.dtype)
    nothing, start = np.zeros(R, left.dtype), np.empty(T, np.int64)
    totals = np.zeros(sums.size if T > LONG else 0)
    for c in range(first * tile, min(end * tile, C), tile):
        columns = min(tile, C - c)  # what stands in a tile behind the last column is never read
        pitch = columns if transpose else tile
        for t in range(T):
            start[t] = t * pitch
        if transpose:
            stack(right.reshape(C, 1, T), c, columns, panel, 0, 0)
        else:
            copy_panel(right, c, columns, panel, pitch)
        for t in range(0, max(T, 1), LONG):
            multiply_tiles(left, t, min(t + LONG, T), panel, start, 0, nothing, sums, tile)
            for p in range(totals.size):
                totals[p] = sums[p] if t == 0 else totals[p] + sums[p]
        if totals.size > 0:
            put_panel(totals, tile, bias, c, columns, y)
        else:
            put_panel(sums, tile, bias, c, columns, y)


def product(
    left: np.ndarray, right: np.ndarray, B: int, bias: np.ndarray | None = None, transpose: bool = False
) -> np.ndarray:
    """left right + bias, one of the three products for B rows; with `transpose`, `right` is given transposed."""
    columns = right.shape[0 if transpose else 1]
    y = np.empty((len(left), columns), left.dtype)
    bias = np.zeros(columns, left.dtype) if bias is None else contiguous(bias)
    panels = -(-columns * left.itemsize // (3 * BYTES))
    work = left.size * columns / 100 * max(1 - MOVED / max(B, 1), 0)  # ns
    share_out(multiply, panels, left, right, transpose, bias, y, work=work)
    return y


class Linear(Function):
    gives_new_arrays = True
    keeps = ("input", "weight")

    @staticmethod
    def forward(ctx: Context, x: np.ndarray, W: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
        check_floats("linear", input=x, weight=W)
        if W.ndim != 2 or x.ndim < 1 or x.shape[-1] != W.shape[1]:
            raise ValueError(f"linear: expected input (..., I) and weight (O, I), got {x.shape} and {W.shape}")
        if bias is not None:
            check_floats("linear", input=x, bias=bias)
            check_shape("linear", "bias", bias, f"{W.shape[0]}")
        ctx.shape_of_x = x.shape
        x, W = contiguous(x.reshape(math.prod(x.shape[:-1]), x.shape[-1])), contiguous(W)
        need_x, need_W, _ = ctx.needs_input_grad
        ctx.save_for_backward(x if need_W else None, W if need_x else None)
        y = product(x, W, len(x), bias, transpose=True)
        return y.reshape(*ctx.shape_of_x[:-1], len(W))

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        x, W = ctx.saved
        need_x, need_W, need_bias = ctx.needs_input_grad
        dy = contiguous(dy.reshape(math.prod(dy.shape[:-1]), dy.shape[-1]))
        dx = dW = dbias = None
        if need_x:
            dx = product(dy, W, len(dy)).reshape(ctx.shape_of_x)
        if need_W:
            dW = product(contiguous(dy.T), x, len(x))
        if need_bias:
            dbias = total(dy, axis=0)
        return dx, dW, dbias


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input @ weight.T + bias.

    Args:
        input: (..., I).
        weight: (O, I).
        bias: (O,) or None.

    Returns (..., O), in the dtype of the inputs. Raises TypeError unless all inputs are float32 or all float64, and
    ValueError for shapes that do not fit.

    >>> linear(Tensor([[1.0, 2.0]]), Tensor([[3.0, 4.0]]), Tensor([5.0]))
    Tensor([[16.]], dtype=float32)
    """
    return Linear.apply(input, weight, bias)
