"""When a run is saved: at its start, after each epoch, every few minutes, and when it is asked to stop.

With the checkpoint go the weights of the best epoch. They are written after it: if they were ahead of the checkpoint
when the process is killed, and the run went on in another way (to more epochs, with another NumPy), they could be those
of an epoch that never was. If the process is killed before they are written, the run writes them when it goes on.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from npstn.runs.config import Config
from npstn.runs.errors import RunError
from npstn.runs.folder import BEST, CHECKPOINT
from npstn.runs.resume import save_checkpoint
from npstn.storage import save
from npstn.training import State, TrainingError, best_epoch


class Stopped(Exception):
    """A run was asked to stop; says where it stands and how to go on, in one line."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.status = 128 + number  # as a shell reports what a signal has ended


class Saver:
    """Saves a run while it is trained within the `with`.

    Inside, the first Ctrl-C (or SIGTERM) lets the current step end; then the run is saved and Stopped is raised. A
    second one stops at once. Any other error leaves the `with` as one line that says what is saved.

    Args:
        folder: the run folder.
        config: what the run was started with.
        state: where its training stands.
        minutes: how long to go on within an epoch without saving.
    """

    def __init__(self, folder: Path, config: Config, state: State, minutes: float) -> None:
        self.folder, self.config, self.state, self.minutes = folder, config, state, minutes
        self._saved = state.place() if (folder / CHECKPOINT).exists() else None
        self._signal: int | None = None
        self._handlers: dict[int, Any] = {}

    def after_step(self) -> None:
        """Save if the minutes have passed, or if the run is to stop."""
        if self._signal is not None or time.monotonic() >= self._due:
            self.save()

    def save(self) -> None:
        """Save; then stop, if that was asked for."""
        save_checkpoint(self.folder, self.config, self.state)
        at_an_end = self.state.epochs and self.state.steps == 0
        if at_an_end and best_epoch(self.state.epochs) == len(self.state.epochs):
            save(self.state.evaluated.state_dict(), self.folder / BEST)
        self._saved = self.state.place()
        self._due = time.monotonic() + 60 * self.minutes
        if self._signal is not None:
            raise self._stopped(self._signal)

    def __enter__(self) -> Saver:
        if threading.current_thread() is threading.main_thread():  # no other may handle signals
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):  # nohup ignores some: they stay ignored
                    self._handlers[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        self._restore()
        if isinstance(error, KeyboardInterrupt):
            raise self._stopped(signal.SIGINT) from None
        if isinstance(error, TrainingError):
            last = f"the last good checkpoint, saved {self._saved}, is {self.folder / CHECKPOINT}"
            raise TrainingError(f"{error}; try an --lr below {self.config.recipe.lr:g}; {last}") from None
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):  # a pipe breaks while printing
            raise RunError(f"cannot write the run folder {self.folder}: {error.strerror or error}") from None

    def _stopped(self, number: int) -> Stopped:
        if self._saved is None:
            return Stopped("stopped before anything was saved", number)
        how = f"npstn train --resume {shlex.quote(str(self.folder))}"
        return Stopped(f"stopped; the run is saved as it was {self._saved}; to go on: {how}", number)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._signal = number
        self._restore()
        with contextlib.suppress(OSError):  # not by print: the signal may have interrupted a print
            os.write(2, b"\nnpstn: stopping after this step; a second Ctrl-C stops at once\n")

    def _restore(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}
