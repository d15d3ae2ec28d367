"""Where the images of a task come from: sources, with a training set and a test set, loaded when they are needed."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable

import numpy as np

from npstn.data.drawn import draw_digits
from npstn.data.errors import DataError
from npstn.data.mnist import load_mnist

Labelled = tuple[np.ndarray, np.ndarray]  # images uint8 (N, H, W), labels int64 (N,)
MNIST_SIZE = 28, 28
DIGITS = tuple("0123456789")


class Source:
    """Labelled images, a training set and a test set.

    Args:
        name: its name in config.json.
        title: its name in a sentence, in the plural.
        load: gives the training set for True, the test set for False: images uint8 (N, H, W), labels int64 (N,).
        size: (H, W).
        classes: what the labels 0, 1, ... stand for.

    >>> images, labels = np.zeros((3, 20, 30), np.uint8), np.array([0, 1, 1])
    >>> blanks = Source("blank", "blank images", lambda train: (images, labels), (20, 30), ("zero", "one"))
    >>> len(blanks.train[0]), blanks.test[1].tolist()
    (3, [0, 1, 1])
    """

    def __init__(
        self,
        name: str,
        title: str,
        load: Callable[[bool], Labelled],
        size: tuple[int, int],
        classes: tuple[str, ...],
    ) -> None:
        self.name, self.title, self.size, self.classes, self._load = name, title, size, classes, load

    @functools.cached_property
    def train(self) -> Labelled:
        return self._load(True)

    @functools.cached_property
    def test(self) -> Labelled:
        return self._load(False)

    def loaded(self, train: bool = True) -> Source:
        """This source, with its test set, and its training set if `train`, loaded."""
        if train:
            self.train  # noqa: B018 - loads it, and keeps it
        self.test  # noqa: B018
        return self

    def sha256(self) -> str:
        """The hash of both sets: a run that is resumed must find the same images."""
        digest = hashlib.sha256()
        for array in (*self.train, *self.test):
            digest.update(f"{array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def mnist(folder: str | os.PathLike[str] | None = None) -> Source:
    """MNIST: 60,000 training and 10,000 test digits; see `load_mnist` for the folder and the errors."""
    return Source("mnist", "MNIST digits", lambda train: load_mnist(folder, train), MNIST_SIZE, DIGITS)


def drawn(folder: str | os.PathLike[str] | None = None) -> Source:
    """As many digits as MNIST has, drawn by the program. Raises DataError for a folder: there are no files."""
    if folder is not None:
        raise DataError(f"expected no folder of files for drawn digits, got {folder}: leave --data-dir out")

    def load(train: bool) -> Labelled:
        return draw_digits(60_000, seed=0) if train else draw_digits(10_000, seed=1)

    return Source("drawn", "drawn digits", load, MNIST_SIZE, DIGITS)


SOURCES: dict[str, Callable[[str | os.PathLike[str] | None], Source]] = {
    "mnist": mnist,
    "drawn": drawn,
}
