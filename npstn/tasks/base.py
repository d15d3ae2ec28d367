"""What a network is asked: images, their labels, and the truth about how each image was distorted."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from npstn.data import Source

FEW = 3  # test images of each class, for the pictures


class Batch(NamedTuple):
    """Images as a network takes them."""

    images: np.ndarray  # float32 (N, C, H, W), 0 (black) .. 1
    labels: np.ndarray  # int64 (N,)
    truth: dict[str, np.ndarray]  # how each was distorted: name -> (N,), named as by `Transformer.describe`


class Setting(NamedTuple):
    """A number that can be chosen for a task; the command makes an option of its name."""

    default: float
    least: float
    most: float
    help: str


class Measure(NamedTuple):
    """How a measure is written: in the line after an epoch, and at the head of a column."""

    label: str
    form: str  # format specification
    unit: str = ""

    def written(self, value: float) -> str:
        return f"{value:{self.form}}{self.unit}"


class Task:
    """A task. A subclass sets the attributes and defines the methods; a row in `TASKS` makes it known to the command.

    Attributes:
        name: its name in the command and in config.json.
        image: (C, H, W) of its images; those of the source, in grey, unless the subclass sets another.
        classes: what the labels 0, 1, ... stand for; those of the source, unless the subclass sets others.
        settings: what can be chosen, by name.
        measured: the measures that `measures` gives, by name, in order.

    Args:
        source: where the images come from.
        seed: of the test set's distortions; an integer of at least 0.
        settings: values for `settings`, each within its limits; those not given have their defaults.

    Raises ValueError for a value outside its limits and for an unknown name.
    """

    name: str
    image: tuple[int, int, int]
    classes: tuple[str, ...]
    settings: dict[str, Setting] = {}
    measured: dict[str, Measure] = {}

    def __init__(self, source: Source, seed: int = 0, **settings: float) -> None:
        for name, value in settings.items():
            if name not in self.settings:
                known = ", ".join(self.settings) or "none"
                raise ValueError(f"{self.name}: expected settings among {known}; got {name!r}")
            _, least, most, _ = self.settings[name]
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
                raise ValueError(f"{self.name}: expected {name} from {least:g} to {most:g}, got {value!r}")
        self.source, self.seed = source, seed
        self.chosen = {name: setting.default for name, setting in self.settings.items()} | settings
        self.image = getattr(self, "image", (1, *source.size))
        self.classes = getattr(self, "classes", source.classes)

    def __len__(self) -> int:
        """How many training images there are."""
        return len(self.source.train[0])

    def summary(self, count: int) -> str:
        """So many of its images, in words."""
        return f"{count:,} {self.source.title}"

    def batches(
        self, batch_size: int, rng: np.random.Generator, order: np.ndarray | None = None
    ) -> Iterator[Batch]:
        """One epoch of training images, distorted afresh; the last batch may be smaller.

        Args:
            order: the numbers of the images to take; all in random order where None.
        """
        images, labels = self.source.train
        if order is None:
            order = rng.permutation(len(images))
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            yield self.distort(images[chosen], labels[chosen], rng)

    def test(self) -> Batch:
        """The test images, the same ones each time: their distortions follow from the seed alone."""
        return self._test

    def few(self) -> np.ndarray:
        """A few test images for the pictures: FEW rows, in each an image of every class that has any.

        A class with fewer than FEW images shows them again.
        """
        test = self.test()
        numbers = [np.flatnonzero(test.labels == label) for label in range(len(self.classes))]
        return test.images[np.stack([np.resize(n, FEW) for n in numbers if len(n)], axis=1).ravel()]

    @functools.cached_property
    def _test(self) -> Batch:
        return self.distort(*self.source.test, np.random.default_rng(self.seed))

    def distort(self, images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> Batch:
        """Distort images of the source, uint8 (N, H, W)."""
        raise TypeError(f"{type(self).__name__}: expected a subclass that defines distort, got one without")

    def measures(self, test: Batch, found: dict[str, np.ndarray]) -> dict[str, float]:
        """How well the transformers undid the distortions; a value for each of `measured`, NaN where there is none.

        Args:
            test: what `test` gave.
            found: how the transformers of a network describe what they did to each of its images: name -> (N,).
        """
        return {}

    def alarm(self, test: Batch, found: dict[str, np.ndarray]) -> str:
        """A warning where the transformers do nothing; "" where all is well. Args: as for `measures`."""
        return ""
