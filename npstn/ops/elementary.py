"""Elementary functions: y = f(x), element by element, so dx = dy ∂y/∂x.

    x, dx   the input and its gradient        y, dy   the result and its gradient

| y      | ∂y/∂x     | dx          |
|--------|-----------|-------------|
| exp x  | y         | dy y        |
| ln x   | 1 / x     | dy / x      |
| sqrt x | 1 / (2 y) | dy / (2 y)  |
| sin x  | cos x     | dy cos x    |
| cos x  | -sin x    | -dy sin x   |

Outside its domain a function gives NaN, and an infinite slope is inf, as in NumPy and PyTorch.
The formulas are those of any table of derivatives.
"""

from __future__ import annotations

import numpy as np

from npstn.autograd import Tensor
from npstn.ops.elementwise import Elementwise


class Exp(Elementwise):
    keeps_result = True

    @staticmethod
    @np.errstate(under="ignore")
    def value(x: np.ndarray) -> np.ndarray:
        return np.exp(x)

    @staticmethod
    def gradient(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
        return dy * y


class Log(Elementwise):
    @staticmethod
    @np.errstate(divide="ignore", invalid="ignore")
    def value(x: np.ndarray) -> np.ndarray:
        return np.log(x)

    @staticmethod
    @np.errstate(divide="ignore", invalid="ignore")
    def gradient(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
        return dy / x


class Sqrt(Elementwise):
    keeps_result = True

    @staticmethod
    @np.errstate(invalid="ignore")
    def value(x: np.ndarray) -> np.ndarray:
        return np.sqrt(x)

    @staticmethod
    @np.errstate(divide="ignore", invalid="ignore")
    def gradient(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
        return dy / (2 * y)


class Sin(Elementwise):
    @staticmethod
    def value(x: np.ndarray) -> np.ndarray:
        return np.sin(x)

    @staticmethod
    def gradient(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
        return dy * np.cos(x)


class Cos(Elementwise):
    @staticmethod
    def value(x: np.ndarray) -> np.ndarray:
        return np.cos(x)

    @staticmethod
    def gradient(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
        return -dy * np.sin(x)


def exp(input: Tensor) -> Tensor:
    """e to the power of input, element by element; inf where that is too large for the dtype, 0 where too small.

    Any shape; the result has the same shape and dtype. Raises TypeError unless float32 or float64.

    >>> exp(Tensor([0.0, np.log(2)]))
    Tensor([1., 2.], dtype=float32)
    """
    return Exp.apply(input)


def log(input: Tensor) -> Tensor:
    """The natural logarithm, element by element: -inf at 0, NaN below.

    Any shape; the result has the same shape and dtype. Raises TypeError unless float32 or float64.

    >>> log(Tensor([1.0, 0.0]))
    Tensor([  0., -inf], dtype=float32)
    """
    return Log.apply(input)


def sqrt(input: Tensor) -> Tensor:
    """The square root, element by element: NaN below 0. Its derivative at 0 is inf.

    Any shape; the result has the same shape and dtype. Raises TypeError unless float32 or float64.

    >>> sqrt(Tensor([4.0, -1.0]))
    Tensor([ 2., nan], dtype=float32)
    """
    return Sqrt.apply(input)


def sin(input: Tensor) -> Tensor:
    """The sine of an angle in radians, element by element.

    Any shape; the result has the same shape and dtype. Raises TypeError unless float32 or float64.

    >>> sin(Tensor([0.0, np.pi / 2]))
    Tensor([0., 1.], dtype=float32)
    """
    return Sin.apply(input)


def cos(input: Tensor) -> Tensor:
    """The cosine of an angle in radians, element by element.

    Any shape; the result has the same shape and dtype. Raises TypeError unless float32 or float64.

    >>> cos(Tensor([0.0, np.pi]))
    Tensor([ 1., -1.], dtype=float32)
    """
    return Cos.apply(input)
