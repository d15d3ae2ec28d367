"""The softmax: scores to probabilities.

    k       a class        x, p   scores and probabilities, along one axis

    p_k = exp(x_k) / sum_j exp(x_j)

Since ∂p_j/∂x_k = p_j ([j = k] - p_k), the chain rule gives

    dx_k = p_k (dp_k - sum_j p_j dp_j)

Subtracting the largest score from all of them first changes no p_k, and no exp overflows. Scores that are all -inf give
NaN, as in PyTorch. For log-probabilities use `log_softmax`: the logarithm of a p_k that is rounded to 0 is lost.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npstn.autograd import Context, Function, Tensor
from npstn.ops.arguments import check_axis, check_floats
from npstn.ops.summation import total


class Softmax(Function):
    keeps = ("result",)

    @staticmethod
    @np.errstate(invalid="ignore", under="ignore")  # -inf - -inf; exp of a score far below the largest is 0
    def forward(ctx: Context, x: np.ndarray, dim: int) -> np.ndarray:
        check_floats("softmax", input=x)
        check_axis("softmax", dim, x.ndim)
        p = np.exp(x - x.max(axis=dim, keepdims=True, initial=-np.inf))
        p /= total(p, dim, keepdims=True)
        ctx.save_for_backward(p)
        ctx.dim = dim
        return p

    @staticmethod
    def backward(ctx: Context, dp: np.ndarray) -> Any:
        (p,) = ctx.saved
        return p * (dp - total(p * dp, ctx.dim, keepdims=True)), None


def softmax(input: Tensor, dim: int) -> Tensor:
    """The probabilities of scores along the axis `dim`: positive, with the sum 1.

    Any shape; in the input's dtype. Raises TypeError for dtypes other than float32 and float64, ValueError for an axis
    that the input does not have.

    >>> softmax(Tensor([0.0, np.log(3.0)]), dim=0)
    Tensor([0.25, 0.75], dtype=float32)
    """
    return Softmax.apply(input, dim)
