"""How kernels are run: `share_out` divides the work of a kernel among threads.

The threads are Numba's, used through `npstn.backend.numba_internals`. Where this Numba has other private parts than
those that file expects, they are plain Python threads: slower to start, with the same results to the last bit.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import numba
import numpy as np

from npstn.backend.compiler import signature_of
from npstn.backend.forking import hold_while_forking
from npstn.messages import one_line

_internals: ModuleType | None  # None where they cannot be used
try:
    from npstn.backend import numba_internals as _internals
except Exception:  # names that this Numba does not have: ImportError or AttributeError; more may come
    _internals = None

LEAST = 30_000  # ns, the work of a part: to hand it to another thread, and its memory to another core, takes as long
PLENTY = 10**18  # ns, enough work for any number of threads

_most: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]  # the cores that this process may use
_threads = _most
# Plain Python has no address, and gains nothing from threads.
_alone = bool(numba.config.DISABLE_JIT)  # type: ignore[attr-defined]
_plain_turn = threading.RLock()
_rehearsals = 0  # how many threads are rehearsing
_changing = threading.Lock()


class _Mode(threading.local):
    rehearse: Callable[[Any, int, int, tuple], None] | None = None


_mode = _Mode()


def share_out(loop: Any, count: int, *arguments: Any, work: float = PLENTY) -> None:
    """Run a kernel, loop(first, end, *arguments), on 0 .. count-1, divided among the threads.

    The results of the kernel must not depend on where a part begins. When all parts have ended, an error in any of them
    is raised. `work` is roughly the time in ns that one thread would need: if it is short, there are fewer parts.

    >>> from npstn.backend.compiler import kernel
    >>> @kernel
    ... def square(first, end, x):
    ...     for i in range(first, end):
    ...         x[i] = i * i
    >>> x = np.zeros(6)
    >>> share_out(square, 6, x)
    >>> x.tolist()
    [0.0, 1.0, 4.0, 9.0, 16.0, 25.0]
    """
    internals = _internals
    if (work < 2 * LEAST or _threads == 1) and internals is not None and not _rehearsals:  # the short way
        loop(0, count, *arguments)
        return
    parts = 1 if _alone else int(min(_threads, count, work // LEAST))
    if _mode.rehearse is not None:
        _mode.rehearse(loop, count, parts, arguments)
    elif internals is None:
        _run_on_plain_threads(loop, count, parts, arguments)
    elif parts <= 1:
        loop(0, count, *arguments)
    else:
        _run_on_numbas_threads(internals, loop, count, parts, arguments)


def _run_on_numbas_threads(internals: ModuleType, loop: Any, count: int, parts: int, arguments: tuple) -> None:
    global _internals
    try:
        address = internals.address_of(loop, arguments)
    except Exception:
        loop.compile(signature_of(0, 0, *arguments))  # raises the error if it is the kernel's own
        _internals = None
        _run_on_plain_threads(loop, count, parts, arguments)
    else:
        internals.run_in_parts(address, count, parts, arguments)


def _run_on_plain_threads(loop: Any, count: int, parts: int, arguments: tuple) -> None:
    """Each part on a Python thread: they run at the same time, because a kernel releases the interpreter's lock."""
    with _plain_turn:  # a fork waits for it: the child could never release Numba's lock if a thread were compiling
        if parts <= 1:
            loop(0, count, *arguments)
            return
        bounds = [count * part // parts for part in range(parts + 1)]
        with ThreadPoolExecutor(parts) as threads:  # new ones each time: a forked process has none of its parent's
            running = [threads.submit(loop, *bounds[part : part + 2], *arguments) for part in range(parts)]
        for part in running:
            part.result()


@contextlib.contextmanager
def rehearsing(missing: Callable[[Any, tuple], None]) -> Iterator[None]:
    """Find out which kernels a piece of code needs compiled, without running any.

    Inside, `share_out` runs nothing in this thread. It calls missing(kernel, signature) for each kernel that it would
    run, if its machine code for these types can be kept on disk and is not there. Arrays that a kernel would fill keep
    the numbers that happen to be in their memory, so the code must not use these as indices. Where Numba does not tell
    what is on disk, `missing` is never called.

    >>> from npstn.backend.compiler import kernel
    >>> @kernel
    ... def square(first, end, x):
    ...     for i in range(first, end):
    ...         x[i] = i * i
    >>> x = np.zeros(6)
    >>> with rehearsing(lambda kernel, signature: None):
    ...     share_out(square, 6, x)
    >>> x.tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    seen = set()

    def look_up(kernel: Any, arguments: tuple) -> None:
        wanted = kernel, signature_of(*arguments)
        if wanted not in seen:
            seen.add(wanted)
            if _internals is not None and _internals.is_to_be_compiled(*wanted):
                missing(*wanted)

    def rehearse(loop: Any, count: int, parts: int, arguments: tuple) -> None:
        look_up(loop, (0, count, *arguments))
        if parts > 1 and _internals is not None:
            look_up(*_internals.launcher_of(arguments))

    global _rehearsals
    with _changing:
        _rehearsals += 1
    _mode.rehearse = rehearse
    try:
        with np.errstate(all="ignore"):  # the numbers that happen to be there
            yield
    finally:
        _mode.rehearse = None
        with _changing:
            _rehearsals -= 1


def is_rehearsing() -> bool:
    """Whether this thread only finds out which kernels it needs: its numbers mean nothing, and decide nothing."""
    return _mode.rehearse is not None


def set_num_threads(threads: int) -> None:
    """Set how many threads kernels use. Results are bit-identical for any number.

    A process that was forked while Numba's threads were running uses one thread, for any number. Raises ValueError for
    a number outside 1 .. the number of cores (or of `NUMBA_NUM_THREADS`, where that is set).

    >>> set_num_threads(1)
    """
    global _threads
    if not isinstance(threads, (int, np.integer)) or not 1 <= threads <= _most:
        raise ValueError(f"set_num_threads: expected 1 to {_most} threads on this machine, got {one_line(threads)}")
    _threads = int(threads)


def get_num_threads() -> int:
    """The number of threads that kernels use: at first, one for each core."""
    return _threads


def _stay_alone() -> None:
    """A forked process has none of its parent's threads: OpenMP would wait for them for ever."""
    global _alone
    _alone = _alone or (_internals is not None and _internals.threads_have_started())


# Registered after the lock of concurrent.futures, and so acquired before it: a thread takes the two in this order.
hold_while_forking(lambda: _plain_turn)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_stay_alone)
