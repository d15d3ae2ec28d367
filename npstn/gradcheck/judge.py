"""The comparison: what backward gives, beside the slopes that differences give.

The cotangent v weighs the outputs, at random and with random signs, so that no errors cancel: with dx what backward
makes of v, <dx, d> must be <v, slopes along d>, for each direction d. Those are the entries of the input, one by one;
or where they are many, random signs for all of them at once. Of a direction that is wrong the worse half is kept,
again and again, until one entry is left to name.
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
    """How to compare; `gradcheck` says what each means."""

    eps: float = 1e-3
    atol: float = 0.0
    rtol: float = 1e-8
    seed: int = 0
    max_entries: int = 1000
    directions: int = 16
    max_kinks: float = 0.1
    curve: bool = False


class Line(NamedTuple):
    """A line through an input: its direction, the largest step along it, and the entry that it is along, if it is."""

    d: np.ndarray
    h: float
    entry: tuple[int, ...] | None


class Pullback(NamedTuple):
    """A cotangent of the output, and what backward makes of it for the input."""

    name: str
    v: np.ndarray
    dx: np.ndarray


def compare(subject: Subject, options: Options) -> list[Gradient]:
    """Every gradient that is asked for beside its slopes. Raises what backward raises."""
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
        # Its curve: of the worst if that is wrong, else of the steepest without a kink.
        shown = (*max(compared, key=lambda pair: (not pair[0].kink, pair[0].size)), self.whole)
        if worst.error > self.options.rtol:
            worst, *_ = shown = self.pinpoint(line)
        curve = self.curve(*shown) if self.options.curve else None
        return Gradient(self.subject.name_of(self.k), [entry for entry, _ in compared], worst, curve)

    def lines(self, rng: np.random.Generator) -> Iterator[Line]:
        """Along every entry, and along x itself; or, where the entries are many, in random directions through all.

        Along x equal entries stay equal. So a tie, that each of its entries alone sees as a kink, is none, and a
        gradient that counts the tie twice shows.
        """
        x, eps = self.subject.arrays[self.k], self.options.eps
        # Steps in proportion to the entry; near zero in proportion to the others, or to 1, whichever is less.
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
        """The output for another x."""
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
        """How far the gradient is from the slopes, and whether that is too far."""
        _, v, dx = pullback
        analytic = float(weighed(line.d, dx).sum())
        low, high, size, noise = slopes.weighted(v)
        distance = 0.0 if low <= analytic <= high else float(np.maximum(low - analytic, analytic - high))  # NaN stays
        tolerable = (self.options.atol + noise) / self.options.rtol + size
        error = 0.0 if distance == 0 else distance / tolerable if tolerable else np.inf
        place = ", all of it" if line.entry is None else _brackets(line.entry)
        return Entry(
            name=f"d {pullback.name} / d {self.subject.name_of(self.k)}{place}",
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
        """From a wrong line to one entry of the input, and from the cotangent to one output: a single derivative."""

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
        # Not wrong for one output alone: backward is not linear. Nor along one entry alone: it counts a tie twice.
        found = [(along_one, single), (along_one, self.whole), (line, self.whole)]
        judged = [self.judge(on, self.slopes(on), pullback) for on, pullback in found]
        first = next((i for i, entry in enumerate(judged) if entry.error > self.options.rtol), -1)
        return judged[first], *found[first]

    @np.errstate(all="ignore")
    def curve(self, entry: Entry, line: Line, pullback: Pullback) -> Curve:
        """How far the quotients are from the gradient, for steps from the size of the entry down to nothing."""
        steps = np.logspace(0, -13, 53) * line.h / self.options.eps
        errors = []
        for h in steps:
            q = quotients(self.value, self.subject.arrays[self.k], self.y, line.d, h)
            errors.append(
                [abs(weighed(pullback.v, slope).sum() - entry.analytic) for slope in (q.central, q.extrapolated()[2])]
            )
        return Curve(entry.name, steps, *np.transpose(errors) / (entry.size or 1.0))


def _halve(indices: np.ndarray, error: Callable[[np.ndarray], float]) -> int:
    """The index to blame for an error: the half with more of it is kept, until one is left."""
    while len(indices) > 1:
        indices = max(np.array_split(indices, 2), key=error)
    return int(indices[0])


def _unravel(number: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(number, shape))


def _only(x: np.ndarray, entries: np.ndarray) -> np.ndarray:
    """x with zeros but for these entries."""
    kept = np.zeros_like(x)
    kept.flat[entries] = x.flat[entries]
    return kept


def _one(shape: tuple[int, ...], index: tuple[int, ...]) -> np.ndarray:
    """Zeros with a single one."""
    e = np.zeros(shape)
    e[index] = 1.0
    return e


def _brackets(index: tuple[int, ...]) -> str:
    return f"[{', '.join(str(i) for i in index)}]" if index else ""
