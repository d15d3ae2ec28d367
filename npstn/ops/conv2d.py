"""The convolution (a cross-correlation, as everywhere in deep learning): V = U * W + bias.

    b          a sample of the batch, 0 .. B-1
    c, o       an input channel, 0 .. C-1; an output channel, 0 .. O-1
    k, l       row and column in the filter, 0 .. K-1, 0 .. L-1
    n, m       row and column in the input, 0 .. H-1, 0 .. W-1 (pixels)
    i, j       row and column in the output, 0 .. h-1, 0 .. w-1 (pixels)
    U (B, C, H, W)   weight (O, C, K, L)   bias (O)   V (B, O, h, w)

    V[b, o, i, j] = bias[o] + sum_{c, k, l} weight[o, c, k, l] U[b, c, n, m]                                        (1)
    with n = i stride_y - padding_y + k,  m = j stride_x - padding_x + l,  and U = 0 outside the image

so h = floor((H + 2 padding_y - K) / stride_y) + 1, and w alike. By the chain rule, with dV = d loss / d V:

    dweight[o, c, k, l] = sum_{b, i, j} dV[b, o, i, j] U[b, c, n, m]                                                (2)
    dbias[o]            = sum_{b, i, j} dV[b, o, i, j]                                                              (3)
    dU[b, c, n, m]      = sum of weight[o, c, k, l] dV[b, o, i, j] over all (o, k, l, i, j) that read the pixel     (4)

The sums of products become products of matrices once the pixels that an output reads stand in a column of their own,
row (c, k, l) of column (i, j) being U[b, c, n, m]. A last row of ones makes the bias one more weight. For a sample,
with the filters and the bias as F (O, C K L + 1):

    V = F columns        dF += dV columns^T        dcolumns = F^T dV

`im2col` lays the columns out; `col2im`, its transpose, adds dcolumns up into dU.

Parallel over runs of samples, each with one buffer for the columns. For dF each run adds up a part of its own; how many
runs there are follows from the batch alone, and the parts are added in order: the number of threads changes no bit.
Source: the formulas are those of Goodfellow et al., Deep Learning, section 9.5; the columns, Chellapilla et al. 2006.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from npstn.autograd import Context, Function, Tensor
from npstn.ops.checks import check_floats, check_shape, contiguous, pair, window_positions
from npstn.runtime import hold_blas_to_one_thread, kernel

RUNS = 16  # at most so many runs of samples: enough for a handful of threads to share them evenly


@kernel
def _positions_inside(k, stride, padding, size, positions):
    """The range of positions i, of 0 .. positions-1, at which row k of the window, i stride - padding + k, is inside."""
    first = (max(padding - k, 0) + stride - 1) // stride
    last = (size - 1 + padding - k) // stride
    return min(first, positions), max(min(last + 1, positions), 0)


@kernel
def im2col(U, K, L, stride, padding, h, w, columns):
    """columns[(c, k, l), (i, j)] = U[c, n, m], or 0 outside the image, for one sample."""
    C, H, W = U.shape
    for c in range(C):
        for k in range(K):
            i0, i1 = _positions_inside(k, stride[0], padding[0], H, h)
            for l in range(L):
                j0, j1 = _positions_inside(l, stride[1], padding[1], W, w)
                row = columns[(c * K + k) * L + l].reshape(h, w)
                if i1 - i0 < h or j1 - j0 < w:
                    row[:] = 0
                for i in range(i0, i1):
                    n = i * stride[0] - padding[0] + k
                    for j in range(j0, j1):
                        row[i, j] = U[c, n, j * stride[1] - padding[1] + l]


@kernel
def col2im(dcolumns, K, L, stride, padding, h, w, dU):
    """dU[c, n, m] += dcolumns[(c, k, l), (i, j)] inside the image, for one sample."""
    C, H, W = dU.shape
    for c in range(C):
        for k in range(K):
            i0, i1 = _positions_inside(k, stride[0], padding[0], H, h)
            for l in range(L):
                j0, j1 = _positions_inside(l, stride[1], padding[1], W, w)
                row = dcolumns[(c * K + k) * L + l].reshape(h, w)
                for i in range(i0, i1):
                    n = i * stride[0] - padding[0] + k
                    for j in range(j0, j1):
                        dU[c, n, j * stride[1] - padding[1] + l] += row[i, j]


@kernel(parallel=True)
def conv2d_forward(U, F, K, L, stride, padding, V):
    B, O, h, w = V.shape
    runs = min(B, RUNS)
    for run in prange(runs):
        columns = np.ones((F.shape[1], h * w), U.dtype)  # its last row stays 1
        for b in range(run * B // runs, (run + 1) * B // runs):
            im2col(U[b], K, L, stride, padding, h, w, columns)
            np.dot(F, columns, V[b].reshape(O, h * w))


@kernel(parallel=True)
def conv2d_backward_weight(U, dV, K, L, stride, padding, dF):
    B, O, h, w = dV.shape
    runs = min(B, RUNS)
    parts = np.zeros((runs,) + dF.shape, dF.dtype)
    for run in prange(runs):
        columns = np.ones((dF.shape[1], h * w), U.dtype)
        product = np.empty(dF.shape, dF.dtype)
        for b in range(run * B // runs, (run + 1) * B // runs):
            im2col(U[b], K, L, stride, padding, h, w, columns)
            np.dot(dV[b].reshape(O, h * w), columns.T, product)
            for o in range(dF.shape[0]):
                for q in range(dF.shape[1]):
                    parts[run, o, q] += product[o, q]
    dF[:] = 0
    for run in range(runs):
        for o in range(dF.shape[0]):
            for q in range(dF.shape[1]):
                dF[o, q] += parts[run, o, q]


@kernel(parallel=True)
def conv2d_backward_input(dV, F, K, L, stride, padding, dU):
    B, O, h, w = dV.shape
    runs = min(B, RUNS)
    for run in prange(runs):
        dcolumns = np.empty((F.shape[1], h * w), dV.dtype)  # its last row, the bias's, goes nowhere
        for b in range(run * B // runs, (run + 1) * B // runs):
            np.dot(F.T, dV[b].reshape(O, h * w), dcolumns)
            dU[b] = 0
            col2im(dcolumns, K, L, stride, padding, h, w, dU[b])


class Conv2d(Function):
    @staticmethod
    def forward(ctx: Context, U: Any, weight: Any, bias: Any, stride: Any, padding: Any) -> np.ndarray:
        check_floats("conv2d", input=U, weight=weight, bias=bias)
        check_shape("conv2d", "input", U, "B, C, H, W")
        check_shape("conv2d", "weight", weight, f"O, {U.shape[1]}, K, L")
        O, C, K, L = weight.shape
        if bias is not None:
            check_shape("conv2d", "bias", bias, f"{O}")
        stride, padding = pair("conv2d", "stride", stride, 1), pair("conv2d", "padding", padding, 0)
        h, w = window_positions("conv2d", U.shape[2:], (K, L), stride, padding)
        hold_blas_to_one_thread()
        U, F = contiguous(U), np.zeros((O, C * K * L + 1), U.dtype)
        F[:, :-1] = weight.reshape(O, C * K * L)
        if bias is not None:
            F[:, -1] = bias
        ctx.save_for_backward(U, F)
        ctx.geometry = K, L, stride, padding
        V = np.empty((U.shape[0], O, h, w), U.dtype)
        conv2d_forward(U, F, *ctx.geometry, V)
        return V

    @staticmethod
    def backward(ctx: Context, dV: np.ndarray) -> Any:
        U, F = ctx.saved
        K, L, *_ = ctx.geometry
        need_U, need_weight, need_bias, *_ = ctx.needs_input_grad
        dV = contiguous(dV)
        dU = dweight = dbias = None
        if need_U:
            dU = np.empty_like(U)
            conv2d_backward_input(dV, F, *ctx.geometry, dU)
        if need_weight or need_bias:
            dF = np.empty_like(F)
            conv2d_backward_weight(U, dV, *ctx.geometry, dF)
            dweight = dF[:, :-1].reshape(F.shape[0], U.shape[1], K, L)
            dbias = dF[:, -1]
        return dU, dweight, dbias, None, None


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
) -> Tensor:
    """Convolve each image of a batch with each filter.

    Args:
        input: (B, C, H, W).
        weight: (O, C, K, L), O filters.
        bias: (O,) or None.
        stride: pixels from one output to the next, at least 1; one number, or (rows, columns).
        padding: pixels of zeros round the image, at least 0; one number, or (rows, columns).

    Returns (B, O, h, w), h = floor((H + 2 padding - K) / stride) + 1 and w alike, in the inputs' dtype. Raises TypeError
    for dtypes other than one of float32 and float64, ValueError for shapes that do not fit and for a filter larger than
    the padded image.

    >>> conv2d(Tensor([[[[1.0, 2.0, 3.0]]]]), Tensor([[[[1.0, -1.0]]]])).data
    array([[[[-1., -1.]]]], dtype=float32)
    """
    return Conv2d.apply(input, weight, bias, stride, padding)
