"""The one source of random numbers."""

from __future__ import annotations

import numpy as np

from npstn.backend.forking import hold_while_forking

_generator = np.random.default_rng()
hold_while_forking(lambda: _generator.bit_generator.lock)


def manual_seed(seed: int) -> None:
    """Restart the random numbers of the library (initial weights, dropout, distortions, shuffling) from `seed`.

    Raises ValueError unless `seed` is an integer of at least 0.

    >>> manual_seed(0)
    """
    global _generator
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"manual_seed: expected an integer of at least 0, got {seed!r}")
    _generator = np.random.default_rng(seed)


def generator() -> np.random.Generator:
    """The generator of all random numbers in this package. Kernels never use it."""
    return _generator
