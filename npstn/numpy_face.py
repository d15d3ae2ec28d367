"""How a Tensor meets NumPy: as an array in NumPy's functions, and as a number where it holds only one.

    np.asarray(t), plt.imshow, ...            the array itself, as `t.data`
    np.testing.assert_allclose, ...           the array itself; assert_equal does not know what is an array, and raises
    t == x, t < x, ...                        an array of booleans, element by element, on either side of an array
    float(t), int(t), f"{t:.3f}"              the number; bool(t) as well, so that `if t:` needs a single number
    array * t, np.exp(t), np.add(x, t), ...   the Tensor's own operation, with its gradient
    np.mean(t), np.stack([t, t]), ...         what they give for the arrays, without a gradient
    np.isnan(t), np.arctan(t), ...            the array of the result. A Tensor has no operation of that name; where the
                                              gradient would be lost, which none can be for booleans, TypeError

Tensors are hashed by identity, though `==` compares numbers. So a dict or a set finds the very Tensor that was put in.
"""

from __future__ import annotations

from typing import Any

import numpy as np

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))

# The ufuncs that are operations of a Tensor, and the names of its methods: for the first operand, for the second.
_OWN = {
    np.add: ("__add__", "__radd__"),
    np.subtract: ("__sub__", "__rsub__"),
    np.multiply: ("__mul__", "__rmul__"),
    np.divide: ("__truediv__", "__rtruediv__"),
    np.power: ("__pow__", "__rpow__"),
    np.matmul: ("__matmul__", "__rmatmul__"),
    np.negative: ("__neg__",),
    np.absolute: ("abs",),
    np.exp: ("exp",),
    np.log: ("log",),
    np.sqrt: ("sqrt",),
    np.sin: ("sin",),
    np.cos: ("cos",),
    np.tanh: ("tanh",),
}


class NumpyFace:
    """The part of a Tensor that NumPy sees. The rest of the class gives it its `data`."""

    __slots__ = ()

    data: np.ndarray
    _array: np.ndarray  # the same; to read `data` means to hand the array out
    requires_grad: bool

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array.shape

    @property
    def dtype(self) -> np.dtype:
        return self._array.dtype

    @property
    def ndim(self) -> int:
        return self._array.ndim

    def numpy(self) -> np.ndarray:
        """The array itself, not a copy."""
        return self.data

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.data, dtype, copy=copy)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if ufunc in _OWN and method == "__call__" and not options:
            first = inputs[0] is self
            return getattr(self, _OWN[ufunc][0 if first else 1])(*(inputs[1:] if first else inputs[:1]))
        if any(isinstance(x, NumpyFace) for x in options.get("out", ())):
            raise TypeError(f"np.{ufunc.__name__}: expected an array for out, got a Tensor: give tensor.data")
        result = getattr(ufunc, method)(*map(_array_of, inputs), **options)
        asked = any(isinstance(x, NumpyFace) and x.requires_grad for x in inputs)
        if asked and any(np.asarray(y).dtype.kind == "f" for y in (result if isinstance(result, tuple) else (result,))):
            raise TypeError(
                f"np.{ufunc.__name__}: expected no Tensor that requires grad, got one, and its gradient would be lost: "
                "give np.asarray(tensor)"
            )
        return result

    def __array_function__(self, function: Any, types: Any, inputs: Any, options: Any) -> Any:
        # np.mean and others would call the Tensor's method of their name, with arguments that it does not take
        return function(*_arrays_in(inputs), **_arrays_in(options))

    def __eq__(self, other: Any) -> Any:
        return self._array == _array_of(other)

    def __ne__(self, other: Any) -> Any:
        return self._array != _array_of(other)

    def __lt__(self, other: Any) -> Any:
        return self._array < _array_of(other)

    def __le__(self, other: Any) -> Any:
        return self._array <= _array_of(other)

    def __gt__(self, other: Any) -> Any:
        return self._array > _array_of(other)

    def __ge__(self, other: Any) -> Any:
        return self._array >= _array_of(other)

    __hash__ = object.__hash__

    def __contains__(self, number: Any) -> bool:
        return bool(np.any(self == number))

    def __len__(self) -> int:
        return len(self._array)

    def __bool__(self) -> bool:
        if self._array.size != 1:
            raise ValueError(
                f"bool: expected a Tensor of a single number, got one of shape {self._array.shape}: "
                "compare it, and use .any() or .all() of the array that the comparison gives"
            )
        return bool(self._array.item())

    def tolist(self) -> Any:
        """The numbers as Python's, in lists in lists: an axis a list."""
        return self._array.tolist()

    def item(self) -> float:
        """The single number of the tensor. Raises ValueError for any other count of numbers."""
        if self._array.size != 1:
            raise ValueError(f"item: expected a single number, got a tensor of shape {self._array.shape}")
        return float(self._array.item())

    def __float__(self) -> float:
        return self.item()

    def __int__(self) -> int:
        return int(self.item())

    def __format__(self, spec: str) -> str:
        if not self._array.ndim or (spec and self._array.size == 1):
            return format(self.item(), spec)
        if spec:
            raise TypeError(f"format: expected a single number for {spec!r}, got a tensor of shape {self._array.shape}")
        return str(self)

    def __repr__(self) -> str:
        grad = ", requires_grad=True" if self.requires_grad else ""
        return f"Tensor({np.array2string(self._array, separator=', ', prefix='Tensor(')}, dtype={self.dtype}{grad})"


def _array_of(x: Any) -> Any:
    return x._array if isinstance(x, NumpyFace) else x


def _arrays_in(x: Any) -> Any:
    if isinstance(x, NumpyFace):
        return x.data
    if type(x) in (tuple, list):
        return type(x)(map(_arrays_in, x))
    return {name: _arrays_in(value) for name, value in x.items()} if type(x) is dict else x


def array_of_floats(data: Any) -> np.ndarray:
    """A new array for a Tensor, row after row. Raises as `Tensor` does."""
    if isinstance(data, NumpyFace):
        data = data._array
    try:
        array = np.array(np.asarray(data), order="C")
    except (TypeError, ValueError) as error:
        raise ValueError(f"Tensor: expected numbers, got a {type(data).__name__} without: {error}") from None
    if array.dtype.kind in "biu" or (array.dtype == np.float64 and not _has_dtype(data)):
        array = array.astype(np.float32)
    array = native(array)
    if array.dtype not in FLOATS:
        raise TypeError(f"Tensor: expected float32 or float64 (or integers), got {array.dtype}")
    return array


def _has_dtype(data: Any) -> bool:
    """Whether the data is an array or a list of arrays, and not plain numbers."""
    return hasattr(data, "dtype") or (isinstance(data, (list, tuple)) and len(data) > 0 and _has_dtype(data[0]))


def native(array: np.ndarray) -> np.ndarray:
    """The array in the byte order of this machine: files often hold the other one."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
