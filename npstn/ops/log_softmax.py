"""The logarithm of the softmax: scores to log-probabilities.

    j, k    a class        x, y   scores and log-probabilities, along one axis        p_k = exp(y_k)

    y_k = x_k - ln sum_j exp(x_j)

With [j = k] for 1 where j = k and 0 elsewhere,

    ∂y_j / ∂x_k = [j = k] - p_k

so the chain rule, dx_k = sum_j dy_j ∂y_j/∂x_k, gives

    dx_k = dy_k - p_k sum_j dy_j

There are no kinks. The largest score is subtracted from all of them first: that changes no y_k, and no exp overflows.
Source: Goodfellow et al., Deep Learning, section 6.2.2.3.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npstn.autograd import Context, Function, Tensor
from npstn.ops.arguments import check_axis, check_floats
from npstn.ops.summation import total


class LogSoftmax(Function):
    keeps = ("result",)

    @staticmethod
    def forward(ctx: Context, x: np.ndarray, dim: int) -> np.ndarray:
        check_floats("log_softmax", input=x)
        check_axis("log_softmax", dim, x.ndim)
        # -inf - -inf; exp of a score far below the largest is 0
        with np.errstate(invalid="ignore", under="ignore"):
            y = x - x.max(axis=dim, keepdims=True, initial=-np.inf)
            y -= np.log(total(np.exp(y), dim, keepdims=True))
        ctx.save_for_backward(y)
        ctx.dim = dim
        return y

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        (y,) = ctx.saved
        return dy - np.exp(y) * total(dy, ctx.dim, keepdims=True), None


def log_softmax(input: Tensor, dim: int) -> Tensor:
    """Log-probabilities of scores along the axis `dim`, in the input's shape and dtype.

    The result is NaN along a line of scores that holds NaN or inf, or only -inf. Raises TypeError for dtypes other than
    float32 and float64, ValueError for an axis that does not exist.

    >>> log_softmax(Tensor([0.0, 0.0]), dim=0).data.round(4)
    array([-0.6931, -0.6931], dtype=float32)
    """
    return LogSoftmax.apply(input, dim)
