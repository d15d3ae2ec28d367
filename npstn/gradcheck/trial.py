"""What the contracts of one subject share: cotangents, the results for one of them, and how exact these can be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from npstn.gradcheck.pairs import Options
from npstn.gradcheck.subject import Subject

ULP = np.finfo(np.float64).eps

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Trial:
    """A subject with what its contracts share.

    Attributes:
        options: those of the check of the gradients.
        batch: the positions of the inputs whose first axis is the batch.
        v, w: two cotangents.
        expected: the result, and the gradients for v.
        sizes: the size of what was added up in each of them.
    """

    subject: Subject
    options: Options
    batch: Sequence[int]
    v: np.ndarray
    w: np.ndarray
    expected: Arrays
    sizes: dict[str, float]


def results(subject: Subject, dy: np.ndarray, arrays: Sequence[np.ndarray] | None = None) -> Arrays:
    """Copies of the result and of the gradients, each under its name in the report."""
    if arrays is None:
        dy, arrays = dy.copy(), subject.arrays
    y, tensors = subject.call(arrays)
    value = y.data.copy()
    if y.requires_grad:
        y.backward(dy)
    return {what: x.copy() for what, x in named(subject, value, subject.gradients_of(tensors)).items()}


def named(subject: Subject, value: np.ndarray, gradients: Sequence[np.ndarray]) -> Arrays:
    """The result and the gradients under their names in the report."""
    return {
        "the result": value,
        **{f"the gradient of {subject.name_of(k)}": dx for k, dx in enumerate(gradients)},
    }


def sizes(subject: Subject, v: np.ndarray, expected: Arrays) -> dict[str, float]:
    """The size of what was added up in each array: its largest number, or more where its terms cancel.

    All numbers change by a small share of themselves. The change that follows, divided by that share, shows the terms.
    The bend that follows from changes up and down is due to rounding alone, if the share is small enough; divided by
    the rounding error of a 1, it shows what was added up on the way. One bend may be small by chance.

    Where a function is flat, as softmax of large scores is, terms cancel in its gradient that none of these changes
    shows. They are as large as its mean slope makes them: the range of the result (of a single number, its distance
    from 0) over the size of the input.
    """

    def shaken(share: float, few_digits_too: bool) -> Arrays | None:
        dy, *arrays = (_nudged(x, share, few_digits_too) for x in [v, *subject.arrays])
        try:
            return results(subject, dy, arrays)
        except Exception:  # noqa: BLE001 - so far from x the function may have no value
            return None

    found = {what: largest(x) for what, x in expected.items()}
    for share in 2**30 * ULP, 2**20 * ULP:
        if moved := shaken(share, True):
            found = {what: max(found[what], largest(moved[what] - x) / share) for what, x in expected.items()}
            break
    for share in 2**26 * ULP, 2**25 * ULP, 2**24 * ULP:
        above, below = shaken(share, False), shaken(-share, False)
        if above and below:
            for what, x in expected.items():
                found[what] = max(found[what], largest(above[what] + below[what] - 2 * x) / ULP)
    y = expected["the result"]
    reach = largest(v) * largest(y - (y.min() if y.size > 1 else 0))
    for k, x in enumerate(subject.arrays):
        what = f"the gradient of {subject.name_of(k)}"
        found[what] = max(found[what], reach / (largest(x) or np.inf))
    return found


def _nudged(x: np.ndarray, share: float, few_digits_too: bool) -> np.ndarray:
    """Each number a share larger or smaller, equal numbers alike: ties stay ties.

    Numbers of few digits, such as 2 or 0.5, may stand where a function jumps: they can be left alone.
    """
    up = x.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(63)  # as if at random
    moves = few_digits_too | (np.frexp(x)[0] * 2**11 % 1 != 0)
    return x * (1 + share * moves * np.where(up, 1, -1))


def largest(x: np.ndarray) -> float:
    """The largest absolute value among the finite ones."""
    return float(abs(x).max(initial=0.0, where=np.isfinite(x)))


def unequal(what: str, found: np.ndarray, expected: np.ndarray, tolerance: float) -> Iterator[str]:
    """A text if an entry differs by more than the tolerance. Equal infinities agree, and so do two NaN."""
    if found.shape != expected.shape:
        yield f"{what} has shape {found.shape}, not {expected.shape}"
        return
    same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    error = np.where(same, 0.0, abs(found - expected)).max(initial=0.0)  # NaN stays
    smallest = np.finfo(np.float64).tiny  # below it numbers have fewer digits
    if not error <= tolerance + smallest:
        yield f"{what} differs by {error / (largest(expected) or 1.0):.1e}"
