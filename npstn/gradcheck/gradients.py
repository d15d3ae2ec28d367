"""Compare the gradients that backward gives with the slopes that finite differences give.

    v     the cotangent: a random weight with a random sign for each output, so that no errors cancel
    dx    the gradient that backward gives for v
    d     a direction: each entry of the input in turn; random signs for all entries at once, where the entries are many

For each direction, <dx, d> must equal <v, slopes along d>. Where it does not, the entries of d are halved and the
half with the larger error is kept, again and again, until one entry is left to name. The outputs are halved likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from npstn.gradcheck.report import Curve, Entry, Gradient
from npstn.gradcheck.slopes import Slopes, quotients, rounding_errors, slopes_along, weighed
from npstn.gradcheck.subject import Subject


@dataclass(frozen=True)
class Options:
    """How to compare, with the checker's defaults; `gradcheck` says what each option means."""

    eps: float = 1e-3
    atol: float = 0.0
    rtol: float = 1e-8
    seed: int = 0
    max_entries: int = 1000
    directions: int = 16
    max_kinks: float = 0.1
    curve: bool = False


class Line(NamedTuple):
    """A line through an input: its direction, the largest step along it, and its entry if it moves only one."""

    d: np.ndarray
    h: float
    entry: tuple[int, ...] | None


class Pullback(NamedTuple):
    """A cotangent of the output, and the gradient of the input that backward gives for it."""

    name: str
    v: np.ndarray
    dx: np.ndarray


def compare(subject: Subject, options: Options) -> list[Gradient]:
    """Compare every gradient that is asked for with its slopes. Raises what backward raises."""
    rng = np.random.default_rng(options.seed)
    y = subject.value(subject.arrays)
    v = rng.choice([-1.0, 1.0], y.shape) * rng.uniform(0.5, 1.5, y.shape)  # no output has a weight near zero
    dxs = subject.gradients(subject.arrays, v.copy())
    rounding = rounding_errors(subject.value, subject.arrays, rng)
    return [
        _Input(subject, k, options, y, rounding, Pullback("<v, output>", v, dxs[k])).compare(rng)
        for k, asked in enumerate(subject.asked)
        if asked and dxs[k].size
    ]


