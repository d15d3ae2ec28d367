"""Compare the gradients that backward gives with the slopes that finite differences give.

    v_i     the cotangent: a random weight with a random sign for each output i, so that no errors cancel
    dx      the gradient that backward gives for v
    row c   the gradient that backward gives for v with zeros outside of a class c of outputs

Each output is judged alone, against its own slope: an error in a small output does not hide behind a large one, and a
small entry does not behind a large one. So each output is a class of its own. Where every output follows one entry
(see `lines`), a class holds outputs that follow different entries, and one row judges them all. The rows must add up
to dx: a race between outputs shows in no row, but in their sum.

Entries that share a kink also move together (see `ties`). A large input moves along directions (see `directions`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from npstn.gradcheck.directions import alike, entries_at_kinks, entry_with_most, only
from npstn.gradcheck.lines import Along, Apart, Entries, Here, classes_of, owners_of, steps_for, typical
from npstn.gradcheck.noise import rounding_errors
from npstn.gradcheck.pairs import Options, Pairs, brackets, entry_of, judged, place_of_largest, unravelled
from npstn.gradcheck.report import Curve, Entry, Gradient
from npstn.gradcheck.slopes import CENTRAL_NOISE, FIRST, KINK, SHARES, SMOOTH, Slopes, extrapolated, measure
from npstn.gradcheck.subject import Subject
from npstn.gradcheck.ties import Kink, ties

PAIRS = 1 << 14  # pairs of an entry and an output that are measured at a time
ROWS = 1 << 24  # numbers in all rows together


def compare(subject: Subject, options: Options) -> list[Gradient]:
    """Compare every gradient that is asked for with its slopes. Raises what backward raises."""
    return _Comparison(subject, options).gradients()


class _Comparison:
    """What is the same for all inputs: the point, the cotangent, its classes, and the rows."""

    def __init__(self, subject: Subject, options: Options) -> None:
        rng = np.random.default_rng(options.seed)
        self.subject, self.options = subject, options
        self.xs = subject.arrays
        self.y = subject.value(subject.arrays)
        self.random = self.y.tobytes() != subject.value(subject.arrays).tobytes()
        self.v = rng.choice([-1.0, 1.0], self.y.shape) * rng.uniform(0.5, 1.5, self.y.shape)  # no weight near zero
        self.here = Here(self.y, rounding_errors(subject.value, self.xs, subject.asked, self.y))
        self.whole = subject.gradients(subject.arrays, self.v.copy())
        asked = [k for k, asked in enumerate(subject.asked) if asked and self.xs[k].size]
        self.inputs = [_Input(self, k, rng) for k in asked]
        self.classes = self._classes()
        self.rows = self._rows() if self.inputs else {}

    def gradients(self) -> list[Gradient]:
        found = {one.k: one.compare() for one in self.inputs}
        for entry, k in self.together([kink for one in self.inputs for kink in one.kinks]):
            found[k].together.append(entry)
        return list(found.values())

    def together(self, kinks: list[Kink]) -> Iterator[tuple[Entry, int]]:
        """The comparisons of entries that share a kink, each with the number of its first input."""
        size = max((typical(self.xs[kink.k]) for kink in kinks), default=1.0)
        rows: dict[int, list[np.ndarray]] = {}
        for tie in ties(self.subject.value, self.xs, self.here, kinks, size, self.options.eps, self.options.rtol):
            output = tie.kinks[0].output
            if output not in rows:
                rows[output] = self.row(np.arange(self.y.size) == output)
            row, v = rows[output], self.v.flat[output]
            moved = [(kink, share) for kink, share in zip(tie.kinks, tie.shares, strict=True) if share]
            analytic = np.array([[sum(share * row[kink.k].flat[kink.entry] for kink, share in moved) / v]])
            names = " and ".join(
                f"{self.subject.name_of(kink.k)}{brackets(unravelled(kink.entry, self.xs[kink.k].shape))}"
                + (" downwards" if share < 0 else "")
                for kink, share in moved
            )
            s = Slopes(*(np.reshape(field, (1, 1)) for field in tie.slopes))
            error = judged(s, analytic, self.options)[0]
            name = f"∂output{brackets(unravelled(output, self.y.shape))} along {names}"
            yield entry_of(name, None, s, analytic, error, (0, 0)), moved[0][0].k

    def _classes(self) -> np.ndarray:
        """The class of each output: see above. At most as many as the memory for their rows allows."""
        owners = [one.owners for one in self.inputs if one.owners is not None]
        if self.inputs and len(owners) == len(self.inputs):
            return classes_of(owners)
        return np.arange(self.y.size) % max(1, ROWS // max(1, sum(x.size for x in self.xs)))

    def _rows(self) -> dict[int, np.ndarray]:
        """(classes, entries) for each input."""
        rows = [self.row(self.classes == c) for c in range(self.classes.max(initial=0) + 1)]
        return {one.k: np.array([row[one.k].ravel() for row in rows]) for one in self.inputs}

    def row(self, outputs: np.ndarray) -> list[np.ndarray]:
        """What backward gives for the cotangent with zeros outside of these outputs."""
        if outputs.all():
            return self.whole
        return self.subject.gradients(self.subject.arrays, np.where(outputs.reshape(self.y.shape), self.v, 0.0))


class _Input:
    """One input: number k of the subject's arrays."""

    def __init__(self, comparison: _Comparison, k: int, rng: np.random.Generator) -> None:
        self.c, self.k, self.options = comparison, k, comparison.options
        self.x, self.y = comparison.xs[k], comparison.y
        self.name = comparison.subject.name_of(k)
        self.kinks: list[Kink] = []  # found by `compare`
        self.signs = np.zeros((0, *self.x.shape))  # those of the directions
        self.directions: list[np.ndarray] = []
        self.split, self.groups = np.zeros(0, int), 1
        self.steps = steps_for(self.x, self.options.eps)
        with np.errstate(all="ignore"):
            self.owners = owners_of(self.value, self.x, self.y, self.steps[:, FIRST])
        if self.owners is None and self.x.size > self.options.max_entries:
            self.signs = rng.choice([-1.0, 1.0], (self.options.directions, *self.x.shape))

    def value(self, x: np.ndarray) -> np.ndarray:
        """The output with x in place of this input."""
        arrays = self.c.subject.arrays
        arrays[self.k] = x
        return self.c.subject.value(arrays)

    def pairs(self) -> Iterator[Pairs]:
        rows, v = self.c.rows[self.k], self.c.v.ravel()
        if self.owners is not None:
            outputs = np.flatnonzero(self.owners >= 0)
            owners = self.owners[outputs]
            if outputs.size:
                apart = Apart(self.value, self.x, self.c.here, self.steps, outputs, owners)
                slopes = measure(apart, self.options.rtol)
                analytic = rows[self.c.classes[outputs], owners] / v[outputs]
                yield Pairs(slopes, analytic[:, None], owners, outputs[:, None])
            yield from self._still(rows, outputs, owners)
        elif not self.directions:
            chunk = max(1, PAIRS // self.y.size)
            for start in range(0, self.x.size, chunk):
                yield self.alone(np.arange(start, min(start + chunk, self.x.size)))
        else:
            yield self.along(self.directions)
            if self.split.size:
                alone = self.alone(self.split)
                yield alone._replace(lines=len(self.directions) + np.arange(len(self.split)))

    def alone(self, entries: np.ndarray) -> Pairs:
        """These entries, each alone."""
        slopes = measure(Entries(self.value, self.x, self.c.here, self.steps, entries), self.options.rtol)
        return self.of_classes(slopes, self.c.rows[self.k][:, entries].T, entries)

    def along(self, directions: Sequence[np.ndarray]) -> Pairs:
        """All entries together, along these directions."""
        slopes = self.slopes_along(directions)
        analytic = np.array([self.c.rows[self.k] @ d.ravel() for d in directions])
        pairs = self.of_classes(slopes, analytic, np.arange(len(directions)))
        # Slopes that cancel along one direction do not along all: the steepest of its group is the scale of an error.
        steepest = np.array(np.broadcast_to(pairs.slopes.steepest, analytic.shape))
        groups = self.groups if len(directions) == len(self.directions) else 1
        for group in range(groups):
            steepest[group::groups] = steepest[group::groups].max(axis=0)
        return pairs._replace(slopes=pairs.slopes._replace(steepest=steepest))

    def slopes_along(self, directions: Sequence[np.ndarray]) -> Slopes:
        along = Along(lambda xs: self.value(xs[0]), [self.x], self.c.here, [[d] for d in directions], self.options.eps)
        return measure(along, self.options.rtol)

    def of_classes(self, s: Slopes, analytic: np.ndarray, lines: np.ndarray) -> Pairs:
        """The slopes next to the rows: of each output, or of each class, weighted by v."""
        v, classes, count = self.c.v.ravel(), self.c.classes, self.c.classes.max(initial=0) + 1
        if count == v.size:
            return Pairs(s, analytic / v, lines, np.arange(count)[None])
        sums = np.zeros((7, count, len(analytic)))
        left, right = (np.where(s.kind == SMOOTH, s.slope, side) * v for side in (s.left, s.right))
        parts = [s.slope * v, np.minimum(left, right), np.maximum(left, right), s.error * abs(v), s.steepest * abs(v)]
        for total, part in zip(sums, parts, strict=False):
            np.add.at(total, classes, part.T)
        for total, part in zip(sums[5:], (s.kind, s.step), strict=True):
            np.maximum.at(total, classes, np.broadcast_to(part, s.kind.shape).T)
        whole = Slopes(*(total.T for total in sums))._replace(kind=sums[5].T.astype(int))
        return Pairs(whole, analytic, lines, -1 - np.arange(count)[None])

    def choose_directions(self) -> None:
        """Entries of alike slopes move together, with random signs, so that a large one hides no small one.

        Entries at a kink are split off, to move alone.
        """
        sizes = (self.steps[:, FIRST] / self.options.eps).reshape(self.x.shape)
        kinked = entries_at_kinks(lambda d: (self.slopes_along(d).kind != SMOOTH).any(axis=1), self.signs[0] * sizes)
        self.split = kinked
        groups = alike(abs(self.c.rows[self.k]).max(axis=0) * sizes.ravel(), kinked, len(self.signs))
        if not groups:  # all entries lie at a kink, so each moves alone
            self.split = self.split[:0]
            return
        self.groups = len(groups)
        self.directions = [only(signs * sizes, groups[i % self.groups]) for i, signs in enumerate(self.signs)]

    def pinpoint(self, d: np.ndarray, place: int) -> Entry | None:
        """The wrong entry along a wrong direction."""

        def errors(directions: Sequence[np.ndarray]) -> list[float]:
            found = [self.along([one]) for one in directions]
            return [float(judged(pairs.slopes, pairs.analytic, self.options)[0][0, place]) for pairs in found]

        entry = entry_with_most(errors, d)
        pairs = self.alone(np.array([entry]))
        error = judged(pairs.slopes, pairs.analytic, self.options)[0]
        return self.entry(pairs, 0, place, error, entry) if error[0, place] > self.options.rtol else None

    @np.errstate(all="ignore")
    def curve(self, entry: Entry) -> Curve | None:
        """The errors of the quotients of an entry, for steps from its size down to 1e-13 of it."""
        if entry.index is None or entry.output is None:
            return None
        number = int(np.ravel_multi_index(entry.index, self.x.shape))
        line = Entries(self.value, self.x, self.c.here, self.steps, np.array([number]))
        steps, errors = np.logspace(0, -13, 53) * self.steps[number, FIRST] / self.options.eps, []
        for h in steps:
            central = []
            for share in SHARES:
                t = np.array([[share * h]])
                (high, up), (low, down) = (line.values(move, np.zeros(1, int)) for move in (t, -t))
                central.append(((high - low) / (up - down))[0, entry.output])
            errors.append([central[0] - entry.analytic, extrapolated(central, 2, 4)[0] - entry.analytic])
        return Curve(entry.name, steps, *abs(np.transpose(errors)) / (entry.size or 1.0))

    def _still(self, rows: np.ndarray, outputs: np.ndarray, owners: np.ndarray) -> Iterator[Pairs]:
        """The entries that move no output of a class: their slopes are zero, to rounding."""
        for c, row in enumerate(rows):
            mine = self.c.classes == c
            still = np.ones(self.x.size, bool)
            still[owners[mine[outputs]]] = False
            entries = np.flatnonzero(still)
            noise = self.noise(mine)[entries]
            zero = np.zeros((len(entries), 1))
            slopes = Slopes(zero, zero, zero, noise[:, None], zero, zero.astype(int), self.steps[entries, FIRST, None])
            yield Pairs(slopes, row[entries, None], entries, np.full((1, 1), -1 - c))

    def noise(self, outputs: np.ndarray) -> np.ndarray:
        """For each entry: the slope that hides below the last digits of these outputs, weighted by v."""
        rounding = (self.c.here.noise * abs(self.c.v.ravel()))[outputs].max(initial=0.0)
        return CENTRAL_NOISE * rounding / self.steps[:, FIRST]

    def compare(self) -> Gradient:
        if len(self.signs):
            self.choose_directions()
        g = Gradient.empty(self.name, self.x.shape, len(self.directions), self.split)
        claimed, seen = np.zeros((2, g.errors.size), bool)
        worst = steepest = None
        for pairs in self.pairs():
            if not len(pairs.lines):
                continue
            error, known, zero = judged(pairs.slopes, pairs.analytic, self.options)
            g.add(pairs.lines, error, pairs.slopes.kind, pairs.analytic, pairs.slopes.slope)
            np.logical_or.at(claimed, pairs.lines, (~zero).any(axis=1))
            np.logical_or.at(seen, pairs.lines, (known & ~zero).any(axis=1))
            self.kinks += self.kinks_of(pairs)
            smooth = np.where(pairs.slopes.kind == SMOOTH, pairs.slopes.steepest, -1.0)
            top, here = (self.entry(pairs, *place_of_largest(a), error) for a in (smooth, error))
            steepest = max(filter(None, (steepest, top)), key=lambda e: (e.kind == SMOOTH, e.size))
            worst = max(filter(None, (worst, here)), key=lambda e: e.error)
        g.unseen[:] = claimed & ~seen & (g.errors <= self.options.rtol)
        g.random, g.idle = self.c.random, not claimed.any()
        g.worst = worst if worst and worst.error > 0 else steepest
        self.add_up(g)
        wrong = bool(g.worst and g.worst.error > self.options.rtol)
        if wrong and g.worst and g.worst.index is None and self.directions:
            g.worst = self.pinpoint(self.directions[int(g.errors.argmax())], g.worst.output or 0) or g.worst
        shown = g.worst if wrong else steepest
        g.curve = self.curve(shown) if self.options.curve and shown else None
        return g

    def kinks_of(self, pairs: Pairs) -> list[Kink]:
        """The kinks of entries that moved alone, at outputs that are judged alone."""
        s, outputs = pairs.slopes, np.broadcast_to(pairs.outputs, pairs.analytic.shape)
        numbers = np.array([self.number_of(line) for line in pairs.lines])
        here = (s.kind == KINK) & (outputs >= 0) & (numbers >= 0)[:, None]
        return [
            Kink(self.k, int(numbers[at[0]]), int(outputs[at]), float(s.left[at]), float(s.right[at]))
            for at in zip(*np.nonzero(here), strict=True)
        ]

    def number_of(self, line: int) -> int:
        """The number of the entry that moved along this line; -1 for a direction."""
        if not self.directions:
            return int(line)
        return int(self.split[line - len(self.directions)]) if line >= len(self.directions) else -1

    def add_up(self, g: Gradient) -> None:
        """Compare the rows' sum with the gradient for all outputs at once."""
        rows, whole = self.c.rows[self.k], self.c.whole[self.k].ravel()
        with np.errstate(all="ignore"):
            rounding = self.noise(np.ones(self.y.size, bool)) / self.options.rtol
            error = abs(whole - rows.sum(axis=0)) / (abs(rows).sum(axis=0) + rounding)
            error = np.where(whole == rows.sum(axis=0), 0.0, np.where(np.isnan(error), np.inf, error))
        if self.directions:
            return
        j = int(error.argmax())
        if error[j] > self.options.rtol and error[j] > g.errors.max():
            slope = float(rows[:, j].sum())
            index, size = unravelled(j, self.x.shape), float(abs(rows[:, j]).sum())
            name = f"∂<v, output> / ∂{self.name}{brackets(index)}"
            g.worst = Entry(name, index, float(whole[j]), slope, slope, slope, SMOOTH, size, 0.0, 0.0, float(error[j]))
        g.errors[:] = np.maximum(g.errors, error)

    def entry(self, pairs: Pairs, line: int, place: int, error: np.ndarray, number: int | None = None) -> Entry:
        """The comparison of a pair. Give the number of its entry where the number of the line does not tell it."""
        output = int(np.broadcast_to(pairs.outputs, error.shape)[line, place])
        if number is None:
            number = self.number_of(pairs.lines[line])
        index = unravelled(number, self.x.shape) if number >= 0 else None
        of = f"output{brackets(unravelled(output, self.y.shape))}" if output >= 0 else "<v, output>"
        name = f"∂{of} / ∂{self.name}{', many entries moved together' if index is None else brackets(index)}"
        single = output if output >= 0 else None
        return entry_of(name, index, pairs.slopes, pairs.analytic, error, (line, place), single)
