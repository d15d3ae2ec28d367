"""When a run is saved: at its start, after each epoch, every few minutes, and when it is asked to stop."""

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

from npstn import runs
from npstn.progress import Progress, TrainingError


class Stopped(Exception):
    """A run was asked to stop; says where it stands and how to go on, in one line."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.status = 128 + number  # as a shell reports what a signal has ended


class Saver:
    """Saves the progress of a run, which is trained within its `with`.

    There, the first Ctrl-C (or SIGTERM) lets the step come to its end; then the run is saved and Stopped is raised. A
    second one stops at once. Whatever else ends the training leaves it as one line that says what is saved.
    """

    def __init__(self, folder: Path, config: dict[str, Any], progress: Progress, minutes: float) -> None:
        self.folder, self.config, self.progress, self.minutes = folder, config, progress, minutes
        self._saved = progress.place() if (folder / "checkpoint.safetensors").exists() else None
        self._signal: int | None = None
        self._handlers: dict[int, Any] = {}

    def after_step(self) -> None:
        """Save if it is time, or if the run is to stop."""
        if self._signal is not None or time.monotonic() >= self._due:
            self.save()

    def save(self) -> None:
        """Save; then stop, if that was asked for."""
        runs.save_checkpoint(self.folder, self.config, self.progress)
        self._saved = self.progress.place()
        self._due = time.monotonic() + 60 * self.minutes
        if self._signal is not None:
            raise self._stopped(self._signal)

    def __enter__(self) -> Saver:
        if threading.current_thread() is threading.main_thread():  # no other may handle signals
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):  # what is ignored, by nohup say, stays so
                    self._handlers[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        self._restore()
        if isinstance(error, KeyboardInterrupt):
            raise self._stopped(signal.SIGINT) from None
        if isinstance(error, TrainingError):
            last = f"the last good checkpoint, saved {self._saved}, is {self.folder / 'checkpoint.safetensors'}"
            raise TrainingError(f"{error}; try an --lr below {self.config['lr']:g}; {last}") from None
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):  # which is of what is said, not saved
            raise runs.RunError(f"cannot write the run folder {self.folder}: {error.strerror or error}") from None

    def _stopped(self, number: int) -> Stopped:
        if self._saved is None:
            return Stopped("stopped before anything was saved", number)
        how = f"npstn train --resume {shlex.quote(str(self.folder))}"
        return Stopped(f"stopped; the run is saved as it was {self._saved}; to go on: {how}", number)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._signal = number
        self._restore()
        with contextlib.suppress(OSError):  # and not by print: what this interrupts may be in the midst of one
            os.write(2, b"\nnpstn: stopping after this step; a second Ctrl-C stops at once\n")

    def _restore(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}
