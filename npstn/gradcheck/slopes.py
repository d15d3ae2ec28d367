"""Measure slopes by finite differences: how outputs change along a line, and whether a kink or a jump lies there.

    f, x, y   the function, the point, and the value y = f(x)
    t         how far the point moves along a line, in either direction
    h         the largest t of a level: three t are tried, h, r h and r^2 h, with r = e^(-1/2) = 0.61
    u         the error that rounding may have added to a value of f: e + 2 |slope| ulp(x); e is the measured error of f
              (see `noise`), and at least 2 ulp(f)

e is transcendental: no polynomial with whole coefficients is zero there. So no period fits all three steps, and no kink
at a round place makes them agree by chance. Steps of unlike size that agree are evidence; two steps of 1 : 2 are not.

    right(t) = (f(x + t) - f(x)) / t    left(t) = (f(x) - f(x - t)) / t    central(t) = (f(x + t) - f(x - t)) / 2t

The error of each is a series in t. Three steps remove its first two terms (Richardson's extrapolation):

    right, left   of the terms t and t^2      error O(t^3)
    central       of the terms t^2 and t^4    error O(t^6), and none where f is a polynomial up to the sixth degree

What the last removal changed is taken for the truncation error. It overstates that error where t is small enough, and
it is large where t is too large. Rounding adds at most (sum of |weights|) u / t, the noise. The gap is right - left, as
t goes to 0: no curvature is left in it. The steepest of right(h), left(h) and the slope is the scale of an error.

A pair of an output and a line is settled at a level if truncation is below the noise or a share rtol of the steepest,
and so is the gap. If not, h is divided by ten, again and again. If the noise hides the slope, h grows instead. A level
with a larger step is refuted if a smaller step disagrees beyond both errors. Then the gaps tell what lies at x:

    the gap falls with h         smooth: the slope of the level with the least error
    the gap stays as h falls     a kink: any slope between left and right
    the gap grows with 1 / h     a jump: the slopes of the two sides, without the value at x itself
    the gap grows more slowly    an unbounded slope, as of sqrt|x| at 0: no slope at all
    no value is finite           left the domain

So x^7 at 0 is no kink, however flat, and |x| at 1e-9 is none, however near. All this follows from forward alone, for
each output alone: nothing here knows the gradient under test, so a wrong gradient cannot look like a kink.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

RATIO = np.exp(-0.5)
SHARES = 1.0, RATIO, RATIO**2
ULP = np.finfo(np.float64).eps

# Errors of a slope, as shares of it:
SEEN = 1e-3  # up to it the slope is seen; a mistake of a thousandth shows
FAR = 1e-5  # the same for steps of the size of x: they see the function from afar, so they must fit better
COARSE = 0.1  # where no step sees the slope, its first digit is better than nothing: a wrong sign still shows

# The growth of a gap as h falls to a tenth: 1 at a kink, 10 at a jump, sqrt(10) = 3.2 for sqrt|x|.
GROWS, JUMPS = 1.7, 5.0  # about halfway between them, as factors

SMOOTH, KINK, JUMP, UNBOUNDED, OUTSIDE = range(5)

# The levels: h as multiples of the first step, and, for entries that are small among the others, of their own size.
UP = 1e3, 1e2, 1e1
DOWN = tuple(10.0**-k for k in range(1, 11))
FIRST = len(UP)
NEAR = 4  # so many levels below the first one a second one must agree, where a level costs few calls


class Lines(Protocol):
    """Some lines through x, each with the outputs that are read along it.

    Attributes:
        few_calls: whether a level costs the same few calls for any number of lines.
        steps: (lines, levels), h for each level in falling order; NaN where a line has no such level.
        y: the outputs at x; noise: their rounding errors; sizes: |x| on each line, in units of the step. All broadcast
            to (lines, outputs).
    """

    few_calls: bool
    steps: np.ndarray
    y: np.ndarray
    noise: np.ndarray
    sizes: np.ndarray

    def values(self, t: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The outputs (active lines, outputs) after a move by t, and how far each line moved, as floating point has it.

        NaN where f raises an exception.
        """


class Level(NamedTuple):
    """What one level says about each pair of a line and an output: arrays (lines, outputs), step (lines, 1)."""

    slope: np.ndarray
    left: np.ndarray
    right: np.ndarray
    error: np.ndarray  # truncation and noise of slope
    side_error: np.ndarray  # those of left and right
    noise: np.ndarray  # that of the gap
    steepest: np.ndarray  # NaN where a value is not finite
    beyond_left: np.ndarray  # the slopes of the two sides without the value at x
    beyond_right: np.ndarray
    wobble: np.ndarray  # how far the extrapolations from two steps differ
    settled: np.ndarray  # bool
    dead: np.ndarray  # bool: the output is 0 and stays so
    step: np.ndarray


