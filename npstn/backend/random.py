"""The one source of random numbers. A forked process draws numbers of its own: its seed tells them, and how many forks
the parent has made since `manual_seed`."""

from __future__ import annotations

import os

import numpy as np

from npstn.backend.forking import hold_while_forking
from npstn.messages import one_line

_generator = np.random.default_rng()
_of_the_child = _generator  # during a fork, a generator for the new process
hold_while_forking(lambda: _generator.bit_generator.lock)


def _prepare_the_child() -> None:
    global _of_the_child
    (_of_the_child,) = _generator.spawn(1)  # draws nothing; the seed and the number of the child tell its numbers


def _become_the_child() -> None:
    # In place: others may hold the generator. PCG64 knows its numbers by its state alone.
    _generator.bit_generator.state = _of_the_child.bit_generator.state


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(before=_prepare_the_child, after_in_child=_become_the_child)


def manual_seed(seed: int) -> None:
    """Restart the random numbers of the library (initial weights, dropout, distortions, shuffling) from `seed`.

    A process that is forked later draws other numbers than this one, and than the other forked ones: the same again
    after the same seed. One that calls `manual_seed` itself draws what every process draws after that seed.

    Raises ValueError unless `seed` is an integer of at least 0.

    >>> manual_seed(0)
    """
    global _generator
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"manual_seed: expected an integer of at least 0, got {one_line(seed)}")
    _generator = np.random.default_rng(seed)


def generator() -> np.random.Generator:
    """The generator of all random numbers in this package. Kernels never use it."""
    return _generator
