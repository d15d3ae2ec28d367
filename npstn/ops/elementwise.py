"""The base of the functions of one number: y = f(x), element by element.

    x, dx   the input and its gradient        y, dy   the result and its gradient

No element meets another, so the chain rule is dx = dy ∂y/∂x, element by element too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npstn.autograd import Context, Function
from npstn.ops.arguments import check_floats


class Elementwise(Function):
    """A function of one number, applied to each element. A subclass gives its formula, and that of its gradient.

    value(x)         y
    gradient(dy, x)  dx; or gradient(dy, y), in a class that sets `keeps_result`, where ∂y/∂x follows from y

    Forward keeps x or y for backward, the one that `gradient` asks for.

    >>> from npstn import Tensor
    >>> class Square(Elementwise):
    ...     @staticmethod
    ...     def value(x):
    ...         return x * x
    ...
    ...     @staticmethod
    ...     def gradient(dy, x):
    ...         return dy * 2 * x
    >>> Square.apply(Tensor([3.0]))
    Tensor([9.], dtype=float32)
    """

    keeps_result = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.keeps = ("result" if cls.keeps_result else "input",)

    @staticmethod
    def value(x: np.ndarray) -> np.ndarray:
        raise TypeError("Elementwise: expected a subclass that defines value, got one without")

    @staticmethod
    def gradient(dy: np.ndarray, kept: np.ndarray) -> np.ndarray:
        raise TypeError("Elementwise: expected a subclass that defines gradient, got one without")

    @staticmethod
    def forward(ctx: Context, x: np.ndarray) -> np.ndarray:
        function: Any = ctx.function  # the subclass
        check_floats(function.name, input=x)
        y = function.value(x)
        ctx.save_for_backward(y if function.keeps_result else x)
        return y

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        function: Any = ctx.function
        (kept,) = ctx.saved
        return function.gradient(dy, kept)
