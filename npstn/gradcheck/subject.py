"""The function under test, and the inputs at which it is checked."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from npstn.autograd import Function, Tensor, no_grad


class Subject:
    """A function and its inputs; the float64 arrays among the inputs can be replaced by others.

    Attributes:
        name: the name of the function; for `Function.apply`, that of the operation.
        given: the inputs as they were given; names: the function's names for them.
        places: the positions of the arrays among the inputs. Other inputs (labels, options) are passed on unchanged.
        arrays: fresh copies of the arrays, one for each place: the function may change the arrays that it is given.
        asked: for each array, whether its gradient is asked for. A Tensor that does not require grad is a constant.
    """

    def __init__(self, fn: Callable[..., Tensor], inputs: Any, name: str | None = None) -> None:
        self.fn = fn
        self.given = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
        owner = getattr(fn, "__self__", None)
        if isinstance(owner, type) and issubclass(owner, Function):
            own_name = owner.name
            self.names = _parameters(owner.forward, len(self.given) + 1)[1:]  # without ctx
        else:
            own_name = getattr(fn, "__name__", type(fn).__name__)
            self.names = _parameters(fn, len(self.given))
        self.name = name or own_name

        self.places = [k for k, x in enumerate(self.given) if _is_float(x)]
        floats = [self.given[k] for k in self.places]
        self._arrays = [np.array(x.data if isinstance(x, Tensor) else x, order="C") for x in floats]
        self.asked = [x.requires_grad if isinstance(x, Tensor) else True for x in floats]
        for k, x in enumerate(self._arrays):
            if x.dtype != np.float64:
                raise TypeError(f"gradcheck: expected {self.name_of(k)} of float64, got {x.dtype}")
        if not any(self.asked):
            raise TypeError("gradcheck: expected a float64 array, or a Tensor that requires grad, among the inputs")

    @property
    def arrays(self) -> list[np.ndarray]:
        return [x.copy() for x in self._arrays]

    def name_of(self, k: int) -> str:
        """The function's name for array number k."""
        return self.names[self.places[k]]

    def call(self, arrays: Iterable[np.ndarray], asked: Sequence[bool] | None = None) -> tuple[Tensor, list[Tensor]]:
        """The result for these arrays, of any layout and dtype, and the Tensors around them.

        `asked` replaces the subject's own.
        """
        inputs = list(self.given)
        tensors = [Tensor._wrap(x) for x in arrays]  # Tensor(x) would copy x into C order
        for k, x, requires_grad in zip(self.places, tensors, asked or self.asked, strict=True):
            inputs[k], x.requires_grad = x, requires_grad
        y = self.fn(*inputs)
        if not isinstance(y, Tensor):
            raise TypeError(f"gradcheck: expected {self.name} to return a Tensor, got {type(y).__name__}")
        return y, tensors

    def value(self, arrays: Iterable[np.ndarray]) -> np.ndarray:
        with no_grad():
            return self.call(arrays)[0].data

    def gradients(
        self,
        arrays: Iterable[np.ndarray],
        dy: np.ndarray,
        asked: Sequence[bool] | None = None,
    ) -> list[np.ndarray]:
        """The gradient that backward gives for each array with the upstream gradient dy; zeros if it gives none."""
        y, tensors = self.call(arrays, asked)
        if y.requires_grad:
            y.backward(dy)
        return [np.zeros_like(x.data) if x.grad is None else x.grad for x in tensors]


def _is_float(x: Any) -> bool:
    return isinstance(x, Tensor) or (isinstance(x, np.ndarray) and x.dtype.kind == "f")


def _parameters(fn: Callable[..., Any], count: int) -> list[str]:
    """fn's names for its first `count` arguments."""
    names = []
    try:
        for p in inspect.signature(fn).parameters.values():
            names += [f"{p.name}[{i}]" for i in range(count)] if p.kind is p.VAR_POSITIONAL else [p.name]
    except (TypeError, ValueError):
        pass  # a function without a signature
    return [*names, *(f"input {k}" for k in range(len(names), count))][:count]
