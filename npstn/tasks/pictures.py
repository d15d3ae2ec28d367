"""Pictures of the user, as they are, or each turned about its centre by a random angle."""

from __future__ import annotations

import numpy as np

from npstn.autograd import Tensor, no_grad
from npstn.data import Source
from npstn.tasks.base import Batch, Task, correlations, as_floats, sample
from npstn.transformers import Rotation, Setting


class Pictures(Task):
    """Pictures, grey or in colour, of any size and any classes. The command makes it of a folder or an .npz.

    By default nothing is distorted, and there is no truth. With an angle the truth is `angle_deg`, counter-clockwise;
    black comes in at the corners. The size is that to which the source has brought the pictures; 0 stands for their
    own.

    >>> from npstn.data import Source
    >>> blank = Source("blank", "blanks", lambda train: (np.zeros((2, 20, 30, 3), np.uint8), np.arange(2)), (20, 30),
    ...                ("one", "other"), channels=3)
    >>> Pictures(blank).image, Pictures(blank).test().images.shape
    ((3, 20, 30), (2, 3, 20, 30))
    """

    name = "pictures"
    settings = {
        "angle": Setting(0.0, 0, 180, "turn images within +-A degrees"),
        "size": Setting(0, 0, 1000, "bring pictures to S x S pixels, 0: leave them as large as they are"),
    }
    compared = ("angle_deg",)
    measured = correlations(compared)

    def __init__(self, source: Source, seed: int = 0, **settings: float) -> None:
        super().__init__(source, seed, **settings)
        self.image = (source.channels, *source.size)
        self.angle = self.chosen["angle"]

    def summary(self, count: int) -> str:
        turned = f", turned within ±{self.angle:g}°" if self.angle else ""
        return f"{super().summary(count)}{turned}"

    def distort(
        self, images: np.ndarray, labels: np.ndarray, chosen: np.ndarray, rng: np.random.Generator, strength: float
    ) -> Batch:
        if not self.angle:
            return Batch(as_floats(images[chosen]), labels[chosen], {})
        degrees = (strength * rng.uniform(-self.angle, self.angle, len(chosen))).astype(np.float32)
        with no_grad():
            grid = Rotation().grid(Tensor(np.deg2rad(degrees)[:, None]), self.source.size)
        return Batch(sample(images[chosen], grid), labels[chosen], {"angle_deg": degrees})

    def measures(self, test: Batch, found: dict[str, np.ndarray]) -> dict[str, float]:
        if not self.angle:
            return dict.fromkeys(self.measured, float("nan"))
        return super().measures(test, found)
