"""MNIST, the 70000 handwritten digits of LeCun, Cortes and Burges: found or downloaded, and checked at each reading.

N counts images; a payload is the decompressed content of one of the four published files. The SHA-256 of the payload
decides whether a file is the right one: the same payload compressed again is another .gz.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from pathlib import Path

import numpy as np

from npstn.data.download import DownloadError, download_file
from npstn.data.errors import DataError

# Both serve the published .gz files; the site that published them first no longer does.
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)

# The length in bytes and the SHA-256 of each payload.
FILES = {
    "train-images-idx3-ubyte": (47040016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    "train-labels-idx1-ubyte": (60008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    "t10k-images-idx3-ubyte": (7840016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    "t10k-labels-idx1-ubyte": (10008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
}


class MnistNotFound(DataError):
    """MNIST is missing from the cache, no folder was named, and MNIST was not downloaded; no file is damaged."""


def load_mnist(
    root: str | os.PathLike[str] | None = None, train: bool = True, download: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Read the 60000 training digits of MNIST, or the 10000 test digits with `train=False`.

    The files, plain or .gz, are read from the folder `root`, or else from the folder that the environment variable
    NPSTN_DATA_DIR names: a folder named in one of these ways must hold the files. If no folder is named, they are read
    from the user's cache; a file that is missing there is downloaded first, unless `download=False`.

    Returns the images, uint8 (N, 28, 28), 0 (paper) to 255 (ink), rows from the top, and their labels, int64 (N,),
    0 to 9. Both are new arrays, which the caller may change.

    Raises `MnistNotFound` if no folder is named, and the cache lacks a file that was not downloaded; `DataError` if a
    named folder lacks a file, or a file is damaged or unreadable.

    Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits".

    >>> images, labels = load_mnist()  # doctest: +SKIP
    >>> images.shape, labels[:5]  # doctest: +SKIP
    ((60000, 28, 28), array([5, 0, 4, 1, 9]))
    """
    subset = "train" if train else "t10k"
    names = f"{subset}-images-idx3-ubyte", f"{subset}-labels-idx1-ubyte"
    # Both files are located before the first is read, so that a missing one is reported at once.
    paths = [_locate(name, root, download) for name in names]
    images, labels = map(_read_idx, paths, names)
    return images.copy(), labels.astype(np.int64)


def mnist_folder(root: str | os.PathLike[str] | None = None) -> Path:
    """The folder that `load_mnist(root)` reads: `root`, or that in NPSTN_DATA_DIR, or the user's cache."""
    named = _named_folder(root)
    if named is not None:
        return named
    import pooch  # here, because `import npstn` must be quick and pooch is seldom needed

    return Path(pooch.os_cache("npstn"))


def _named_folder(root: str | os.PathLike[str] | None) -> Path | None:
    named = root if root is not None else os.environ.get("NPSTN_DATA_DIR") or None  # an empty variable names no folder
    return None if named is None else Path(os.path.expanduser(named))


def _locate(name: str, root: str | os.PathLike[str] | None, download: bool) -> Path:
    """The path of the plain or compressed file; a missing file is downloaded or is an error."""
    folder = mnist_folder(root)
    for path in (folder / name, folder / f"{name}.gz"):
        if os.path.lexists(path):
            return path
    readable = os.access(folder, os.R_OK | os.X_OK)
    missing = f"found neither {name} nor {name}.gz in {folder}" + ("" if readable else ", which is no readable folder")
    if _named_folder(root) is not None:
        raise DataError(f"{missing}; put one of the two there, or name MNIST's folder (--data-dir, NPSTN_DATA_DIR)")
    if not download:
        raise MnistNotFound(f"{missing}; allow the download, or name MNIST's folder (NPSTN_DATA_DIR)")
    return _download(name, folder)


def _read_idx(path: Path, name: str) -> np.ndarray:
    """The values of an IDX file, read-only. The file holds two zeros, the type (8: uint8), the number of axes, the
    lengths of the axes and the values."""
    try:
        payload = _read_payload(path, name)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        length, sha256 = FILES[name]
        raise DataError(
            f"{path}: not MNIST's {name}: {error}; expected {length} bytes with SHA-256 {sha256} (decompressed); "
            f"delete this file and download {MIRRORS[0]}{name}.gz in its place"
        ) from error
    axes = payload[3]
    shape = np.frombuffer(payload, dtype=">u4", count=axes, offset=4)
    return np.frombuffer(payload, dtype=np.uint8, offset=4 + 4 * axes).reshape(shape.tolist())


def _read_payload(path: Path, name: str) -> bytes:
    """The payload of a plain or compressed file; raises an exception that says why it is not the published one."""
    length, sha256 = FILES[name]
    if not path.is_file():
        raise ValueError("not a regular file")  # checked before opening: a pipe would keep us waiting
    with path.open("rb") as file:
        # The content decides, not the name: browsers and servers decompress a .gz and keep its name.
        compressed = file.peek(2)[:2] == b"\x1f\x8b"
        # One byte more than expected shows a file that is too long. So a gzip bomb cannot fill the memory.
        payload = (gzip.GzipFile(fileobj=file) if compressed else file).read(length + 1)
    if len(payload) != length:
        raise ValueError(f"has more than {length} bytes" if len(payload) > length else f"has {len(payload)} bytes")
    actual = hashlib.sha256(payload).hexdigest()
    if actual != sha256:
        raise ValueError(f"has SHA-256 {actual}")
    return payload


def _download(name: str, folder: Path) -> Path:
    """The compressed file, put into the folder from the first mirror that gives a whole copy."""
    urls = [f"{mirror}{name}.gz" for mirror in MIRRORS]
    longest = FILES[name][0] + 1024  # gzip adds a little to what it cannot compress
    try:
        return download_file(urls, folder / f"{name}.gz", longest, lambda partial: _read_payload(partial, name))
    except DownloadError as error:
        raise MnistNotFound(f"could not download MNIST into {folder}: {error}") from None
