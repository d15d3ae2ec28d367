"""What the checker found out: numbers, and a text from which the mistake can be found."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


class GradcheckError(AssertionError):
    """A gradient is wrong, or a backward pass breaks a contract; the text is the report's."""


@dataclass(frozen=True)
class Entry:
    """One comparison of a slope by backward with the same one by differences.

    Attributes:
        name: what is differentiated by what.
        index: the entry of the input along which the slopes are; None for a direction through all entries.
        analytic, numeric: the two slopes; left, right: the numeric ones to either side; kink: whether these part.
        size: the slopes of all outputs added up without their signs.
        noise: what rounding errors may have added to the numeric slope, with this step.
        error: how far analytic is from numeric, or at a kink from lying between left and right; relative to size, with
            the noise allowed for. Infinite for NaN. At most rtol where the gradient is right.
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
    """The relative error of two difference quotients, central(h) and the extrapolated one, for steps h."""

    name: str
    steps: np.ndarray
    central: np.ndarray
    extrapolated: np.ndarray


@dataclass(frozen=True)
class Gradient:
    """The gradient of one input: every comparison, and the worst of them down to a single output."""

    name: str
    entries: list[Entry]
    worst: Entry
    curve: Curve | None = None

    @property
    def single(self) -> list[Entry]:
        """The comparisons along single entries; where there are none, those along directions."""
        return [e for e in self.entries if e.index is not None] or self.entries

    @property
    def kinks(self) -> list[Entry]:
        return [e for e in self.single if e.kink]

    def faults(self, atol: float, rtol: float, max_kinks: float) -> Iterator[str]:
        """What is wrong with it, if anything."""
        if any(not e.error <= rtol for e in self.entries):
            yield f"the gradient of {self.name} is wrong {self._where(rtol)}; worst,\n  {self.worst}"
        count, visible = len(self.single), atol + rtol * max(e.size for e in self.entries)
        noises = [e.noise for e in self.single if not e.kink and e.noise > visible]
        if len(self.kinks) > max_kinks * count:
            yield (
                f"{len(self.kinks)} of {count} slopes along {self.name} have a kink, more than the {max_kinks:.0%} "
                "that may: choose inputs away from them"
            )
        if len(noises) > max_kinks * count:
            yield (
                f"{len(noises)} of {count} slopes along {self.name} drown in a noise of up to {max(noises):.1e}, where "
                f"{visible:.1e} must be seen: is the function random, or not computed in float64? If its slope is "
                "zero, say with atol what counts as zero"
            )

    def _where(self, rtol: float) -> str:
        """How many entries are wrong, what their indices have in common, and by what factor if it is the same."""
        wrong = [e for e in self.single if not e.error <= rtol]
        if not wrong:
            return "along the input as a whole, though along none of its entries alone: a tie may be counted twice"
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
            text += f", {factors[0] + 0:.6g} times what it should be"
        return text


def _numbers_per_axis(entries: Sequence[Entry]) -> list[list[int]]:
    """Which numbers occur in their indices, axis by axis."""
    return [sorted(set(axis)) for axis in np.array([e.index for e in entries]).T.tolist()]


@dataclass
class Report:
    """What the checker found out about a function; true where all is well.

    Attributes:
        gradients: one for each input that was checked.
        contracts: for each contract that was checked, what breaks it, or "".
        adjoints: how far <A x, y> is from <x, A^T y>, relative, for each input in which the function is linear.
        faults: all that is wrong, in words.
        seed: repeats the check.
    """

    name: str
    seed: int
    rtol: float
    gradients: list[Gradient] = dataclasses.field(default_factory=list)
    contracts: dict[str, str] = dataclasses.field(default_factory=dict)
    adjoints: dict[str, float] = dataclasses.field(default_factory=dict)
    faults: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    def __bool__(self) -> bool:
        return not self.faults

    @property
    def entries(self) -> int:
        return sum(len(g.entries) for g in self.gradients)

    @property
    def kinks(self) -> list[str]:
        """Where they are."""
        return [e.name for g in self.gradients for e in g.kinks]

    @property
    def worst(self) -> Entry | None:
        return max((g.worst for g in self.gradients), key=lambda e: e.error, default=None)

    def __str__(self) -> str:
        if self.faults:
            return "\n".join(
                [f"{self.name}: {fault}" for fault in self.faults] + [f"seed {self.seed}, rtol {self.rtol:.0e}"]
            )
        text = f"{self.name}: all is well in {self.entries} slopes, of which {len(self.kinks)} have a kink"
        if self.worst:
            text += f"; the worst is\n  {self.worst}"
        return "\n".join(
            [text] + [f"kink: {name}" for name in self.kinks] + [f"seed {self.seed}, rtol {self.rtol:.0e}"]
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "ok": bool(self),
            "entries": self.entries,
            "kinks": self.kinks,
            "worst": dataclasses.asdict(self.worst) if self.worst else None,
            "adjoints": self.adjoints,
            "contracts": self.contracts,
            "faults": self.faults,
            "seed": self.seed,
            "rtol": self.rtol,
            "seconds": self.seconds,
        }
