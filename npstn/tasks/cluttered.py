"""The paper's translated and cluttered digits: one digit in a large image, among patches of others."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from npstn.data import Source
from npstn.tasks.base import Batch, Task, correlations
from npstn.tasks.rts import similar
from npstn.transformers import Setting

SIDE = 60, 60  # pixels
PATCH = 6  # pixels along a side


class Cluttered(Task):
    """A digit at a random place in 60 x 60 pixels, among `distractors` patches of 6 x 6 pixels from other digits.

    Where a patch covers the digit or another patch, the brighter pixel is seen. The truth is the digit's
    shift from the centre.

    >>> from npstn.data.sources import drawn
    >>> Cluttered(drawn()).image
    (1, 60, 60)
    """

    name = "cluttered"
    settings = {"distractors": Setting(16, 0, 1000, "how many patches of other digits there are")}
    localiser_factor = 0.2
    compared = ("shift_x_px", "shift_y_px")
    measured = correlations(compared)

    def __init__(self, source: Source, seed: int = 0, **settings: float) -> None:
        super().__init__(source, seed, **settings)
        self.image = (1, *SIDE)

    def summary(self, count: int) -> str:
        return f"{super().summary(count)}, each among {self.chosen['distractors']} patches of others in 60 x 60 pixels"

    def distort(
        self, images: np.ndarray, labels: np.ndarray, chosen: np.ndarray, rng: np.random.Generator, strength: float
    ) -> Batch:
        B, (H, W), (h, w) = len(chosen), self.source.size, SIDE
        truth = {
            name: (strength * rng.uniform(-(large - small) / 2, (large - small) / 2, B)).astype(np.float32)
            for name, large, small in (("shift_x_px", w, W), ("shift_y_px", h, H))
        }
        seen = similar(images[chosen], truth, SIDE)
        shape = B, round(strength * self.chosen["distractors"])
        source = rng.integers(0, len(images), shape)
        top, left = rng.integers(0, H - PATCH + 1, shape), rng.integers(0, W - PATCH + 1, shape)
        place_y, place_x = rng.integers(0, h - PATCH + 1, shape), rng.integers(0, w - PATCH + 1, shape)
        patches = sliding_window_view(images, (PATCH, PATCH), axis=(1, 2))[source, top, left]
        k, l = np.indices((PATCH, PATCH))  # row and column in a patch
        corner = (np.arange(B)[:, None] * h + place_y) * w + place_x  # where in the batch
        places = corner[..., None, None] + (k * w + l)
        # Flat: with axes, NumPy takes another way, and ten times as long.
        np.maximum.at(seen.reshape(-1), places.ravel(), (patches / np.float32(255)).astype(np.float32).ravel())
        return Batch(seen, labels[chosen], truth)
