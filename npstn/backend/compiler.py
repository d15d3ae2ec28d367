"""Kernels: loops that Numba compiles, and whose machine code it keeps on disk."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F | None = None, *, fastmath: set[str] | bool = False, inline: str = "never") -> Any:
    """Compile a loop with Numba and keep its machine code on disk.

    Each process compiles the loop again where no folder can be written to (a read-only installation without a home).

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
    compile_ = functools.partial(numba.njit, fastmath=fastmath, error_model="numpy", nogil=True, inline=inline)
    try:
        return compile_(cache=True)(function)
    except RuntimeError as error:
        if "cache" not in str(error):
            raise
        return compile_()(function)


def signature_of(*arguments: Any) -> tuple[numba.types.Type, ...]:
    """The types for which Numba compiles a kernel that is called with these arguments.

    >>> signature_of(1, 2.5)
    (int64, float64)
    """
    return tuple(map(numba.typeof, arguments))
