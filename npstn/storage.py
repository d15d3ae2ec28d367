"""Arrays and notes in safetensors files, written whole or not at all.

The format has no pickle in it, and PyTorch and JAX read it too: the length of the header, 8 bytes, little-endian; the
header, JSON that gives each array its dtype, its shape and its place; the bytes of the arrays. Notes are JSON in one
entry of the header's `__metadata__`.

A file is read as if its author meant harm. The safetensors package checks the header against the size of the file;
this module checks what the package does not: that the path leads to a regular file, the length of the header, the
dtypes, the notes, and a hash of the content. Nothing of the arrays is read before the header has passed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import reprlib
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from npstn.messages import one_line

NOTES = "npstn"  # the only entry of __metadata__ that is written: safetensors writes several in random order
LONGEST_HEADER = 2**24  # bytes: 100,000 arrays

DTYPES = {
    **{f"{letter}{8 * size}": np.dtype(f"{letter.lower()}{size}") for letter in "IU" for size in (1, 2, 4, 8)},
    **{f"F{8 * size}": np.dtype(f"f{size}") for size in (2, 4, 8)},
    "BOOL": np.dtype(bool),
    "BF16": np.dtype("f4"),  # what bfloat16 is read as, exactly: NumPy does not have it
}

Kind = tuple[np.dtype, tuple[int, ...]]  # dtype and shape of an array

_short = reprlib.Repr()  # shows text from a file: quoted, in one line, never long
_short.maxstring = 200


def save(state: Mapping[str, np.ndarray], path: str | os.PathLike) -> None:
    """Write arrays under their names into a .safetensors file, whole or not at all.

    Raises TypeError for anything but a mapping and for an array of anything but numbers, ValueError for NaN or infinity
    and for the name "__metadata__", which the format reserves, OSError where the file cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save({"weight": np.ones(2)}, Path(folder, "w.safetensors"))
    ...     load(Path(folder, "w.safetensors"))
    {'weight': array([1., 1.])}
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"save: expected arrays by name, such as net.state_dict(), got {type(state).__name__}")
    arrays = {name: np.asarray(array) for name, array in state.items()}
    for name, array in arrays.items():
        if name == "__metadata__":
            raise ValueError(f"save: expected a name that the format does not reserve, got {one_line(name)}")
        if array.dtype.newbyteorder("=") not in DTYPES.values():
            raise TypeError(f"save: expected {name!r} to be an array of numbers, got {array.dtype}")
    bad = not_finite(arrays)
    if bad is not None:
        raise ValueError(f"save: expected finite numbers in {bad!r}, got NaN or infinity")
    write(arrays, path)