class Slopes(NamedTuple):
    """The slope of each pair, (lines, outputs): what it is, where it may lie, and how well it is known.

    At a kink `left` and `right` are the slopes of the two sides; at a jump they are those without the value at x.
    """

    slope: np.ndarray
    left: np.ndarray
    right: np.ndarray
    error: np.ndarray
    steepest: np.ndarray
    kind: np.ndarray
    step: np.ndarray

    def distance(self, slope: np.ndarray) -> np.ndarray:
        """How far a slope lies from those that the differences allow."""
        low, high = np.minimum(self.left, self.right), np.maximum(self.left, self.right)
        outside = np.maximum(np.maximum(low - slope, slope - high), 0)
        sides = np.minimum(abs(slope - self.left), abs(slope - self.right))
        return np.choose(self.kind, [abs(slope - self.slope), outside, sides, np.inf, np.inf])


def extrapolated(q: Sequence[np.ndarray] | np.ndarray, first: int, second: int) -> tuple[np.ndarray, np.ndarray]:
    """The quotients q of three steps without the terms h^first and h^second, and what the second removal changed."""
    a, b = RATIO**first, RATIO**second
    once, twice = (q[1] - a * q[0]) / (1 - a), (q[2] - a * q[1]) / (1 - a)
    best = (twice - b * once) / (1 - b)
    return best, abs(best - twice)


def _weights(first: int, second: int) -> np.ndarray:
    """The weights of the three quotients in `extrapolated`."""
    return extrapolated(np.eye(3), first, second)[0]


CENTRAL_NOISE = (abs(_weights(2, 4)) / SHARES).sum()  # times u / h
SIDE_NOISE = 2 * (abs(_weights(1, 2)) / SHARES).sum()
# g(t) = jump + slope t + curvature t^2 through three points: the weights of g in the slope
_BEYOND = np.linalg.inv(np.vander(SHARES, increasing=True))[1]


def measure(lines: Lines, rtol: float) -> Slopes:
    """The slopes along the lines."""
    with np.errstate(all="ignore"):
        every = np.arange(len(lines.steps))
        first = _level(lines, FIRST, every, rtol)
        if lines.few_calls:
            # A feature far narrower than the step, odd around x, moves nothing at any of its points.
            near = _level(lines, FIRST + NEAR, every, rtol)
            agree = ~(abs(first.slope - near.slope) > 2 * (first.error + near.error))
            first = first._replace(settled=first.settled & agree)
        found = _verdict([first], rtol)
        left = np.flatnonzero(~first.settled.all(axis=1) | ~_clear(first, rtol).any(axis=1))
        if left.size:
            levels = _further(lines, left, first, rtol)
            for whole, part in zip(found, _verdict(levels, rtol), strict=True):
                whole[left] = part
        return found


def _clear(level: Level, rtol: float) -> np.ndarray:
    """The pairs whose slope no noise hides: a larger step is of no use to them."""
    return (level.error <= rtol * level.steepest) | level.dead


def _further(lines: Lines, left: np.ndarray, first: Level, rtol: float) -> list[Level]:
    """The levels of those lines that the first level leaves open, from the largest step to the smallest.

    The steps fall until all outputs of a line are settled; they grow until one of its outputs is clear.
    """
    start = Level(*(field[left] for field in first))
    levels: list[Level] = [start] * lines.steps.shape[1]
    clear: np.ndarray = np.asarray(_clear(start, rtol).any(axis=1))
    open_: np.ndarray = np.asarray(~start.settled.all(axis=1))
    downward = range(FIRST + 1, len(levels))
    for k in (*downward, *reversed(range(FIRST))):
        goes = (open_ if k > FIRST else ~clear) & np.isfinite(lines.steps[left, k])
        levels[k] = Level._make(np.full_like(field, np.nan if field.dtype == float else False) for field in start)
        if not goes.any():
            continue
        for whole, part in zip(levels[k], _level(lines, k, left[goes], rtol), strict=True):
            whole[goes] = part
        clear[goes] |= np.asarray(_clear(levels[k], rtol))[goes].any(axis=1)
        settled: np.ndarray = np.asarray((levels[k].settled | _settled_before(levels, k)).all(axis=1))
        if not lines.few_calls or k >= FIRST + NEAR:
            open_[goes] &= ~settled[goes]
    return levels


def _settled_before(levels: list[Level], k: int) -> np.ndarray:
    return np.any([level.settled for level in levels[FIRST:k]], axis=0)


