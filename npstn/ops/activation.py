"""Activations: y = f(x), element by element, so dx = dy ∂y/∂x.

    x, dx   the input and its gradient        y, dy   the result and its gradient

| y                     | ∂y/∂x                                                      |
|-----------------------|------------------------------------------------------------|
| relu, max(x, 0)       | 1 where x > 0, else 0: at the kink x = 0 the slope is 0    |
| tanh x                | 1 - y^2                                                    |
| sigmoid, 1/(1 + e^-x) | y (1 - y)                                                  |

All three slopes follow from the result alone, so only the result is kept for backward. NaN stays NaN, and where the
slope is 0 an infinite or NaN dy makes dx NaN. Source: Goodfellow et al., Deep Learning, sections 6.2.2 and 6.3.
"""

from __future__ import annotations

import numpy as np

from npstn.autograd import Tensor
from npstn.ops.elementwise import Elementwise


class Relu(Elementwise):
    keeps_result = True

    @staticmethod
    def value(x: np.ndarray) -> np.ndarray:
        return np.maximum(x, 0)

    @staticmethod
    def gradient(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
        return dy * ~(y <= 0)  # np.where has a branch, which a processor guesses wrong: it takes ten times as long


class Tanh(Elementwise):
    keeps_result = True

    @staticmethod
    @np.errstate(under="ignore")
    def value(x: np.ndarray) -> np.ndarray:
        return np.tanh(x)

    @staticmethod
    def gradient(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
        return dy * (1 - y * y)


class Sigmoid(Elementwise):
    keeps_result = True

    @staticmethod
    @np.errstate(over="ignore", under="ignore")  # far from zero y is 0 or 1, as it should be
    def value(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    @staticmethod
    def gradient(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
        return dy * y * (1 - y)


def relu(input: Tensor) -> Tensor:
    """max(input, 0), element by element.

    Any shape; the result has the same shape and dtype. Raises TypeError unless float32 or float64.

    >>> relu(Tensor([-1.0, 2.0]))
    Tensor([0., 2.], dtype=float32)
    """
    return Relu.apply(input)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent, element by element.

    Any shape; the result has the same shape and dtype. Raises TypeError unless float32 or float64.

    >>> tanh(Tensor([0.0]))
    Tensor([0.], dtype=float32)
    """
    return Tanh.apply(input)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-input)), element by element.

    Any shape; the result has the same shape and dtype. Raises TypeError unless float32 or float64.

    >>> sigmoid(Tensor([0.0]))
    Tensor([0.5], dtype=float32)
    """
    return Sigmoid.apply(input)
