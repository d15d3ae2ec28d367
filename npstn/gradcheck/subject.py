"""The function under test, and the inputs at which it is checked."""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from npstn.autograd import Function, Tensor, no_grad


class Subject:
    """A function and its inputs; the float64 arrays among the inputs can be replaced by others.

    The parameters of a Module count as further inputs: each call puts other Tensors in their places for its duration.

    Attributes:
        name: the name of the function; for `Function.apply`, that of the operation; for a Module, its class.
        given: the inputs as they were given, then the parameters; names: the function's names for them.
        places: the positions of the arrays among the inputs. Other inputs (labels, options) are passed on unchanged.
        arrays: fresh copies of the arrays, one for each place: the function may change the arrays that it is given.
        asked: for each array, whether its gradient is asked for. A Tensor that does not require grad is a constant.
    """

    def __init__(self, fn: Any, inputs: Any, name: str | None = None) -> None:
        self.fn = fn
        self.given = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
        self.count = len(self.given)
        owner = getattr(fn, "__self__", None)
        self.parameters: list[_Parameter] = []
        if isinstance(owner, type) and issubclass(owner, Function):
            own_name = owner.name
            self.names = _arguments(owner.forward, self.count + 1)[1:]  # without ctx
        elif hasattr(fn, "named_parameters"):
            own_name = type(fn).__name__
            self.parameters = _parameters(fn)
            self.given += [parameter.tensor for parameter in self.parameters]
            self.names = [*_arguments(fn.forward, self.count), *(parameter.name for parameter in self.parameters)]
        else:
            own_name = getattr(fn, "__name__", type(fn).__name__)
            self.names = _arguments(fn, self.count)
        self.name = name or own_name

        self.places = [k for k, x in enumerate(self.given) if _is_float(x)]
        floats = [self.given[k] for k in self.places]
        self._arrays = [np.array(x.data if isinstance(x, Tensor) else x, order="C") for x in floats]
        self.asked = [x.requires_grad if isinstance(x, Tensor) else True for x in floats]
        for k, x in enumerate(self._arrays):
            if x.dtype != np.float64:
                cure = "; call double() on the module first" if self.places[k] >= self.count else ""
                raise TypeError(f"gradcheck: expected {self.name_of(k)} of float64, got {x.dtype}{cure}")
        if not any(self.asked):
            raise TypeError("gradcheck: expected a float64 array, or a Tensor that requires grad, among the inputs")

    @property
    def arrays(self) -> list[np.ndarray]:
        return [x.copy() for x in self._arrays]

    def name_of(self, k: int) -> str:
        """The function's name for array number k."""
        return self.names[self.places[k]]

    def with_inputs(self, inputs: Sequence[Any]) -> Subject:
        """The same function with other inputs; a Module keeps its parameters."""
        return Subject(self.fn, inputs[: self.count], self.name)

    def at(self, arrays: Iterable[np.ndarray]) -> Subject:
        """The same function, and the same constants, with other arrays of the same shapes."""
        other = copy.copy(self)
        other._arrays = [np.array(x, order="C") for x in arrays]
        return other

    def call(self, arrays: Iterable[np.ndarray], asked: Sequence[bool] | None = None) -> tuple[Tensor, list[Tensor]]:
        """The result for these arrays, of any layout and dtype, and the Tensors around them.

        `asked` replaces the subject's own.
        """
        inputs = list(self.given)
        # Tensor(x) would copy x into C order. A sum or a product of 0-d arrays is no array, but a NumPy scalar.
        tensors = [Tensor._wrap(np.asanyarray(x)) for x in arrays]
        for k, x, requires_grad in zip(self.places, tensors, asked or self.asked, strict=True):
            inputs[k], x.requires_grad = x, requires_grad
        with _in_place(self.parameters, inputs[self.count :]):
            y = self.fn(*inputs[: self.count])
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
        return self.gradients_of(tensors)

    def gradients_of(self, tensors: Iterable[Tensor]) -> list[np.ndarray]:
        return [np.zeros_like(x.data) if x.grad is None else x.grad for x in tensors]

    def without_gradient(self) -> list[str]:
        """The names of the arrays whose gradient is asked for, and to which no gradient comes at all."""
        y, tensors = self.call(self.arrays)
        if y.requires_grad:
            y.backward(np.ones_like(y.data))
        return [self.name_of(k) for k, x in enumerate(tensors) if self.asked[k] and x.grad is None]


class _Parameter:
    """A parameter of a Module: its tensor, its first name, and each place that holds it: a module and an attribute."""

    def __init__(self, tensor: Tensor, name: str) -> None:
        self.tensor, self.name = tensor, name
        self.owners: list[tuple[Any, str]] = []


def _parameters(net: Any) -> list[_Parameter]:
    """The parameters of a Module, each once, even if several places hold it."""
    found: dict[int, _Parameter] = {}
    for name, tensor in net.named_parameters():
        found.setdefault(id(tensor), _Parameter(tensor, name))
    for module in net.modules():
        for attribute, value in vars(module).items():
            if id(value) in found:
                found[id(value)].owners.append((module, attribute))
    return list(found.values())


@contextlib.contextmanager
def _in_place(parameters: Sequence[_Parameter], tensors: Sequence[Tensor]) -> Iterator[None]:
    """Put these tensors into the places of the parameters, for the duration of a block."""
    try:
        for parameter, tensor in zip(parameters, tensors, strict=True):
            for owner, attribute in parameter.owners:
                setattr(owner, attribute, tensor)
        yield
    finally:
        for parameter in parameters:
            for owner, attribute in parameter.owners:
                setattr(owner, attribute, parameter.tensor)


def _is_float(x: Any) -> bool:
    return isinstance(x, Tensor) or (isinstance(x, np.ndarray) and x.dtype.kind == "f")


def _arguments(fn: Callable[..., Any], count: int) -> list[str]:
    """fn's names for its first `count` arguments."""
    names = []
    try:
        for p in inspect.signature(fn).parameters.values():
            names += [f"{p.name}[{i}]" for i in range(count)] if p.kind is p.VAR_POSITIONAL else [p.name]
    except (TypeError, ValueError):
        pass  # a function without a signature
    return [*names, *(f"input {k}" for k in range(len(names), count))][:count]
