"""Downloads that end: each mirror gets so much time and so many bytes, and no half file stays behind."""

from __future__ import annotations

import contextlib
import io
import logging
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

# Seconds to wait for a connection, and for the next bytes. The first is short because it is spent on each address of a
# mirror, of which there are up to eight, where a firewall drops packets.
TIMEOUT = (5.0, 30.0)
# The least that a mirror must send: bytes, and the seconds to send them in. TIMEOUT never ends a download of one byte
# now and then.
SLOWEST = (1 << 16, 60.0)
# Seconds without a write after which a temporary file is taken to be that of a killed process.
LEFT_OVER = 3600.0


class DownloadError(Exception):
    """No mirror gave the file; says in one line why each of them did not."""


def download_file(urls: Iterable[str], path: Path, size: int, check: Callable[[Path], object]) -> Path:
    """Download a file from the first URL that gives a good one, put it at `path` and return `path`.

    Args:
        urls: where copies of the file are, the best first.
        path: a file that does not exist yet. Its folder is made if it is missing.
        size: bytes of the file at most; for the progress bar too.
        check: raises an exception for a file that is not the wanted one.

    Several threads and processes may download the same file at once. Raises DownloadError where no URL gives the file.
    """
    import pooch  # here, because `import npstn` must be quick and seldom needs it
    from tqdm import tqdm

    _remove_left_overs(path.parent)

    def fetch(url: str, partial: str, _: object) -> None:
        """Fill pooch's temporary file, which pooch renames if this returns and deletes if this raises."""
        with (
            _BoundedFile(partial, limit=size) as file,
            tqdm(total=size, desc=path.stem, unit="B", unit_scale=True, leave=False, disable=None) as bar,
        ):
            downloader = pooch.HTTPDownloader(progressbar=bar, timeout=TIMEOUT)
            _while_it_grows(file, lambda: downloader(url, file, None))
        check(Path(partial))

    failures = []
    callers_error = sys.exc_info()[1]  # handled by the caller now: Python chains it to our errors, but it is no cause
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.WARNING)  # pooch's INFO lines would come between those of the command
    try:
        for url in urls:
            try:
                # Pooch has no hash to check: `check` has done that.
                pooch.retrieve(url, known_hash=None, fname=path.name, path=path.parent, downloader=fetch)
                return path
            except Exception as error:  # of any kind: the next mirror may do better
                cause = _first_of_chain(error, callers_error)
                failures.append(" ".join(f"{url}: {type(cause).__name__}: {cause}".split()))
    finally:
        logger.setLevel(level)
    raise DownloadError("; ".join(failures))


def _remove_left_overs(folder: Path) -> None:
    """Remove the temporary files of killed downloads; a download that goes on writes to its file all the time."""
    for path in folder.glob("tmp*"):
        with contextlib.suppress(OSError):  # another process was quicker
            if time.time() - path.stat().st_mtime > LEFT_OVER:
                path.unlink()


def _while_it_grows(file: io.FileIO, run: Callable[[], None]) -> None:
    """Run a download into the file. Raises TimeoutError where it is slower than SLOWEST.

    It runs in a thread, because nothing interrupts it while it waits for the next byte. A thread that is given up ends
    with its next bytes, because the file is closed by then, or with the process.
    """
    outcome: queue.Queue[BaseException | None] = queue.Queue()

    def report() -> None:
        try:
            run()
        except BaseException as error:  # noqa: BLE001 - raised again below
            outcome.put(_first_of_chain(error, None))
        else:
            outcome.put(None)

    threading.Thread(target=report, daemon=True).start()
    least, seconds = SLOWEST
    size = 0
    while True:
        try:
            error = outcome.get(timeout=seconds)
            break
        except queue.Empty:
            size, before = file.tell(), size
        if size - before < least:
            raise TimeoutError(f"it sent {size - before} bytes in {seconds:g} s")
    if error is not None:
        raise error


class _BoundedFile(io.FileIO):
    """A file to write that refuses to outgrow its limit: a server that never stops sending must not fill the disk."""

    def __init__(self, path: str, limit: int) -> None:
        super().__init__(path, "wb")
        self.limit = limit

    def write(self, chunk: bytes) -> int:  # type: ignore[override]
        if self.tell() + len(chunk) > self.limit:
            raise ValueError(f"it sent more than {self.limit} bytes")
        return super().write(chunk)


def _first_of_chain(error: BaseException, callers_error: BaseException | None) -> BaseException:
    """The root cause of an error: what requests and urllib3 wrap around it repeats the address."""
    while error.__context__ not in (None, callers_error):
        error = error.__context__
    return error
