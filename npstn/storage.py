"""Arrays on disk, as safetensors: no pickle, and PyTorch and JAX read them too.

A file is the length of its header, 8 bytes, little-endian; the header, JSON that gives each array its dtype, its shape
and where it begins and ends; and the arrays' bytes, one after the other. Files are written whole or not at all, and
read as if whoever wrote them meant harm: nothing is believed, or allocated, before the header has been held against
the file's size and against what is wanted.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import reprlib
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

NOTES = "npstn"  # the one entry of the header's __metadata__ that we write; of several, their order would be random
LONGEST_HEADER = 2**24  # bytes: 100,000 arrays

DTYPES = {
    **{f"{letter}{8 * size}": np.dtype(f"<{letter.lower()}{size}") for letter in "IU" for size in (1, 2, 4, 8)},
    **{f"F{8 * size}": np.dtype(f"<f{size}") for size in (2, 4, 8)},
    "BOOL": np.dtype(bool),
}

_show = reprlib.Repr()  # of what a file says: one line, never long
_show.maxstring = _show.maxother = 80


def save(state: Mapping[str, np.ndarray], path: str | os.PathLike) -> None:
    """Write arrays under their names into a .safetensors file, whole or not at all.

    Raises TypeError for what is no array of numbers, ValueError for one that holds NaN or infinity and for the name
    "__metadata__", which is the format's own.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save({"weight": np.ones(2)}, Path(folder, "w.safetensors"))
    ...     load(Path(folder, "w.safetensors"))
    {'weight': array([1., 1.])}
    """
    arrays = {name: np.asarray(array) for name, array in state.items()}
    for name, array in arrays.items():
        if name == "__metadata__":
            raise ValueError(f"save: expected a name that the format leaves free, got {name!r}")
        if array.dtype.newbyteorder("=") not in DTYPES.values():
            raise TypeError(f"save: expected {name!r} to be an array of numbers, got {array.dtype}")
    bad = not_finite(arrays)
    if bad is not None:
        raise ValueError(f"save: expected finite numbers in {bad!r}, got NaN or infinity")
    write(arrays, path)


def load(path: str | os.PathLike, like: Mapping[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
    """The arrays of a .safetensors file; none of them holds NaN or infinity.

    Given `like`, the names, shapes and dtypes must be those of its arrays, and are looked at before anything is read.

    Raises ValueError, with the file's name and the reason, for a file that is none, is damaged, or is not as wanted;
    OSError where it cannot be read.
    """
    arrays = read(path, like)
    bad = not_finite(arrays)
    if bad is not None:
        raise ValueError(f"load: expected finite numbers in {path}, got NaN or infinity in {_show.repr(bad)}")
    return arrays


def not_finite(arrays: Mapping[str, np.ndarray]) -> str | None:
    """The name of the first array that holds NaN or infinity, or None."""
    return next((name for name, array in arrays.items() if not np.isfinite(array).all()), None)


def write(arrays: Mapping[str, np.ndarray], path: str | os.PathLike, notes: Mapping[str, Any] | None = None) -> None:
    """Write arrays, and beside them notes that JSON can hold; a hash of both shows later damage."""
    from safetensors.numpy import save as serialise

    arrays = {name: np.asarray(array, array.dtype.newbyteorder("="), order="C") for name, array in arrays.items()}
    text = json.dumps({**(notes or {}), "sha256": _sha256(arrays, notes or {})})
    write_whole(Path(path), serialise(arrays, {NOTES: text}))


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file so that at any instant, that of a power cut included, it is the old one or the new one, whole."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        if error.errno is not None and error.filename is None:  # a full disk does not say whose writing found it full
            error.filename = str(path)
        raise
    finally:
        beside.unlink(missing_ok=True)
    # The new name, too, is to outlive a power cut. Not every system can flush a folder; the file is whole either way.
    with contextlib.suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def leftovers(folder: Path, names: Iterable[str]) -> list[Path]:
    """What processes that were killed while they wrote the files of these names have left in a folder."""
    pattern = re.compile(rf"\.({'|'.join(map(re.escape, names))})\.\d+\.\d+")
    return [path for path in folder.iterdir() if pattern.fullmatch(path.name)]


def read(path: str | os.PathLike, like: Mapping[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
    """The arrays of a file that `write` or any other program wrote: `load`, but for the finite numbers."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as parse

    with _open(path) as (file, header):
        if like is not None:
            _compare(header.entries, like)
        try:
            content = file.read(header.rest)
            arrays = parse(header.content + content)
        except (SafetensorError, KeyError, MemoryError) as error:
            raise _Refused(f"one that is damaged ({error})") from None
        notes = dict(header.notes)
        if notes.pop("sha256", None) not in (None, _sha256(arrays, notes)):
            raise _Refused("one that is damaged: its content is not what was written (SHA-256)")
    return arrays


def read_notes(path: str | os.PathLike) -> dict[str, Any]:
    """The notes that stand in a file beside its arrays."""
    with _open(path) as (_, header):
        return header.notes


