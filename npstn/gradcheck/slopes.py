"""Measure slopes by finite differences: how each output of a function changes along a line, and where it has a kink.

    f, x, y   the function, the point, and the value y = f(x)
    d         the direction: one entry of x, all entries with random signs, or x itself
    h         the step along d
    v         the cotangent: a weight for each output

    left(h) = (f(x) - f(x - h d)) / h    right(h) = (f(x + h d) - f(x)) / h    central(h) = the mean of the two

The error of each is a series in h. Two steps remove its first term (Richardson's extrapolation):

    left    = 2 left(h/2)  - left(h)                error O(h^2)
    right   = 2 right(h/2) - right(h)               error O(h^2)
    central = (4 central(h/2) - central(h)) / 3     error O(h^4), and none where f is linear

Curvature makes left(h) and right(h) differ, but not left and right. If left and right differ, a kink is within reach of
the step, and a smaller step may not reach it. If they differ even with the smallest step, the kink is at x itself.

Rounding errors of f are divided by the step; the quotient is the noise floor. So the largest step is tried first.
Thanks to the O(h^4) that step can be far larger than the customary 1e-6. Each output is judged alone, and from f alone:
nothing here knows the gradient under test, so a wrong gradient cannot look like a kink.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

STEPS = 1.0, 1e-1, 1e-2, 1e-3  # as shares of the largest step
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
        """left, right and central, each without the first term of its error."""
        left, right = 2 * self.half_left - self.left, 2 * self.half_right - self.right
        return left, right, (4 * self.half_central - self.central) / 3


def quotients(f: Map, x: np.ndarray, y: np.ndarray, d: np.ndarray, h: float) -> Quotients:
    """The difference quotients of f at x along d, with the step h."""
    points = [x + t * d for t in (-h, -h / 2, 0, h / 2, h)]
    values = [f(points[0]), f(points[1]), y, f(points[3]), f(points[4])]

    def quotient(i: int, j: int) -> np.ndarray:
        step = ((points[j] - points[i]) * d).sum() / (d * d).sum()  # the step as floating point represents it
        return (values[j] - values[i]) / step

    return Quotients(
        quotient(0, 2),
        quotient(2, 4),
        quotient(0, 4),
        quotient(1, 2),
        quotient(2, 3),
        quotient(1, 3),
    )


def weighed(weights: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The numbers times the weights. A weight of 0 gives 0 even for NaN: a NaN must show at its own place only."""
    return np.where(weights == 0, 0.0, weights * numbers)


class Slopes(NamedTuple):
    """The slope of each output along a direction."""

    slope: np.ndarray
    left: np.ndarray
    right: np.ndarray
    kink: np.ndarray  # bool
    noise: np.ndarray  # the largest error that rounding may have added
    step: float

    def weighted(self, v: np.ndarray) -> tuple[float, float, float, float]:
        """The lowest and the highest allowed <v, slope>, its size without cancellation, and its noise.

        The lowest and the highest differ only at a kink: there each output may have any slope between left and right.
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
        h: the largest step; smaller steps are tried if a kink is within its reach.
        rounding: the rounding errors of y.
        rtol: the difference of left and right that makes a kink, relative to the steepest slope of all outputs.
    """
    for step in h * np.array(STEPS):
        q = quotients(f, x, y, d, step)
        left, right, slope = q.extrapolated()
        moves = (q.left != 0) | (q.right != 0)
        noise = np.where(moves, 3 * rounding / step, 0.0)  # f's values in slope have weights of 3 / step in all
        steepest = np.maximum(abs(left), abs(right)).max()
        # Halving the step must change central little, too: the error left in slope is about the square of that change.
        smooth = (abs(right - left) <= rtol * steepest + 6 * noise) & (
            abs(q.half_central - q.central) <= np.sqrt(rtol) * steepest + noise
        )
        if smooth.all():
            break
    # At a jump the quotients grow as the step shrinks. A jump is no kink: it has no slope, and no gradient is right.
    jump = abs(q.half_right - q.half_left) > 1.5 * abs(q.right - q.left)
    kink = ~smooth & ~jump
    return Slopes(slope, left, right, kink, np.where(kink, 4, 1) * noise, float(step))


def rounding_errors(
    f: Callable[[Sequence[np.ndarray]], np.ndarray],
    inputs: Sequence[np.ndarray],
    rng: np.random.Generator,
) -> np.ndarray:
    """The largest change of each output while the inputs change in their last digits only."""
    y = f(inputs)
    errors = ULP * abs(y)
    for _ in range(8):
        shaken = [x * (1 + ULP * rng.integers(-2, 3, x.shape)) for x in inputs]
        errors = np.maximum(errors, abs(f(shaken) - y))
    return 2 * errors  # eight trials may miss the largest
