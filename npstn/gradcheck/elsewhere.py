"""Where else the contracts look: other layouts in memory, other upstream gradients, and the slopes at other points."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from npstn.autograd import Context, Function
from npstn.gradcheck.gradients import compare
from npstn.gradcheck.pairs import Options
from npstn.gradcheck.subject import Subject

# The same numbers, laid out in memory in other ways:
LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "transposed": lambda x: x.T.copy().T,
    "channels last": lambda x: np.moveaxis(np.moveaxis(x, 1, -1).copy(), -1, 1) if x.ndim > 2 else x,
    "batch last": lambda x: np.moveaxis(np.moveaxis(x, 0, -1).copy(), -1, 0) if x.ndim > 2 else x,
    "strided": lambda x: np.repeat(x, 2, axis=-1)[..., ::2] if x.ndim else x,
    "padded": lambda x: np.concatenate([x, x], axis=-1)[..., : x.shape[-1]] if x.ndim else x,
    "reversed": lambda x: x[..., ::-1].copy()[..., ::-1] if x.ndim else x,
    "upside down": lambda x: x[::-1].copy()[::-1] if x.ndim else x,
    "read-only": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
}

# Upstream gradients that are common, and that an operation may treat in a way of its own:
UPSTREAM: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "ones": np.ones_like,
    "positive numbers": abs,
    "negative numbers": lambda v: -abs(v),
    "zeros but for each 16th number": lambda v: v * (np.arange(v.size)[::-1] % 16 == 0).reshape(v.shape),
}


def wrong_slopes(subject: Subject, options: Options) -> Iterator[str]:
    """The faults of a weighted sum's gradients, along a random direction; kinks and unseen slopes are no faults."""
    summed, fn = subject.at(subject.arrays), subject.fn
    summed.fn = lambda *inputs: _WeightedSum.apply(fn(*inputs))
    for gradient in compare(summed, dataclasses.replace(options, max_entries=0, directions=1, curve=False)):
        yield from gradient.faults(options.rtol, max_kinks=1, max_unseen=1)


class _WeightedSum(Function):
    """One number in place of many outputs, each with another weight: its slopes take less time."""

    @staticmethod
    def forward(ctx: Context, y: np.ndarray) -> np.ndarray:
        ctx.weights = 1 + np.cos(1 + np.arange(y.size)).reshape(y.shape) / 2
        return np.asarray((ctx.weights * y).sum())

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> np.ndarray:
        return dy * ctx.weights
