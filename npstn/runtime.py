"""What the operations run on: the compiler's settings, the BLAS, the memory, the random numbers."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

from npstn.threads import hold_while_forking, in_turn

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F | None = None, *, parallel: bool = False, fastmath: set[str] | bool = False) -> Any:
    """Compile a loop with Numba, `@kernel` or `@kernel(parallel=True)`, and keep the machine code on disk.

    `parallel` spreads the loops written as `numba.prange` over the threads; such a kernel is called from Python only.
    Where no folder can be written to keep the machine code in (a read-only installation without a home), it is compiled
    afresh in each process.
    """
    if function is None:
        return functools.partial(kernel, parallel=parallel, fastmath=fastmath)
    if numba.config.BOUNDSCHECK:  # type: ignore[attr-defined]
        parallel = False  # Numba loses an IndexError that is raised in a parallel loop
    # error_model: dividing by zero gives inf or NaN as in NumPy, and no test in the loop for raising ZeroDivisionError.
    compile_ = functools.partial(numba.njit, parallel=parallel, fastmath=fastmath, error_model="numpy", nogil=True)
    try:
        compiled = compile_(cache=True)(function)
    except RuntimeError as error:
        if "cache" not in str(error):
            raise
        compiled = compile_()(function)
    return in_turn(compiled) if parallel and not numba.config.DISABLE_JIT else compiled  # type: ignore[attr-defined]


@functools.cache
def hold_blas_to_one_thread() -> None:
    """Make the BLAS that Numba's `np.dot` calls, SciPy's, single-threaded; operations that need it call this first.

    The kernels call it from inside their own parallel loops: threads of its own would fight theirs, and make the last
    bit of a result depend on their number. NumPy's own BLAS keeps its threads, unless it is the very same library.
    """
    import scipy.linalg.cython_blas  # loads the library
    import threadpoolctl

    blas = threadpoolctl.ThreadpoolController().select(user_api="blas")
    of_scipy = [lib["filepath"] for lib in blas.info() if "scipy.libs" in lib["filepath"]]
    (blas.select(filepath=of_scipy) if of_scipy else blas).limit(limits=1)
    del scipy


def keep_freed_memory() -> None:
    """Let the arrays of a training step take the memory of the step before, up to 256 MB of it.

    Left to itself, glibc gives large blocks back to the system as soon as they are free, and the system hands the next
    one out page by page, zeroed: a quarter of the time of a step of 64. Other C libraries are left alone.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
    mallopt(M_TRIM_THRESHOLD, 256 << 20)
    mallopt(M_MMAP_THRESHOLD, 32 << 20)  # the most that glibc takes, and what it would come to by itself


keep_freed_memory()

_generator = np.random.default_rng()
hold_while_forking(lambda: _generator.bit_generator.lock)


def manual_seed(seed: int) -> None:
    """Start the random numbers of the library (initial weights, dropout, rotations, shuffling) anew from `seed`.

    Raises ValueError unless that is an integer of at least 0.

    >>> manual_seed(0)
    """
    global _generator
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"manual_seed: expected an integer of at least 0, got {seed!r}")
    _generator = np.random.default_rng(seed)


def generator() -> np.random.Generator:
    """The one source of random numbers; kernels never draw any."""
    return _generator
