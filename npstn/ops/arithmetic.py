"""Arithmetic with broadcasting: y = f(a, b), element by element, and the matrix product.

    a, b    the operands          y       the result, in the shape that both broadcast to
    da, db  their gradients       dy      its gradient

The chain rule, da = dy ∂y/∂a and db = dy ∂y/∂b, gives

| y     | gradients                                                                     |
|-------|-------------------------------------------------------------------------------|
| a + b | da = dy                                  db = dy                              |
| a - b | da = dy                                  db = -dy                             |
| a b   | da = dy b                                db = dy a                            |
| a / b | da = dy / b                              db = -dy a / b^2                     |
| a^b   | da = dy b a^(b-1), 0 where b = 0         db = dy y ln a, 0 where a = 0 <= b   |
| a @ b | da = dy @ b^T                            db = a^T @ dy                        |

An operand that was broadcast was used several times, and its gradients add up over the copies: see `unbroadcast`.
One operand may be a number or an array: it is a constant. Outside the domain the result is inf or NaN, as in NumPy and
PyTorch. A product or quotient that is too small for the dtype is 0. Where a = 0, the zeros in the row of a^b are
choices: the formulas give NaN there, or an infinite db for 0^0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npstn.autograd import Context, Function, Tensor
from npstn.numpy_face import native
from npstn.ops.arguments import array_of, check_floats
from npstn.ops.summation import total

Operand = Tensor | np.ndarray | float


def unbroadcast(dy: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sum dy over the axes along which an operand of `shape` was repeated: the gradient of that operand.

    >>> unbroadcast(np.ones((4, 2, 3)), (2, 1))
    array([[12.],
           [12.]])
    """
    if dy.shape == shape:
        return dy
    added = dy.ndim - len(shape)
    repeated = tuple(range(added)) + tuple(added + i for i, n in enumerate(shape) if n == 1)
    return np.asarray(total(dy, repeated)).reshape(shape)


class _Binary(Function):
    """An operation on two operands. One of them may be a number or an array: it is a constant."""

    keeps = ("input", "other", "result")

    @classmethod
    def apply(cls, a: Operand, b: Operand) -> Tensor:
        dtype = (a if isinstance(a, Tensor) else b).dtype  # type: ignore[union-attr]
        a, b = (x if isinstance(x, Tensor) else _constant(x, dtype) for x in (a, b))
        check_floats(cls.name, input=array_of(a), other=array_of(b))
        return super().apply(a, b)

    @classmethod
    def check_broadcast(cls, a: np.ndarray, b: np.ndarray) -> None:
        try:
            np.broadcast_shapes(a.shape, b.shape)
        except ValueError:
            message = f"{cls.name}: expected shapes that broadcast, got {a.shape} and {b.shape}"
            raise ValueError(message) from None


def _constant(x: np.ndarray | float, dtype: np.dtype) -> np.ndarray:
    """Give a number or an array of integers the dtype of the other operand; leave an array of floats as it is."""
    x = native(np.asarray(x))
    return x.astype(dtype) if x.dtype.kind in "biu" or (x.ndim == 0 and x.dtype.kind == "f") else x


