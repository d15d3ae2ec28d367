"""Arguments of operations: the messages about bad ones, and the layout of arrays that kernels take."""

from __future__ import annotations

import functools
import math
import operator
from numbers import Real
from typing import Any

import numpy as np

from npstn.autograd import Tensor
from npstn.messages import one_line
from npstn.numpy_face import FLOATS, native

MOST = 2**31  # an image has fewer pixels than this: kernels keep places in it in 32 bits


def array_of(x: Any) -> Any:
    """The array of a Tensor, to look at; an array in the byte order of this machine; anything else as it is."""
    if isinstance(x, Tensor):
        return x._array
    return native(x) if isinstance(x, np.ndarray) else x


def check_floats(operation: str, **arrays: Any) -> None:
    """Raise TypeError unless each argument is an array of float32 or float64, and all have the same dtype.

    >>> check_floats("relu", input=np.zeros(2, np.int64))
    Traceback (most recent call last):
    TypeError: relu: expected input of float32 or float64, got int64
    """
    first = None
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{operation}: expected {name} to be a Tensor, got {type(array).__name__}")
        if array.dtype not in FLOATS:
            raise TypeError(f"{operation}: expected {name} of float32 or float64, got {array.dtype}")
        if first is None:
            first = name
        elif array.dtype != arrays[first].dtype:
            raise TypeError(f"{operation}: expected {name} of {first}'s {arrays[first].dtype}, got {array.dtype}")


def check_shape(operation: str, name: str, array: np.ndarray | Tensor, shape: str) -> None:
    """Raise ValueError unless the array has the axes of `shape`: letters stand for any length, numbers for themselves.

    >>> check_shape("affine_grid", "theta", np.zeros((4, 2, 2)), "B, 2, 3")
    Traceback (most recent call last):
    ValueError: affine_grid: expected theta of shape (B, 2, 3), got (4, 2, 2)
    """
    if not _fits(array.shape, shape):
        comma = "" if ", " in shape else ","
        raise ValueError(f"{operation}: expected {name} of shape ({shape}{comma}), got {array.shape}")


@functools.lru_cache(maxsize=1024)  # a training loop asks the same at each step
def _fits(lengths: tuple[int, ...], shape: str) -> bool:
    axes = shape.split(", ")
    return len(axes) == len(lengths) and all(
        str(n) == axis or not axis.isdigit() for axis, n in zip(axes, lengths, strict=True)
    )


def whole(operation: str, name: str, value: int, least: int) -> int:
    """Return `value` as an int. Raises ValueError unless it is an integer from `least` to below 2^31.

    >>> whole("Linear", "in_features", np.int32(3), 0)
    3
    """
    try:
        n = operator.index(value)
    except TypeError:
        n = -1
    if not least <= n < MOST:
        expected = f"{name} to be an integer from {least} to below 2^31"
        raise ValueError(f"{operation}: expected {expected}, got {one_line(value)}")
    return n


def output_size(operation: str, size: object) -> tuple[int, int]:
    """Rows and columns of a grid, (h, w). Raises ValueError unless both are at least 1 and their product below 2^31."""
    try:
        h, w = (operator.index(n) for n in size)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        h = w = -1
    if h < 1 or w < 1 or h * w >= MOST:
        expected = "expected size (h, w) of at least 1 x 1 and below 2^31 pixels"
        raise ValueError(f"{operation}: {expected}, got {one_line(size)}")
    return h, w


def pair(operation: str, name: str, value: int | tuple[int, int], least: int) -> tuple[int, int]:
    """Return `value` as two ints, for rows and columns; one integer stands for both.

    Raises ValueError for anything else, and for integers below `least` or from 2^31 on.

    >>> pair("conv2d", "stride", 2, least=1)
    (2, 2)
    """
    try:
        y, x = value if isinstance(value, (tuple, list)) else (value, value)
        y, x = operator.index(y), operator.index(x)
    except (TypeError, ValueError):
        message = f"{operation}: expected {name} to be an integer or a pair of integers, got {one_line(value)}"
        raise ValueError(message) from None
    if y < least or x < least:
        raise ValueError(f"{operation}: expected {name} of at least {least}, got {one_line(value)}")
    if y >= MOST or x >= MOST:
        raise ValueError(f"{operation}: expected {name} below 2^31, got {one_line(value)}")
    return y, x


def number(value: Any) -> float:
    """Return the value of a number, and NaN for what is none: then no comparison holds.

    >>> number(np.float32(0.5)) >= 0, number("0.5") >= 0
    (True, False)
    """
    return float(value) if isinstance(value, Real) else math.nan


def check_probability(operation: str, name: str, value: Any) -> None:
    """Raise ValueError unless `value` is a number from 0 to 1."""
    if not 0 <= number(value) <= 1:
        raise ValueError(f"{operation}: expected a probability {name} from 0 to 1, got {one_line(value)}")


def contiguous(array: np.ndarray) -> np.ndarray:
    """Return the array itself if it lies row after row in writeable memory, else a copy that does.

    Numba compiles a kernel again for every other layout that it meets. So all arrays get this one.

    >>> contiguous(np.zeros((2, 3)).T).flags.c_contiguous
    True
    """
    return array if array.flags.carray else array.copy(order="C")


def rows(array: np.ndarray) -> np.ndarray:
    """Return (B, ...) as (B, all the rest), in the same memory.

    >>> rows(np.zeros((2, 3, 4))).shape
    (2, 12)
    """
    return array.reshape(len(array), array.size // max(len(array), 1))


def planes(array: np.ndarray) -> np.ndarray:
    """Return (B, C, H, W) as (B, C, H W), in the same memory.

    >>> planes(np.zeros((2, 3, 4, 5))).shape
    (2, 3, 20)
    """
    B, C, H, W = array.shape
    return array.reshape(B, C, H * W)


def check_axis(operation: str, dim: Any, ndim: int) -> None:
    """Raise ValueError unless `dim` is the number of an axis, from -ndim to ndim - 1."""
    if isinstance(dim, bool) or not isinstance(dim, (int, np.integer)) or not -ndim <= dim < ndim:
        expected = f"from {-ndim} to {ndim - 1}" if ndim else "of an input with axes"
        raise ValueError(f"{operation}: expected dim {expected}, got {one_line(dim)}")
