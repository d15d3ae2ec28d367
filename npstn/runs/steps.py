"""steps.csv: the loss and the learning rate every few steps."""

from __future__ import annotations

import contextlib
import csv
import io
import math
from pathlib import Path

from npstn.runs.folder import STEPS
from npstn.storage import write_whole
from npstn.training import State

COLUMNS = "epoch", "step", "seconds", "lr", "loss"

Row = dict[str, float]


class StepsFile:
    """steps.csv, open to be written: a line every N steps, counted from the start of the training.

    A run that goes on keeps the lines up to its checkpoint, and takes the steps after it again. So the file ends with
    the lines of a run that was never stopped. For the time in which the option was left out it has no lines.

    Args:
        folder: the run folder.
        every: N.
        state: where the training stands.

    Attributes:
        kept: the lines that were there and are kept.
    """

    def __init__(self, folder: Path, every: int, state: State) -> None:
        self.every, self.state = every, state
        if state.window_steps != state.steps_since_start() % every:  # N has changed, or the option is new
            state.begin_window()
        self.kept = [row for row in _read(folder / STEPS) if row["step"] <= state.steps_since_start()]
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerows(self.kept)
        write_whole(folder / STEPS, text.getvalue().encode())  # nothing else has these lines: a kill must not lose them
        self._file = open(folder / STEPS, "a", newline="")  # noqa: SIM115 - closed by `__exit__`
        self._writer = csv.DictWriter(self._file, COLUMNS)

    def after_step(self, lr: float) -> Row | None:
        """Add a line if it is time; returns it. Call this after each step. Args: the learning rate of the step."""
        state = self.state
        if state.steps_since_start() % self.every:
            return None
        row = None
        if state.window_steps == self.every:  # fewer, where the run went on between two lines without the sum
            row = {
                "epoch": state.epochs_begun(),
                "step": state.steps_since_start(),
                "seconds": round(state.seconds, 2),
                "lr": lr,
                "loss": state.window_loss / self.every,
            }
            self._writer.writerow(row)
            self._file.flush()
        state.begin_window()
        return row

    def __enter__(self) -> StepsFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _read(path: Path) -> list[Row]:
    """The lines of a steps.csv, up to the first that is damaged. No run fails for them."""
    rows: list[Row] = []
    with contextlib.suppress(FileNotFoundError, ValueError, TypeError, KeyError, csv.Error):
        with open(path, newline="") as file:
            for row in csv.DictReader(file):
                numbers = {name: float(row[name]) for name in COLUMNS}
                if not all(map(math.isfinite, numbers.values())):
                    break
                rows.append({**numbers, "epoch": int(numbers["epoch"]), "step": int(numbers["step"])})
    return rows
