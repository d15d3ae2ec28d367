"""The paper's addition: two digits, each distorted by itself, on two channels; the class is their sum."""

from __future__ import annotations

import math

import numpy as np

from npstn.data import Source
from npstn.tasks.base import Batch
from npstn.tasks.rts import RTS, similar


class Addition(RTS):
    """Two digits in an image of two channels, distorted as in `RTS`; the sum is one of 0 .. 18.

    The first digit is the one that was chosen, the second another one of the same set, drawn at random. There is no
    measure and no truth: no transformer is bound to a channel.

    >>> from npstn.data.sources import drawn
    >>> task = Addition(drawn())
    >>> task.image, task.classes[-1]
    ((2, 42, 42), '18')
    """

    name = "addition"
    localiser_factor = 0.2
    compared: tuple[str, ...] = ()
    measured = {}

    def __init__(self, source: Source, seed: int = 0, **settings: float) -> None:
        super().__init__(source, seed, **settings)
        self.image = (2, *self.size)
        self.classes = tuple(str(total) for total in range(2 * len(source.classes) - 1))

    def summary(self, count: int) -> str:
        return super().summary(count).replace(self.source.title, f"pairs of {self.source.title}", 1)

    def spreads(self, test: Batch) -> dict[str, float]:
        """Those of uniform numbers."""
        return {name: (high - low) / math.sqrt(12) for name, (low, high) in self.ranges().items()}

    def distort(
        self, images: np.ndarray, labels: np.ndarray, chosen: np.ndarray, rng: np.random.Generator, strength: float
    ) -> Batch:
        second = rng.integers(0, len(images), len(chosen))
        channels = [similar(images[i], self.draw(len(chosen), rng, strength), self.size) for i in (chosen, second)]
        return Batch(np.concatenate(channels, axis=1), labels[chosen] + labels[second], {})
