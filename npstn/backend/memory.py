"""How the C library keeps the memory of freed arrays."""

from __future__ import annotations

import ctypes
import functools


@functools.cache
def keep_freed_memory() -> None:
    """Let the arrays of a training step reuse the memory of the step before, up to 256 MB of it.

    By default glibc returns large blocks to the system as soon as they are free. The system hands the next one out page
    by page, zeroed, which takes a quarter of the time of a step of 64. Other C libraries are left alone.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
    mallopt(M_TRIM_THRESHOLD, 256 << 20)
    mallopt(M_MMAP_THRESHOLD, 32 << 20)  # the most that glibc takes
