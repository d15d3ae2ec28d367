"""The lines through the inputs along which `slopes` measures.

    Entries   each entry of an input moves alone, and every output is read
    Apart     all entries of an input move at once, and each output is read for the one entry that moves it
    Along     the entries move together along given directions

Which entry an output belongs to is found by moving half of the entries, once for each binary digit b of their numbers:
those with b = 1, then those with b = 0. An output that moves in exactly one of the two halves, for every b, follows one
entry, and the digits spell that entry's number. An output that follows two entries moves in both halves of a digit in
which their numbers differ. So 2 log2(n) calls find all outputs that follow one entry, and one call measures them all:
an elementwise function of a million entries costs no more calls than one of twenty.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from npstn.gradcheck.slopes import DOWN, NEAR, UP

Map = Callable[[np.ndarray], np.ndarray]


class Here(NamedTuple):
    """The outputs at the point, and the rounding error of each, flat."""

    y: np.ndarray
    noise: np.ndarray


def steps_for(x: np.ndarray, eps: float) -> np.ndarray:
    """(n, levels): the steps of each entry, from the largest to the smallest; NaN where there is none.

    They follow the size of the entry, or that of its neighbours where they are larger. An entry that is small among its
    neighbours has further levels, for its own size.
    """
    own = abs(x.ravel())
    base = np.maximum(own, min(1.0, typical(x)))
    levels = eps * base[:, None] * np.array([*UP, 1.0, *DOWN])
    below = eps * own[:, None] * np.array([1.0, *DOWN[:3]])
    return np.hstack([levels, np.where((below > 0) & (below < levels[:, -1:]), below, np.nan)])


def typical(x: np.ndarray) -> float:
    """The root mean square of the entries, or 1 where all are zero. Nothing in it overflows."""
    largest = abs(x).max(initial=0.0)
    return float(largest * np.sqrt(np.mean((x / largest) ** 2))) if np.isfinite(largest) and largest > 0 else 1.0


def guarded(f: Map, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """f(x), flat; NaN if f raises an exception, as it may outside of its domain."""
    try:
        return f(x).ravel()
    except Exception:  # noqa: BLE001 - it did not raise one at the point itself, so it is the move that left the domain
        return np.full(int(np.prod(shape)), np.nan)


class Entries:
    """Each of these entries alone."""

    few_calls = False

    def __init__(self, f: Map, x: np.ndarray, here: Here, steps: np.ndarray, entries: np.ndarray) -> None:
        self.f, self.x, self.shape, self.entries = f, x, here.y.shape, entries
        self.y, self.noise = here.y.reshape(1, -1), here.noise[None]
        self.steps, self.sizes = steps[entries], abs(x.ravel()[entries, None])

    def values(self, t: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, moved = np.empty((len(active), self.y.shape[1])), np.empty((len(active), 1))
        for row, (line, step) in enumerate(zip(active, t[:, 0], strict=True)):
            x = self.x.copy()
            j = self.entries[line]
            x.flat[j] += step
            moved[row] = x.flat[j] - self.x.flat[j]
            values[row] = guarded(self.f, x, self.shape)
        return values, moved


class Apart:
    """All entries at once; each line is an output, and the entry that it follows."""

    few_calls = True

    def __init__(
        self, f: Map, x: np.ndarray, here: Here, steps: np.ndarray, outputs: np.ndarray, owners: np.ndarray
    ) -> None:
        self.f, self.x, self.shape, self.outputs, self.owners = f, x, here.y.shape, outputs, owners
        self.y, self.noise = here.y.reshape(-1, 1)[outputs], here.noise[outputs, None]
        self.steps, self.sizes = steps[owners], abs(x.ravel()[owners, None])

    def values(self, t: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, owners = self.x.copy(), self.owners[active]
        x.flat[owners] = self.x.flat[owners] + t[:, 0]
        moved = (x.flat[owners] - self.x.flat[owners])[:, None]
        return guarded(self.f, x, self.shape)[self.outputs[active], None], moved


class Along:
    """Directions through all inputs; each is a list of arrays, one for each input, with entries of the size of x."""

    few_calls = False

    def __init__(
        self,
        f: Callable[[Sequence[np.ndarray]], np.ndarray],
        xs: Sequence[np.ndarray],
        here: Here,
        directions: Sequence[Sequence[np.ndarray]],
        eps: float,
    ) -> None:
        self.f, self.xs, self.shape, self.directions = f, xs, here.y.shape, directions
        self.y, self.noise, self.sizes = here.y.reshape(1, -1), here.noise[None], np.ones((len(directions), 1))
        own = [np.nan] * 4
        self.steps = np.array([[*(eps * k for k in UP), eps, *(eps * k for k in DOWN), *own]] * len(directions))

    def values(self, t: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values = np.empty((len(active), self.y.shape[1]))
        for row, (line, step) in enumerate(zip(active, t[:, 0], strict=True)):
            moved = [x + step * d for x, d in zip(self.xs, self.directions[line], strict=True)]
            values[row] = guarded(lambda _, moved=moved: self.f(moved), self.xs[0], self.shape)  # type: ignore[misc]
        return values, t


def owners_of(f: Map, x: np.ndarray, y: np.ndarray, steps: np.ndarray) -> np.ndarray | None:
    """For each output the entry that it follows, or -1 for none. None if an output follows several entries."""
    numbers = np.arange(x.size)
    owners, touched = np.zeros(y.size, int), np.zeros(y.size, bool)
    for digit in range(max(1, int(x.size - 1).bit_length())):
        ones = (numbers >> digit) & 1 == 1
        moved = [_moved(f, x, y, np.where(half, steps, 0.0)) for half in (ones, ~ones)]
        if (moved[0] & moved[1]).any() or (digit and ((moved[0] | moved[1]) != touched).any()):
            return None
        touched = moved[0] | moved[1]
        owners += moved[0] * (1 << digit)
    return np.where(touched, owners, -1)


def classes_of(owners: Sequence[np.ndarray]) -> np.ndarray:
    """Classes of outputs that follow different entries of each input, as few as they come; owners: one for each input.

    An output that no earlier one shares an entry with joins the first class; the others go on to the next class.
    """
    left = np.arange(owners[0].size)
    classes = np.zeros(left.size, int)
    while left.size:
        free, place = np.ones(left.size, bool), np.arange(left.size)
        for o in owners:
            mine = o[left]
            first = np.empty(o.max() + 2, int)
            first[mine[::-1]] = place[::-1]  # of equal places the last one written stays
            free &= (mine < 0) | (first[mine] == place)
        left = left[~free]
        classes[left] += 1
    return classes


def _moved(f: Map, x: np.ndarray, y: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Which outputs change while the entries move by these steps, up or down."""
    moved = np.zeros(y.size, bool)
    for share in (1.0, -1.0, DOWN[NEAR - 1], -DOWN[NEAR - 1]):  # near x, too: see `measure`
        values = guarded(f, x + share * steps.reshape(x.shape), y.shape)
        same = (values == y.ravel()) | (np.isnan(values) & np.isnan(y.ravel()))
        moved |= ~same
    return moved
