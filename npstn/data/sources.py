"""Where the images of a task come from: sources, with a training set and a test set, loaded when they are needed."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from npstn.data.drawn import draw_digits
from npstn.data.errors import DataError
from npstn.data.folder import Images, Size, load_images, visible
from npstn.data.mnist import load_mnist

Labelled = tuple[np.ndarray, np.ndarray]  # images uint8 (N, H, W) or (N, H, W, C), labels int64 (N,)
MNIST_SIZE = 28, 28
LONGEST_SIDE, MOST_CLASSES = 1000, 10_000  # of pictures: what a network takes without filling the memory
EVERY = 6  # of so many pictures of a class, one is put aside for the test
DIGITS = tuple("0123456789")


class Source:
    """Labelled images, a training set and a test set.

    Args:
        name: its name in config.json.
        title: its name in a sentence, in the plural.
        load: gives the training set for True, the test set for False: images uint8 (N, H, W), or (N, H, W, C) for C
            channels, and labels int64 (N,).
        size: (H, W).
        classes: what the labels 0, 1, ... stand for.
        channels: C, 1 for grey.

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
        channels: int = 1,
    ) -> None:
        self.name, self.title, self.size, self.classes, self._load = name, title, size, classes, load
        self.channels = channels

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

    def forget_train(self) -> None:
        """Let go of the training set; who asks for it has it loaded again."""
        self.__dict__.pop("train", None)

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


def pictures(path: str | os.PathLike[str], size: int | Size | None = None) -> Source:
    """Pictures of the user, grey or in colour: a folder or an .npz, as `load_images` reads it.

    Args:
        path: if the folder has the subfolders `train` and `test` with a subfolder for each class in both, these are the
            two sets. Otherwise every sixth picture of a class, in an order drawn once and for all, is for testing.
        size: to which the pictures are brought, (H, W) or the side of a square; their own where None.

    Raises DataError, with the name of the file and what is wrong with it; also for a single class, and where there is
    no picture to test with.
    """
    path = Path(path)
    if has_both_sets(path):
        train, test = (load_images(path / name, size, grey=False) for name in ("train", "test"))
        train, test = _alike(path, train, test)
    else:
        train, test = _divided(path, load_images(path, size, grey=False))
    classes = tuple(train.classes)
    if not 2 <= len(classes) <= MOST_CLASSES:
        got = f"one, {classes[0]!r}" if len(classes) == 1 else f"{len(classes):,}"
        how = "put the pictures of each class into a subfolder" if path.is_dir() else "give each class a label"
        raise DataError(f"expected 2 to {MOST_CLASSES:,} classes in {path}, got {got}: {how}")
    H, W, *channels = train.images.shape[1:]
    if max(H, W) > LONGEST_SIDE:
        most = f"{LONGEST_SIDE:,} pixels a side"
        raise DataError(f"expected at most {most} in {path}, got {H} x {W}: give a smaller size (size=, --size)")
    sets = {True: (train.images, train.labels), False: (test.images, test.labels)}
    return Source(FOLDER, f"pictures of {path.resolve().name}", sets.__getitem__, (H, W), classes, *channels)


def is_pictures(path: str | os.PathLike[str]) -> bool:
    """Whether a path names pictures: it is a folder, or ends in .npz.

    >>> is_pictures("mine.npz"), is_pictures("no such folder")
    (True, False)
    """
    return Path(path).suffix == ".npz" or Path(path).is_dir()


def has_both_sets(path: Path) -> bool:
    """Whether a folder has a training and a test set, and not just two classes of these names."""
    folders = path / "train", path / "test"
    return all(folder.is_dir() and any(entry.is_dir() for entry in visible(folder)) for folder in folders)


def _alike(path: Path, train: Images, test: Images) -> tuple[Images, Images]:
    """The two sets, both in colour if one of them is; raises DataError where they do not belong together."""
    if train.classes != test.classes:
        name = sorted({*train.classes} ^ {*test.classes})[0]
        where = "train" if name in train.classes else "test"
        raise DataError(f"expected the same classes in train and test of {path}, got {name!r} in {where} alone")
    sizes = [f"{H} x {W}" for H, W in (images.images.shape[1:3] for images in (train, test))]
    if sizes[0] != sizes[1]:
        got = f"{sizes[0]} in train and {sizes[1]} in test"
        raise DataError(f"expected images of one size in {path}, got {got}: give a size (size=, --size)")
    if train.images.ndim != test.images.ndim:
        train, test = (
            part if part.images.ndim == 4 else part._replace(images=np.repeat(part.images[..., None], 3, axis=3))
            for part in (train, test)
        )
    return train, test


def _divided(path: Path, everything: Images) -> tuple[Images, Images]:
    """A training set and a test set; the order does not follow from a run's seed, so that runs can be compared."""
    order = np.random.default_rng(0).permutation(len(everything.labels))
    for_test = np.zeros(len(order), bool)
    for label in range(len(everything.classes)):
        of_class = order[everything.labels[order] == label]
        if len(of_class) > 1:
            for_test[of_class[::EVERY]] = True
    if not for_test.any():
        raise DataError(f"expected at least two pictures of a class in {path}, got one of each: add more")
    train, test = (
        everything._replace(images=everything.images[which], labels=everything.labels[which])
        for which in (~for_test, for_test)
    )
    return train, test


FOLDER = "folder"  # the name of a source of pictures; it has no row here, because it needs a path
SOURCES: dict[str, Callable[[str | os.PathLike[str] | None], Source]] = {
    "mnist": mnist,
    "drawn": drawn,
}
