"""One call of a library function with awkward arguments, and the judge of its outcome."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

import npstn
from npstn import Tensor
from npstn.backend.random import generator
from tests.fuzz.draws import NONSENSE, OTHER_DTYPES, Draws

REFUSALS = (TypeError, ValueError, RuntimeError, IndexError)
THE_LIBRARYS_FORM = re.compile(r"\w+: expected [^\n]+, got [^\n]+")


class Fault(AssertionError):
    """A function broke a promise of the library."""


@dataclasses.dataclass
class Call:
    """A function with arguments.

    Attributes:
        arguments: the positional arguments; ndarrays of floats are passed as Tensors.
        documented: computes the documented shape of the result from `arguments` and `options`, and raises an error if
            they have no documented result. None if the fuzz target does not know the document.
        expected: the shape of the result where `documented` is None; None if unknown.
        valid: whether the arguments are as documented: then the function must not refuse them.
        method: whether the function is a method of the first argument, which is always a Tensor then.
        may_share: whether the result may share the memory of an input.
        same_in_any_layout: whether the layout of the inputs changes no bit of the result.
    """

    function: Callable[..., Any]
    arguments: list[Any]
    options: dict[str, Any]
    documented: Callable[..., tuple[int, ...]] | None
    expected: tuple[int, ...] | None = None
    valid: bool = True
    method: bool = False
    may_share: bool = False
    same_in_any_layout: bool = False

    def spoil(self, d: Draws) -> Call:
        """Spoil one argument of every third call."""
        places: list[Any] = [*range(int(self.method), len(self.arguments)), *self.options]
        if not places or not d.chance(3):
            return self
        place = d.choice(places)
        if isinstance(place, str):
            self.options[place] = d.choice(NONSENSE)
        else:
            self.arguments[place] = spoilt(d, self.arguments[place])
        self.valid, self.expected = False, None
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
        return d.choice(NONSENSE)
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
    if np.prod(shape, dtype=float) > 1e6:  # an array without entries may have long axes
        return d.choice(NONSENSE)
    return d.array(tuple(shape), x.dtype) if x.dtype.kind == "f" else np.zeros(shape, x.dtype)


def judge(call: Call, d: Draws) -> None:
    """Make the call, forward and backward. Raise a Fault if it breaks a promise of the library."""
    before = [x.copy() if isinstance(x, np.ndarray) else x for x in call.arguments]
    inputs, y = attempt(call)
    unchanged("an argument", call.arguments, before)
    if y is None:
        return
    x = next((x for x in call.arguments if is_float(x)), None)
    result(call, y, call.arguments, x)
    again = attempt(call)
    same("the result of a second call", again[1].data, y.data)
    if d.chance(10):
        concurrently(call, y)
    # By reshape, NumPy makes empty arrays whose other axes are so long that it can make no such array in float64.
    if not y.requires_grad or math.prod(n for n in y.shape if n) > 2**40:
        return
    dy = d.array(y.shape, y.dtype)
    if d.chance(10):
        dy = spoilt(d, dy)
    if not backward(y, dy):
        return
    if d.chance(4):
        stale(call, inputs, dy, d)
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


def concurrently(call: Call, y: Tensor) -> None:
    """Three threads that make the call at once get the same bits, unless they share random numbers."""
    npstn.manual_seed(0)
    before = generator().bit_generator.state
    attempt(call)
    if generator().bit_generator.state != before:
        return
    with ThreadPoolExecutor(3) as threads:
        for _, found in threads.map(attempt, [call] * 3):
            same("the result of a call next to others", found.data, y.data)


def stale(call: Call, right: list[Any], dy: Any, d: Draws) -> None:
    """An array that the caller changes between forward and backward: the same gradients, or a refusal."""
    call = dataclasses.replace(call, arguments=[np.array(x) if is_array(x) else x for x in call.arguments])
    inputs, y = attempt(call)
    places = [k for k, x in enumerate(call.arguments) if is_array(x) and x.size and x.dtype.kind in "fiu"]
    if y is None or not places:
        return
    place = d.choice(places)
    array = inputs[place].data if isinstance(inputs[place], Tensor) else call.arguments[place]
    array.flat[d.integer(0, array.size - 1)] += 1
    try:
        with np.errstate(all="ignore"):
            y.backward(dy)
    except RuntimeError as error:
        refused(error, False)
        return
    compare = same if call.same_in_any_layout else alike  # the arrays are copies, in another layout
    for given, unchanged_one in zip(inputs, right, strict=True):
        if isinstance(given, Tensor):
            what = "a gradient, after a change of an array that backward did not notice,"
            compare(what, given.grad, unchanged_one.grad)


def is_array(x: Any) -> bool:
    return isinstance(x, np.ndarray)


def is_float(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype in (np.float32, np.float64) and x.dtype.isnative


def attempt(call: Call) -> tuple[list[Any], Any]:
    """The arguments as they were passed, and the result; None if the arguments were refused in the right form."""
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
    """Check a refusal: only invalid arguments are refused, and in the form "operation: expected ..., got ..."."""
    text = f"{type(error).__name__}: {error}"
    if valid:
        raise Fault(f"valid arguments are refused: {text}") from error
    if isinstance(error, MemoryError):
        return
    if not isinstance(error, REFUSALS) or not THE_LIBRARYS_FORM.fullmatch(str(error)):
        raise Fault(f"the refusal does not have the library's form: {text}") from error


def unchanged(what: str, now: list[Any], before: list[Any]) -> None:
    for x, was in zip(now, before, strict=True):
        if isinstance(was, np.ndarray) and x.tobytes() != was.tobytes():
            raise Fault(f"{what} was changed")


def same(what: str, actual: np.ndarray, expected: np.ndarray) -> None:
    if actual.dtype != expected.dtype or not np.array_equal(actual, expected, equal_nan=True):
        raise Fault(f"{what} differs: {actual.tolist()}, not {expected.tolist()}")


def alike(what: str, actual: np.ndarray, expected: np.ndarray) -> None:
    """The same up to rounding: also, whether a sum passes through infinity follows from its order."""
    finite = np.isfinite(actual) & np.isfinite(expected)
    actual, expected = actual[finite], expected[finite]
    if not np.allclose(actual, expected, rtol=1e-5, atol=1e-5 * abs(expected).max(initial=0)):
        raise Fault(f"{what} differs: {actual.tolist()}, not {expected.tolist()}")


def result(call: Call, y: Any, arguments: list[Any], x: np.ndarray | None) -> None:
    if not isinstance(y, Tensor) or not isinstance(y.data, np.ndarray):
        raise Fault(f"the result is a {type(y).__name__}")
    shape = call.expected if call.documented is None else documented_shape(call, arguments, y)
    if shape is not None and y.shape != tuple(shape):
        raise Fault(f"the result has shape {y.shape}, not {tuple(shape)}")
    if x is None or y.dtype != x.dtype:
        raise Fault(f"the result has dtype {y.dtype}")
    for other in arguments:
        if isinstance(other, np.ndarray) and not call.may_share and np.may_share_memory(y.data, other):
            raise Fault("the result shares the memory of an argument")


def documented_shape(call: Call, arguments: list[Any], y: Tensor) -> tuple[int, ...]:
    try:
        with np.errstate(all="ignore"):
            return call.documented(*arguments, **call.options)
    except Exception as error:  # noqa: BLE001 - the arguments have no documented result
        raise Fault(f"arguments without a documented result are accepted ({error!r}): {y.shape}") from error


def backward(y: Tensor, dy: Any) -> bool:
    """Run backward; whether it accepted dy."""
    before = dy.copy() if isinstance(dy, np.ndarray) else dy
    given = np.ones_like(y.data) if dy is None and y.data.size == 1 else np.asarray(dy)
    fits = given.shape == y.shape and given.dtype.newbyteorder("=") == y.dtype
    value = y.data.copy()
    try:
        with np.errstate(all="ignore"):
            y.backward(dy)
    except Exception as error:  # noqa: BLE001
        refused(error, fits)
        return False
    if not fits:
        raise Fault(f"backward accepted {described(dy)} for a result of shape {y.shape} and {y.dtype}")
    unchanged("the upstream gradient", [dy], [before])
    unchanged("the result", [y.data], [value])
    return True


def gradients(inputs: list[Any], others: list[Any]) -> None:
    """Check that every Tensor has a gradient of its shape and dtype, which shares no memory."""
    taken = [x for x in others if isinstance(x, np.ndarray)]
    for x in inputs:
        if not isinstance(x, Tensor):
            continue
        if x.grad is None:
            raise Fault("an input has no gradient")
        if x.grad.shape != x.shape or x.grad.dtype != x.dtype:
            raise Fault(f"the gradient of an input of shape {x.shape} and {x.dtype} is {x.grad.shape}, {x.grad.dtype}")
        if any(np.may_share_memory(x.grad, other) for other in taken):
            raise Fault("a gradient shares the memory of another array")
        taken.append(x.grad)