class _Refused(Exception):
    """What a file is instead of what was expected."""


class _Entry(NamedTuple):
    """An array, as the header has it."""

    dtype: np.dtype
    shape: tuple[int, ...]
    begin: int  # of its bytes, counted from the end of the header
    end: int


class _Header(NamedTuple):
    content: bytes  # with the 8 bytes before it
    entries: dict[str, _Entry]
    notes: dict[str, Any]
    rest: int  # bytes that follow


@contextlib.contextmanager
def _open(path: str | os.PathLike) -> Iterator[tuple[BinaryIO, _Header]]:
    """The open file, behind its header, and the header; what is refused here or in the body names the file."""
    try:
        mode = os.stat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # asked before it is opened: a pipe would be waited for
            raise _Refused("no regular file")
        with open(path, "rb") as file:
            yield file, _read_header(file, os.fstat(file.fileno()).st_size)
    except _Refused as error:
        raise ValueError(f"load: expected a safetensors file at {path}, got {error}") from None


def _read_header(file: BinaryIO, size: int) -> _Header:
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or not 2 <= length <= size - 8:
        raise _Refused(_foreign(start + file.read(8), size))
    if length > LONGEST_HEADER:
        raise _Refused(f"a header of {length:,} bytes, more than {LONGEST_HEADER:,}")
    text = file.read(length)
    header = _json(text)
    metadata = header.pop("__metadata__", {})
    if not (isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())):
        raise _Refused("one whose __metadata__ is not texts by name")
    entries = {name: _entry(name, fields) for name, fields in header.items()}
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != end:
            raise _Refused(f"one where {_show.repr(name)} begins at byte {entry.begin}, expected at {end}")
        end = entry.end
    if end != size - 8 - length:
        raise _Refused(f"one of {size - 8 - length} bytes of arrays, where its header has {end}")
    notes = _json(metadata[NOTES]) if NOTES in metadata else {}
    return _Header(start + text, entries, notes, end)


def _foreign(start: bytes, size: int) -> str:
    """What a file is that cannot be safetensors: the usual mistakes by name."""
    if start.startswith(b"PK\x03\x04"):
        return "a zip archive, as torch.save writes it, which is never read: save the state dict as safetensors"
    if start[:1] == b"\x80" and start[1:2] in b"\2\3\4\5":
        return "a pickle, which is never read: save the state dict as safetensors"
    if start.lstrip()[:1] == b"<":
        return "a web page"
    if start[8:9] == b"{":
        header = int.from_bytes(start[:8], "little")
        return f"one that is cut off: it has {size:,} bytes, and its header alone {header:,}"
    return f"something else: its {size} bytes begin with {start[:8]!r}"


def _json(text: bytes | str) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a name stands twice in it")
        return found

    def number(word: str) -> None:
        raise ValueError(f"{word} is no JSON")

    try:
        text = text.decode() if isinstance(text, bytes) else text  # bytes could be UTF-16 to json
        parsed = json.loads(text, object_pairs_hook=once, parse_constant=number)
    except (ValueError, RecursionError) as error:
        raise _Refused(f"one whose header is damaged ({error})") from None
    if not isinstance(parsed, dict):
        raise _Refused("one whose header is damaged (it is no JSON object)")
    return parsed


def _entry(name: str, fields: Any) -> _Entry:
    shown = _show.repr(name)
    if not isinstance(fields, dict) or fields.keys() != {"dtype", "shape", "data_offsets"}:
        raise _Refused(f"one where {shown} is not given by dtype, shape and data_offsets")
    dtype, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise _Refused(f"one where {shown} is of {_show.repr(dtype)}, which NumPy does not have")
    if not (_whole_numbers(shape) and len(shape) <= 32):
        raise _Refused(f"one where {shown} has the shape {_show.repr(shape)}")
    if not (_whole_numbers(offsets) and len(offsets) == 2):
        raise _Refused(f"one where {shown} lies at {_show.repr(offsets)}")
    begin, end = offsets
    if math.prod(shape) * DTYPES[dtype].itemsize != end - begin:
        raise _Refused(f"one where {shown}, {dtype} of shape {shape}, has {end - begin} bytes")
    return _Entry(DTYPES[dtype], tuple(shape), begin, end)


def _whole_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(type(number) is int and 0 <= number < 2**63 for number in value)


def _compare(entries: Mapping[str, _Entry], like: Mapping[str, np.ndarray]) -> None:
    for name, wanted in like.items():
        if name not in entries:
            raise _Refused(f"one without {name!r}")
        entry = entries[name]
        if entry.shape != wanted.shape:
            raise _Refused(f"one where {name!r} has the shape {entry.shape}, expected {wanted.shape}")
        if entry.dtype != wanted.dtype:
            raise _Refused(f"one where {name!r} is of {entry.dtype}, expected {wanted.dtype}")
    for name in entries:
        if name not in like:
            raise _Refused(f"one with {_show.repr(name)}, which is unknown")


def _sha256(arrays: Mapping[str, np.ndarray], notes: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(notes, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name!r} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
