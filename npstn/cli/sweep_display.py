"""How far a sweep is: on a terminal a table of the runs at work, elsewhere a line a minute."""

from __future__ import annotations

import os
import time
from typing import Any

from npstn.cli.arguments import say
from npstn.cli.progress import BAR, duration, has_room_for_a_bar
from npstn.runs.sweep import Run, Sweep, Told

EVERY = 60.0  # seconds from one line to the next
ROOM_FOR_THE_BAR = 20  # columns


class Display:
    """What a person sees of a sweep while it trains. Args: the sweep, which gives the events."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep, self.due = sweep, time.monotonic() + EVERY
        self.bars: list[Any] = []

    def show(self, event: Run | Told | None) -> None:
        if isinstance(event, Told):
            self._say(f"note: {event.line}")
        elif event is not None and event.error:
            self._say(f"{event.name}: failed: {event.error}")
        elif event is not None and event.done:
            accuracy = f"test accuracy {event.epochs[-1]['test_accuracy']:.2f} %"
            self._say(f"{event.name}: {accuracy} after {counted(len(event.epochs), 'epoch')}, {_seconds(event)}")
        if has_room_for_a_bar():
            self._draw()
        elif time.monotonic() >= self.due:
            self.due = time.monotonic() + EVERY
            say("; ".join([self.whole(), *map(_line, self._at_work())]))

    def whole(self) -> str:
        """How far the sweep is, in words."""
        every = self.sweep.runs
        failed = sum(bool(run.error) for run in every)
        parts = [f"{sum(run.done for run in every)} of {len(every)} runs done"]
        if failed:
            parts.append(f"{failed} failed")
        left = self.left()
        if left is not None:
            parts.append(f"{duration(left)} left")
        return ", ".join(parts)

    def left(self) -> float | None:
        """The seconds until the end, if each epoch takes as long as those of the same network and task did."""
        known: dict[Any, list[float]] = {}
        for run in self.sweep.runs:
            for row in run.epochs:
                for key in (run.name, _kind(run), None):
                    known.setdefault(key, []).append(row["seconds"])
        if not known or not self.sweep.workers:
            return None
        left = [0.0]  # of each run
        for run in self.sweep.runs:
            if not run.done and not run.error:
                times = next(known[key] for key in (run.name, _kind(run), None) if key in known)
                left.append((run.config.recipe.epochs - len(run.epochs)) * sum(times) / len(times))
        return max(sum(left) / self.sweep.workers, *left)

    def close(self) -> None:
        for bar in self.bars:
            bar.close()
        self.bars = []

    def _at_work(self) -> list[Run]:
        at_work = [run for run, _ in self.sweep.running.values()]
        return [run for run in self.sweep.runs if run in at_work]

    def _say(self, line: str) -> None:
        if self.bars:
            self.bars[0].write(line)
        else:
            say(line)

    def _draw(self) -> None:
        from tqdm import tqdm

        at_work = self._at_work()[: max(os.get_terminal_size(2).lines - 3, 1)]
        if len(self.bars) != 1 + len(at_work):
            self.close()
            every = len(self.sweep.runs)
            self.bars = [tqdm(total=every, bar_format=BAR, leave=False, dynamic_ncols=True, position=0)]
            for place, run in enumerate(at_work, start=1):
                total = run.config.recipe.epochs
                self.bars.append(tqdm(total=total, bar_format=BAR, leave=False, dynamic_ncols=True, position=place))
        counts = [sum(run.done for run in self.sweep.runs), *(len(run.epochs) for run in at_work)]
        totals = [len(self.sweep.runs), *(run.config.recipe.epochs for run in at_work)]
        room = os.get_terminal_size(2).columns - ROOM_FOR_THE_BAR
        lines = [self.whole(), *(_line(run, room) for run in at_work)]
        for bar, count, total, line in zip(self.bars, counts, totals, lines, strict=True):
            bar.total, bar.n = total, count
            bar.set_description_str(line, refresh=True)


def _kind(run: Run) -> tuple[str, str, str]:
    return run.config.task["name"], run.config.model["network"], run.config.model["transformer"]


def counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _seconds(run: Run) -> str:
    return duration(sum(row["seconds"] for row in run.epochs))


def _line(run: Run, room: int | None = None) -> str:
    """Where a run at work stands, in words; in so many columns, if its name can be made short enough."""
    epochs, where = run.config.recipe.epochs, ""
    if run.epochs:
        where = f", {run.epochs[-1]['test_accuracy']:.2f} %"
    where = f": epoch {min(len(run.epochs) + 1, epochs)}/{epochs}{where}"
    name = run.name
    if room is not None and len(name) + len(where) > room:
        kept = max(room - len(where) - 3, 16)
        name = f"{name[: kept // 2]}...{name[-(kept - kept // 2) :]}" if kept < len(name) else name
    return name + where
