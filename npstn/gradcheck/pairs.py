"""The slopes that differences give, next to those that backward gives, and how far the two differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from npstn.gradcheck.report import Entry
from npstn.gradcheck.slopes import OUTSIDE, SEEN, Slopes


@dataclass(frozen=True)
class Options:
    """How to compare, with the checker's defaults; `gradcheck` says what each option means."""

    eps: float = 1e-3
    atol: float = 0.0
    rtol: float = 1e-9
    seed: int = 0
    max_entries: int = 5000
    directions: int = 16
    max_kinks: float = 0.1
    max_unseen: float = 0.5
    curve: bool = False


class Pairs(NamedTuple):
    """Slopes of some lines, (lines, outputs), with the slopes that backward gives.

    lines: the number of the entry, or of the direction, for each line; outputs: (lines, outputs) or (1, outputs).
    """

    slopes: Slopes
    analytic: np.ndarray
    lines: np.ndarray
    outputs: np.ndarray


def judged(s: Slopes, analytic: np.ndarray, options: Options) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each pair: the error of the gradient, whether the slope is seen, and whether all agree that it is zero."""
    atol, rtol = options.atol, options.rtol
    with np.errstate(all="ignore"):
        distance = np.where(s.kind == OUTSIDE, 0.0, s.distance(analytic))
        error = np.where(distance == 0, 0.0, distance / ((atol + s.error) / rtol + s.steepest))
        error = np.where(np.isnan(error) | np.isinf(distance) | ~np.isfinite(analytic), np.inf, error)
        error = np.where(s.kind == OUTSIDE, 0.0, error)  # nothing to compare with: a fault of its own
        zero = (abs(analytic) <= atol) & (abs(s.slope) <= atol + s.error)
        return error, s.error <= SEEN * s.steepest, zero


def entry_of(
    name: str,
    index: tuple[int, ...] | None,
    s: Slopes,
    analytic: np.ndarray,
    error: np.ndarray,
    place: tuple[int, int],
    output: int | None = None,
) -> Entry:
    s = Slopes(*(np.broadcast_to(field, error.shape)[place] for field in s))
    return Entry(
        name,
        index,
        analytic=float(analytic[place]),
        numeric=float(s.slope),
        left=float(s.left),
        right=float(s.right),
        kind=int(s.kind),
        size=float(s.steepest),
        noise=float(s.error),
        step=float(s.step),
        error=float(error[place]),
        output=output,
    )


def place_of_largest(a: np.ndarray) -> tuple[int, int]:
    """The row and the column of the largest number; a single column stands for all."""
    row, column = np.unravel_index(int(a.argmax()), a.shape)
    return int(row), int(column)


def unravelled(number: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(number, shape))


def brackets(index: tuple[int, ...]) -> str:
    return f"[{', '.join(str(i) for i in index)}]" if index else ""