def load(path: str | os.PathLike, like: Mapping[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
    """Read the arrays of a .safetensors file, which any program may have written; all their numbers are finite.

    Given `like`, the file must hold the same names, shapes and dtypes. These are compared before an array is read.

    Raises ValueError, with the path and the reason, for a file that is not safetensors, is damaged or holds other
    arrays than `like`; OSError where it cannot be read.
    """
    arrays = read(path, like)
    bad = not_finite(arrays)
    if bad is not None:
        raise ValueError(f"load: expected finite numbers in {path}, got NaN or infinity in {_short.repr(bad)}")
    return arrays


def not_finite(arrays: Mapping[str, np.ndarray]) -> str | None:
    """The name of the first array that holds NaN or infinity, or None."""
    return next((name for name, array in arrays.items() if not np.isfinite(array).all()), None)


def write(arrays: Mapping[str, np.ndarray], path: str | os.PathLike, notes: Mapping[str, Any] | None = None) -> None:
    """Write arrays, notes, and a hash of both by which `read` notices damage.

    The notes are strict JSON, which keeps integers of any size and every bit of a float; tuples come back as lists.
    Raises TypeError or ValueError for anything else, NaN and infinity included: write None for these.
    """
    from safetensors.numpy import save as serialise

    try:
        notes = json.loads(json.dumps(notes or {}, allow_nan=False))  # the hash is of the notes as they will be read
    except (TypeError, ValueError) as error:
        raise type(error)(f"write: cannot put the notes into JSON: {error}") from None
    arrays = {name: np.asarray(array, array.dtype.newbyteorder("="), order="C") for name, array in arrays.items()}
    write_whole(Path(path), serialise(arrays, {NOTES: json.dumps({**notes, "sha256": _sha256(arrays, notes)})}))


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file so that it is at any instant the old or the new one, whole, even after a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno is None:
            raise
        missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
        # It names the temporary file, or, where the disk is full, none.
        raise OSError(error.errno, error.strerror, str(path.parent if missing else path)) from None
    finally:
        with contextlib.suppress(OSError):  # it may never have come to be
            temporary.unlink()
    # The new name must survive a power cut too. Not every system can flush a folder; the file is whole either way.
    with contextlib.suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def leftovers(folder: Path, names: Iterable[str]) -> list[Path]:
    """The temporary files that killed processes have left in a folder while they wrote files of these names."""
    pattern = re.compile(rf"\.({'|'.join(map(re.escape, names))})\.\d+\.\d+")
    return [path for path in folder.iterdir() if pattern.fullmatch(path.name)]


def read(path: str | os.PathLike, like: Mapping[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
    """Read the arrays as `load` does, but with NaN and infinity."""
    from safetensors import SafetensorError, deserialize

    with _open(path) as (file, found, notes):
        if like is not None:
            _compare(path, found, {name: (array.dtype, array.shape) for name, array in like.items()})
        try:
            arrays = {name: _array(**entry) for name, entry in deserialize(file.read())}
        except (SafetensorError, ValueError) as error:  # ValueError: NumPy has no array of such a shape
            raise _unexpected(path, f"a damaged one: {_short.repr(str(error))}") from None
        except MemoryError:
            raise _unexpected(path, "one that does not fit into memory") from None
    if notes.pop("sha256", None) not in (None, _sha256(arrays, notes)):
        raise _unexpected(path, "a damaged one: its content is not what was written (SHA-256)")
    return arrays


def read_notes(path: str | os.PathLike) -> dict[str, Any]:
    """Read the notes of a file. Raises ValueError and OSError as `load` does."""
    with _open(path) as (_, _, notes):
        return notes


def _array(dtype: str, shape: list[int], data: bytes) -> np.ndarray:
    if dtype == "BF16":  # the upper half of a float32
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").reshape(shape)
    return np.frombuffer(data, DTYPES[dtype]).reshape(shape)


@contextlib.contextmanager
def _open(path: str | os.PathLike) -> Iterator[tuple[BinaryIO, dict[str, Kind], dict[str, Any]]]:
    """Open a file and check its header: gives the file at its start, the kind of each array, and the notes."""
    while True:
        mode = os.stat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # checked before opening: a pipe would keep us waiting
            raise _unexpected(path, "no regular file")
        with open(path, "rb") as file:
            foreign = _foreign(file.read(16), os.fstat(file.fileno()).st_size)
            if foreign is not None:
                raise _unexpected(path, foreign)
            kinds, notes = _read_header(path)
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                file.seek(0)
                yield file, kinds, notes
                return
        # Another process replaced the file between the two openings: the header may be that of another file.


def _foreign(start: bytes, size: int) -> str | None:
    """What a file is that its first 16 bytes show not to be safetensors, or None."""
    header = int.from_bytes(start[:8], "little")
    if 2 <= header <= size - 8:
        return f"a header of {header:,} bytes, more than {LONGEST_HEADER:,}" if header > LONGEST_HEADER else None
    if start.startswith(b"PK\x03\x04"):
        return "a zip archive, as torch.save writes it, which is never read: save the state dict as safetensors"
    if start[:1] == b"\x80" and start[1:2] in b"\2\3\4\5":
        return "a pickle, which is never read: save the state dict as safetensors"
    if start.lstrip()[:1] == b"<":
        return "a web page"
    if start[8:9] == b"{":
        return f"one that is cut off: it has {size:,} bytes, and its header alone {header:,}"
    return f"something else: its {size:,} bytes begin with {start[:8]!r}"


def _read_header(path: str | os.PathLike) -> tuple[dict[str, Kind], dict[str, Any]]:
    """Read a header with safetensors, which checks it and the size of the file.

    safe_open maps the file into memory, so it is closed before the arrays are read: if another process cut the file
    while they were read from the map, the system would kill this process.
    """
    from safetensors import SafetensorError, safe_open

    kinds: dict[str, Kind] = {}
    try:
        with safe_open(os.fspath(path), framework="np") as file:
            for name in file.keys():
                entry = file.get_slice(name)
                dtype = entry.get_dtype()
                if dtype not in DTYPES:
                    expected = f"{_short.repr(name)} in {path} to be of {', '.join(DTYPES)}"
                    raise ValueError(f"load: expected {expected}, got {dtype}: convert it before saving")
                kinds[name] = DTYPES[dtype], tuple(entry.get_shape())
            text = (file.metadata() or {}).get(NOTES, "{}")
    except SafetensorError as error:
        raise _unexpected(path, f"a damaged one: {_short.repr(str(error))}") from None
    try:
        notes = json.loads(text)
        json.dumps(notes, allow_nan=False)  # loads alone would take NaN and infinity
    except (ValueError, RecursionError) as error:
        raise _unexpected(path, f"one with damaged notes: {_short.repr(str(error))}") from None
    if not isinstance(notes, dict):
        raise _unexpected(path, "one with damaged notes: they are no JSON object")
    return kinds, notes


def _compare(path: str | os.PathLike, found: Mapping[str, Kind], wanted: Mapping[str, Kind]) -> None:
    def shown(kind: Kind | None) -> str:
        return "no array" if kind is None else f"{kind[0]} {_short.repr(kind[1])}"

    for name in [*wanted, *found]:
        one, other = wanted.get(name), found.get(name)
        if one != other:
            raise ValueError(f"load: expected {shown(one)} as {_short.repr(name)} in {path}, got {shown(other)}")


def _sha256(arrays: Mapping[str, np.ndarray], notes: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(notes, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name!r} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _unexpected(path: str | os.PathLike, what: str) -> ValueError:
    return ValueError(f"load: expected a safetensors file at {path}, got {what}")