def _level(lines: Lines, k: int, active: np.ndarray, rtol: float) -> Level:
    """The quotients at the level k for the active lines, and what they say."""
    h = lines.steps[active, k][:, None]
    here = (np.broadcast_to(a, (len(lines.steps), a.shape[1]))[active] for a in (lines.y, lines.noise, lines.sizes))
    y, rounding, size = here
    largest = abs(y)
    above, below, right, left, central = [], [], [], [], []
    for share in SHARES:
        (high, up), (low, down) = lines.values(share * h, active), lines.values(-share * h, active)
        above.append(high - y)
        below.append(low - y)
        right.append(above[-1] / up)
        left.append(below[-1] / down)
        central.append((high - low) / (up - down))
        largest = np.maximum(largest, np.maximum(abs(high), abs(low)))
    (r, r_error), (l, l_error) = extrapolated(right, 1, 2), extrapolated(left, 1, 2)
    slope, truncation = extrapolated(central, 2, 4)
    wobble = truncation * (1 - RATIO**4) / RATIO**4
    steepest = np.maximum(np.maximum(abs(right[0]), abs(left[0])), abs(slope))
    steepest = np.where(np.isfinite(r) & np.isfinite(l), steepest, np.nan)
    noise = np.maximum(rounding / h, 2 * ULP / h * largest) + 2 * ULP * steepest * (size / h + 1)  # u / h
    sides = r_error + l_error < truncation  # where the curvature jumps the series of central has odd terms
    slope, truncation = np.where(sides, (r + l) / 2, slope), np.minimum(truncation, r_error + l_error)
    side_noise = SIDE_NOISE * noise
    # Values of f that cancelled on their way carry more than their own last digits: the gap shows it.
    error = truncation + np.where(sides, side_noise, CENTRAL_NOISE * noise) + np.minimum(abs(r - l) / 2, side_noise)
    tolerable = rtol * steepest
    settled = (truncation <= tolerable + CENTRAL_NOISE * noise) & (
        abs(r - l) <= tolerable + 2 * side_noise + np.minimum(2 * (r_error + l_error), SEEN * steepest)
    )
    beyond = [sum(w * g for w, g in zip(_BEYOND, side, strict=True)) / h for side in (below, above)]
    side_error = r_error + l_error + side_noise
    return Level(
        slope, l, r, error, side_error, 2 * side_noise, steepest, -beyond[0], beyond[1], wobble, settled,
        (y == 0) & (steepest == 0), h,
    )  # fmt: skip


def _verdict(levels: list[Level], rtol: float) -> Slopes:
    """What the levels say together. They are in the order of falling steps."""
    at = Level(*(np.stack(fields) for fields in zip(*levels, strict=True)))
    error = _no_luckier_than_below(at) if len(levels) > 1 else at.error
    share, best = _choice(at, error)
    known = np.isfinite(share.min(axis=0))
    # No level shows this slope: the outputs may stand still, so the bound is wider.
    error = np.where(known, error, 2 * error + _gap(at))
    kind = np.where(np.isfinite(at.steepest).any(axis=0), SMOOTH, OUTSIDE)
    slope, left, right, error, steepest, step = (
        _pick(field, best) for field in (at.slope, at.left, at.right, error, at.steepest, at.step)
    )
    found = Slopes(slope, left, right, error, steepest, kind, step)
    return found if len(levels) == 1 else _with_kinks(found, at, share.min(axis=0), rtol)


def _gap(at: Level) -> np.ndarray:
    return np.asarray(abs(at.right - at.left))


def _pick(field: np.ndarray, level: np.ndarray) -> np.ndarray:
    """The numbers of one level for each pair."""
    return np.take_along_axis(np.broadcast_to(field, (len(field), *level.shape)), level[None], axis=0)[0]


def _over_smaller_steps(accumulate: np.ufunc, field: np.ndarray, start: float) -> np.ndarray:
    """For each level the maximum or minimum over all levels with smaller steps."""
    shifted = np.concatenate([field[1:], np.full_like(field[:1], start)])
    return np.asarray(accumulate.accumulate(shifted[::-1], axis=0)[::-1])


def _no_luckier_than_below(at: Level) -> np.ndarray:
    """The errors. Truncation falls with h: what a smaller step adds to f must not be luckily small at a larger one."""
    added = np.where(np.isfinite(at.steepest), (2 * at.wobble + _gap(at)) * at.step, 0.0)
    return np.asarray(np.maximum(at.error, _over_smaller_steps(np.maximum, added, 0.0) / at.step))


