"""Slopes by finite differences: how each output of a function changes along a line, and where it has a kink.

    f, x, y   the function, where it is looked at, y = f(x)
    d         the direction: one entry of x, or a random sign for every entry where they are many
    h         the step along d

    left(h) = (f(x) - f(x - h d)) / h    right(h) = (f(x + h d) - f(x)) / h    central(h) = the mean of the two

Each misses the slope by a series in h. Two steps remove its first term (Richardson's extrapolation):

    left    = 2 left(h/2)  - left(h)                misses by O(h^2)
    right   = 2 right(h/2) - right(h)               misses by O(h^2)
    central = (4 central(h/2) - central(h)) / 3     misses by O(h^4), and by nothing where f is linear

Curvature parts left(h) from right(h), but not left from right: where these part, a kink is within reach of the step.
A smaller step may not reach it. What has two slopes even with the smallest is a kink at x itself.

Rounding errors of f are divided by the step: the noise floor. So the largest step is tried first; thanks to the O(h^4)
it can be far larger than the customary 1e-6. All is decided output by output and from f alone: the gradient under test
is not known here, so it cannot be wrong in a way that looks like a kink.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

STEPS = 1.0, 1e-1, 1e-2, 1e-3  # of the largest
ULP = np.finfo(np.float64).eps

Map = Callable[[np.ndarray], np.ndarray]


class Quotients(NamedTuple):
    """The difference quotients of each output, over a step and over half of it."""

    left: np.ndarray
    right: np.ndarray
    central: np.ndarray
    half_left: np.ndarray
    half_right: np.ndarray
    half_central: np.ndarray

    def extrapolated(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """left, right and central, each without the first term of what it misses by."""
        left, right = 2 * self.half_left - self.left, 2 * self.half_right - self.right
        return left, right, (4 * self.half_central - self.central) / 3


def quotients(f: Map, x: np.ndarray, y: np.ndarray, d: np.ndarray, h: float) -> Quotients:
    points = [x + t * d for t in (-h, -h / 2, 0, h / 2, h)]
    values = [f(points[0]), f(points[1]), y, f(points[3]), f(points[4])]

    def quotient(i: int, j: int) -> np.ndarray:
        step = ((points[j] - points[i]) * d).sum() / (d * d).sum()  # as it is really represented
        return (values[j] - values[i]) / step

    return Quotients(
        quotient(0, 2),
        quotient(2, 4),
        quotient(0, 4),
        quotient(1, 2),
        quotient(2, 3),
        quotient(1, 3),
    )


def weighed(v: np.ndarray, x: np.ndarray) -> np.ndarray:
    """v x, and 0 where v is 0, whatever x: a NaN must show where it is, and nowhere else."""
    return np.where(v == 0, 0.0, v * x)


class Slopes(NamedTuple):
    """The slope of each output along a direction."""

    slope: np.ndarray
    left: np.ndarray
    right: np.ndarray
    kink: np.ndarray  # bool
    noise: np.ndarray  # what rounding errors may have added
    step: float

    def weighted(self, v: np.ndarray) -> tuple[float, float, float, float]:
        """The least and the greatest that <v, slope> may be, its size without cancellation, and its noise.

        The least is the greatest unless there is a kink: there each output may have any slope between its two.
        """
        left, right, slope = weighed(v, self.left), weighed(v, self.right), weighed(v, self.slope)
        low = np.where(self.kink, np.minimum(left, right), slope).sum()
        high = np.where(self.kink, np.maximum(left, right), slope).sum()
        size = np.where(self.kink, np.maximum(abs(left), abs(right)), abs(slope)).sum()
        return (
            float(low),
            float(high),
            float(size),
            float(np.linalg.norm(weighed(v, self.noise).ravel())),
        )


@np.errstate(all="ignore")
def slopes_along(
    f: Map,
    x: np.ndarray,
    y: np.ndarray,
    d: np.ndarray,
    h: float,
    rounding: np.ndarray,
    rtol: float,
) -> Slopes:
    """The slopes of f at x along d.

    Args:
        h: the largest step; smaller ones are taken where a kink is within its reach.
        rounding: the rounding errors of y.
        rtol: how far apart two slopes must be for a kink, relative to the steepest of all outputs.
    """
    for step in h * np.array(STEPS):
        q = quotients(f, x, y, d, step)
        left, right, slope = q.extrapolated()
        moves = (q.left != 0) | (q.right != 0)
        noise = np.where(moves, 3 * rounding / step, 0.0)  # the five values in slope have weights of 3 / step in all
        steepest = np.maximum(abs(left), abs(right)).max()
        # Half the step must change central little, too: what the extrapolation misses is about the square of that.
        smooth = (abs(right - left) <= rtol * steepest + 6 * noise) & (
            abs(q.half_central - q.central) <= np.sqrt(rtol) * steepest + noise
        )
        if smooth.all():
            break
    # At a jump the quotients grow as the step shrinks. It is no kink: there is no slope, and no gradient is right.
    jump = abs(q.half_right - q.half_left) > 1.5 * abs(q.right - q.left)
    kink = ~smooth & ~jump
    return Slopes(slope, left, right, kink, np.where(kink, 4, 1) * noise, float(step))


def rounding_errors(
    f: Callable[[Sequence[np.ndarray]], np.ndarray],
    inputs: Sequence[np.ndarray],
    rng: np.random.Generator,
) -> np.ndarray:
    """By how much each output may change while the inputs move by no more than their last digits."""
    y = f(inputs)
    errors = ULP * abs(y)
    for _ in range(8):
        shaken = [x * (1 + ULP * rng.integers(-2, 3, x.shape)) for x in inputs]
        errors = np.maximum(errors, abs(f(shaken) - y))
    return 2 * errors  # eight tries do not show the largest
