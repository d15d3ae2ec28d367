"""The convolution (a cross-correlation, as everywhere in deep learning).

    b          a sample of the batch, 0 .. B-1
    c, o       an input channel, 0 .. C-1; an output channel, 0 .. O-1
    k, l       row and column in the filter, 0 .. K-1, 0 .. L-1
    n, m       row and column in the input, 0 .. H-1, 0 .. W-1 (pixels)
    i, j       row and column in the output, 0 .. h-1, 0 .. w-1 (pixels)
    U (B, C, H, W)   weight (O, C, K, L)   bias (O)   V (B, O, h, w)

    V[b, o, i, j] = bias[o] + sum_{c, k, l} weight[o, c, k, l] U[b, c, n, m]
    with n = i stride_y - padding_y + k,  m = j stride_x - padding_x + l,  and U = 0 outside the image

so h = floor((H + 2 padding_y - K) / stride_y) + 1, and w alike. V is linear in each of U, weight and bias:

    ∂V[b, o, i, j] / ∂weight[o, c, k, l] = U[b, c, n, m]
    ∂V[b, o, i, j] / ∂bias[o]            = 1
    ∂V[b, o, i, j] / ∂U[b, c, n, m]      = weight[o, c, k, l]

With dV, the gradient of the loss in V, the chain rule sums over every output that an input reaches:

    dweight[o, c, k, l] = sum_{b, i, j} dV[b, o, i, j] U[b, c, n, m]
    dbias[o]            = sum_{b, i, j} dV[b, o, i, j]
    dU[b, c, n, m]      = sum of weight[o, c, k, l] dV[b, o, i, j] over all (o, k, l, i, j) that read the pixel

There are no kinks. The loops below are these formulas, and run under `npstn.reference()`. Otherwise the kernels of
`conv2d_fast.py` and `conv2d_sparse.py` run; only for dU, where a weight or dV is not finite, the loops do.
Source: Goodfellow et al., Deep Learning, section 9.5.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npstn.autograd import Context, Function, Tensor
from npstn.backend.compiler import kernel
from npstn.backend.parallel import is_rehearsing, share_out
from npstn.ops import conv2d_fast, conv2d_sparse
from npstn.ops.arguments import check_floats, check_shape, contiguous, pair
from npstn.ops.reference import plain_loops
from npstn.ops.windows import window_positions


@kernel
def conv2d_forward(first, end, U, weight, bias, stride, padding, V):
    """V of the samples first .. end-1."""
    _, C, H, W = U.shape
    _, O, h, w = V.shape
    _, _, K, L = weight.shape
    for b in range(first, end):
        for o in range(O):
            for i in range(h):
                for j in range(w):
                    # bias[o] + sum_{c, k, l} weight[o, c, k, l] U[b, c, n, m]
                    total = bias[o]
                    for c in range(C):
                        for k in range(K):
                            for l in range(L):
                                n, m = i * stride[0] - padding[0] + k, j * stride[1] - padding[1] + l
                                inside = 0 <= n < H and 0 <= m < W
                                total += weight[o, c, k, l] * (U[b, c, n, m] if inside else bias.dtype.type(0))
                    V[b, o, i, j] = total


@kernel
def conv2d_backward_input(first, end, weight, dV, stride, padding, dU):
    """dU of the samples first .. end-1."""
    _, C, H, W = dU.shape
    _, O, h, w = dV.shape
    _, _, K, L = weight.shape
    for b in range(first, end):
        dU[b] = 0
        for o in range(O):
            for i in range(h):
                for j in range(w):
                    for c in range(C):
                        for k in range(K):
                            for l in range(L):
                                # every (o, k, l, i, j) that reads the pixel adds weight[o, c, k, l] dV[b, o, i, j]
                                n, m = i * stride[0] - padding[0] + k, j * stride[1] - padding[1] + l
                                if 0 <= n < H and 0 <= m < W:
                                    dU[b, c, n, m] += weight[o, c, k, l] * dV[b, o, i, j]


@kernel
def conv2d_backward_weight(first, end, U, dV, stride, padding, dweight):
    """dweight of the filters first .. end-1: the sum runs over the batch, and each filter has one of its own."""
    B, C, H, W = U.shape
    _, _, h, w = dV.shape
    _, _, K, L = dweight.shape
    zero = U.dtype.type(0)
    for o in range(first, end):
        for c in range(C):
            for k in range(K):
                for l in range(L):
                    # sum_{b, i, j} dV[b, o, i, j] U[b, c, n, m], each row by itself: short sums lose fewer digits,
                    # and there may be many rows
                    total = np.float64(0)
                    for b in range(B):
                        for i in range(h):
                            of_row = zero
                            for j in range(w):
                                n, m = i * stride[0] - padding[0] + k, j * stride[1] - padding[1] + l
                                inside = 0 <= n < H and 0 <= m < W
                                of_row += dV[b, o, i, j] * (U[b, c, n, m] if inside else zero)
                            total += of_row
                    dweight[o, c, k, l] = total


@kernel
def conv2d_backward_bias(first, end, dV, dbias):
    """dbias of the filters first .. end-1."""
    B, _, h, w = dV.shape
    for o in range(first, end):
        # sum_{b, i, j} dV[b, o, i, j], each row by itself
        total = np.float64(0)
        for b in range(B):
            for i in range(h):
                of_row = dV.dtype.type(0)
                for j in range(w):
                    of_row += dV[b, o, i, j]
                total += of_row
        dbias[o] = total


def gradients_by_loops(U: np.ndarray, weight: np.ndarray, dV: np.ndarray, windows: tuple, needs: tuple) -> list:
    """The gradients of U, weight and bias by the loops above; None for one that is not among `needs`, three bools."""
    shapes = U.shape, weight.shape, (len(weight),)
    gradients = [np.empty(shape, dV.dtype) if need else None for shape, need in zip(shapes, needs, strict=True)]
    dU, dweight, dbias = gradients
    if dU is not None:
        share_out(conv2d_backward_input, len(U), weight, dV, *windows, dU)
    if dweight is not None:
        share_out(conv2d_backward_weight, len(weight), U, dV, *windows, dweight)
    if dbias is not None:
        share_out(conv2d_backward_bias, len(weight), dV, dbias)
    return gradients


class Conv2d(Function):
    gives_new_arrays = True
    keeps = ("input", "weight", "copy of weight")

    @staticmethod
    def forward(ctx: Context, U: Any, weight: Any, bias: Any, stride: Any, padding: Any) -> np.ndarray:
        check_floats("conv2d", input=U, weight=weight)
        check_shape("conv2d", "input", U, "B, C, H, W")
        check_shape("conv2d", "weight", weight, f"O, {U.shape[1]}, K, L")
        O, _, K, L = weight.shape
        if bias is not None:
            check_floats("conv2d", input=U, bias=bias)
            check_shape("conv2d", "bias", bias, f"{O}")
        stride, padding = pair("conv2d", "stride", stride, 1), pair("conv2d", "padding", padding, 0)
        h, w = window_positions("conv2d", U.shape[2:], (K, L), stride, padding)
        V = np.empty((len(U), O, h, w), U.dtype)
        ctx.plain_loops, ctx.windows = plain_loops(), (stride, padding)
        if ctx.plain_loops:
            U, weight = contiguous(U), contiguous(weight)
            bias = np.zeros(O, U.dtype) if bias is None else contiguous(bias)
            ctx.save_for_backward(U, weight)
            share_out(conv2d_forward, len(V), U, weight, bias, stride, padding, V)
        else:
            ctx.layout, (U_phases, F) = conv2d_fast.forward(U, weight, bias, stride, padding, V)
            # F is a copy of the weights. They are kept too, so that a change is refused as in every other operation.
            ctx.save_for_backward(U_phases, weight if ctx.needs_input_grad[0] else None, F)
        return V

    @staticmethod
    def backward(ctx: Context, dV: np.ndarray) -> Any:
        dV, (need_U, need_weight, need_bias) = contiguous(dV), ctx.needs_input_grad[:3]
        if ctx.plain_loops:
            U, weight = ctx.saved
            return *gradients_by_loops(U, weight, dV, ctx.windows, (need_U, need_weight, need_bias)), None, None
        U_phases, _, F = ctx.saved
        gradients = None
        if is_rehearsing() or conv2d_sparse.fits(ctx.layout, dV):
            gradients = conv2d_sparse.backward(ctx.layout, (U_phases, F), dV, (need_U, need_weight, need_bias))
        if is_rehearsing() or gradients is None:
            fast_U = need_U and (is_rehearsing() or conv2d_fast.can_give_dU(ctx.layout, F, dV))
            gradients = conv2d_fast.backward(ctx.layout, (U_phases, F), dV, (fast_U, need_weight, need_bias))
            if need_U and not fast_U:
                weight, like_U = F.reshape(ctx.layout.filters), np.empty(ctx.layout.image, dV.dtype)
                dU, *_ = gradients_by_loops(like_U, weight, dV, ctx.windows, (True, False, False))
                gradients = dU, *gradients[1:]
        return *gradients, None, None


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

    Returns (B, O, h, w), h = floor((H + 2 padding - K) / stride) + 1 and w alike, in the dtype of the inputs. Raises
    TypeError unless all inputs are float32 or all float64; ValueError for shapes that do not fit and for a filter
    larger than the padded image.

    >>> conv2d(Tensor([[[[1.0, 2.0, 3.0]]]]), Tensor([[[[1.0, -1.0]]]])).data
    array([[[[-1., -1.]]]], dtype=float32)
    """
    return Conv2d.apply(input, weight, bias, stride, padding)
