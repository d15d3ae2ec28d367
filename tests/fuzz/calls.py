"""One call of a function of the library on awkward arguments, and the judge of what came of it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import numpy as np

import npstn
from npstn import Tensor
from tests.fuzz.draws import OTHER_DTYPES, STRANGE, Draws

REFUSALS = (TypeError, ValueError, RuntimeError, IndexError)
THE_LIBRARYS_FORM = re.compile(r"\w+: expected [^\n]+, got [^\n]+")


class Fault(AssertionError):
    """What a function did that it must not do."""


@dataclasses.dataclass
class Call:
    """A function with arguments.

    Attributes:
        arguments: the function's; its ndarrays of floats are handed over as Tensors.
        shape: the documented shape of the result, computed from `arguments` and `options`; raises where there is none.
        method: whether the first argument is the Tensor whose method it is: that one is never anything else.
        valid: whether the arguments are as documented: then the function must not refuse them.
        may_share: whether the result may lie in its input's memory.
        same_in_any_layout: whether the layout of the inputs changes no bit, because the kernels see only one.
    """

    function: Callable[..., Any]
    arguments: list[Any]
    options: dict[str, Any]
    shape: Callable[..., tuple[int, ...]]
    valid: bool = True
    method: bool = False
    may_share: bool = False
    same_in_any_layout: bool = False

    def spoil(self, d: Draws) -> Call:
        """Now and then something about the arguments is not as it should be."""
        places: list[Any] = [*range(int(self.method), len(self.arguments)), *self.options]
        if not places or not d.chance(3):
            return self
        place = d.choice(places)
        if isinstance(place, str):
            self.options[place] = d.choice(STRANGE)
        else:
            self.arguments[place] = spoilt(d, self.arguments[place])
        self.valid = False
        return self

    def __str__(self) -> str:
        name = getattr(self.function, "__name__", str(self.function))
        arguments = [*map(described, self.arguments), *(f"{k}={v!r}" for k, v in self.options.items())]
        return f"{name}({', '.join(arguments)})"


def described(x: Any) -> str:
    if not isinstance(x, np.ndarray):
        return repr(x)
    flags = f"strides {x.strides}" + ("" if x.flags.writeable else ", read-only")
    return f"array({x.tolist()}, shape {x.shape}, {x.dtype}, {flags})"


def spoilt(d: Draws, x: Any) -> Any:
    if not isinstance(x, np.ndarray) or d.chance(8):
        return d.choice(STRANGE)
    how = d.choice(["dtype", "other float", "axis more", "axis less", "shorter", "longer"])
    if how == "dtype":
        return np.ones(x.shape, d.choice(OTHER_DTYPES))
    if how == "other float":
        with np.errstate(over="ignore"):
            return x.astype(np.float64 if x.dtype == np.float32 else np.float32)
    shape = list(x.shape)
    if how == "axis more":
        shape.insert(d.integer(0, x.ndim), d.length())
    elif shape:
        axis = d.integer(0, x.ndim - 1)
        if how == "axis less":
            del shape[axis]
        else:
            shape[axis] = max(shape[axis] + (1 if how == "longer" else -1), 0)
    return d.array(tuple(shape), x.dtype) if x.dtype.kind == "f" else np.zeros(shape, x.dtype)


def judge(call: Call, d: Draws) -> None:
    """Make the call, forward and backward; raise a Fault where it breaks a promise of the library."""
    before = [x.copy() if isinstance(x, np.ndarray) else x for x in call.arguments]
    inputs, y = attempt(call)
    unchanged("an argument", call.arguments, before)
    if y is None:
        return
    x = next((x for x in call.arguments if is_float(x)), None)
    result(call, y, call.arguments, x)
    again = attempt(call)
    same("the result of a second call", again[1].data, y.data)
    if not y.requires_grad:
        return
    dy = d.array(y.shape, y.dtype)
    if d.chance(10):
        dy = spoilt(d, dy)
    if not backward(y, dy):
        return
    unchanged("an argument, by backward,", call.arguments, before)
    gradients(inputs, [*call.arguments, dy, y.data])
    backward(again[1], dy)
    for given, twin in zip(inputs, again[0], strict=True):
        if isinstance(given, Tensor):
            same("a gradient of a second call", twin.grad, given.grad)
    if call.same_in_any_layout:
        arguments = [np.array(x, order="C") if isinstance(x, np.ndarray) else x for x in call.arguments]
        plain, y_plain = attempt(dataclasses.replace(call, arguments=arguments))
        backward(y_plain, dy if dy is None else np.array(dy, order="C"))
        same("the result for contiguous arrays", y_plain.data, y.data)
        for other, given in zip(plain, inputs, strict=True):
            if isinstance(given, Tensor):
                same("a gradient for contiguous arrays", other.grad, given.grad)


def is_float(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype in (np.float32, np.float64) and x.dtype.isnative


def attempt(call: Call) -> tuple[list[Any], Any]:
    """The arguments as they were handed over, and the result; None where they were refused in the right way."""
    inputs = [wrapped(x) if is_float(x) else x for x in call.arguments]
    npstn.manual_seed(0)
    try:
        with np.errstate(all="ignore"):
            return inputs, call.function(*inputs, **call.options)
    except Exception as error:  # noqa: BLE001 - that is the question
        refused(error, call.valid)
        return inputs, None


def wrapped(x: np.ndarray) -> Tensor:
    tensor = Tensor._wrap(x)  # Tensor(x) would copy x into C order
    tensor.requires_grad = True
    return tensor


def refused(error: Exception, valid: bool) -> None:
    """A refusal names the operation, what it expected and what came; and it does not come without cause."""
    told = f"{type(error).__name__}: {error}"
    if valid:
        raise Fault(f"valid arguments are refused: {told}") from error
    if isinstance(error, MemoryError):
        return
    if not isinstance(error, REFUSALS) or not THE_LIBRARYS_FORM.fullmatch(str(error)):
        raise Fault(f"refused in words that are not the library's: {told}") from error


def unchanged(what: str, now: list[Any], before: list[Any]) -> None:
    for x, was in zip(now, before, strict=True):
        if isinstance(was, np.ndarray) and x.tobytes() != was.tobytes():
            raise Fault(f"{what} was changed")


def same(what: str, actual: np.ndarray, expected: np.ndarray) -> None:
    if actual.dtype != expected.dtype or not np.array_equal(actual, expected, equal_nan=True):
        raise Fault(f"{what} is another: {actual.tolist()}, not {expected.tolist()}")


def result(call: Call, y: Any, arguments: list[Any], x: np.ndarray | None) -> None:
    if not isinstance(y, Tensor) or not isinstance(y.data, np.ndarray):
        raise Fault(f"the result is a {type(y).__name__}")
    try:
        with np.errstate(all="ignore"):
            shape = call.shape(*arguments, **call.options)
    except Exception as error:  # noqa: BLE001 - no arguments to give a result for
        raise Fault(f"arguments are accepted for which no result is documented ({error!r}): {y.shape}") from error
    if y.shape != tuple(shape):
        raise Fault(f"the result has shape {y.shape}, not {tuple(shape)}")
    if x is None or y.dtype != x.dtype:
        raise Fault(f"the result has dtype {y.dtype}")
    for other in arguments:
        if isinstance(other, np.ndarray) and not call.may_share and np.may_share_memory(y.data, other):
            raise Fault("the result lies in the memory of an argument")


def backward(y: Tensor, dy: Any) -> bool:
    """Whether dy was accepted."""
    before = dy.copy() if isinstance(dy, np.ndarray) else dy
    given = np.ones_like(y.data) if dy is None and y.data.size == 1 else np.asarray(dy)
    fits = given.shape == y.shape and given.dtype == y.dtype
    value = y.data.copy()
    try:
        with np.errstate(all="ignore"):
            y.backward(dy)
    except Exception as error:  # noqa: BLE001
        refused(error, fits)
        return False
    if not fits:
        raise Fault(f"backward took {described(dy)} for a result of shape {y.shape} and {y.dtype}")
    unchanged("the upstream gradient", [dy], [before])
    unchanged("the result", [y.data], [value])
    return True


def gradients(inputs: list[Any], others: list[Any]) -> None:
    """Every input that asked has a gradient of its shape and dtype, in memory that is nobody else's."""
    taken = [x for x in others if isinstance(x, np.ndarray)]
    for x in inputs:
        if not isinstance(x, Tensor):
            continue
        if x.grad is None:
            raise Fault("an input has no gradient")
        if x.grad.shape != x.shape or x.grad.dtype != x.dtype:
            raise Fault(f"the gradient of an input of shape {x.shape} and {x.dtype} is {x.grad.shape}, {x.grad.dtype}")
        if any(np.may_share_memory(x.grad, other) for other in taken):
            raise Fault("a gradient lies in the memory of another array")
        taken.append(x.grad)
