"""Kernels: loops that Numba compiles, and whose machine code it keeps on disk."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F | None = None, *, fastmath: set[str] | bool = False) -> Any:
    """Compile a loop with Numba and keep its machine code on disk.

    Where no folder can be written to (a read-only installation without a home), each process compiles it again.
    """
    if function is None:
        return functools.partial(kernel, fastmath=fastmath)
    # error_model: dividing by zero gives inf or NaN as in NumPy, and the loop needs no test for ZeroDivisionError.
    # nogil: other Python threads run meanwhile; see npstn.backend.parallel.
    compile_ = functools.partial(numba.njit, fastmath=fastmath, error_model="numpy", nogil=True)
    try:
        return compile_(cache=True)(function)
    except RuntimeError as error:
        if "cache" not in str(error):
            raise
        return compile_()(function)
