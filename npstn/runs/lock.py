"""A run folder belongs to one process at a time.

The process that works in a run folder holds a lock of the operating system on a file in it. The lock ends with the
process, however it ends. The file says which process that is; without a lock it means nothing.

On a network file system (NFS) other machines see the lock only where the server runs its lock service. Where there are
no locks at all, the run goes on without one, and says so. What only reads a run takes no lock.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from npstn.runs.errors import RunError, RunIsBusy

if sys.platform != "win32":
    import fcntl

FILE = ".lock"
WITHOUT_LOCKS = errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Keep other processes out of a run folder, which must exist. Gives whether it could be locked at all.

    Raises RunIsBusy, with the number of the process that works in the folder; RunError where the folder is missing or
    cannot be written.
    """
    try:
        file, held = _take(folder / FILE)
    except (FileNotFoundError, NotADirectoryError):
        raise RunError(f"expected a run folder, got {folder}: there is no such folder") from None
    except OSError as error:
        raise RunError(f"cannot write the run folder {folder}: {error.strerror}") from None
    try:
        yield held
    finally:
        with contextlib.suppress(OSError):  # the folder may be gone, or cannot be written any more
            if _is_at(file, folder / FILE):
                os.unlink(folder / FILE)
        os.close(file)


def _take(path: Path) -> tuple[int, bool]:
    """Open and lock the file, and write into it who has it. Returns the open file, and whether it is locked."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            held = _lock(file, path)
            if _is_at(file, path):
                os.ftruncate(file, 0)
                os.write(file, f"{os.getpid()} {platform.node()}".encode())
                return file, held
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # the process that had it has ended since, and has removed it


def _lock(file: int, path: Path) -> bool:
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        how = "wait until it ends, or choose another folder"
        raise RunIsBusy(f"{_owner(file)} is working in the run folder {path.parent}; {how}") from None
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
        return False
    return True


def _owner(file: int) -> str:
    """The process that the file names, and its machine if that is another."""
    number, _, machine = os.pread(file, 300, 0).decode(errors="replace").partition(" ")
    if not number:  # it has just taken the lock
        return "another process"
    return f"process {number}" if machine == platform.node() else f"process {number} on {machine}"


def _is_at(file: int, path: Path) -> bool:
    """Whether an open file is still the one at this path."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False
