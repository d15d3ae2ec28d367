"""The linear layer: y = x W^T + b.

    b       a row of the input, 0 .. B-1 (all leading axes of it, flattened)
    i, o    an input feature, 0 .. I-1; an output feature, 0 .. O-1
    x (B, I)   W (O, I)   bias (O)   y (B, O)

    y[b, o] = sum_i x[b, i] W[o, i] + bias[o]

By the chain rule, with dy[b, o] = d loss / d y[b, o]:

    dx[b, i]  = sum_o dy[b, o] W[o, i]       dx = dy W
    dW[o, i]  = sum_b dy[b, o] x[b, i]       dW = dy^T x
    dbias[o]  = sum_b dy[b, o]

Each is one product of matrices, by SciPy's BLAS on one thread: NumPy's own would start threads that get in the way of
the kernels', for products too small to be worth them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from npstn.autograd import Context, Function, Tensor
from npstn.ops.arguments import check_floats, check_shape, contiguous
from npstn.backend.blas import blas_of_one_thread


def add_product(a: np.ndarray, b: np.ndarray, y: np.ndarray) -> None:
    """y += a b, for a and b that lie in memory row after row or column after column, and y row after row."""
    if 0 in (*a.shape, *b.shape):
        return  # BLAS has no matrices without rows
    blas = blas_of_one_thread()
    gemm = blas.sgemm if y.dtype == np.float32 else blas.dgemm
    # BLAS's matrices lie column after column, as the transposes of ours do: y^T += b^T a^T.
    b, transpose_b = (b.T, 0) if b.flags.c_contiguous else (b, 1)
    a, transpose_a = (a.T, 0) if a.flags.c_contiguous else (a, 1)
    gemm(1, b, a, 1, y.T, transpose_b, transpose_a, overwrite_c=1)


class Linear(Function):
    gives_new_arrays = True

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
        ctx.save_for_backward(x, W)
        y = np.zeros((len(x), len(W)), x.dtype)
        if bias is not None:
            y += bias
        add_product(x, W.T, y)
        return y.reshape(*ctx.shape_of_x[:-1], len(W))

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        x, W = ctx.saved
        need_x, need_W, need_bias = ctx.needs_input_grad
        dy = contiguous(dy.reshape(len(x), len(W)))
        dx = dW = dbias = None
        if need_x:
            dx = np.zeros(x.shape, x.dtype)
            add_product(dy, W, dx)
            dx = dx.reshape(ctx.shape_of_x)
        if need_W:
            dW = np.zeros(W.shape, W.dtype)
            add_product(dy.T, x, dW)
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
