"""What a network is asked: images, their labels, and the truth about how each image was distorted."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

import npstn.functional as F
from npstn.autograd import Tensor, no_grad
from npstn.data import Source
from npstn.messages import one_line
from npstn.transformers.base import Setting, choose
from npstn.transformers.words import of_each, sizes_in_words

FEW = 3  # test images of each class, for the pictures
AT_ONCE = 1000  # test images that are distorted at once: their grids take more memory than they
ROUNDING = 1e-6  # degrees, pixels or ratios: what spreads less over the images is the same for all


class Batch(NamedTuple):
    """Images as a network takes them."""

    images: np.ndarray  # float32 (N, C, H, W), 0 (black) .. 1
    labels: np.ndarray  # int64 (N,)
    truth: dict[str, np.ndarray]  # how each was distorted: name -> (N,), named as by `Transformer.describe`


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
        compared: quantities, named as by `Transformer.describe`, of which `measures` gives the correlation of the
            transformer's with the true one: -1 where each image is brought back exactly.
        localiser_factor: multiplies the `localiser_factor` of a recipe with AdamW or Muon; see `Recipe`. They take
            steps of the same size where gradients are noise. So where a classifier can tell little at first, a
            localisation network loses its way at the whole rate.
        measured: the measures that `measures` gives, by name, in order; those of `correlations` for `compared`.

    Args:
        source: where the images come from.
        seed: of the test set's distortions; an integer of at least 0.
        settings: values for `settings`, each within its limits; those not given have their defaults.

    Raises ValueError for a value outside its limits, for an unknown name and for another seed.
    """

    name: str
    image: tuple[int, int, int]
    classes: tuple[str, ...]
    settings: dict[str, Setting] = {}
    localiser_factor = 1.0
    compared: tuple[str, ...] = ()
    measured: dict[str, Measure] = {}

    def __init__(self, source: Source, seed: int = 0, **settings: float) -> None:
        if not isinstance(seed, (int, np.integer)) or seed < 0:
            whose = type(self).__name__
            raise ValueError(f"{whose}: expected seed to be an integer of at least 0, got {one_line(seed)}")
        self.source, self.seed = source, seed
        self.chosen = choose(getattr(self, "name", type(self).__name__), self.settings, settings)
        self.image = getattr(self, "image", (1, *source.size))
        self.classes = getattr(self, "classes", source.classes)

    def __len__(self) -> int:
        """How many training images there are."""
        return self._train_images

    def summary(self, count: int) -> str:
        """So many of its images, in words."""
        return f"{count:,} {self.source.title}"

    def batches(
        self,
        batch_size: int,
        rng: np.random.Generator,
        order: np.ndarray | None = None,
        strengths: Iterable[float] | None = None,
    ) -> Iterator[Batch]:
        """One epoch of training images, distorted afresh; the last batch may be smaller.

        Args:
            order: the numbers of the images to take; all in random order where None.
            strengths: how far each batch is distorted, in turn, 0 .. 1; see `distort`. All wholly where None.
        """
        images, labels = self.source.train
        if order is None:
            order = rng.permutation(len(images))
        starts, whole = range(0, len(order), batch_size), itertools.repeat(1.0)
        for start, strength in zip(starts, whole if strengths is None else strengths, strict=False):
            yield self.distort(images, labels, order[start : start + batch_size], rng, strength)

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
    def _train_images(self) -> int:
        """How many there are: known, too, when the source has let go of them."""
        return len(self.source.train[0])

    @functools.cached_property
    def _test(self) -> Batch:
        images, labels = self.source.test
        rng, numbers = np.random.default_rng(self.seed), np.arange(len(images))
        joined: dict[str, np.ndarray] = {}  # filled piece by piece: joining the pieces would take their memory twice
        for first in range(0, len(images), AT_ONCE):
            part = self.distort(images, labels, numbers[first : first + AT_ONCE], rng, strength=1.0)
            for name, values in {"images": part.images, "labels": part.labels, **part.truth}.items():
                if name not in joined:
                    joined[name] = np.empty((len(images), *values.shape[1:]), values.dtype)
                joined[name][first : first + AT_ONCE] = values
        return Batch(joined.pop("images"), joined.pop("labels"), joined)

    def distort(
        self, images: np.ndarray, labels: np.ndarray, chosen: np.ndarray, rng: np.random.Generator, strength: float
    ) -> Batch:
        """Distort some images of the source.

        Args:
            images, labels: the whole training or test set, uint8 (N, H, W) and int64 (N,).
            chosen: the numbers of the images to distort, (B,).
            strength: how far, 0 .. 1. With 1 the images are distorted wholly. With 0 nothing is distorted, and images
                lie in the middle where those of the task are larger. In between each random quantity is scaled.
        """
        raise TypeError(f"{type(self).__name__}: expected a subclass that defines distort, got one without")

    def measures(self, test: Batch, found: dict[str, np.ndarray]) -> dict[str, float]:
        """How well the transformers undid the distortions; a value for each of `measured`, NaN where there is none.

        Args:
            test: what `test` gave.
            found: how the transformers of a network describe what they did to each of its images: name -> (N,).
        """
        nothing = np.zeros(len(test.labels))
        values = [correlation(found.get(name, nothing), test.truth[name]) for name in self.compared]
        return dict(zip(correlations(self.compared), values, strict=True))

    def alarm(self, test: Batch, found: dict[str, np.ndarray]) -> str:
        """A warning where a transformer does nothing; "" where all is well. Args: as for `measures`.

        Only quantities that the task and the transformer both name are compared. The transformer does nothing if each
        of them spreads less over the images than a twentieth of the spread that would undo the distortions.
        """
        needed = {name: spread for name, spread in self.spreads(test).items() if spread > ROUNDING}
        idle: dict[str, dict[str, float]] = {}
        for number, quantities in of_each(found).items():
            with np.errstate(invalid="ignore"):  # a scale may be infinite
                own = {name: float(np.std(quantities[name])) for name in needed if name in quantities}
            if own and all(spread < 0.05 * needed[name] for name, spread in own.items()):
                idle[number] = own
        if not idle:
            return ""
        largest = {n: max(own[n] for own in idle.values() if n in own) for own in idle.values() for n in own}
        spreads = sizes_in_words(largest), sizes_in_words({name: needed[name] for name in largest})
        numbers = ", ".join(idle)
        if len(idle) > 1:
            same = f"localisation networks {numbers} answer nearly the same for every image. Their answers"
            nothing = f"transformers {numbers} do nothing"
        else:
            the, of = ("", f" {numbers}") if numbers else ("the ", "")
            same = f"{the}localisation network{of} answers nearly the same for every image. Its answers"
            nothing = f"{the}transformer{of} does nothing"
        return (
            f"{same} spread by {spreads[0]}, the images by {spreads[1]}. So {nothing}. Early in training this may "
            f"change; otherwise try a lower --lr, or another --seed"
        )

    def spreads(self, test: Batch) -> dict[str, float]:
        """How much each quantity of the distortions spreads over the images: the standard deviation of the truth."""
        return {name: float(np.std(true)) for name, true in test.truth.items()}


