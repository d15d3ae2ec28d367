"""Labelled pictures that a run was not trained on, to score it: a folder with a subfolder for each class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from npstn.data.errors import DataError
from npstn.data.folder import Size, load_images, picture_files
from npstn.data.photograph import NoDigit, find_digit, read_grey
from npstn.data.sources import DIGITS, FOLDER, MNIST_SIZE, Source, has_both_sets


def photographs(path: Path) -> tuple[Source, list[str]]:
    """Photographs of digits, in the subfolders 0 to 9 or in an .npz, each digit found and made like one of MNIST's.

    Returns the source, whose test set they are, and the names of those in which nothing looks like a digit. Raises
    DataError for one that cannot be read, and where there is none with a digit.
    """
    digits, labels, without = [], [], []
    for name, digit, grey in _read(_for_test(path)):
        label = _label(digit, DIGITS, path)
        try:
            digits.append(find_digit(grey).digit)
            labels.append(label)
        except NoDigit:
            without.append(name)
    if not digits:
        raise DataError(f"expected pictures of digits in {path}, got none that looks like a digit")
    title = f"photographs in {path.resolve().name}"
    return _tested(title, np.stack(digits), np.array(labels), MNIST_SIZE, DIGITS), without


def pictures_like(path: Path, classes: tuple[str, ...], image: tuple[int, int, int]) -> Source:
    """Pictures as a run of the user's pictures takes them; the source's test set.

    Args:
        path: a folder, or an .npz, as `load_images` reads it.
        classes: those of the run: the pictures may be of a few of them only.
        image: (C, H, W) of the run's images, to which the pictures are brought.

    Raises DataError where they cannot be read, and for a class that the run does not have.
    """
    C, H, W = image
    images, numbers, names = load_images(_for_test(path), (H, W), grey=C == 1)
    if C > 1 and images.ndim == 3:
        images = np.repeat(images[..., None], C, axis=3)  # grey pictures for a network that takes colours
    labels = np.array([_label(name, classes, path) for name in names])[numbers]
    return _tested(f"pictures of {path.resolve().name}", images, labels, (H, W), classes, C)


def _read(path: Path) -> Iterator[tuple[str, str, np.ndarray]]:
    """Each photograph of a folder or an .npz: its name, its class, and how light its pixels are."""
    if path.suffix != ".npz":
        for file in picture_files(path):
            yield str(file), file.parent.name, read_grey(file, str(file))
        return
    images, numbers, names = load_images(path, size=None)
    for position, (image, number) in enumerate(zip(images, numbers, strict=True)):
        yield f"image {position} of {path}", names[number], image / np.float32(255)


def _for_test(path: Path) -> Path:
    return path / "test" if has_both_sets(path) else path


def _label(name: str, classes: tuple[str, ...], path: Path) -> int:
    if name not in classes:
        known = ", ".join(classes) if len(classes) <= 20 else f"one of the run's {len(classes)} classes"
        raise DataError(f"expected the classes of the run ({known}) in {path}, got {name!r}")
    return classes.index(name)


def _tested(
    title: str, images: np.ndarray, labels: np.ndarray, size: Size, classes: tuple[str, ...], channels: int = 1
) -> Source:
    test = images, labels.astype(np.int64)
    return Source(FOLDER, title, lambda train: (images[:0], test[1][:0]) if train else test, size, classes, channels)
