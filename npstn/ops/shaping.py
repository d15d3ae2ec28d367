"""Sums over axes, another shape or order for the same elements, and indexing.

    x, dx   the input and its gradient        y, dy   the result and its gradient
    k       an element that a sum or a mean runs over, 0 .. K-1

| y                | by the chain rule                                               |
|------------------|-----------------------------------------------------------------|
| sum_k x_k        | dx_k = dy: ∂y/∂x_k = 1                                          |
| 1/K sum_k x_k    | dx_k = dy / K: ∂y/∂x_k = 1/K                                    |
| x, reshaped      | dx is dy, reshaped back                                         |
| x, transposed    | dx is dy, with the same two axes exchanged                      |
| x[index]         | dx[index] += dy, a scatter-add: an element may be taken twice   |

All are linear: there are no kinks. Long sums keep their digits: see `summation.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npstn.autograd import Context, Function, Tensor
from npstn.messages import one_line
from npstn.ops.arguments import check_axis
from npstn.ops.arithmetic import div
from npstn.ops.summation import total

Axes = int | tuple[int, ...] | None


class Sum(Function):
    @staticmethod
    def forward(ctx: Context, x: np.ndarray, dim: Axes, keepdim: bool) -> np.ndarray:
        try:
            y = np.asarray(total(x, dim, keepdims=True))
        except (TypeError, ValueError, OverflowError):  # NumPy's AxisError is a ValueError
            expected = f"expected dim to name axes of an array with {x.ndim} axes"
            raise ValueError(f"sum: {expected}, got {one_line(dim)}") from None
        ctx.shape_of_x, ctx.kept_shape = x.shape, y.shape
        return y if keepdim else np.squeeze(y, dim) if dim is not None else y.reshape(())

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        return np.broadcast_to(dy.reshape(ctx.kept_shape), ctx.shape_of_x), None, None


class Reshape(Function):
    @staticmethod
    def forward(ctx: Context, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        ctx.shape_of_x = x.shape
        try:
            return x.reshape(shape)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"reshape: expected a shape of {x.size} elements, got {one_line(shape)}") from None

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        return dy.reshape(ctx.shape_of_x), None


class Transpose(Function):
    @staticmethod
    def forward(ctx: Context, x: np.ndarray, dim0: int, dim1: int) -> np.ndarray:
        check_axis("transpose", dim0, x.ndim)
        check_axis("transpose", dim1, x.ndim)
        ctx.dims = dim0, dim1
        return np.swapaxes(x, dim0, dim1)

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        return np.swapaxes(dy, *ctx.dims), None, None


def _copied(index: Any) -> Any:
    """An index that the caller cannot change: backward needs it again."""
    if isinstance(index, (tuple, list)):
        return type(index)(map(_copied, index))
    return index.copy() if isinstance(index, np.ndarray) else index


class Index(Function):
    @staticmethod
    def forward(ctx: Context, x: np.ndarray, index: Any) -> np.ndarray:
        index = _copied(index)
        ctx.shape_of_x, ctx.index = x.shape, index
        try:
            return x[index]
        except (IndexError, TypeError, ValueError, OverflowError) as error:
            message = f"index: expected an index into an array of shape {x.shape}, got a wrong one: {error}"
            raise IndexError(message) from None

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        dx = np.zeros(ctx.shape_of_x)  # float64: an entry that is read often gets a long sum, added one by one
        np.add.at(dx, ctx.index, dy)
        return dx.astype(dy.dtype, copy=False), None


def sum(input: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
    """The sum over some axes.

    Args:
        input: any shape.
        dim: an axis or a tuple of axes, counted from either end; all axes where None.
        keepdim: whether these axes stay, with length 1.

    Returns the dtype of the input; 0 for a sum without elements. Raises ValueError for an axis that does not exist.

    >>> sum(Tensor([[1.0, 2.0], [3.0, 4.0]]), dim=0)
    Tensor([4., 6.], dtype=float32)
    """
    return Sum.apply(input, dim, keepdim)


def mean(input: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
    """The mean over some axes.

    Args:
        input: any shape.
        dim: an axis or a tuple of axes, counted from either end; all axes where None.
        keepdim: whether these axes stay, with length 1.

    Returns the dtype of the input; NaN for a mean without elements. Raises ValueError for an axis that does not exist.

    >>> mean(Tensor([[1.0, 2.0], [3.0, 4.0]]), dim=1, keepdim=True)
    Tensor([[1.5],
            [3.5]], dtype=float32)
    """
    added = sum(input, dim, keepdim)
    return div(added, input._array.size // added._array.size if added._array.size else 1)


def reshape(input: Tensor, *shape: int | tuple[int, ...]) -> Tensor:
    """The same elements in another shape, in the same memory where that is possible.

    Args:
        input: any shape and dtype; the dtype is kept.
        shape: the new lengths, as numbers or as one tuple; -1, once, stands for the length that remains.

    Raises ValueError for a shape with another number of elements.

    >>> reshape(Tensor([[1.0, 2.0], [3.0, 4.0]]), -1)
    Tensor([1., 2., 3., 4.], dtype=float32)
    """
    return Reshape.apply(input, shape[0] if len(shape) == 1 else shape)


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """The same elements with two axes exchanged, in the same memory.

    Args:
        input: any shape and dtype; the dtype is kept.
        dim0, dim1: the two axes, counted from either end.

    Raises ValueError for an axis that does not exist.

    >>> transpose(Tensor([[1.0, 2.0], [3.0, 4.0]]), 0, 1)
    Tensor([[1., 3.],
            [2., 4.]], dtype=float32)
    """
    return Transpose.apply(input, dim0, dim1)


def index(input: Tensor, index: Any) -> Tensor:
    """input[index] as in NumPy.

    Args:
        input: any shape and dtype; the dtype is kept.
        index: integers, slices, None, `...`, arrays of integers or booleans, or a tuple of these.

    A result of integers and slices shares the memory of the input; one of arrays is a copy. Raises IndexError for an
    index that does not fit.

    >>> index(Tensor([[1.0, 2.0], [3.0, 4.0]]), (slice(None), 1))
    Tensor([2., 4.], dtype=float32)
    """
    return Index.apply(input, index)
