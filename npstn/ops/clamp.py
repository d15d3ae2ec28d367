"""Two functions with kinks: the absolute value, and the clamp to an interval, element by element.

    x, dx   the input and its gradient        y, dy   the result and its gradient
    low, high   the ends of the interval; either may be missing

| y                      | dx                                                              |
|------------------------|-----------------------------------------------------------------|
| |x|                    | dy sign(x): at the kink x = 0 the slope is 0                    |
| min(max(x, low), high) | dy where low <= x <= high, else 0: at both kinks the slope is 1 |

NaN stays NaN; its gradient is NaN through |x| and 0 through the clamp. Where low > high, every y is high and every dx
is 0. The choices at the kinks are PyTorch's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npstn.autograd import Context, Function, Tensor
from npstn.ops.arguments import check_floats
from npstn.ops.elementwise import Elementwise


class Abs(Elementwise):
    @staticmethod
    def value(x: np.ndarray) -> np.ndarray:
        return np.abs(x)

    @staticmethod
    def gradient(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
        return dy * np.sign(x)


class Clamp(Function):
    @staticmethod
    def forward(ctx: Context, x: np.ndarray, low: float | None, high: float | None) -> np.ndarray:
        check_floats("clamp", input=x)
        if low is None and high is None:
            raise ValueError("clamp: expected min or max or both, got neither")
        inside = np.ones(x.shape, bool)
        y = x
        if low is not None:
            least = _limit(low, x.dtype)
            inside &= x >= least
            y = np.maximum(y, least)
        if high is not None:
            most = _limit(high, x.dtype)
            inside &= x <= most
            y = np.minimum(y, most)
        ctx.save_for_backward(inside)
        return y

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        (inside,) = ctx.saved
        return np.where(inside, dy, dy.dtype.type(0)), None, None


def _limit(end: Any, dtype: np.dtype) -> np.floating:
    """The number in the dtype. Raises TypeError unless it is one that a float can hold."""
    try:
        if not isinstance(end, (int, float, np.integer, np.floating)):
            raise TypeError
        with np.errstate(over="ignore"):
            return dtype.type(float(end))
    except (TypeError, OverflowError):
        message = f"clamp: expected min and max to be numbers that a float can hold, got {type(end).__name__}"
        raise TypeError(message) from None


def abs(input: Tensor) -> Tensor:
    """The absolute value, element by element.

    Any shape, kept with the dtype. TypeError unless float32 or float64.

    >>> abs(Tensor([-2.0, 3.0]))
    Tensor([2., 3.], dtype=float32)
    """
    return Abs.apply(input)


def clamp(input: Tensor, min: float | None = None, max: float | None = None) -> Tensor:
    """Every element below `min` becomes `min`, every element above `max` becomes `max`.

    Args:
        input: any shape, kept with the dtype.
        min, max: numbers; None for no limit. At least one is needed.

    Raises TypeError for dtypes other than float32 and float64 and for limits that are no numbers, ValueError without a
    limit.

    >>> clamp(Tensor([-1.0, 0.5, 2.0]), min=0, max=1)
    Tensor([0. , 0.5, 1. ], dtype=float32)
    """
    return Clamp.apply(input, min, max)
