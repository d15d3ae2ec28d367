"""The paper's RTS: digits that are turned, scaled, and placed at random in a larger image."""

from __future__ import annotations

import numpy as np

import npstn.functional as F
from npstn.autograd import Tensor, no_grad
from npstn.data import Source
from npstn.tasks.base import Batch, Task, correlations, sample, weakened
from npstn.tasks.rotated import turned
from npstn.transformers import Setting

SIDE = 1.5  # of the larger image, relative to the source's: 42 pixels for MNIST's 28


def similar(images: np.ndarray, quantities: dict[str, np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Turn and scale each image about its centre, and place it in a larger one.

    Args:
        images: uint8 (B, H, W).
        quantities: "angle_deg", counter-clockwise, "scale", "shift_x_px" and "shift_y_px" of the image's centre from
            that of the larger image, to the right and down; each (B,); those left out are 0, and 1 for the scale.
        size: of the larger image, (h, w).

    Returns float32 (B, 1, h, w), 0 .. 1, black around the images.
    """
    B, (h, w) = len(images), size
    a = np.deg2rad(quantities.get("angle_deg", np.zeros(B)))
    s = quantities.get("scale", np.ones(B))
    shift = np.stack([quantities.get(f"shift_{axis}_px", np.zeros(B)) for axis in "xy"], axis=1)
    # From pixels of the larger image to those of the source, both counted from the centre: R(a) (p - shift) / s.
    turn = np.stack([np.cos(a), -np.sin(a), np.sin(a), np.cos(a)], axis=1).reshape(B, 2, 2) / s[:, None, None]
    theta = np.concatenate([turn, -turn @ shift[:, :, None]], axis=2)  # (B, 2, 3)
    # In normalised coordinates a step of 1 is half the image.
    half_in = (np.array(images.shape[:0:-1]) - 1) / 2
    half_out = np.array([(w - 1) / 2, (h - 1) / 2, 1])
    theta = theta * half_out / half_in[:, None]
    with no_grad():
        return sample(images, F.affine_grid(Tensor(theta.astype(np.float32)), (B, 1, h, w), align_corners=True))


class RTS(Task):
    """Digits turned by up to `angle` degrees, scaled by 0.7 to 1.2, and placed at random in an image of 1.5 times the
    size.

    The truth is the angle, the scale and the shift, and these are compared: -1 means that each digit is turned and
    moved back exactly. The scale comes to about -0.98: what undoes a scale is its inverse, not its negative.

    >>> from npstn.data.sources import drawn
    >>> RTS(drawn()).image
    (1, 42, 42)
    """

    name = "RTS"
    settings = {"angle": Setting(45.0, 0, 180, "turn images within +-A degrees")}
    compared: tuple[str, ...] = ("angle_deg", "scale", "shift_x_px", "shift_y_px")
    measured = correlations(compared)

    def __init__(self, source: Source, seed: int = 0, **settings: float) -> None:
        super().__init__(source, seed, **settings)
        self.size = round(SIDE * source.size[0]), round(SIDE * source.size[1])
        self.image = (1, *self.size)

    def summary(self, count: int) -> str:
        h, w = self.size
        how = turned(self.chosen["angle"])
        return f"{super().summary(count)}, {how}, scaled and placed in {h} x {w} pixels"

    def ranges(self) -> dict[str, tuple[float, float]]:
        """The least and the largest of each random quantity."""
        room = [(large - small) / 2 for large, small in zip(self.size, self.source.size, strict=True)]
        angle = self.chosen["angle"]
        return {
            "angle_deg": (-angle, angle),
            "scale": (0.7, 1.2),
            "shift_x_px": (-room[1], room[1]),
            "shift_y_px": (-room[0], room[0]),
        }

    def draw(self, count: int, rng: np.random.Generator, strength: float) -> dict[str, np.ndarray]:
        """The random quantities of so many images at a strength, float32."""
        drawn = {name: rng.uniform(low, high, count) for name, (low, high) in self.ranges().items()}
        nothing = {"scale": 1}  # what changes no image
        return {n: weakened(x, strength, nothing.get(n, 0)).astype(np.float32) for n, x in drawn.items()}

    def distort(
        self, images: np.ndarray, labels: np.ndarray, chosen: np.ndarray, rng: np.random.Generator, strength: float
    ) -> Batch:
        truth = self.draw(len(chosen), rng, strength)
        return Batch(similar(images[chosen], truth, self.size), labels[chosen], truth)
