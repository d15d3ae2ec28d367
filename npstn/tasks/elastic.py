"""The paper's E: digits that are scaled and bent by a thin-plate spline."""

from __future__ import annotations

import numpy as np

from npstn.autograd import Tensor, no_grad
from npstn.tasks.base import Batch, Task, correlations, sample, weakened
from npstn.transformers import Setting, Tps


class E(Task):
    """Digits scaled by 0.75 to 1, the 4 x 4 control points of a spline then moved by a normal of `bend` pixels.

    The spline leads from the distorted image back to the source: where its points are moved, the image is read. The
    truth is what `Tps` says of it: its angle and its scale at the centre.

    >>> from npstn.data.sources import drawn
    >>> E(drawn()).image
    (1, 28, 28)
    """

    name = "E"
    settings = {"bend": Setting(1.5, 0, 10, "move the spline's points by a normal of B pixels")}
    compared = ("angle_deg", "scale")
    measured = correlations(compared)
    spline = Tps(grid_size=4, span=1.0)

    def summary(self, count: int) -> str:
        bend = self.chosen["bend"]
        return f"{super().summary(count)}, bent by a spline whose points are moved by a normal of {bend:g} pixels"

    def distort(
        self, images: np.ndarray, labels: np.ndarray, chosen: np.ndarray, rng: np.random.Generator, strength: float
    ) -> Batch:
        half = (np.array(self.source.size[::-1]) - 1) / 2  # pixels in a step of 1
        scale = weakened(rng.uniform(0.75, 1.0, (len(chosen), 1, 1)), strength, 1)
        moves = strength * rng.normal(0, self.chosen["bend"], (len(chosen), 16, 2)) / half
        points = ((self.spline.control_points + moves) / scale).reshape(len(chosen), 32).astype(np.float32)
        with no_grad():
            bent = sample(images[chosen], self.spline.grid(Tensor(points), self.source.size))
        found = self.spline.describe(points, self.source.size)
        truth = {name: found[name].astype(np.float32) for name in ("angle_deg", "scale")}
        return Batch(bent, labels[chosen], truth)
