"""Why a function gives float64 for float32 inputs: the names of the dtypes alone leave the search to the reader.

Two causes are common. fn holds a float64 array from outside: then nobody can ask fn for float32, and its backward is
not to blame. Or a line joins float32 with a NumPy scalar, or with an array made without a dtype: that is a fault.
"""

from __future__ import annotations

import functools
import inspect
import linecache
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from npstn.autograd import Function, Tensor
from npstn.gradcheck.subject import Subject


class NotAsked(Exception):
    """A contract cannot be checked on this function; the message says why."""


def explain_float64(subject: Subject, arrays: list[np.ndarray], dy: np.ndarray) -> str:
    """The end of a message: the line in which float32 becomes float64, or "". Raises NotAsked if fn holds float64."""
    held = ", ".join(dict.fromkeys(float64_from_outside(subject.fn)))
    if held:
        raise NotAsked(f"fn holds the float64 array {held}; pass it as an input, which is converted like the others")
    line = _line_that_gives_float64(subject, arrays, dy)
    return f"; {line}" if line else ""


def float64_from_outside(fn: Callable[..., Any]) -> Iterator[str]:
    """The names of the float64 arrays that fn, and what it calls, take from outside; a lone number is no array."""
    waiting: list[Any] = [fn]
    seen = set()
    while waiting:
        f = waiting.pop()
        if isinstance(f, functools.partial):
            waiting.append(f.func)
            outside: dict[str, Any] = {f"argument {i}": x for i, x in enumerate(f.args)} | f.keywords
        else:
            owner = f if isinstance(f, type) else getattr(f, "__self__", None)
            if isinstance(owner, type) and issubclass(owner, Function):
                waiting += [owner.forward, owner.backward]
            f = inspect.unwrap(f)
            if f in seen or not inspect.isfunction(f):
                continue
            variables = inspect.getclosurevars(f)
            outside = {**variables.globals, **variables.nonlocals}
        seen.add(f)
        for name, value in outside.items():
            if isinstance(value, (np.ndarray, Tensor)) and value.dtype == np.float64 and value.ndim:
                yield str(name)
            elif inspect.isroutine(value) or inspect.isclass(value):
                waiting.append(value)


def _line_that_gives_float64(subject: Subject, arrays: list[np.ndarray], dy: np.ndarray) -> str:
    """The first line, in forward or backward, that makes float64 of the inputs; "" if it is not one of NumPy's."""
    _Watched.found = ""
    try:
        y, _ = subject.call([x.view(_Watched) for x in arrays])
        y.data = np.asarray(y.data)
        if y.requires_grad:
            y.backward(dy.astype(y.dtype))
    except Exception:  # noqa: BLE001 - it raised before, too; and a compiled kernel takes no such array
        pass
    return _Watched.found


class _Watched(np.ndarray):
    """An array that notes the first line in which NumPy makes float64 of it, though it is float32 itself."""

    found = ""

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        plain = [np.asarray(x) if isinstance(x, _Watched) else x for x in inputs]
        if out is not None:
            options["out"] = tuple(np.asarray(x) for x in out)
        result = getattr(ufunc, method)(*plain, **options)
        _Watched.note(result, plain)
        return result.view(_Watched) if isinstance(result, np.ndarray) else result

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        result = super().__array_function__(func, types, args, kwargs)
        _Watched.note(result, args)
        return result

    @staticmethod
    def note(result: Any, operands: Sequence[Any]) -> None:
        if getattr(result, "dtype", None) == np.float64 and not _Watched.found:
            caller = sys._getframe(2)
            line = textwrap.shorten(linecache.getline(caller.f_code.co_filename, caller.f_lineno), 80)
            _Watched.found = f"line {caller.f_lineno} makes it so, `{line}`: {_cause(operands)}"


def _cause(operands: Sequence[Any]) -> str:
    """Which operand brought float64."""
    for x in operands:
        if isinstance(x, np.float64) or (isinstance(x, np.ndarray) and x.dtype == np.float64 and not x.ndim):
            return f"{float(x):.6g} is a NumPy scalar of float64; write float(...) around it"
        if isinstance(x, np.ndarray) and x.dtype == np.float64:
            return f"an array of shape {x.shape} is float64; make it with the dtype of the input"
    kinds = " and ".join(str(x.dtype) if hasattr(x, "dtype") else f"a plain {type(x).__name__}" for x in operands)
    return f"NumPy gives float64 for {kinds}"
