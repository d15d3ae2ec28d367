"""The task of the blog post: images, each turned about its centre by a random angle.

The grid and the sampler that turn the images are those with which the network turns them back.
"""

from __future__ import annotations

import numpy as np

from npstn.autograd import Tensor, no_grad
from npstn.data import Source
from npstn.ops.arguments import check_shape
from npstn.tasks.base import Batch, Measure, Task, correlation, sample
from npstn.transformers import Rotation, Setting


def rotate(images: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """Turn each image about its centre, counter-clockwise; black comes in at the corners.

    Args:
        images: uint8 (N, H, W), 0 .. 255.
        degrees: (N,).

    Returns float32 (N, 1, H, W), 0 .. 1. Black stays 0, which the sampler also reads outside of an image, so that a
    transformer brings in no edges. Raises TypeError for other dtypes, ValueError for other shapes.

    >>> upright = np.array([[[0, 255, 0], [0, 255, 0], [0, 0, 0]]], np.uint8)
    >>> rotate(upright, np.array([90])).round(3).tolist()
    [[[[0.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]]]
    """
    images, degrees = np.asarray(images), np.asarray(degrees)
    if images.dtype != np.uint8 or degrees.dtype.kind not in "iuf":
        raise TypeError(f"rotate: expected images of uint8 and degrees of numbers, got {images.dtype}, {degrees.dtype}")
    check_shape("rotate", "images", images, "N, H, W")
    check_shape("rotate", "degrees", degrees, f"{len(images)}")
    radians = Tensor(np.deg2rad(degrees).astype(np.float32)[:, None])
    with no_grad():
        return sample(images, Rotation().grid(radians, images.shape[1:]))


def turned(degrees: float) -> str:
    """How images are turned, in words."""
    return f"turned within ±{degrees:g}°" if degrees else "upright"


class Rotated(Task):
    """Digits, each turned by an angle drawn uniformly from -angle .. angle degrees, counter-clockwise.

    The truth is `angle_deg`. Its measures, NaN where no transformer tells an angle:

    - angle_correlation: of the transformer's angle with the true one; -1 where each image is turned back exactly.
    - residual_std_deg: the spread of the true plus the transformer's angle within a class, averaged over the classes.
    - input_std_deg: the same spread without the transformer.

    >>> from npstn.data.sources import drawn
    >>> Rotated(drawn(), angle=30).summary(60_000)
    '60,000 drawn digits, turned within ±30°'
    """

    name = "rotated"
    settings = {"angle": Setting(45.0, 0, 180, "turn images within +-A degrees")}
    measured = {
        "angle_correlation": Measure("angle correlation", ".2f"),
        "residual_std_deg": Measure("spread within a class", ".1f", "°"),
        "input_std_deg": Measure("without the transformer", ".1f", "°"),
    }

    def __init__(self, source: Source, seed: int = 0, **settings: float) -> None:
        super().__init__(source, seed, **settings)
        self.angle = self.chosen["angle"]

    def summary(self, count: int) -> str:
        return f"{super().summary(count)}, {turned(self.angle)}"

    def distort(
        self, images: np.ndarray, labels: np.ndarray, chosen: np.ndarray, rng: np.random.Generator, strength: float
    ) -> Batch:
        degrees = (strength * rng.uniform(-self.angle, self.angle, len(chosen))).astype(np.float32)
        return Batch(rotate(images[chosen], degrees), labels[chosen], {"angle_deg": degrees})

    def measures(self, test: Batch, found: dict[str, np.ndarray]) -> dict[str, float]:
        if "angle_deg" not in found:
            return dict.fromkeys(self.measured, float("nan"))
        true, turned = test.truth["angle_deg"], found["angle_deg"]
        return {
            "angle_correlation": correlation(turned, true),
            "residual_std_deg": spread_within_class(true + turned, test.labels),
            "input_std_deg": spread_within_class(true, test.labels),
        }


class R(Rotated):
    """The paper's R: the same with angles up to 90 degrees."""

    name = "R"
    settings = {"angle": Rotated.settings["angle"]._replace(default=90.0)}


def spread_within_class(values: np.ndarray, labels: np.ndarray) -> float:
    """The standard deviation of the values within each class, averaged over the classes."""
    with np.errstate(invalid="ignore"):  # NaN for infinite values
        return float(np.mean([np.std(values[labels == label]) for label in np.unique(labels)]))
