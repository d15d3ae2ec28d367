"""Locks that a forked process can use."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any


def hold_while_forking(lock: Callable[[], Any]) -> None:
    """Hold a lock, `lock()`, while the process forks.

    If another thread held the lock at that moment, the child could never release it.
    """
    held = threading.local()  # the lock that the forking thread acquired; by its release, `lock()` may give another

    def acquire() -> None:
        held.lock = lock()
        held.lock.acquire()

    def release() -> None:
        held.lock.release()

    if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
        os.register_at_fork(before=acquire, after_in_parent=release, after_in_child=release)
