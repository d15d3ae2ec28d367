"""The checker's report: the numbers, and a text that leads to the mistake."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


class GradcheckError(AssertionError):
    """A gradient is wrong, or a backward pass breaks a contract. The message is the report's text."""


@dataclass(frozen=True)
class Entry:
    """One comparison: a slope from backward and the same slope from finite differences.

    Attributes:
        name: the derivative that is compared.
        index: the entry of the input that moves; None if all entries move together.
        analytic, numeric: the slope from backward, and the one from differences.
        left, right: the numeric slopes to either side; kink: whether they differ.
        size: the sum of the absolute slopes of all outputs.
        noise: the largest error that rounding may have added to the numeric slope.
        step: the step of the differences.
        error: the distance of analytic from numeric, or at a kink from the range between left and right. It is relative
            to size plus a share for atol and noise, infinite for NaN, and at most rtol where the gradient is right.
    """

    name: str
    index: tuple[int, ...] | None
    analytic: float
    numeric: float
    left: float
    right: float
    kink: bool
    size: float
    noise: float
    step: float
    error: float

    def __str__(self) -> str:
        return (
            f"{self.name}\n"
            f"    analytic     {self.analytic:.10g}\n"
            f"    numeric      {self.numeric:.10g}      relative error {self.error:.1e}\n"
            f"    left, right  {self.left:.10g}, {self.right:.10g}      {'a kink' if self.kink else 'no kink'}\n"
            f"    noise floor  {self.noise:.1e}, with a step of {self.step:.1e}"
        )


@dataclass(frozen=True)
class Curve:
    """The relative errors of the central and the extrapolated difference quotient, for each step."""

    name: str
    steps: np.ndarray
    central: np.ndarray
    extrapolated: np.ndarray


@dataclass(frozen=True)
class Gradient:
    """The gradient of one input: all comparisons, and the worst one, reduced to a single output if it is wrong."""

    name: str
    entries: list[Entry]
    worst: Entry
    curve: Curve | None = None

    @property
    def single(self) -> list[Entry]:
        """The comparisons along single entries, or those along directions if there are no others."""
        return [e for e in self.entries if e.index is not None] or self.entries

    @property
    def kinks(self) -> list[Entry]:
        return [e for e in self.single if e.kink]

    def faults(self, atol: float, rtol: float, max_kinks: float) -> Iterator[str]:
        """A text for each thing that is wrong with the gradient."""
        if any(not e.error <= rtol for e in self.entries):
            yield f"the gradient of {self.name} is wrong {self._where(rtol)}; the worst:\n  {self.worst}"
        count, visible = len(self.single), atol + rtol * max(e.size for e in self.entries)
        noises = [e.noise for e in self.single if not e.kink and e.noise > visible]
        if len(self.kinks) > max_kinks * count:
            yield (
                f"{len(self.kinks)} of {count} slopes along {self.name} have a kink, but at most {max_kinks:.0%} may: "
                "choose inputs away from kinks, or raise max_kinks"
            )
        if len(noises) > max_kinks * count:
            yield (
                f"{len(noises)} of {count} slopes along {self.name} drown in noise of up to {max(noises):.1e}, but "
                f"errors of {visible:.1e} must be visible: is the function random, or not computed in float64? If its "
                "slope is zero, set atol to the largest slope that counts as zero"
            )

    def _where(self, rtol: float) -> str:
        """How many entries are wrong, what their indices have in common, and the factor if it is always the same."""
        wrong = [e for e in self.single if not e.error <= rtol]
        if not wrong:
            return "when all entries move together, though along no entry alone: a tie may be counted twice"
        single = self.single[0].index is not None
        text = (
            f"{'in' if single else 'along'} {len(wrong)} of {len(self.single)} {'entries' if single else 'directions'}"
        )
        if single and len(wrong) < len(self.single):
            axes = zip(_numbers_per_axis(wrong), _numbers_per_axis(self.single), strict=True)
            places = [":" if some == every else " or ".join(map(str, some)) for some, every in axes]
            text += f", at [{', '.join(places)}]" if set(places) != {":"} else ""
        with np.errstate(all="ignore"):
            factors = np.array([e.analytic for e in wrong]) / np.array([e.numeric for e in wrong])
        if np.isfinite(factors).all() and np.ptp(factors) <= 1e-3 * abs(factors[0] - 1):
            text += f", {factors[0] + 0:.6g} times the right value"
        return text


def _numbers_per_axis(entries: Sequence[Entry]) -> list[list[int]]:
    """The numbers that occur in the indices of the entries, for each axis."""
    return [sorted(set(axis)) for axis in np.array([e.index for e in entries]).T.tolist()]


@dataclass
class Report:
    """What the checker found about a function. A report is true if it has no faults.

    Attributes:
        gradients: one for each input that was checked.
        contracts: for each contract that was checked, a text that says how it is broken, or "".
        adjoints: the relative difference of <A x, y> and <x, A^T y>, for each input in which the function is linear.
        faults: a text for each thing that is wrong.
        notes: a text for each thing that could not be checked.
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
        return sum(len(g.entries) for g in self.gradients)

    @property
    def kinks(self) -> list[str]:
        """The names of the derivatives at a kink."""
        return [e.name for g in self.gradients for e in g.kinks]

    @property
    def worst(self) -> Entry | None:
        return max((g.worst for g in self.gradients), key=lambda e: e.error, default=None)

    def __str__(self) -> str:
        end = [f"note: {note}" for note in self.notes] + [f"seed {self.seed}, rtol {self.rtol:.0e}"]
        if self.faults:
            return "\n".join([f"{self.name}: {fault}" for fault in self.faults] + end)
        text = f"{self.name}: all {self.entries} slopes are right, {len(self.kinks)} of them at a kink"
        if self.worst:
            text += f"; the largest error:\n  {self.worst}"
        return "\n".join([text] + [f"kink: {name}" for name in self.kinks] + end)

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
