"""The negative log-likelihood: how unlikely a network finds the right answers. Labels can be smoothed.

    b, k     a sample of the batch, 0 .. B-1; a class, 0 .. K-1
    y (B, K) log-probabilities        t (B) the right classes
    s        the share of each label that is spread over all classes: the label smoothing, 0 in `nll_loss`

    q[b, k] = (1 - s) [k = t_b] + s/K,   loss = -1/B sum_b sum_k q[b, k] y[b, k]

    ∂loss / ∂y[b, k] = -q[b, k] / B

so the chain rule gives

    dy[b, k] = -dloss q[b, k] / B

There are no kinks. After log_softmax (in `cross_entropy`) the two backward passes give, with p = exp(y) and dloss = 1,
dx[b, k] = (p[b, k] - q[b, k]) / B. Sources: Goodfellow et al., Deep Learning, section 6.2.2.3; for smoothed labels,
Szegedy et al. 2016, section 7.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npstn.autograd import Context, Function, Tensor
from npstn.backend.compiler import kernel
from npstn.ops.arguments import array_of, check_floats, check_probability, check_shape, contiguous
from npstn.ops.log_softmax import log_softmax


@kernel
def nll_loss_forward(y, t, s, loss):
    """Write loss[0], and return -1. If some t_b is no class, return the first such b instead."""
    B, K = y.shape
    total = np.float64(0)
    for b in range(B):
        if t[b] < 0 or t[b] >= K:
            return b
        total += (1 - s) * y[b, t[b]]
        if s > 0:  # 0 times a log-probability of -inf would be NaN
            for k in range(K):
                total += s / K * y[b, k]
    loss[0] = -total / B if B > 0 else np.nan
    return -1


class NllLoss(Function):
    @staticmethod
    def forward(ctx: Context, y: np.ndarray, t: np.ndarray, s: float) -> np.ndarray:
        check_floats("nll_loss", input=y)
        check_shape("nll_loss", "input", y, "B, K")
        t = np.asarray(t)
        if t.dtype.kind not in "iu":
            raise TypeError(f"nll_loss: expected target of integers, got {t.dtype}")
        if t.shape != y.shape[:1]:
            raise ValueError(f"nll_loss: expected target of shape ({y.shape[0]},), got {t.shape}")
        t = t.astype(np.int64)  # a copy: the caller may change the labels before backward
        loss = np.empty(1, y.dtype)
        wrong = nll_loss_forward(contiguous(y), t, float(s), loss)
        if wrong >= 0:
            raise ValueError(f"nll_loss: expected classes from 0 to {y.shape[1] - 1}, got {t[wrong]}")
        ctx.save_for_backward(t)
        ctx.shape_of_y, ctx.s = y.shape, s
        return loss.reshape(())

    @staticmethod
    def backward(ctx: Context, dloss: np.ndarray) -> Any:
        (t,) = ctx.saved
        (B, K), s = ctx.shape_of_y, ctx.s
        of_each = -dloss / max(B, 1)
        dy = np.full((B, K), s / max(K, 1) * of_each if s else 0, dloss.dtype)
        dy[np.arange(B), t] += (1 - s) * of_each
        return dy, None, None


def nll_loss(input: Tensor, target: np.ndarray) -> Tensor:
    """Minus the mean of the log-probabilities of the right classes; NaN for an empty batch, as in PyTorch.

    Args:
        input: (B, K) log-probabilities.
        target: (B,) ndarray of integers, the right classes, 0 .. K-1.

    Returns a single number in the dtype of the input. Raises TypeError for an input other than float32 and float64 and
    for a target that is not of integers; ValueError for other shapes and for a class outside 0 .. K-1.

    >>> nll_loss(Tensor([[-0.25, -2.0]]), np.array([0])).item()
    0.25
    """
    return NllLoss.apply(input, target, 0.0)


def cross_entropy(input: Tensor, target: np.ndarray, *, label_smoothing: float = 0.0) -> Tensor:
    """The `nll_loss` of the `log_softmax` of scores.

    Args:
        input: (B, K) scores.
        target: (B,) ndarray of integers, the right classes, 0 .. K-1.
        label_smoothing: the share of each label that is spread over all classes, 0 .. 1.

    Returns a single number in the dtype of the input. Raises as `nll_loss` does, and ValueError for another share.

    >>> round(cross_entropy(Tensor([[0.0, 0.0]]), np.array([1])).item(), 4)
    0.6931
    """
    x = array_of(input)
    check_floats("cross_entropy", input=x)
    check_shape("cross_entropy", "input", x, "B, K")
    check_probability("cross_entropy", "label_smoothing", label_smoothing)
    return NllLoss.apply(log_softmax(input, dim=1), target, label_smoothing)
