"""The convolution (a cross-correlation, as everywhere in deep learning): V = U * W + bias.

    b          a sample of the batch, 0 .. B-1
    c, o       an input channel, 0 .. C-1; an output channel, 0 .. O-1
    k, l       row and column in the filter, 0 .. K-1, 0 .. L-1
    n, m       row and column in the input, 0 .. H-1, 0 .. W-1 (pixels)
    i, j       row and column in the output, 0 .. h-1, 0 .. w-1 (pixels)
    U (B, C, H, W)   weight (O, C, K, L)   bias (O)   V (B, O, h, w)

    V[b, o, i, j] = bias[o] + sum_{c, k, l} weight[o, c, k, l] U[b, c, n, m]
    with n = i stride_y - padding_y + k,  m = j stride_x - padding_x + l,  and U = 0 outside the image

so h = floor((H + 2 padding_y - K) / stride_y) + 1, and w alike. By the chain rule, with dV = d loss / d V:

    dweight[o, c, k, l] = sum_{b, i, j} dV[b, o, i, j] U[b, c, n, m]
    dbias[o]            = sum_{b, i, j} dV[b, o, i, j]
    dU[b, c, n, m]      = sum of weight[o, c, k, l] dV[b, o, i, j] over all (o, k, l, i, j) that read the pixel

The sums of products become products of matrices once the pixels that an output reads stand in a column of their own,
row (c, k, l) of column (i, j) being U[b, c, n, m]. A last row of ones makes the bias one more weight. For a sample,
with the filters and the bias as F (O, C K L + 1):

    V = F columns        dF^T += columns dV^T        dcolumns = F^T dV

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

RUNS = 8  # at most so many runs of samples: enough for as many threads


@kernel
def zeros(shape, dtype):
    """np.zeros; where it stood in a parallel loop itself, Numba would compile a parallel loop for it."""
    return np.zeros(shape, dtype)


@kernel
def layout(W, stride, h, w):
    """The pitch, from one row of outputs to the next among the columns, and the number of columns.

    With stride 1 the pitch is the padded image's width. So each row of the columns is one piece of the image, copied at
    one go; the few columns between two rows of outputs belong to no output. Else the outputs stand close together.
    """
    pitch = W if stride[0] == 1 and stride[1] == 1 else w
    return pitch, (h - 1) * pitch + w


@kernel
def im2col(U, K, L, stride, pitch, h, w, columns):
    """columns[(c, k, l), i pitch + j] = U[c, n, m], for one padded image; the last row is 1."""
    C, H, W = U.shape
    for p in range(columns.shape[1]):
        columns[C * K * L, p] = 1
    for c in range(C):
        image = U[c].reshape(H * W)
        for k in range(K):
            for l in range(L):
                row = columns[(c * K + k) * L + l]
                if stride[0] == 1 and stride[1] == 1:
                    piece = image[k * W + l :]  # starts at pixel (k, l)
                    for p in range(row.size):
                        row[p] = piece[p]
                else:
                    for i in range(h):
                        for j in range(w):
                            row[i * pitch + j] = U[c, i * stride[0] + k, j * stride[1] + l]


@kernel
def col2im(dcolumns, K, L, stride, pitch, h, w, dU):
    """The transpose of `im2col`: dU[c, n, m] = the sum of dcolumns[(c, k, l), i pitch + j] over all that read it."""
    C, H, W = dU.shape
    for c in range(C):
        image = dU[c].reshape(H * W)
        image[:] = 0
        for k in range(K):
            for l in range(L):
                row = dcolumns[(c * K + k) * L + l]
                if stride[0] == 1 and stride[1] == 1:
                    piece = image[k * W + l :]
                    for p in range(row.size):
                        piece[p] += row[p]
                else:
                    for i in range(h):
                        for j in range(w):
                            dU[c, i * stride[0] + k, j * stride[1] + l] += row[i * pitch + j]


@kernel
def add_up(parts, dF):
    """dF = the sum of parts[run]^T, in the order of the runs."""
    for o in range(dF.shape[0]):
        for q in range(dF.shape[1]):
            dF[o, q] = 0
            for run in range(parts.shape[0]):
                dF[o, q] += parts[run, q, o]


@kernel
def pad(U, padding, padded):
    """The image (C, H, W) with zeros round it; without padding, the image itself."""
    if padding[0] == 0 and padding[1] == 0:
        return U
    for c in range(U.shape[0]):
        for n in range(U.shape[1]):
            for m in range(U.shape[2]):
                padded[c, n + padding[0], m + padding[1]] = U[c, n, m]
    return padded


@kernel(parallel=True)
def conv2d_forward(U, F, K, L, stride, padding, V):
    B, C, H, W = U.shape
    _, O, h, w = V.shape
    pitch, N = layout(W + 2 * padding[1], stride, h, w)
    runs = min(B, RUNS)
    for run in prange(runs):
        padded = zeros((C, H + 2 * padding[0], W + 2 * padding[1]), U.dtype)
        columns = np.empty((F.shape[1], N), U.dtype)
        product = np.empty((O, N), U.dtype)
        for b in range(run * B // runs, (run + 1) * B // runs):
            im2col(pad(U[b], padding, padded), K, L, stride, pitch, h, w, columns)
            np.dot(F, columns, product)
            for o in range(O):
                for i in range(h):
                    for j in range(w):
                        V[b, o, i, j] = product[o, i * pitch + j]


@kernel(parallel=True)
def conv2d_backward_weight(U, dV, K, L, stride, padding, dF):
    B, C, H, W = U.shape
    _, O, h, w = dV.shape
    Q = dF.shape[1]
    pitch, N = layout(W + 2 * padding[1], stride, h, w)
    runs = min(B, RUNS)
    parts = zeros((runs, Q, O), dF.dtype)
    for run in prange(runs):
        padded = zeros((C, H + 2 * padding[0], W + 2 * padding[1]), U.dtype)
        columns = np.empty((Q, N), U.dtype)
        dV_b = zeros((N, O), dV.dtype)  # transposed: for the model's two layers a fifth less time than dV columns^T
        product = np.empty((Q, O), dF.dtype)
        for b in range(run * B // runs, (run + 1) * B // runs):
            im2col(pad(U[b], padding, padded), K, L, stride, pitch, h, w, columns)
            for o in range(O):
                for i in range(h):
                    for j in range(w):
                        dV_b[i * pitch + j, o] = dV[b, o, i, j]
            np.dot(columns, dV_b, product)
            for q in range(Q):
                for o in range(O):
                    parts[run, q, o] += product[q, o]
    add_up(parts, dF)


@kernel(parallel=True)
def conv2d_backward_input(dV, F, K, L, stride, padding, dU):
    B, C, H, W = dU.shape
    _, O, h, w = dV.shape
    pitch, N = layout(W + 2 * padding[1], stride, h, w)
    runs = min(B, RUNS)
    for run in prange(runs):
        padded = np.empty((C, H + 2 * padding[0], W + 2 * padding[1]), dV.dtype)
        dcolumns = np.empty((F.shape[1], N), dV.dtype)  # the last row, the bias's, goes nowhere
        dV_b = zeros((O, N), dV.dtype)
        for b in range(run * B // runs, (run + 1) * B // runs):
            for o in range(O):
                for i in range(h):
                    for j in range(w):
                        dV_b[o, i * pitch + j] = dV[b, o, i, j]
            np.dot(F.T, dV_b, dcolumns)
            col2im(dcolumns, K, L, stride, pitch, h, w, padded)
            for c in range(C):
                for n in range(H):
                    for m in range(W):
                        dU[b, c, n, m] = padded[c, n + padding[0], m + padding[1]]


class Conv2d(Function):
    @staticmethod
    def forward(ctx: Context, U: Any, weight: Any, bias: Any, stride: Any, padding: Any) -> np.ndarray:
        check_floats("conv2d", input=U, weight=weight)
        check_shape("conv2d", "input", U, "B, C, H, W")
        check_shape("conv2d", "weight", weight, f"O, {U.shape[1]}, K, L")
        O, C, K, L = weight.shape
        if bias is not None:
            check_floats("conv2d", input=U, bias=bias)
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
        if need_weight:
            dF = np.empty_like(F)
            conv2d_backward_weight(U, dV, *ctx.geometry, dF)
            dweight = dF[:, :-1].reshape(F.shape[0], U.shape[1], K, L)
            dbias = dF[:, -1] if need_bias else None
        elif need_bias:
            dbias = dV.sum(axis=(0, 2, 3))
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

    Returns (B, O, h, w), h = floor((H + 2 padding - K) / stride) + 1 and w alike, in the inputs' dtype. Raises
    TypeError for dtypes other than one of float32 and float64, ValueError for shapes that do not fit and for a filter
    larger than the padded image.

    >>> conv2d(Tensor([[[[1.0, 2.0, 3.0]]]]), Tensor([[[[1.0, -1.0]]]])).data
    array([[[[-1., -1.]]]], dtype=float32)
    """
    return Conv2d.apply(input, weight, bias, stride, padding)