def sample(images: np.ndarray, grid: Tensor) -> np.ndarray:
    """Read images at the points of a grid, with the sampler that the networks use; black lies outside.

    Args:
        images: uint8 (B, H, W) or (B, H, W, C), 0 .. 255.
        grid: (B, h, w, 2), normalised, align_corners.

    Returns float32 (B, C, h, w), 0 .. 1; C is 1 for images without channels.
    """
    with no_grad():
        return F.grid_sample(Tensor(as_floats(images)), grid, align_corners=True).data


def weakened(values: np.ndarray, strength: float, nothing: float) -> np.ndarray:
    """Quantities of a distortion, at this strength: with 0 they are `nothing`, which changes no image; with 1 as given.

    >>> weakened(np.array([0.7, 1.2]), 0.5, nothing=1).tolist()
    [0.85, 1.1]
    """
    return strength * values + (1 - strength) * nothing


def as_floats(images: np.ndarray) -> np.ndarray:
    """Images as a network takes them, uint8 (B, H, W) or (B, H, W, C) -> float32 (B, C, H, W), 0 .. 1."""
    channels_first = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(channels_first / np.float32(255), np.float32)


def correlations(quantities: tuple[str, ...]) -> dict[str, Measure]:
    """The measures of a task that compares these quantities.

    >>> list(correlations(("angle_deg", "scale")))
    ['angle_correlation', 'scale_correlation']
    """
    names = [re.sub("_(deg|px)$", "", name) for name in quantities]
    return {f"{name}_correlation": Measure(f"{name.replace('_', ' ')} correlation", ".2f") for name in names}


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """The correlation of two arrays (N,); NaN where one of them has no spread but rounding, or is not finite."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(invalid="ignore"):
        if not (np.std(a) > ROUNDING and np.std(b) > ROUNDING):
            return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
