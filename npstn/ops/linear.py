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

There are no kinks. The loops below are these formulas, and run under `npstn.reference()`; otherwise the kernel of
`linear_fast.py` runs. Source: Goodfellow et al., Deep Learning, section 6.5.6.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from npstn.autograd import Context, Function, Tensor
from npstn.backend.compiler import kernel
from npstn.backend.parallel import share_out
from npstn.ops import linear_fast
from npstn.ops.arguments import check_floats, check_shape, contiguous
from npstn.ops.reference import plain_loops
from npstn.ops.summation import total


@kernel
def linear_forward(first, end, x, W, bias, y):
    """y of the rows first .. end-1."""
    for b in range(first, end):
        for o in range(W.shape[0]):
            y_bo = np.float64(bias[o])
            for i in range(W.shape[1]):
                y_bo += x[b, i] * W[o, i]
            y[b, o] = y_bo


@kernel
def linear_backward_input(first, end, dy, W, dx):
    """dx of the rows first .. end-1."""
    for b in range(first, end):
        for i in range(W.shape[1]):
            dx_bi = np.float64(0)
            for o in range(W.shape[0]):
                dx_bi += dy[b, o] * W[o, i]
            dx[b, i] = dx_bi


@kernel
def linear_backward_weight(first, end, dy, x, dW):
    """dW of the output features first .. end-1: the sum runs over the rows."""
    for o in range(first, end):
        for i in range(x.shape[1]):
            dW_oi = np.float64(0)
            for b in range(x.shape[0]):
                dW_oi += dy[b, o] * x[b, i]
            dW[o, i] = dW_oi


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
        ctx.plain_loops, y = plain_loops(), np.empty((len(x), len(W)), x.dtype)
        bias = np.zeros(len(W), x.dtype) if bias is None else contiguous(bias)
        if ctx.plain_loops:
            share_out(linear_forward, len(x), x, W, bias, y)
        else:
            linear_fast.forward(x, W, bias, y)
        return y.reshape(*ctx.shape_of_x[:-1], len(W))

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        x, W = ctx.saved
        need_x, need_W, need_bias = ctx.needs_input_grad
        dy = contiguous(dy.reshape(math.prod(dy.shape[:-1]), dy.shape[-1]))
        dx = np.empty((len(dy), W.shape[1]), dy.dtype) if need_x else None
        dW = np.empty((dy.shape[1], x.shape[1]), dy.dtype) if need_W else None
        if ctx.plain_loops:
            if dx is not None:
                share_out(linear_backward_input, len(dy), dy, W, dx)
            if dW is not None:
                share_out(linear_backward_weight, len(dW), dy, x, dW)
        else:
            linear_fast.backward(x, W, dy, dx, dW)
        return None if dx is None else dx.reshape(ctx.shape_of_x), dW, total(dy, axis=0) if need_bias else None


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
