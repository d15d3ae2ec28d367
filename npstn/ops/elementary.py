"""Elementary functions: y = f(x), element by element, so dx = dy f'(x).

    x, dx   the input and its gradient        y, dy   the result and its gradient

| y      | dx          |
|--------|-------------|
| exp x  | dy y        |
| ln x   | dy / x      |
| sqrt x | dy / (2 y)  |
| sin x  | dy cos x    |
| cos x  | -dy sin x   |

Outside its domain a function gives NaN, and an infinite slope is inf, as in NumPy and PyTorch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npstn.autograd import Context, Function, Tensor


class Exp(Function):
    @staticmethod
    def forward(ctx: Context, x: np.ndarray) -> np.ndarray:
        y = np.exp(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        (y,) = ctx.saved
        return dy * y


class Log(Function):
    @staticmethod
    @np.errstate(divide="ignore", invalid="ignore")
    def forward(ctx: Context, x: np.ndarray) -> np.ndarray:
        ctx.save_for_backward(x)
        return np.log(x)

    @staticmethod
    @np.errstate(divide="ignore", invalid="ignore")
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        (x,) = ctx.saved
        return dy / x


class Sqrt(Function):
    @staticmethod
    @np.errstate(invalid="ignore")
    def forward(ctx: Context, x: np.ndarray) -> np.ndarray:
        y = np.sqrt(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @np.errstate(divide="ignore", invalid="ignore")
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        (y,) = ctx.saved
        return dy / (2 * y)


class Sin(Function):
    @staticmethod
    def forward(ctx: Context, x: np.ndarray) -> np.ndarray:
        ctx.save_for_backward(x)
        return np.sin(x)

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        (x,) = ctx.saved
        return dy * np.cos(x)


class Cos(Function):
    @staticmethod
    def forward(ctx: Context, x: np.ndarray) -> np.ndarray:
        ctx.save_for_backward(x)
        return np.cos(x)

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        (x,) = ctx.saved
        return -dy * np.sin(x)


def exp(input: Tensor) -> Tensor:
    """e to the power of input, element by element."""
    return Exp.apply(input)


def log(input: Tensor) -> Tensor:
    """The natural logarithm, element by element: -inf at 0, NaN below."""
    return Log.apply(input)


def sqrt(input: Tensor) -> Tensor:
    """The square root, element by element: its derivative is inf at 0; NaN below."""
    return Sqrt.apply(input)


def sin(input: Tensor) -> Tensor:
    """The sine of radians, element by element."""
    return Sin.apply(input)


def cos(input: Tensor) -> Tensor:
    """The cosine of radians, element by element."""
    return Cos.apply(input)
