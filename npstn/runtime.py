"""What the operations run on: the compiler's settings, the BLAS, the memory, the random numbers."""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F | None = None, *, fastmath: set[str] | bool = False) -> Any:
    """Compile a loop with Numba and keep the machine code on disk.

    Where no folder can be written to keep the machine code in (a read-only installation without a home), it is compiled
    afresh in each process.
    """
    if function is None:
        return functools.partial(kernel, fastmath=fastmath)
    # error_model: dividing by zero gives inf or NaN as in NumPy, and no test in the loop for raising ZeroDivisionError.
    # nogil: while it runs, other Python threads do; see npstn.threads.
    compile_ = functools.partial(numba.njit, fastmath=fastmath, error_model="numpy", nogil=True)
    try:
        return compile_(cache=True)(function)
    except RuntimeError as error:
        if "cache" not in str(error):
            raise
        return compile_()(function)


@functools.cache
def blas_of_one_thread() -> Any:
    """SciPy's BLAS, `scipy.linalg.blas`, told to use one thread.

    Threads of its own would fight the kernels', and make the last bit of a result depend on their number. NumPy's own
    BLAS keeps its threads, unless it is the very same library.
    """
    import scipy.linalg.blas
    import threadpoolctl

    blas = threadpoolctl.ThreadpoolController().select(user_api="blas")
    of_scipy = [lib["filepath"] for lib in blas.info() if "scipy.libs" in lib["filepath"]]
    (blas.select(filepath=of_scipy) if of_scipy else blas).limit(limits=1)
    return scipy.linalg.blas


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


def hold_while_forking(lock: Callable[[], Any]) -> None:
    """Let no other thread hold a lock, `lock()`, while the process forks: the child could never release it."""
    held = threading.local()  # by the thread that forks; `lock()` may be another lock by the time of its release

    def acquire() -> None:
        held.lock = lock()
        held.lock.acquire()

    def release() -> None:
        held.lock.release()

    if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
        os.register_at_fork(before=acquire, after_in_parent=release, after_in_child=release)


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
