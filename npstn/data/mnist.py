"""MNIST, the 70000 handwritten digits of LeCun, Cortes and Burges: found or downloaded, and checked at each reading.

N counts images; a payload is the content of one of the four published files, decompressed. Its SHA-256 decides whether
a file is the right one, because it holds for every copy: the same payload compressed again is another .gz.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import logging
import os
import queue
import sys
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

# Both serve the published .gz files; the site that first published them no longer does.
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)

# Of each payload, the length in bytes and the SHA-256.
FILES = {
    "train-images-idx3-ubyte": (47040016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    "train-labels-idx1-ubyte": (60008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    "t10k-images-idx3-ubyte": (7840016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    "t10k-labels-idx1-ubyte": (10008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
}

# Seconds to wait for a connection, and for the next bytes. The first is short because it is spent on each address of a
# mirror, of which there are up to eight, where a firewall drops packets.
TIMEOUT = (5.0, 30.0)
# The least that a mirror must send: so many bytes in so many seconds. One that sends a byte now and then is never late
# with the next.
SLOWEST = (1 << 16, 60.0)
# Seconds after which a temporary file that nobody has written to belongs to a process that was killed.
LEFT_OVER = 3600.0


class DataError(RuntimeError):
    """What is wrong with a data file or folder, in one line: the path, what was expected, what to do."""


class MnistNotFound(DataError):
    """MNIST is not in the cache, no folder was named, and it was not or could not be downloaded; no file is damaged."""


def load_mnist(
    root: str | os.PathLike[str] | None = None, train: bool = True, download: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """The 60000 training digits of MNIST, or with `train=False` its 10000 test digits.

    The files, plain or .gz, are read from `root`, else from the folder in the environment variable NPSTN_DATA_DIR: a
    folder so named must hold them. If none is named they are read from the user's cache; what is missing there is
    downloaded into it first, unless `download=False`.

    Returns the images, uint8 (N, 28, 28), 0 (paper) to 255 (ink), rows from the top, and their labels, int64 (N,),
    0 to 9. Both arrays are the caller's own, to be changed freely.

    Raises `MnistNotFound` if no folder is named, the cache lacks a file, and it is not downloaded, for whatever reason;
    `DataError` if a named folder lacks a file, or if a file is there but damaged or unreadable.

    Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits".

    >>> images, labels = load_mnist()  # doctest: +SKIP
    >>> images.shape, labels[:5]  # doctest: +SKIP
    ((60000, 28, 28), array([5, 0, 4, 1, 9]))
    """
    subset = "train" if train else "t10k"
    names = f"{subset}-images-idx3-ubyte", f"{subset}-labels-idx1-ubyte"
    # Both are located before either is read, so that what is missing is said at once.
    paths = [_locate(name, root, download) for name in names]
    images, labels = map(_read_idx, paths, names)
    return images.copy(), labels.astype(np.int64)


def mnist_folder(root: str | os.PathLike[str] | None = None) -> Path:
    """The folder that `load_mnist(root)` reads: `root`, else that in NPSTN_DATA_DIR, else the user's cache."""
    named = _named_folder(root)
    if named is not None:
        return named
    import pooch  # here, because `import npstn` must be quick and seldom needs it

    return Path(pooch.os_cache("npstn"))


def _named_folder(root: str | os.PathLike[str] | None) -> Path | None:
    named = root if root is not None else os.environ.get("NPSTN_DATA_DIR") or None  # set but empty is not set
    return None if named is None else Path(os.path.expanduser(named))


def _locate(name: str, root: str | os.PathLike[str] | None, download: bool) -> Path:
    """The path of the plain or compressed file; where none is there, it is downloaded or the absence is an error."""
    folder = mnist_folder(root)
    for path in (folder / name, folder / f"{name}.gz"):
        if os.path.lexists(path):
            return path
    readable = os.access(folder, os.R_OK | os.X_OK)
    missing = f"found neither {name} nor {name}.gz in {folder}" + ("" if readable else ", which is no readable folder")
    if _named_folder(root) is not None:
        raise DataError(f"{missing}; put either there, or name the folder that has them (--data-dir, NPSTN_DATA_DIR)")
    if not download:
        raise MnistNotFound(f"{missing}; allow the download, or name the folder that has them (NPSTN_DATA_DIR)")
    return _download(name, folder)


def _read_idx(path: Path, name: str) -> np.ndarray:
    """The values of an IDX file, read-only: two zeros, the type (8: uint8), the number of axes, the axes, values."""
    try:
        payload = _read_payload(path, name)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        length, sha256 = FILES[name]
        raise DataError(
            f"{path}: not MNIST's {name}: {error}; expected {length} bytes with SHA-256 {sha256} (decompressed); "
            f"delete it and download {MIRRORS[0]}{name}.gz in its place"
        ) from error
    axes = payload[3]
    shape = np.frombuffer(payload, dtype=">u4", count=axes, offset=4)
    return np.frombuffer(payload, dtype=np.uint8, offset=4 + 4 * axes).reshape(shape.tolist())