@dataclass(frozen=True)
class _Input:
    """One input: number k of the subject's arrays."""

    subject: Subject
    k: int
    options: Options
    y: np.ndarray
    rounding: np.ndarray
    whole: Pullback

    def compare(self, rng: np.random.Generator) -> Gradient:
        compared = [(self.judge(line, self.slopes(line), self.whole), line) for line in self.lines(rng)]
        worst, line = max(compared, key=lambda pair: pair[0].error)
        # The curve shows the worst comparison if it is wrong, else the steepest one without a kink.
        shown = (*max(compared, key=lambda pair: (not pair[0].kink, pair[0].size)), self.whole)
        if worst.error > self.options.rtol:
            worst, *_ = shown = self.pinpoint(line)
        curve = self.curve(*shown) if self.options.curve else None
        return Gradient(self.subject.name_of(self.k), [entry for entry, _ in compared], worst, curve)

    def lines(self, rng: np.random.Generator) -> Iterator[Line]:
        """Each entry in turn, and x itself; or random directions through all entries, where the entries are many.

        Along x itself equal entries stay equal. A tie is a kink for each of its entries alone, but not along x: there a
        gradient that counts the tie twice shows.
        """
        x, eps = self.subject.arrays[self.k], self.options.eps
        # The step is proportional to the entry; near zero, to the mean size of all entries or to 1 if that is less.
        sizes = np.maximum(abs(x), min(1.0, np.sqrt(np.mean(x * x)) or 1.0))
        if x.size <= self.options.max_entries:
            for index in np.ndindex(x.shape):
                yield Line(_one(x.shape, index), eps * sizes[index], index)
            if x.any() and x.size > 1:
                yield Line(x, eps, None)
        else:
            for _ in range(self.options.directions):
                yield Line(rng.choice([-1.0, 1.0], x.shape) * sizes, eps, None)

    def value(self, x: np.ndarray) -> np.ndarray:
        """The output with x in place of this input."""
        arrays = self.subject.arrays
        arrays[self.k] = x
        return self.subject.value(arrays)

    def slopes(self, line: Line) -> Slopes:
        x = self.subject.arrays[self.k]
        return slopes_along(self.value, x, self.y, line.d, line.h, self.rounding, self.options.rtol)

    def pullback(self, name: str, v: np.ndarray) -> Pullback:
        return Pullback(name, v, self.subject.gradients(self.subject.arrays, v.copy())[self.k])

    @np.errstate(all="ignore")
    def judge(self, line: Line, slopes: Slopes, pullback: Pullback) -> Entry:
        """Compare the gradient with the slopes along the line."""
        _, v, dx = pullback
        analytic = float(weighed(line.d, dx).sum())
        low, high, size, noise = slopes.weighted(v)
        distance = 0.0 if low <= analytic <= high else float(np.maximum(low - analytic, analytic - high))  # NaN stays
        tolerable = (self.options.atol + noise) / self.options.rtol + size
        error = 0.0 if distance == 0 else distance / tolerable if tolerable else np.inf
        place = ", all entries moved together" if line.entry is None else _brackets(line.entry)
        return Entry(
            name=f"∂{pullback.name} / ∂{self.subject.name_of(self.k)}{place}",
            index=line.entry,
            analytic=analytic,
            numeric=float(weighed(v, slopes.slope).sum()),
            left=float(weighed(v, slopes.left).sum()),
            right=float(weighed(v, slopes.right).sum()),
            kink=bool((slopes.kink & (v != 0)).any()),
            size=size,
            noise=noise,
            step=slopes.step,
            error=np.inf if np.isnan(error) else error,
        )

    def pinpoint(self, line: Line) -> tuple[Entry, Line, Pullback]:
        """Reduce a wrong line to one entry, and the cotangent to one output: a single wrong derivative."""

        def error_along(entries: np.ndarray) -> float:
            part = line._replace(d=_only(line.d, entries))
            return self.judge(part, self.slopes(part), self.whole).error

        index = _unravel(_halve(np.flatnonzero(line.d), error_along), line.d.shape)
        along_one = Line(_one(line.d.shape, index), line.h * abs(line.d[index]), index)
        slopes = self.slopes(along_one)

        def error_of(outputs: np.ndarray) -> float:
            return self.judge(along_one, slopes, self.pullback("", _only(self.whole.v, outputs))).error

        output = _unravel(_halve(np.arange(self.y.size), error_of), self.y.shape)
        single = self.pullback(f"output{_brackets(output)}", _one(self.y.shape, output))
        # Where backward is not linear, no output alone may be wrong; where it counts a tie twice, no entry alone.
        found = [(along_one, single), (along_one, self.whole), (line, self.whole)]
        judged = [self.judge(on, self.slopes(on), pullback) for on, pullback in found]
        first = next((i for i, entry in enumerate(judged) if entry.error > self.options.rtol), -1)
        return judged[first], *found[first]

    @np.errstate(all="ignore")
    def curve(self, entry: Entry, line: Line, pullback: Pullback) -> Curve:
        """The errors of the quotients, for steps from the size of the entry down to 1e-13 of it."""
        steps = np.logspace(0, -13, 53) * line.h / self.options.eps
        errors = []
        for h in steps:
            q = quotients(self.value, self.subject.arrays[self.k], self.y, line.d, h)
            errors.append(
                [abs(weighed(pullback.v, slope).sum() - entry.analytic) for slope in (q.central, q.extrapolated()[2])]
            )
        return Curve(entry.name, steps, *np.transpose(errors) / (entry.size or 1.0))


def _halve(indices: np.ndarray, error: Callable[[np.ndarray], float]) -> int:
    """The index with the error: the half with the larger error is kept until one index is left."""
    while len(indices) > 1:
        indices = max(np.array_split(indices, 2), key=error)
    return int(indices[0])


def _unravel(number: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(number, shape))


def _only(x: np.ndarray, entries: np.ndarray) -> np.ndarray:
    """x at these entries, and zeros elsewhere."""
    kept = np.zeros_like(x)
    kept.flat[entries] = x.flat[entries]
    return kept


def _one(shape: tuple[int, ...], index: tuple[int, ...]) -> np.ndarray:
    """A single one among zeros."""
    e = np.zeros(shape)
    e[index] = 1.0
    return e


def _brackets(index: tuple[int, ...]) -> str:
    return f"[{', '.join(str(i) for i in index)}]" if index else ""
