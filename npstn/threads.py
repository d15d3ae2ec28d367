"""The threads that the kernels' loops are shared out to, several Python threads at once, and forks."""

from __future__ import annotations

import ctypes
import functools
import importlib
import os
import threading
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba.core.compiler_lock import global_compiler_lock

_turn = threading.RLock()
_at_once = False  # whether several Python threads may run parallel kernels at once; not before that is known


def in_turn(compiled: Any) -> Any:
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


# What is registered last is acquired first: the turn before the compiler's, as by a kernel that is called first.
hold_while_forking(lambda: global_compiler_lock)
hold_while_forking(lambda: _turn)

_most_threads: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]


def _keep_to_one_thread() -> None:
    """In a forked process, where OpenMP shares out the loops: GNU's waits for ever for threads that the parent has.

    Numba knows, and terminates the process; but one thread alone waits for nobody. So OpenMP is told anew which process
    it is in, and how many threads there are for this Python thread and for those to come.
    """
    global _most_threads
    if _threading_layer() == "omp":
        omp = importlib.import_module("numba.np.ufunc.omppool")
        for function in (omp.launch_threads, omp.set_num_threads):
            ctypes.CFUNCTYPE(None, ctypes.c_int)(function)(1)
        _most_threads = 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_to_one_thread)


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
