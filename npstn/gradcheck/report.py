"""The checker's report: the numbers, and a text that leads to the mistake."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from npstn.gradcheck.slopes import JUMP, KINK, OUTSIDE, SMOOTH

WORDS = "no kink", "a kink", "a jump", "an unbounded slope: no gradient is right here", "outside of the domain"


class GradcheckError(AssertionError):
    """A gradient is wrong, or a backward pass breaks a contract. The message is the report's text."""


@dataclass(frozen=True)
class Entry:
    """One comparison: a slope from backward and the same slope from finite differences.

    Attributes:
        name: the derivative that is compared.
        index: the entry of the input that moves; None if several move together.
        analytic, numeric: the slope from backward, and the one from differences.
        left, right: the numeric slopes to either side; kind: what lies there, as in `npstn.gradcheck.slopes`.
        size: the steepest quotient, to which the error is relative.
        noise: the largest error that rounding and the step may have added to the numeric slope.
        step: the step of the differences.
        error: the distance of analytic from numeric, or at a kink from the range between left and right. It is relative
            to size plus a share for atol and noise, infinite for NaN, and at most rtol where the gradient is right.
        output: the number of the output; None where several are weighted.
    """

    name: str
    index: tuple[int, ...] | None
    analytic: float
    numeric: float
    left: float
    right: float
    kind: int
    size: float
    noise: float
    step: float
    error: float
    output: int | None = None

    @property
    def kink(self) -> bool:
        return self.kind == KINK

    def __str__(self) -> str:
        digits = self._digits()
        return (
            f"{self.name}\n"
            f"    analytic     {self.analytic:.{digits}g}\n"
            f"    numeric      {self.numeric:.{digits}g}      relative error {self.error:.1e}\n"
            f"    left, right  {self.left:.10g}, {self.right:.10g}      {WORDS[self.kind]}\n"
            f"    noise floor  {self.noise:.1e}, with a step of {self.step:.1e}"
        )

    def _digits(self) -> int:
        """As many digits as it takes to tell the two slopes apart, but at least ten."""
        unlike = (d for d in range(10, 17) if f"{self.analytic:.{d}g}" != f"{self.numeric:.{d}g}")
        return min(next(unlike, 10) + 1, 17) if self.analytic != self.numeric and self.error > 1e-12 else 10


@dataclass(frozen=True)
class Curve:
    """The relative errors of the central and the extrapolated difference quotient, for each step."""

    name: str
    steps: np.ndarray
    central: np.ndarray
    extrapolated: np.ndarray


