"""Kernels: loops that Numba compiles, and whose machine code it keeps on disk."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numba

ForgivingCache: type | None  # None where Numba has other private parts than that file expects
try:
    from npstn.backend.numba_cache import ForgivingCache
except Exception:  # ImportError or AttributeError; more may come
    ForgivingCache = None

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F | None = None, *, fastmath: set[str] | bool = False, inline: str = "never") -> Any:
    """Compile a loop with Numba and keep its machine code on disk.

    Each process compiles the loop again where no folder can be written to (a read-only installation without a home, a
    full disk). What is damaged on disk is compiled afresh.

    >>> @kernel
    ... def double(x):
    ...     return x + x
    >>> double(1.5)
    3.0
    """
    if function is None:
        return functools.partial(kernel, fastmath=fastmath, inline=inline)
    # error_model: dividing by zero gives inf or NaN as in NumPy, and the loop needs no test for ZeroDivisionError.
    # nogil: other Python threads run meanwhile; see npstn.backend.parallel.
    # no_cfunc_wrapper: no kernel is given to another one as an argument; an eighth off the time to compile.
    options = {"error_model": "numpy", "nogil": True, "no_cfunc_wrapper": True}
    compile_ = functools.partial(numba.njit, fastmath=fastmath, inline=inline, **options)
    try:
        compiled = compile_(cache=True)(function)
    except RuntimeError as error:
        if "cache" not in str(error):
            raise
        return compile_()(function)
    if ForgivingCache is not None and hasattr(compiled, "_cache"):  # plain Python has none
        compiled._cache = ForgivingCache(function)
    return compiled


def signature_of(*arguments: Any) -> tuple[numba.types.Type, ...]:
    """The types for which Numba compiles a kernel that is called with these arguments.

    >>> signature_of(1, 2.5)
    (int64, float64)
    """
    return tuple(map(numba.typeof, arguments))
