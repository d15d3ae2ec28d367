"""Choose the directions along which a large input moves, and find single entries by halving.

An error hides behind terms that are 1e9 times larger. So the entries are put into groups: within one the slopes differ
by three decades at most. A direction moves one group, and the groups take turns. The slopes for this are those of
backward; where they are wrong, an entry moves among others than its like, and its error is the larger for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

SPLIT = 64  # at most so many entries at a kink are split off
DECADES = 3  # of slopes in a group


def alike(slopes: np.ndarray, without: np.ndarray, most: int) -> list[np.ndarray]:
    """Groups of entries whose slopes are alike, at most so many: the last one holds all smaller ones too."""
    with np.errstate(all="ignore"):
        decades = np.log10(slopes / slopes.max(initial=0.0)) / -DECADES
    level = np.clip(np.nan_to_num(decades, nan=0.0, posinf=most), 0, most - 1).astype(int)
    level[without] = -1
    return [np.flatnonzero(level == k) for k in np.unique(level[level >= 0])]


def only(d: np.ndarray, entries: np.ndarray) -> np.ndarray:
    """d at these entries, and zeros elsewhere."""
    kept = np.zeros_like(d)
    kept.flat[entries] = d.flat[entries]
    return kept


def entries_at_kinks(kinked: Callable[[Sequence[np.ndarray]], np.ndarray], d: np.ndarray) -> np.ndarray:
    """The entries that make a kink in direction d; none if they are more than `SPLIT`.

    `kinked` says which directions have a kink. A part that has one is halved, until its entries are alone.
    """
    waiting: list[np.ndarray] = [np.arange(d.size)]
    found: list[int] = []
    while waiting and len(waiting) + len(found) <= SPLIT:
        halved = [part for part, kink in zip(waiting, kinked([only(d, part) for part in waiting]), strict=True) if kink]
        found += [int(part[0]) for part in halved if len(part) == 1]
        waiting = [half for part in halved if len(part) > 1 for half in np.array_split(part, 2)]
    return np.array(sorted(found) if not waiting else [], int)


def entry_with_most(errors: Callable[[Sequence[np.ndarray]], Sequence[float]], d: np.ndarray) -> int:
    """The entry that has most of the error of direction d: the half with the larger error is kept."""
    entries = np.flatnonzero(d)
    while len(entries) > 1:
        halves = np.array_split(entries, 2)
        entries = halves[int(np.argmax(errors([only(d, half) for half in halves])))]
    return int(entries[0])
