"""The task of the blog post: digits, each turned about its centre by a random angle.

The sampler that turns the digits is the one that the network turns them back with.
"""

from __future__ import annotations

import numpy as np

import npstn.functional as F
from npstn.autograd import Tensor, no_grad
from npstn.data import Source
from npstn.ops.arguments import check_shape
from npstn.tasks.base import Batch, Measure, Task
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
    grey = (images[:, None] / np.float32(255)).astype(np.float32)
    radians = Tensor(np.deg2rad(degrees).astype(np.float32)[:, None])
    with no_grad():
        grid = Rotation().grid(radians, images.shape[1:])
        return F.grid_sample(Tensor(grey), grid, align_corners=True).data


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
        return f"{super().summary(count)}, turned within ±{self.angle:g}°"

    def distort(self, images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> Batch:
        degrees = rng.uniform(-self.angle, self.angle, len(images)).astype(np.float32)
        return Batch(rotate(images, degrees), labels, {"angle_deg": degrees})

    def measures(self, test: Batch, found: dict[str, np.ndarray]) -> dict[str, float]:
        if "angle_deg" not in found:
            return dict.fromkeys(self.measured, float("nan"))
        true, turned = test.truth["angle_deg"], found["angle_deg"]
        return {
            "angle_correlation": correlation(turned, true),
            "residual_std_deg": spread_within_class(true + turned, test.labels),
            "input_std_deg": spread_within_class(true, test.labels),
        }

    def alarm(self, test: Batch, found: dict[str, np.ndarray]) -> str:
        if "angle_deg" not in found:
            return ""
        true, turned = np.std(test.truth["angle_deg"]), np.std(found["angle_deg"])
        if not turned < 0.05 * true:
            return ""
        return (
            f"the localisation network answers nearly the same angle for every image: its angles spread by "
            f"{turned:.1f}°, the digits by {true:.1f}°. So the transformer does nothing. Early in training it may yet "
            f"wake up; otherwise try a lower --lr, or another --seed"
        )


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """The correlation of two arrays (N,); NaN where one of them has no spread."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    if not (np.std(a) > 0 and np.std(b) > 0):
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def spread_within_class(values: np.ndarray, labels: np.ndarray) -> float:
    """The standard deviation of the values within each class, averaged over the classes."""
    return float(np.mean([np.std(values[labels == label]) for label in np.unique(labels)]))
