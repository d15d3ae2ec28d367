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

There are no kinks. Each product of matrices is done by SciPy's BLAS on one thread: the products are too small for
several, and NumPy's BLAS would start threads that compete with those of the kernels.
Source: Goodfellow et al., Deep Learning, section 6.5.6.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from npstn.autograd import Context, Function, Tensor
from npstn.backend.blas import blas_of_one_thread
from npstn.ops.arguments import check_floats, check_shape, contiguous
from npstn.ops.summation import total

LONG = 2**12  # numbers that BLAS adds up in float32; the sums of so many are added up in float64
VERY_LONG = 2**16  # the same where a piece of so many must be copied first, which takes up to half of the time


def add_product(left: np.ndarray, right: np.ndarray, y: np.ndarray) -> None:
    """y += left right. These lie in memory row after row or column after column, y row after row."""
    if 0 in (*left.shape, *right.shape):
        return  # BLAS refuses matrices without rows
    together = left.flags.f_contiguous and right.flags.c_contiguous
    if y.dtype == np.float32 and len(right) > (LONG if together else VERY_LONG):
        sums = y.astype(np.float64)
        for first in range(0, len(right), LONG):
            some = np.zeros_like(y)
            piece = slice(first, first + LONG)
            add_product(contiguous(left.T[piece]).T, contiguous(right[piece]), some)
            sums += some
        y[...] = sums
        return
    blas = blas_of_one_thread()
    gemm = blas.sgemm if y.dtype == np.float32 else blas.dgemm
    # BLAS reads matrices column after column, as the transposes of ours lie: y^T += right^T left^T.
    right, transpose_right = (right.T, 0) if right.flags.c_contiguous else (right, 1)
    left, transpose_left = (left.T, 0) if left.flags.c_contiguous else (left, 1)
    gemm(1, right, left, 1, y.T, transpose_right, transpose_left, overwrite_c=1)


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
        y = np.zeros((len(x), len(W)), x.dtype)
        if bias is not None:
            y += bias
        add_product(x, W.T, y)
        return y.reshape(*ctx.shape_of_x[:-1], len(W))

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        x, W = ctx.saved
        need_x, need_W, need_bias = ctx.needs_input_grad
        dy = contiguous(dy.reshape(math.prod(dy.shape[:-1]), dy.shape[-1]))
        dx = dW = dbias = None
        if need_x:
            dx = np.zeros((len(dy), W.shape[1]), dy.dtype)
            add_product(dy, W, dx)
            dx = dx.reshape(ctx.shape_of_x)
        if need_W:
            dW = np.zeros((dy.shape[1], x.shape[1]), dy.dtype)
            add_product(dy.T, x, dW)
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
