"""Measure the rounding error of each output: how far its values scatter around a smooth curve.

The last digit of f(x) shows too little of it. The residual A x - b at its solution is small, but carries the rounding
errors of A x. And log(1 + exp(-30)) moves in steps of 2e-16, though its value is 9e-14.

    x + k d    points k = 1, 2, ..., 12 on one side of x. d is random, no round number, but a multiple of the last place
               of x, so that the points are exact
    D^6 f      the sixth difference of the values. For a smooth curve it is about 0. For errors of deviation s its
               deviation is s sqrt(924), because the squares of its weights add up to 924

All entries move at once, to random sides, and a few calls measure all outputs. Nothing is measured across x itself,
where a kink or a jump may lie. The points begin very near x. An output that stands still there is measured with larger
d: it may move in steps.

By chance an output may move by the same whole steps each time, and show no error. So the next larger d must agree. If
it shows far more, a third one tells what that was: a curve, whose sixth difference grows like d^6, a kink beside x, at
which it grows like d, or errors, which stay as they are: then the first was lucky. This is done on each side of x. A
side with a kink does not count, unless both have one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from npstn.gradcheck.lines import guarded, typical
from npstn.gradcheck.slopes import ULP

POINTS, ORDER = 12, 6
SCALES = 2.0**-42, 2.0**-32, 2.0**-24, 2.0**-16, 2.0**-10
DEVIATIONS = 4 / 924**0.5  # an error is seldom above four deviations
UNLIKE = 30  # six differences seldom differ so much from six others for no reason; a kink's grow by 64 at least with d


def rounding_errors(
    f: Callable[[Sequence[np.ndarray]], np.ndarray],
    xs: Sequence[np.ndarray],
    moves: Sequence[bool],
    y: np.ndarray,
) -> np.ndarray:
    """(outputs,): the rounding error of each output; `moves` says which of the xs move.

    It is at least two units in the last place; of an output that never moves, of the largest output's: 0 has none, and
    log(1 + exp(-35)) carries the errors of a sum that is 1.
    """
    rng = np.random.default_rng(0)
    d = [
        rng.choice([-1.0, 1.0], x.shape) * _sizes(x, rng) if move else 0 * x
        for x, move in zip(xs, moves, strict=True)
    ]
    found, seen = np.full(y.size, np.nan), np.full((len(SCALES), 2, y.size), np.nan)
    with np.errstate(all="ignore"):
        for k, scale in enumerate(SCALES):
            still = np.flatnonzero(np.isnan(found))
            if not still.size:
                break
            for side, sign in enumerate((1, -1)):
                steps = [(x + sign * scale * one) - x for x, one in zip(xs, d, strict=True)]
                seen[k, side, still] = _scatter(f, xs, steps, y.shape, still)
            found[still] = _error(seen[:, :, still], k + 1 < len(SCALES))
    dead = np.isnan(found)
    finite = abs(y).max(initial=0.0, where=np.isfinite(y))
    return np.fmax(2 * ULP * np.where(dead, finite, abs(y.ravel())), found)


def _error(seen: np.ndarray, wait: bool) -> np.ndarray:
    """(outputs,): what the scatters (scales, sides, outputs) show; if `wait`, NaN where a larger scale must tell."""
    start = np.isnan(seen).argmin(axis=0) + np.arange(3)[:, None, None]  # the first scale that moves, and the next two
    padded = np.concatenate([seen, np.full((2, *seen.shape[1:]), np.nan)])
    one, two, three = np.take_along_axis(padded, start, axis=0)
    more = two > UNLIKE * one
    grows = more & (three > UNLIKE * two)
    of_side = np.where(more, np.where(grows, one, two), np.fmax(one, two))
    steady = np.where(grows, np.nan, of_side)
    error = np.where(np.isnan(steady).all(axis=0), np.fmin(*of_side), np.fmax(*steady))
    enough = ~np.isnan(two) & (~more | ~np.isnan(three))
    return np.where(wait & ~enough.all(axis=0), np.nan, error)


def _sizes(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """About the size of each entry; a zero has that of its neighbours."""
    return rng.uniform(0.5, 1, x.shape) * np.where(x == 0, min(1.0, typical(x)), abs(x))


def _scatter(
    f: Callable[[Sequence[np.ndarray]], np.ndarray],
    xs: Sequence[np.ndarray],
    d: Sequence[np.ndarray],
    shape: tuple[int, ...],
    outputs: np.ndarray,
) -> np.ndarray:
    """The rounding error of these outputs on one side of x; NaN where most steps leave the output unchanged."""

    def at(k: int) -> np.ndarray:
        moved = [x + k * one for x, one in zip(xs, d, strict=True)]
        return guarded(lambda _: f(moved), xs[0], shape)[outputs]

    values = np.array([at(k) for k in range(1, POINTS + 1)])
    moves = (np.diff(values, axis=0) != 0).mean(axis=0) >= 0.5
    scatter = abs(np.diff(values, ORDER, axis=0)).max(axis=0)
    return np.where(moves, DEVIATIONS * scatter, np.nan)
