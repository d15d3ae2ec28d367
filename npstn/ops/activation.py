"""Activations: y = f(x), element by element, so dx = dy f'(x).

    x, dx   the input and its gradient        y, dy   the result and its gradient

| y                 | f'(x)                                                     |
|-------------------|-----------------------------------------------------------|
| relu max(x, 0)    | 1 where x > 0, else 0: at the kink x = 0 the slope is 0   |
| tanh x            | 1 - y^2                                                   |
| sigmoid 1/(1+e^-x)| y (1 - y)                                                 |

All three derivatives follow from the result alone, so that is what is saved. NaN stays NaN, and an infinite or NaN dy
makes dx NaN where the slope is 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npstn.autograd import Context, Function, Tensor
from npstn.ops.arguments import check_floats


class Relu(Function):
    @staticmethod
    def forward(ctx: Context, x: np.ndarray) -> np.ndarray:
        check_floats("relu", input=x)
        y = np.maximum(x, 0)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        (y,) = ctx.saved
        return dy * ~(y <= 0)  # np.where has a branch, that a processor guesses wrong: ten times as long


class Tanh(Function):
    @staticmethod
    def forward(ctx: Context, x: np.ndarray) -> np.ndarray:
        check_floats("tanh", input=x)
        y = np.tanh(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        (y,) = ctx.saved
        return dy * (1 - y * y)


class Sigmoid(Function):
    @staticmethod
    @np.errstate(over="ignore")  # far below zero e^-x is inf and y is 0, as it should be
    def forward(ctx: Context, x: np.ndarray) -> np.ndarray:
        check_floats("sigmoid", input=x)
        y = 1 / (1 + np.exp(-x))
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        (y,) = ctx.saved
        return dy * y * (1 - y)


def relu(input: Tensor) -> Tensor:
    """max(input, 0), element by element. Any shape; TypeError unless float32 or float64.

    >>> relu(Tensor([-1.0, 2.0]))
    Tensor([0., 2.], dtype=float32)
    """
    return Relu.apply(input)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent, element by element. Any shape; TypeError unless float32 or float64.

    >>> tanh(Tensor([0.0]))
    Tensor([0.], dtype=float32)
    """
    return Tanh.apply(input)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-input)), element by element. Any shape; TypeError unless float32 or float64.

    >>> sigmoid(Tensor([0.0]))
    Tensor([0.5], dtype=float32)
    """
    return Sigmoid.apply(input)
