"""Images in files that several processes map into their memory: the machine holds them once.

The folder is the user's own, below the system's folder for temporary files. Who maps images checks their hash, as
anyone may have changed the files.
"""

from __future__ import annotations

import contextlib
import getpass
import io
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from npstn.data.errors import DataError
from npstn.data.sources import Labelled, Source

PARTS = "train_images", "train_labels", "test_images", "test_labels"

Packed = dict[str, Any]  # a source as plain values and bytes, which can be sent


def folder() -> Path:
    """The folder of this user on this machine; it is made, and others cannot read or write it."""
    user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()  # in a container a user may have no name
    path = Path(tempfile.gettempdir(), f"npstn-{user}")
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or (hasattr(os, "getuid") and found.st_uid != os.getuid()):
        raise DataError(f"expected {path} to be a folder of this user, got another's: remove it, or set TMPDIR")
    return path


def about(source: Source) -> Packed:
    """What a source is, without its arrays.

    >>> from npstn.data.sources import drawn
    >>> about(drawn())["title"]
    'drawn digits'
    """
    return {name: getattr(source, name) for name in ("name", "title", "size", "classes", "channels")}


def pack(source: Source) -> Packed:
    """A source as plain values and the bytes of .npy files."""
    arrays = {}
    for part, array in zip(PARTS, (*source.train, *source.test), strict=True):
        file = io.BytesIO()
        np.save(file, array, allow_pickle=False)
        arrays[part] = file.getvalue()
    return {**about(source), "arrays": arrays}


def keep(packed: Packed, sha256: str) -> None:
    """Write a source's arrays into files of this machine, unless they are there."""
    place = folder() / sha256
    if place.is_dir():
        return
    with tempfile.TemporaryDirectory(dir=folder()) as written:
        for part, content in packed["arrays"].items():
            Path(written, f"{part}.npy").write_bytes(content)
        with contextlib.suppress(OSError):  # another process was first
            os.replace(written, place)
            os.mkdir(written)  # for the `with` to remove


def mapped(packed: Packed, sha256: str) -> Source:
    """A source whose arrays are the files of this machine, mapped into memory.

    Args:
        packed: what `about` gave.
        sha256: the hash of the source.

    Raises DataError where the files are missing, or hold something else: these are removed.
    """
    place = folder() / sha256
    try:
        train_images, train_labels, test_images, test_labels = (_map(place / f"{part}.npy") for part in PARTS)
    except FileNotFoundError:
        forget(sha256)
        raise DataError(f"expected the images {sha256[:8]} in {place.parent}, got none") from None
    except (ValueError, OSError) as error:
        forget(sha256)
        raise DataError(f"expected the images {sha256[:8]} in {place}, got damaged files ({error})") from None
    sets: dict[bool, Labelled] = {True: (train_images, train_labels), False: (test_images, test_labels)}
    size, classes = tuple(packed["size"]), tuple(packed["classes"])
    source = Source(packed["name"], packed["title"], sets.__getitem__, size, classes, packed["channels"])
    if source.sha256() != sha256:
        forget(sha256)
        raise DataError(f"expected the images {sha256[:8]} in {place}, got others (SHA-256)")
    return source


def forget(sha256: str) -> None:
    """Remove the files of a source; who has mapped them keeps the images."""
    shutil.rmtree(folder() / sha256, ignore_errors=True)


def _map(path: Path) -> np.ndarray:
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
