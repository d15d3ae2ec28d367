"""What the kernels run on: the compiler's settings, the threads, the random numbers."""

from __future__ import annotations

import ctypes
import functools
import importlib
import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
from numba.core.compiler_lock import global_compiler_lock

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
    return _in_turn(compiled) if parallel and not numba.config.DISABLE_JIT else compiled  # type: ignore[attr-defined]


_turn = threading.RLock()
_at_once = False  # whether several Python threads may run parallel kernels at once; not before that is known


def _in_turn(compiled: Any) -> Any:
    """A parallel kernel that waits for its turn where Numba shares out its loops by "workqueue".

    That layer, which Numba takes where it finds neither TBB nor OpenMP, aborts the process if two Python threads enter
    parallel loops at once. Where it is another, this costs 0.05 us a call.
    """

    @functools.wraps(compiled.py_func)
    def call(*arguments: Any) -> Any:
        if _at_once:
            return compiled(*arguments)
        return _first_or_alone(compiled, arguments)

    call.py_func = compiled.py_func  # type: ignore[attr-defined]
    return call


def _first_or_alone(compiled: Any, arguments: tuple) -> Any:
    global _at_once
    with _turn:
        result = compiled(*arguments)
        _at_once = _threading_layer() not in (None, "workqueue")  # Numba chooses it with the first parallel kernel
        return result


def _threading_layer() -> str | None:
    try:
        return numba.threading_layer()
    except ValueError:
        return None


_held: list[Any] = []  # while the process forks


def _before_fork() -> None:
    """Let no other thread be within a parallel loop, compile, or draw: the child could never release its lock."""
    _turn.acquire()
    _held[:] = global_compiler_lock, _generator.bit_generator.lock
    for lock in _held:
        lock.acquire()


def _after_fork() -> None:
    for lock in _held:
        lock.release()
    _turn.release()


_most_threads: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]


def _after_fork_in_child() -> None:
    """Keep to one thread where OpenMP shares out the loops: GNU's waits for ever for threads that the parent has.

    Numba knows, and terminates the process; but one thread alone waits for nobody. So OpenMP is told anew which process
    it is in, and how many threads there are for this Python thread and for those to come.
    """
    global _most_threads
    _after_fork()
    if _threading_layer() == "omp":
        omp = importlib.import_module("numba.np.ufunc.omppool")
        for function in (omp.launch_threads, omp.set_num_threads):
            ctypes.CFUNCTYPE(None, ctypes.c_int)(function)(1)
        _most_threads = 1


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)


def set_num_threads(threads: int) -> None:
    """Let the kernels run on `threads` threads; results do not depend on it, to the last bit.

    In a process that was forked from one in which kernels ran, OpenMP leaves them a single thread, whatever is asked.
    Raises ValueError for a number outside 1 .. the number of cores (or of `NUMBA_NUM_THREADS`, where that is set).

    >>> set_num_threads(1)
    """
    most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    if not isinstance(threads, (int, np.integer)) or not 1 <= threads <= most:
        raise ValueError(f"set_num_threads: expected 1 to {most} threads on this machine, got {threads!r}")
    numba.set_num_threads(min(threads, _most_threads))


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
