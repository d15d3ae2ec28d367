"""Weights on disk, as safetensors: no pickle, and PyTorch and JAX read them too."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def save(state: Mapping[str, np.ndarray], path: str | os.PathLike) -> None:
    """Write arrays under their names into a .safetensors file, whole or not at all.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save({"weight": np.ones(2)}, Path(folder, "w.safetensors"))
    ...     load(Path(folder, "w.safetensors"))
    {'weight': array([1., 1.])}
    """
    from safetensors.numpy import save as serialise

    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(beside, "wb") as file:
            file.write(serialise({name: np.ascontiguousarray(array) for name, array in state.items()}))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def load(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays of a .safetensors file. Raises ValueError for a file that is none, OSError where it cannot be read."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as parse

    try:
        return parse(Path(path).read_bytes())
    except SafetensorError as error:
        raise ValueError(f"load: expected a safetensors file at {path}, got one that is damaged ({error})") from None