def _choice(at: Level, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The error of each level that may be trusted as a share of its slope, infinite for others; and the best level."""
    valid, number = np.isfinite(at.steepest), np.arange(len(error))[:, None, None]
    several = len(error) > 1
    # Far from x the function may be another one: a level is refuted if one nearer to x disagrees beyond both errors.
    low = _over_smaller_steps(np.maximum, np.where(valid, at.slope - 2 * error, -np.inf), -np.inf)
    high = _over_smaller_steps(np.minimum, np.where(valid, at.slope + 2 * error, np.inf), np.inf)
    valid &= (at.slope + 2 * error >= low) & (at.slope - 2 * error <= high)
    near = valid & (number >= (FIRST if several else 0))
    bound = error + (_gap(at) / 2 if several else 0)
    share = bound / at.steepest
    good = valid & ((at.settled & (share <= 0.5)) | (share <= np.where(near, SEEN, FAR)))
    trusted = np.where(good.any(axis=0), good, near & (share <= COARSE))
    share = np.where(trusted & ~np.isnan(share), share, np.inf)
    least = np.where(near & ~np.isnan(bound), bound, np.inf)
    best = np.where(np.isfinite(share.min(axis=0)), share.argmin(axis=0), least.argmin(axis=0))
    return share, best


def _with_kinks(found: Slopes, at: Level, share: np.ndarray, rtol: float) -> Slopes:
    """The slopes, and at kinks and jumps those of the two sides. share: the error of the best level, of its slope."""
    gap, number = _gap(at), np.arange(len(at.step))[:, None, None]
    plain = np.isfinite(at.steepest) & (number >= FIRST) & (at.noise <= 0.1 * gap) & (gap > rtol * at.steepest)
    kind, deepest = _kinds(at, plain, found.kind, share)
    # At a kink the best of the levels that show it; at a jump the one at which the sides have settled.
    shows = plain & (abs(gap - deepest) <= 0.1 * deepest)
    kinked = np.where(shows, at.noise + at.side_error, np.inf).argmin(axis=0)
    changes = np.stack([abs(side - np.roll(side, 1, axis=0)) for side in (at.beyond_left, at.beyond_right)]).max(axis=0)
    beyond_error = np.where(plain & (number > 0) & ~np.isnan(changes), changes + at.noise, np.inf)
    jumped = beyond_error.argmin(axis=0)

    def replaced(field: str, at_kink: np.ndarray, at_jump: np.ndarray) -> np.ndarray:
        otherwise = np.where(kind == JUMP, _pick(at_jump, jumped), getattr(found, field))
        return np.where(kind == KINK, _pick(at_kink, kinked), otherwise)

    left, right = replaced("left", at.left, at.beyond_left), replaced("right", at.right, at.beyond_right)
    return Slopes(
        np.where((kind == KINK) | (kind == JUMP), (left + right) / 2, found.slope),
        left,
        right,
        replaced("error", at.side_error, beyond_error),
        np.where(kind == JUMP, np.maximum(abs(left), abs(right)), replaced("steepest", at.steepest, at.steepest)),
        kind,
        replaced("step", at.step, at.step),
    )


def _kinds(at: Level, plain: np.ndarray, kind: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What lies at x, and the gap at the smallest step that shows it; plain: where a gap stands out from its noise."""
    gap, valid, number = _gap(at), np.isfinite(at.steepest), np.arange(len(at.step))[:, None, None]
    levels, below = [], np.array(len(number))
    for _ in range(3):  # the three smallest steps with a plain gap
        below = np.where(plain & (number < below), number, -1).max(axis=0)
        levels.append(below)
    gaps = [_pick(gap, np.maximum(level, 0)) for level in levels]
    refuted = (valid & (number > levels[0]) & (gap + at.noise < gaps[0] / 2)).any(axis=0)
    stands = (levels[0] >= 0) & ~refuted
    growth, growth_before = gaps[0] / gaps[1], gaps[1] / gaps[2]
    stays = (levels[1] < 0) | (growth < GROWS)
    # Where a level fits well without a kink, a small gap may be an error: it must stay the same to be one.
    smooth = share <= SEEN
    steady = (levels[2] >= 0) & (abs(growth - 1) < 0.1) & (abs(growth_before - 1) < 0.1)
    kink, jump = stands & np.where(smooth, steady, stays), stands & ~smooth & ~stays
    kind = np.where(kink, KINK, np.where(jump, np.where(growth < JUMPS, UNBOUNDED, JUMP), kind))
    # The same on both sides, as in the cube root of x at 0: there is no gap, and the slope grows without end.
    last = np.where(valid, number, -1).max(axis=0)
    both = np.where(at.left * at.right > 0, np.minimum(abs(at.left), abs(at.right)), 0.0)
    steep = [_pick(both, np.maximum(last - k, 0)) for k in range(3)]
    grows = (last >= 2) & (steep[2] > 0) & (steep[0] > GROWS * steep[1]) & (steep[1] > GROWS * steep[2])
    grows &= _pick(at.noise, np.maximum(last, 0)) < 0.1 * steep[0]
    return np.where((kind == SMOOTH) & ~smooth & grows, UNBOUNDED, kind), gaps[0]
