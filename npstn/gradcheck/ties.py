"""Move entries that share a kink together: what no entry alone can show.

max(a, b) at a = b has a kink in a and one in b, so either gradient may be anything from 0 to 1. But a + t, b + t meets
no kink: max grows by t, and the two gradients must add up to 1. So the entries at a kink of one output also move
together, those of all inputs, and pairs of them move against each other, as |a - b| asks for. Each moves by t / gap, so
that max(a, 2 b) loses its kink, too.

Two entries whose kinks are independent, as in relu(a) - relu(b), say nothing new when they move together: their slopes
add up. Such directions are left out.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from npstn.gradcheck.lines import Along, Here
from npstn.gradcheck.slopes import KINK, SMOOTH, Slopes, measure

OUTPUTS, PAIRED = 512, 8  # at most so many outputs are tried, and so many entries of each in pairs


class Kink(NamedTuple):
    """An entry of an input, an output that has a kink there, and its slopes to the left and to the right."""

    k: int
    entry: int
    output: int
    left: float
    right: float


class Tie(NamedTuple):
    """The slope of an output while the entries of some kinks move together, with these shares of the step."""

    kinks: Sequence[Kink]
    shares: np.ndarray
    slopes: Slopes


def ties(
    f: Callable[[Sequence[np.ndarray]], np.ndarray],
    xs: Sequence[np.ndarray],
    here: Here,
    kinks: Sequence[Kink],
    size: float,
    eps: float,
    rtol: float,
) -> Iterator[Tie]:
    """The slopes of each output along directions in which several of its kinks move; size scales the step."""
    by_output: dict[int, list[Kink]] = {}
    for kink in kinks:
        by_output.setdefault(kink.output, []).append(kink)
    shared = [group for group in by_output.values() if len(group) > 1]
    for group in shared[:OUTPUTS]:
        signs = list(_signs(len(group)))
        gaps = np.array([abs(kink.right - kink.left) for kink in group])
        shares = [sign * gaps.min() / gaps for sign in signs]
        directions = [_direction(xs, group, size * share) for share in shares]
        slopes = measure(Along(f, xs, here, directions, eps), rtol)
        for line, share in enumerate(shares):
            found = Slopes(*(np.broadcast_to(field, slopes.slope.shape)[line, group[0].output] for field in slopes))
            # per unit of t, not per step
            found = Slopes._make([*(number / size for number in found[:5]), *found[5:]])
            if not _apart(group, share, found):
                yield Tie(group, share, found)


def _signs(count: int) -> Iterator[np.ndarray]:
    """All together; then each pair, with one sign and with two."""
    yield np.ones(count)
    for one, other in itertools.combinations(range(min(count, PAIRED)), 2):
        for sign in (1.0, -1.0):
            pair = np.zeros(count)
            pair[one], pair[other] = 1.0, sign
            if count > 2 or sign < 0:
                yield pair


def _direction(xs: Sequence[np.ndarray], group: Sequence[Kink], shares: np.ndarray) -> list[np.ndarray]:
    d = [np.zeros_like(x) for x in xs]
    for kink, share in zip(group, shares, strict=True):
        d[kink.k].flat[kink.entry] = share
    return d


def _apart(group: Sequence[Kink], shares: np.ndarray, found: Slopes) -> bool:
    """Whether the slopes of the kinks simply add up."""
    sides = np.array([(kink.left, kink.right) for kink in group])
    forward = np.where(shares > 0, sides[:, 1], sides[:, 0]) @ shares  # t > 0 moves an entry with a share < 0 down
    backward = np.where(shares > 0, sides[:, 0], sides[:, 1]) @ shares
    left, right = (found.left, found.right) if found.kind == KINK else (found.slope, found.slope)
    if found.kind not in (KINK, SMOOTH):
        return True
    tolerance = 1e-3 * abs(sides).max()
    return bool(abs(forward - right) <= tolerance and abs(backward - left) <= tolerance)