class Add(_Binary):
    @staticmethod
    def forward(ctx: Context, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        Add.check_broadcast(a, b)
        ctx.shapes = a.shape, b.shape
        return a + b

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        a_shape, b_shape = ctx.shapes
        need_a, need_b = ctx.needs_input_grad
        return unbroadcast(dy, a_shape) if need_a else None, unbroadcast(dy, b_shape) if need_b else None


class Sub(_Binary):
    @staticmethod
    def forward(ctx: Context, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        Sub.check_broadcast(a, b)
        ctx.shapes = a.shape, b.shape
        return a - b

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        a_shape, b_shape = ctx.shapes
        need_a, need_b = ctx.needs_input_grad
        return unbroadcast(dy, a_shape) if need_a else None, unbroadcast(-dy, b_shape) if need_b else None


class Mul(_Binary):
    @staticmethod
    @np.errstate(under="ignore")
    def forward(ctx: Context, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        Mul.check_broadcast(a, b)
        need_a, need_b = ctx.needs_input_grad
        ctx.shapes = a.shape, b.shape
        ctx.save_for_backward(a if need_b else None, b if need_a else None)
        return a * b

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        a, b = ctx.saved
        a_shape, b_shape = ctx.shapes
        need_a, need_b = ctx.needs_input_grad
        return unbroadcast(dy * b, a_shape) if need_a else None, unbroadcast(dy * a, b_shape) if need_b else None


class Div(_Binary):
    @staticmethod
    @np.errstate(divide="ignore", invalid="ignore", under="ignore")
    def forward(ctx: Context, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        Div.check_broadcast(a, b)
        _, need_b = ctx.needs_input_grad
        ctx.shapes = a.shape, b.shape
        ctx.save_for_backward(a if need_b else None, b)
        return a / b

    @staticmethod
    @np.errstate(divide="ignore", invalid="ignore")
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        a, b = ctx.saved
        a_shape, b_shape = ctx.shapes
        need_a, need_b = ctx.needs_input_grad
        return (
            unbroadcast(dy / b, a_shape) if need_a else None,
            unbroadcast(-dy * (a / b) / b, b_shape) if need_b else None,
        )


class Pow(_Binary):
    @staticmethod
    @np.errstate(all="ignore")
    def forward(ctx: Context, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        Pow.check_broadcast(a, b)
        y = a**b
        ctx.save_for_backward(a, b, y if ctx.needs_input_grad[1] else None)
        return y

    @staticmethod
    @np.errstate(divide="ignore", invalid="ignore", over="ignore")
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        a, b, y = ctx.saved
        need_a, need_b = ctx.needs_input_grad
        zero = dy.dtype.type(0)
        return (
            unbroadcast(np.where(b == 0, zero, dy * b * a ** (b - 1)), a.shape) if need_a else None,
            unbroadcast(np.where((a == 0) & (b >= 0), zero, dy * y * np.log(a)), b.shape) if need_b else None,
        )


class Matmul(_Binary):
    @staticmethod
    @np.errstate(under="ignore")
    def forward(ctx: Context, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        need_a, need_b = ctx.needs_input_grad
        ctx.shapes = a.shape, b.shape
        ctx.save_for_backward(a if need_b else None, b if need_a else None)
        try:
            if a.ndim < 2 or b.ndim < 2:
                raise ValueError
            return a @ b  # (..., n, m)
        except ValueError:
            message = f"matmul: expected shapes (..., n, k) and (..., k, m), got {a.shape} and {b.shape}"
            raise ValueError(message) from None

    @staticmethod
    def backward(ctx: Context, dy: np.ndarray) -> Any:
        a, b = ctx.saved
        a_shape, b_shape = ctx.shapes
        need_a, need_b = ctx.needs_input_grad
        da = unbroadcast(dy @ np.swapaxes(b, -1, -2), a_shape) if need_a else None  # (..., n, m) @ (..., m, k)
        db = unbroadcast(np.swapaxes(a, -1, -2) @ dy, b_shape) if need_b else None  # (..., k, n) @ (..., n, m)
        return da, db


def add(input: Operand, other: Operand) -> Tensor:
    """input + other, element by element.

    Args:
        input, other: any shapes that broadcast. One of them may be a number or an array: a constant.

    Returns a Tensor of their common dtype; a number or an array of integers takes the dtype of the other operand.
    Raises TypeError unless both are float32 or both float64, ValueError for shapes that do not broadcast.

    >>> add(Tensor([1.0, 2.0]), 1)
    Tensor([2., 3.], dtype=float32)
    """
    return Add.apply(input, other)


def sub(input: Operand, other: Operand) -> Tensor:
    """input - other, element by element. Shapes, dtypes and errors as for `add`.

    >>> sub(Tensor([1.0, 2.0]), 1)
    Tensor([0., 1.], dtype=float32)
    """
    return Sub.apply(input, other)


def mul(input: Operand, other: Operand) -> Tensor:
    """input times other, element by element. Shapes, dtypes and errors as for `add`.

    >>> mul(Tensor([1.0, 2.0]), Tensor([[3.0], [4.0]]))
    Tensor([[3., 6.],
            [4., 8.]], dtype=float32)
    """
    return Mul.apply(input, other)


def div(input: Operand, other: Operand) -> Tensor:
    """input / other, element by element; a zero divisor gives inf or NaN. Shapes, dtypes and errors as for `add`.

    >>> div(1, Tensor([2.0, 0.0]))
    Tensor([0.5, inf], dtype=float32)
    """
    return Div.apply(input, other)


def pow(input: Operand, exponent: Operand) -> Tensor:
    """input to the power of exponent, element by element; NaN for a negative input with a fraction as exponent.

    Shapes, dtypes and errors as for `add`.

    >>> pow(Tensor([2.0, 3.0]), 2)
    Tensor([4., 9.], dtype=float32)
    """
    return Pow.apply(input, exponent)


def matmul(input: Operand, other: Operand) -> Tensor:
    """The product of matrices.

    Args:
        input: (..., n, k).
        other: (..., k, m). The leading axes of the two broadcast, and one of the two may be an array: a constant.

    Returns (..., n, m) in their common dtype. Raises TypeError unless both are float32 or both float64, ValueError for
    other shapes.

    >>> matmul(Tensor([[1.0, 2.0]]), Tensor([[3.0], [4.0]]))
    Tensor([[11.]], dtype=float32)
    """
    return Matmul.apply(input, other)


def neg(input: Tensor) -> Tensor:
    """-input, in its shape and dtype. Raises TypeError unless float32 or float64.

    >>> neg(Tensor([1.0, -2.0]))
    Tensor([-1.,  2.], dtype=float32)
    """
    return Mul.apply(input, -1)
