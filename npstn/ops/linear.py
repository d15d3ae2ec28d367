"""The linear layer: y = x W^T + b.

    b       a row of the input, 0 .. B-1 (all leading axes of it, flattened)
    i, o    an input feature, 0 .. I-1; an output feature, 0 .. O-1
    x (B, I)   W (O, I)   bias (O)   y (B, O)

    y[b, o] = sum_i x[b, i] W[o, i] + bias[o]

By the chain rule, with dy[b, o] = d loss / d y[b, o]:

    dx[b, i]  = sum_o dy[b, o] W[o, i]       dx = dy W
    dW[o, i]  = sum_b dy[b, o] x[b, i]       dW = dy^T x
    dbias[o]  = sum_b dy[b, o]

Each is one product of matrices. `np.dot` inside a kernel is SciPy's BLAS, on one thread: NumPy's own would start
threads that get in the way of the other kernels', for products too small to be worth them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from npstn.autograd import Context, Function, Tensor
from npstn.ops.checks import check_floats, check_shape, contiguous
from npstn.runtime import hold_blas_to_one_thread, kernel


@kernel
def linear_forward(x, W, bias, y):
    np.dot(x, W.T, y)
    for b in range(y.shape[0]):
        for o in range(y.shape[1]):
            y[b, o] += bias[o]


@kernel
def linear_backward_input(dy, W, dx):
    np.dot(dy, W, dx)


@kernel
def linear_backward_weight(dy, x, dW):
    np.dot(dy.T, x, dW)


class Linear(Function):
    @staticmethod
    def forward(ctx: Context, x: np.ndarray, W: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
        check_floats("linear", input=x, weight=W)
        if W.ndim != 2 or x.ndim < 1 or x.shape[-1] != W.shape[1]:
            raise ValueError(f"linear: expected input (..., I) and weight (O, I), got {x.shape} and {W.shape}")
        if bias is not None:
            check_floats("linear", input=x, bias=bias)
            check_shape("linear", "bias", bias, f"{W.shape[0]}")
        hold_blas_to_one_thread()
        ctx.shape_of_x = x.shape
        x, W = contiguous(x.reshape(math.prod(x.shape[:-1]), x.shape[-1])), contiguous(W)
        ctx.save_for_backward(x, W)
        y = np.empty((x.shape[0], W.shape[0]), x.dtype)
        linear_forward(x, W, np.zeros(W.shape[0], x.dtype) if bias is None else contiguous(bias), y)
        return y.reshape(*ctx.shape_of_x[:-1], W.shape[0])

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        x, W = ctx.saved
        need_x, need_W, need_bias = ctx.needs_input_grad
        dy = contiguous(dy.reshape(len(x), len(W)))
        dx = dW = dbias = None
        if need_x:
            dx = np.empty_like(x)
            linear_backward_input(dy, W, dx)
            dx = dx.reshape(ctx.shape_of_x)
        if need_W:
            dW = np.empty_like(W)
            linear_backward_weight(dy, x, dW)
        if need_bias:
            dbias = dy.sum(axis=0)
        return dx, dW, dbias


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input @ weight.T + bias.

    Args:
        input: (..., I).
        weight: (O, I).
        bias: (O,) or None.

    Returns (..., O), in the inputs' dtype. Raises TypeError for dtypes other than one of float32 and float64,
    ValueError for shapes that do not fit.

    >>> linear(Tensor([[1.0, 2.0]]), Tensor([[3.0, 4.0]]), Tensor([5.0]))
    Tensor([[16.]], dtype=float32)
    """
    return Linear.apply(input, weight, bias)