@dataclass
class Gradient:
    """The gradient of one input, entry by entry.

    Attributes:
        shape: the shape of the input.
        directions: how many directions the input moved along, 0 if its entries moved in turn; split: the entries that
            moved in turn nevertheless. The arrays below have a number for each direction, then for each such entry.
        errors: the largest error of each entry, over all outputs, as `Entry.error`.
        kinds: what lies at each entry, over all outputs; unseen: whether noise hides the slopes of each entry.
        factors: analytic / numeric at the worst output of each entry.
        worst: the worst comparison.
        together: comparisons of entries that move together.
        random: whether the function gave other numbers in a second call.
        idle: whether the input moves no output, and its gradient is 0.
    """

    name: str
    shape: tuple[int, ...]
    directions: int
    split: np.ndarray
    errors: np.ndarray
    kinds: np.ndarray
    unseen: np.ndarray
    factors: np.ndarray
    worst: Entry | None = None
    together: list[Entry] = dataclasses.field(default_factory=list)
    curve: Curve | None = None
    random: bool = False
    idle: bool = False

    @classmethod
    def empty(cls, name: str, shape: tuple[int, ...], directions: int, split: np.ndarray) -> Gradient:
        """A gradient without comparisons."""
        n = directions + split.size if directions else math.prod(shape)
        return cls(name, shape, directions, split, np.zeros(n), np.zeros(n, int), np.zeros(n, bool), np.full(n, np.nan))

    @np.errstate(all="ignore")
    def add(
        self, lines: np.ndarray, error: np.ndarray, kind: np.ndarray, analytic: np.ndarray, numeric: np.ndarray
    ) -> None:
        """Add comparisons (lines, outputs); several lines may be of one entry."""
        row, most = np.arange(len(error)), error.argmax(axis=1)
        worse = error[row, most] > self.errors[lines]
        self.factors[lines[worse]] = np.where(kind == SMOOTH, analytic / numeric, np.nan)[row, most][worse]
        np.maximum.at(self.errors, lines, error[row, most])
        np.maximum.at(self.kinds, lines, kind.max(axis=1))

    def names_at(self, kind: int) -> list[str]:
        """The names of the derivatives at which this lies."""
        return [self._name(j) for j in np.flatnonzero(self.kinds == kind).tolist()]

    def _name(self, j: int) -> str:
        if self.directions:
            if j < self.directions:
                return f"∂output / ∂{self.name}, many entries moved together"
            j = self.split[j - self.directions]
        index = ", ".join(str(i) for i in np.unravel_index(j, self.shape))
        return f"∂output / ∂{self.name}" + (f"[{index}]" if index else "")

    def faults(self, rtol: float, max_kinks: float, max_unseen: float) -> Iterator[str]:
        """A text for each thing that is wrong with the gradient."""
        if self.random:
            yield (
                "the function gives other numbers in a second call with the same inputs: seed its random numbers "
                "inside of the function"
            )
            return
        wrong = np.flatnonzero(~(self.errors <= rtol))
        if wrong.size:
            yield f"the gradient of {self.name} is wrong {self._where(wrong)}; the worst:\n  {self.worst}"
        elif self.together and max(e.error for e in self.together) > rtol:
            worst = max(self.together, key=lambda e: e.error)
            yield (
                f"the gradient of {self.name} is wrong when entries at a kink move together, though along no entry "
                f"alone: a tie may be counted twice; the worst:\n  {worst}"
            )
        outside = np.flatnonzero(self.kinds == OUTSIDE)
        if outside.size:
            yield (
                f"{self._number(outside)} left the domain, the first at {self._name(int(outside[0]))}: the output is "
                "not finite there, or next to it with the smallest step; choose inputs inside the domain"
            )
        for kind, word in ((KINK, "kink"), (JUMP, "jump")):
            here = np.flatnonzero(self.kinds == kind)
            if self._share(here) > max_kinks:
                yield (
                    f"{self._number(here)} lie at a {word}, but at most {max_kinks:.0%} may: "
                    f"choose inputs away from {word}s, or raise max_kinks"
                )
        unseen = np.flatnonzero(self.unseen)
        if self._share(unseen) > max_unseen:
            yield (
                f"{self._number(unseen)} are unseen, because rounding hides their slopes, but at most {max_unseen:.0%} "
                "may be: take a large constant off the output, choose inputs that move it, compute in float64, or set "
                "atol to the largest slope that counts as zero"
            )

    def _share(self, which: np.ndarray) -> float:
        """The share of the entries, or of the directions, that these are."""
        if not self.directions:
            return which.size / self.errors.size
        along = (which < self.directions).sum()
        return float(along / self.directions + (which.size - along) / math.prod(self.shape))

    def _number(self, which: np.ndarray) -> str:
        along = int((which < self.directions).sum())
        texts = [f"{along} of {self.directions} directions"] if along else []
        if which.size > along:
            texts.append(f"{which.size - along} of {math.prod(self.shape)} entries")
        return f"{' and '.join(texts)} of {self.name}"

    def _where(self, wrong: np.ndarray) -> str:
        """How many entries are wrong, what their indices have in common, and the factor if it is always the same."""
        count = self.errors.size
        text = f"in {wrong.size} of {count} entries"
        if self.directions:
            along = int((wrong < self.directions).sum())
            text = f"along {along} of {self.directions} directions" if along else f"in {wrong.size} entries at a kink"
        if wrong.size < count and not self.directions:
            numbers = [np.unique(axis).tolist() for axis in np.unravel_index(wrong, self.shape)]
            axes = list(zip(numbers, self.shape, strict=True))
            places = [":" if len(some) == n else " or ".join(map(str, some)) for some, n in axes]
            if set(places) != {":"} and all(len(some) <= 8 or len(some) == n for some, n in axes):
                text += f", at [{', '.join(places)}]"
        factors = self.factors[wrong]
        if np.isfinite(factors).all() and np.ptp(factors) <= 1e-3 * abs(factors[0] - 1):
            digits = max(6, 4 + int(-np.log10(abs(factors[0] - 1))) if factors[0] != 1 else 6)
            text += f", {factors[0] + 0:.{digits}g} times the right value"
        return text


@dataclass
class Report:
    """What the checker found about a function. A report is true if it has no faults.

    Attributes:
        gradients: one for each input that was checked.
        contracts: for each contract that was checked, a text that says how it is broken, or "".
        adjoints: the relative difference of <A x, y> and <x, A^T y>, for each input in which the function is linear.
        faults: a text for each thing that is wrong.
        notes: a text for each thing that could not be checked, or that may be unintended.
        seed: the seed that repeats the check.
    """

    name: str
    seed: int
    rtol: float
    gradients: list[Gradient] = dataclasses.field(default_factory=list)
    contracts: dict[str, str] = dataclasses.field(default_factory=dict)
    adjoints: dict[str, float] = dataclasses.field(default_factory=dict)
    faults: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    def __bool__(self) -> bool:
        return not self.faults

    @property
    def entries(self) -> int:
        return sum(g.errors.size for g in self.gradients)

    @property
    def kinks(self) -> list[str]:
        """The names of the derivatives at a kink."""
        return [name for g in self.gradients for name in g.names_at(KINK)]

    @property
    def worst(self) -> Entry | None:
        return max((g.worst for g in self.gradients if g.worst), key=lambda e: e.error, default=None)

    def __str__(self) -> str:
        end = [f"note: {note}" for note in self.notes] + [f"seed {self.seed}, rtol {self.rtol:.0e}"]
        if self.faults:
            return "\n".join([f"{self.name}: {fault}" for fault in self.faults] + end)
        unseen = sum(int(g.unseen.sum()) for g in self.gradients)
        text = f"{self.name}: all {self.entries} slopes are right, {len(self.kinks)} of them at a kink"
        text = text.replace("slopes are", "slopes that can be seen are") + f", {unseen} unseen" if unseen else text
        if self.worst:
            text += f"; the largest error:\n  {self.worst}"
        listed = (("kink", KINK), ("jump", JUMP))
        places = [f"{word}: {name}" for word, kind in listed for g in self.gradients for name in g.names_at(kind)]
        return "\n".join([text] + places + end)

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return {
            "name": self.name,
            "ok": bool(self),
            "entries": self.entries,
            "kinks": self.kinks,
            "worst": dataclasses.asdict(self.worst) if self.worst else None,
            "adjoints": self.adjoints,
            "contracts": self.contracts,
            "faults": self.faults,
            "notes": self.notes,
            "seed": self.seed,
            "rtol": self.rtol,
            "seconds": self.seconds,
        }
