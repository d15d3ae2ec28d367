"""Weights on disk, as safetensors: no pickle, and PyTorch and JAX read them too."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def save(state: Mapping[str, np.ndarray], path: str | os.PathLike) -> None:
    """Write arrays under their names into a .safetensors file, whole or not at all.

    Raises TypeError for what is no array of numbers.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save({"weight": np.ones(2)}, Path(folder, "w.safetensors"))
    ...     load(Path(folder, "w.safetensors"))
    {'weight': array([1., 1.])}
    """
    from safetensors.numpy import save as serialise

    path = Path(path)
    arrays = {name: np.asarray(array, order="C") for name, array in state.items()}
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise TypeError(f"save: expected {name!r} to be an array of numbers, got {array.dtype}")
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(beside, "wb") as file:
            file.write(serialise(arrays))
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
    except KeyError as error:
        raise ValueError(f"load: expected arrays that NumPy knows in {path}, got {error}") from None
