"""Sums over axes, and the same elements in another shape.

    x, dx   the input and its gradient        y, dy   the result and its gradient

| y             | dx                                                              |
|---------------|-----------------------------------------------------------------|
| sum_k x_k     | dx_k = dy: each element is in the sum once                      |
| mean_k x_k    | dx_k = dy / K, K the number of elements                         |
| x reshaped    | dy reshaped back                                                |
| x[index]      | dx[index] += dy, a scatter-add: an element may be taken twice   |
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npstn.autograd import Context, Function, Tensor
from npstn.ops.arithmetic import div

Axes = int | tuple[int, ...] | None


class Sum(Function):
    @staticmethod
    def forward(ctx: Context, x: np.ndarray, dim: Axes, keepdim: bool) -> np.ndarray:
        try:
            y = x.sum(axis=dim, keepdims=True)
        except (TypeError, ValueError, OverflowError):  # NumPy's AxisError is a ValueError
            raise ValueError(f"sum: expected dim to name axes of an array of {x.ndim}, got {dim}") from None
        ctx.save_for_backward(x.shape, y.shape)
        return y if keepdim else np.squeeze(y, dim) if dim is not None else y.reshape(())

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        x_shape, kept_shape = ctx.saved
        return np.broadcast_to(dy.reshape(kept_shape), x_shape), None, None


class Reshape(Function):
    @staticmethod
    def forward(ctx: Context, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        ctx.save_for_backward(x.shape)
        try:
            return x.reshape(shape)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"reshape: expected a shape of {x.size} elements, got {shape}") from None

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        (x_shape,) = ctx.saved
        return dy.reshape(x_shape), None


class Index(Function):
    @staticmethod
    def forward(ctx: Context, x: np.ndarray, index: Any) -> np.ndarray:
        ctx.save_for_backward(x.shape, index)
        try:
            return x[index]
        except (IndexError, TypeError, ValueError, OverflowError) as error:
            message = f"index: expected an index into an array of shape {x.shape}, got one that is none: {error}"
            raise IndexError(message) from None

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        x_shape, index = ctx.saved
        dx = np.zeros(x_shape, dy.dtype)
        np.add.at(dx, index, dy)
        return dx, None


def sum(input: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
    """The sum over the axes `dim` (all where None), which `keepdim` leaves with length 1."""
    return Sum.apply(input, dim, keepdim)


def mean(input: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
    """The mean over the axes `dim` (all where None), which `keepdim` leaves with length 1; NaN of no elements."""
    total = sum(input, dim, keepdim)
    return div(total, input.data.size // total.data.size if total.data.size else 1)


def reshape(input: Tensor, *shape: int | tuple[int, ...]) -> Tensor:
    """The same elements in another shape, in the same memory where that is possible; -1 stands for what remains.

    >>> reshape(Tensor([[1.0, 2.0], [3.0, 4.0]]), -1)
    Tensor([1., 2., 3., 4.], dtype=float32)
    """
    return Reshape.apply(input, shape[0] if len(shape) == 1 else shape)


def index(input: Tensor, index: Any) -> Tensor:
    """input[index] as in NumPy: integers, slices, arrays of integers or booleans."""
    return Index.apply(input, index)
