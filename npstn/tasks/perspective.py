"""The paper's P: digits that are scaled, and whose corners are moved at random: a projective map."""

from __future__ import annotations

import numpy as np

from npstn.autograd import Tensor, no_grad
from npstn.tasks.base import Batch, Task, correlations, sample, weakened
from npstn.transformers import Projective, Setting

CORNERS = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])  # (x, y), in turn


def homographies(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The eight numbers of the projective maps that take four points to four points, (B, 4, 2) -> (B, 8).

    With (x, y) -> (X, Y), X (p_6 x + p_7 y + 1) = p_0 x + p_1 y + p_2, and Y alike: two equations a point.
    """
    x, y, X, Y = before[..., 0], before[..., 1], after[..., 0], after[..., 1]
    zero, one = np.zeros_like(x), np.ones_like(x)
    rows_x = np.stack([x, y, one, zero, zero, zero, -X * x, -X * y], axis=2)
    rows_y = np.stack([zero, zero, zero, x, y, one, -Y * x, -Y * y], axis=2)
    equations = np.concatenate([rows_x, rows_y], axis=1)  # (B, 8, 8)
    return np.linalg.solve(equations, np.concatenate([X, Y], axis=1)[..., None])[..., 0]


def convex(quadrilaterals: np.ndarray) -> np.ndarray:
    """Whether the four corners (B, 4, 2) still go round in the same direction: (B,). Otherwise the image folds over."""
    sides = np.roll(quadrilaterals, -1, axis=1) - quadrilaterals
    following = np.roll(sides, -1, axis=1)
    turns = sides[..., 0] * following[..., 1] - sides[..., 1] * following[..., 0]
    return (turns > 0).all(axis=1)


class P(Task):
    """Digits scaled by 0.75 to 1, each corner then moved by a normal of standard deviation `corners` pixels.

    Corners that would fold the image over are drawn again. The truth is the angle and the scale of the map at the
    digit's centre: the negative and the inverse of what `Projective` says of the map that undoes it.

    >>> from npstn.data.sources import drawn
    >>> P(drawn()).image
    (1, 28, 28)
    """

    name = "P"
    settings = {"corners": Setting(5.0, 0, 20, "move the corners by a normal of C pixels")}
    compared = ("angle_deg", "scale")
    measured = correlations(compared)

    def summary(self, count: int) -> str:
        return f"{super().summary(count)}, their corners moved by a normal of {self.chosen['corners']:g} pixels"

    def distort(
        self, images: np.ndarray, labels: np.ndarray, chosen: np.ndarray, rng: np.random.Generator, strength: float
    ) -> Batch:
        half = (np.array(self.source.size[::-1]) - 1) / 2  # pixels in a step of 1
        scale = weakened(rng.uniform(0.75, 1.0, (len(chosen), 1, 1)), strength, 1)
        corners = np.zeros((len(chosen), 4, 2))
        folded = np.arange(len(chosen))
        while len(folded):
            moves = strength * rng.normal(0, self.chosen["corners"], (len(folded), 4, 2)) / half
            corners[folded] = scale[folded] * CORNERS + moves
            folded = folded[~convex(corners[folded])]
        # The grid leads from the distorted image back to the source.
        straight = np.broadcast_to(CORNERS, corners.shape)
        p = homographies(corners, straight).astype(np.float32)
        with no_grad():
            distorted = sample(images[chosen], Projective().grid(Tensor(p), self.source.size))
        undone = Projective().describe(homographies(straight, corners), self.source.size)
        truth = {
            "angle_deg": (-undone["angle_deg"]).astype(np.float32),
            "scale": (1 / undone["scale"]).astype(np.float32),
        }
        return Batch(np.nan_to_num(distorted), labels[chosen], truth)
