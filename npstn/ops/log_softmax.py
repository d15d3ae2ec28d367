"""The logarithm of the softmax: scores to log-probabilities.

    k       a class        x, y   scores and log-probabilities, along one axis        p_k = exp(y_k)

    y_k = x_k - ln sum_j exp(x_j)

Since dy_j/dx_k = [j = k] - p_k, the chain rule gives

    dx_k = dy_k - p_k sum_j dy_j

Taking the largest score off all of them first changes no y_k, and no exp overflows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npstn.autograd import Context, Function, Tensor
from npstn.ops.arguments import check_floats


class LogSoftmax(Function):
    @staticmethod
    def forward(ctx: Context, x: np.ndarray, dim: int) -> np.ndarray:
        check_floats("log_softmax", input=x)
        if not isinstance(dim, int) or not -x.ndim <= dim < x.ndim:
            raise ValueError(f"log_softmax: expected dim from {-x.ndim} to {x.ndim - 1}, got {dim!r}")
        with np.errstate(invalid="ignore"):
            y = x - x.max(axis=dim, keepdims=True, initial=-np.inf)
            y -= np.log(np.exp(y).sum(axis=dim, keepdims=True))
        ctx.save_for_backward(y)
        ctx.dim = dim
        return y

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        (y,) = ctx.saved
        return dy - np.exp(y) * dy.sum(axis=ctx.dim, keepdims=True), None


def log_softmax(input: Tensor, dim: int) -> Tensor:
    """Log-probabilities of scores along the axis `dim`, in the input's shape and dtype.

    Raises TypeError for dtypes other than float32 and float64, ValueError for an axis that is not there.

    >>> log_softmax(Tensor([0.0, 0.0]), dim=0).data.round(4)
    array([-0.6931, -0.6931], dtype=float32)
    """
    return LogSoftmax.apply(input, dim)
