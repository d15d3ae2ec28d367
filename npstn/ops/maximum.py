"""The largest element, of all or along an axis.

    x, dx   the input and its gradient        y, dy   the result and its gradient

| y                          | dx                                                                     |
|----------------------------|------------------------------------------------------------------------|
| max of all elements        | dy / T at each of the T elements that are largest, 0 elsewhere         |
| max_k x_k along an axis    | dy at the first element that is largest, 0 elsewhere                   |

NaN counts as the largest. Both choices for ties are PyTorch's.
"""

from __future__ import annotations

from typing import Any, NamedTuple, overload

import numpy as np

from npstn.autograd import Context, Function, Tensor
from npstn.ops.arguments import array_of, check_axis, check_floats


class MaxAlong(NamedTuple):
    """The largest elements along an axis, and where they stand."""

    values: Tensor
    indices: np.ndarray  # int64


class MaxOfAll(Function):
    name = "max"

    @staticmethod
    def forward(ctx: Context, x: np.ndarray) -> np.ndarray:
        check_floats("max", input=x)
        if not x.size:
            raise ValueError(f"max: expected at least one element, got input of shape {x.shape}")
        y = x.max()
        ctx.save_for_backward(np.isnan(x) if np.isnan(y) else x == y)
        return np.asarray(y)

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        (largest,) = ctx.saved
        return np.where(largest, dy / dy.dtype.type(np.count_nonzero(largest)), dy.dtype.type(0))


class MaxAlongAxis(Function):
    name = "max"
    keeps = ("indices",)

    @staticmethod
    def forward(ctx: Context, x: np.ndarray, indices: np.ndarray, dim: int) -> np.ndarray:
        ctx.save_for_backward(indices)
        ctx.dim, ctx.shape_of_x = dim, x.shape
        return np.take_along_axis(x, indices, dim)

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        (indices,) = ctx.saved
        dx = np.zeros(ctx.shape_of_x, dy.dtype)
        np.put_along_axis(dx, indices, dy, ctx.dim)
        return dx, None, None


@overload
def max(input: Tensor) -> Tensor: ...


@overload
def max(input: Tensor, dim: int, keepdim: bool = False) -> MaxAlong: ...


def max(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The largest of all elements; or, with `dim`, (values, indices) of the largest along that axis.

    Args:
        input: any shape, with at least one element along `dim`.
        dim: the axis; all where None.
        keepdim: whether the axis stays, with length 1.

    Raises TypeError for dtypes other than float32 and float64, ValueError for an axis that the input does not have, and
    where there are no elements.

    >>> x = Tensor([[1.0, 5.0], [4.0, 2.0]])
    >>> max(x).item()
    5.0
    >>> max(x, dim=1).indices
    array([1, 0])
    """
    if dim is None:
        return MaxOfAll.apply(input)
    x = array_of(input)
    check_floats("max", input=x)
    check_axis("max", dim, x.ndim)
    if not x.shape[dim]:
        raise ValueError(f"max: expected at least one element along dim {dim}, got input of shape {x.shape}")
    indices = np.expand_dims(x.argmax(axis=dim), dim)
    values = MaxAlongAxis.apply(input, indices, dim)
    if keepdim:
        return MaxAlong(values, indices)
    shape = tuple(np.delete(x.shape, dim).tolist())
    return MaxAlong(values.reshape(shape), indices.reshape(shape))
