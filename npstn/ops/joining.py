"""Several tensors as one: `cat` along an axis that they have, `stack` along a new one.

    x_i, dx_i   the inputs and their gradients        y, dy   the result and its gradient

    y holds the x_i one after the other along the axis        dx_i = the part of dy where x_i stands
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from npstn.autograd import Context, Function, Tensor
from npstn.ops.arguments import array_of, check_axis, check_floats


class Cat(Function):
    @staticmethod
    def forward(ctx: Context, dim: int, *xs: np.ndarray) -> np.ndarray:
        ctx.dim, ctx.lengths = dim, [x.shape[dim] for x in xs]
        return np.concatenate(xs, axis=dim)

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        dxs = np.split(dy, np.cumsum(ctx.lengths)[:-1], axis=ctx.dim)
        return None, *(dx if need else None for dx, need in zip(dxs, ctx.needs_input_grad[1:], strict=True))


class Stack(Function):
    @staticmethod
    def forward(ctx: Context, dim: int, *xs: np.ndarray) -> np.ndarray:
        ctx.dim = dim
        return np.stack(xs, axis=dim)

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        dxs = np.moveaxis(dy, ctx.dim, 0)
        return None, *(dx if need else None for dx, need in zip(dxs, ctx.needs_input_grad[1:], strict=True))


def _checked(operation: str, tensors: Any) -> list[Tensor]:
    """The tensors as a list. Raises TypeError and ValueError where they are not tensors of one dtype and rank."""
    if isinstance(tensors, Tensor) or not isinstance(tensors, Iterable):
        raise TypeError(f"{operation}: expected tensors to be a list of Tensors, got {type(tensors).__name__}")
    tensors = list(tensors)
    if not tensors:
        raise ValueError(f"{operation}: expected at least one tensor, got none")
    arrays = [array_of(x) for x in tensors]
    check_floats(operation, **{f"tensors[{i}]": x for i, x in enumerate(arrays)})
    for i, x in enumerate(arrays):
        if x.ndim != arrays[0].ndim:
            raise ValueError(f"{operation}: expected tensors of one rank, got {arrays[0].shape} and {x.shape} ({i})")
    return tensors


def _agree(operation: str, tensors: Sequence[Tensor], dim: int | None) -> None:
    """Raise ValueError unless the tensors have one shape, but for the axis `dim`."""
    first = tensors[0].shape
    for i, x in enumerate(tensors):
        differ = [axis for axis, (n, m) in enumerate(zip(first, x.shape, strict=True)) if n != m and axis != dim]
        if differ:
            but = "" if dim is None else f" but for axis {dim}"
            raise ValueError(f"{operation}: expected tensors of one shape{but}, got {first} and {x.shape} ({i})")


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors one after the other along the axis `dim`, which they all have.

    Args:
        tensors: at least one; of one dtype, and of one shape but for `dim`.

    Raises TypeError for other dtypes, ValueError for shapes that do not fit and an axis that is not there.

    >>> cat([Tensor([[1.0], [2.0]]), Tensor([[3.0]])])
    Tensor([[1.],
            [2.],
            [3.]], dtype=float32)
    """
    tensors = _checked("cat", tensors)
    check_axis("cat", dim, tensors[0].ndim)
    _agree("cat", tensors, dim % tensors[0].ndim)
    return Cat.apply(dim, *tensors)


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors next to each other along a new axis, which becomes the axis `dim` of the result.

    Args:
        tensors: at least one; of one dtype and one shape.

    Raises TypeError for other dtypes, ValueError for shapes that differ and an axis that the result does not have.

    >>> stack([Tensor([1.0, 2.0]), Tensor([3.0, 4.0])], dim=1)
    Tensor([[1., 3.],
            [2., 4.]], dtype=float32)
    """
    tensors = _checked("stack", tensors)
    check_axis("stack", dim, tensors[0].ndim + 1)
    _agree("stack", tensors, None)
    return Stack.apply(dim, *tensors)