def _read_payload(path: Path, name: str) -> bytes:
    """The payload of a plain or compressed file, or an exception that says why it is not the published one."""
    length, sha256 = FILES[name]
    if not path.is_file():
        raise ValueError("not a regular file")  # before it is opened: a pipe would be waited for without end
    with path.open("rb") as file:
        # By content, not by name: browsers and servers decompress a .gz and leave its name as it was.
        compressed = file.peek(2)[:2] == b"\x1f\x8b"
        # One byte more than expected tells "too long", and keeps a gzip bomb from filling the memory.
        payload = (gzip.GzipFile(fileobj=file) if compressed else file).read(length + 1)
    if len(payload) != length:
        raise ValueError(f"has more than {length} bytes" if len(payload) > length else f"has {len(payload)} bytes")
    actual = hashlib.sha256(payload).hexdigest()
    if actual != sha256:
        raise ValueError(f"has SHA-256 {actual}")
    return payload


def _download(name: str, folder: Path) -> Path:
    """The compressed file, put into the folder from the first mirror that gives a whole copy."""
    import pooch
    from tqdm import tqdm

    length = FILES[name][0]
    _clear_left_overs(folder)

    def fetch(url: str, partial: str, _: object) -> None:
        """Fill pooch's temporary file, which pooch renames if this returns and deletes if this raises."""
        with (
            _BoundedFile(partial, limit=length + 1024) as file,  # gzip adds a little to what it cannot compress
            tqdm(total=length, desc=name, unit="B", unit_scale=True, leave=False, disable=None) as bar,
        ):
            downloader = pooch.HTTPDownloader(progressbar=bar, timeout=TIMEOUT)
            _while_it_grows(file, lambda: downloader(url, file, None))
        _read_payload(Path(partial), name)

    failures = []
    callers_error = sys.exc_info()[1]  # where this runs in an `except`: the start of every chain, and no cause of ours
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.WARNING)  # its INFO lines would come between the command's own
    try:
        for url in [f"{mirror}{name}.gz" for mirror in MIRRORS]:
            try:
                # No hash for pooch to check: `fetch` has checked the payload.
                return Path(pooch.retrieve(url, known_hash=None, fname=f"{name}.gz", path=folder, downloader=fetch))
            except Exception as error:  # whatever it is, the next mirror may do better
                cause = _first_of_chain(error, callers_error)
                failures.append(" ".join(f"{url}: {type(cause).__name__}: {cause}".split()))
    finally:
        logger.setLevel(level)
    raise MnistNotFound(f"could not download MNIST into {folder}: {'; '.join(failures)}")


def _clear_left_overs(folder: Path) -> None:
    """Delete what downloads that were killed have left; one that goes on writes to its file all the time."""
    for path in folder.glob("tmp*"):
        with contextlib.suppress(OSError):  # another process was quicker
            if time.time() - path.stat().st_mtime > LEFT_OVER:
                path.unlink()


def _while_it_grows(file: io.FileIO, download: Callable[[], None]) -> None:
    """Run a download into the file; TimeoutError where that takes in less than SLOWEST.

    In a thread, for where it waits for the next byte it can be interrupted by nothing. One that is given up ends with
    its next bytes, because the file is closed by then, or with the process.
    """
    outcome: queue.Queue[BaseException | None] = queue.Queue()

    def run() -> None:
        try:
            download()
        except BaseException as error:  # noqa: BLE001 - raised again below
            outcome.put(_first_of_chain(error, None))
        else:
            outcome.put(None)

    threading.Thread(target=run, daemon=True).start()
    least, seconds = SLOWEST
    size = 0
    while True:
        try:
            error = outcome.get(timeout=seconds)
            break
        except queue.Empty:
            size, before = file.tell(), size
        if size - before < least:
            raise TimeoutError(f"sends {size - before} bytes in {seconds:g} s")
    if error is not None:
        raise error


class _BoundedFile(io.FileIO):
    """A file to write that refuses to outgrow its limit: a server that never stops sending must not fill the disk."""

    def __init__(self, path: str, limit: int) -> None:
        super().__init__(path, "wb")
        self.limit = limit

    def write(self, chunk: bytes) -> int:  # type: ignore[override]
        if self.tell() + len(chunk) > self.limit:
            raise ValueError(f"sends more than {self.limit} bytes")
        return super().write(chunk)


def _first_of_chain(error: BaseException, callers_error: BaseException | None) -> BaseException:
    """The root cause of an error: what requests and urllib3 wrap around it repeats the address."""
    while error.__context__ not in (None, callers_error):
        error = error.__context__
    return error
