"""How far a training is: a bar on a terminal and in a notebook, a line every half minute everywhere else."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

from npstn.backend.notebook import shows_bars
from npstn.backend.parallel import get_num_threads
from npstn.cli.arguments import say
from npstn.training import Epoch, State, Step

EVERY = 30.0  # seconds from one line to the next
NARROWEST = 60  # columns of a terminal: in fewer there is no room for a bar
BAR = "{desc} |{bar}|"
RECENT = 50  # steps
FULL = 1.25  # threads that want to run, for each core; a run that is alone has one


def with_progress(events: Iterator[Step | Epoch], state: State, epochs: int, steps: int) -> Iterator[Step | Epoch]:
    """The same events, while the progress is shown; and, once, a note where the machine is full.

    Args:
        state: of the training.
        epochs: how many it is to do.
        steps: how many there are in an epoch.
    """
    progress, bar, noted = Progress(state, epochs, steps), None, False
    due = time.monotonic() + EVERY
    for event in events:
        if isinstance(event, Step):
            progress.add(event)
            if bar is None and has_room_for_a_bar():
                from tqdm.auto import tqdm  # here, because in a notebook without room it warns

                bar = tqdm(total=steps, desc=str(progress), bar_format=BAR, leave=False, dynamic_ncols=True)
            if bar is not None:
                bar.set_description_str(str(progress), refresh=False)
                bar.update(state.steps - bar.n)
        elif bar is not None:
            bar.close()
            bar = None
        if time.monotonic() >= due:
            due = time.monotonic() + EVERY
            if bar is None and isinstance(event, Step):  # after an epoch the command prints its score
                say(str(progress))
            note = "" if noted else crowd()
            if note:
                noted = True
                if bar is not None:
                    bar.clear()
                say(note)
        yield event


class Progress:
    """Where a training stands, in words: "epoch 3/8, 41 %, loss 0.071, 4 min left".

    The loss is the mean of about the last fifty steps. The time left is that of all epochs, reckoned from the steps
    that this process has taken; its first step does not count, as it may have waited for the compiler.

    Args: as for `with_progress`.
    """

    def __init__(self, state: State, epochs: int, steps: int) -> None:
        self.state, self.epochs, self.steps = state, epochs, steps
        self.taken, self.loss = 0, 0.0

    def add(self, step: Step) -> None:
        """Take note of a step that has just been taken."""
        self.taken += 1
        self.loss += (step.loss - self.loss) / min(self.taken, RECENT)
        if self.taken == 1:
            self.start = time.monotonic()

    def __str__(self) -> str:
        epoch = len(self.state.epochs) + 1
        parts = [f"epoch {epoch}/{self.epochs}", f"{100 * self.state.steps // self.steps} %", f"loss {self.loss:.3f}"]
        if self.taken > 1:
            to_take = (self.epochs - epoch + 1) * self.steps - self.state.steps
            parts.append(f"{duration((time.monotonic() - self.start) / (self.taken - 1) * to_take)} left")
        return ", ".join(parts)


def duration(seconds: float) -> str:
    """A time in words.

    >>> duration(41.2), duration(250), duration(9000)
    ('41 s', '4 min', '2 h 30 min')
    """
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def has_room_for_a_bar() -> bool:
    """Whether this is a notebook that shows bars, or standard error a terminal that is wide enough.

    Some terminals say that they have 0 columns. What a notebook gives to a program that it starts looks like a
    terminal, but it keeps every state of a bar.
    """
    if shows_bars():
        return True
    if "JPY_PARENT_PID" in os.environ:  # set by Jupyter for its kernels, and so for what they start
        return False
    try:
        return sys.stderr.isatty() and os.get_terminal_size(sys.stderr.fileno()).columns >= NARROWEST
    except (OSError, ValueError):  # no real file, or one that is closed
        return False


def crowd() -> str:
    """A note where others share the cores with this run; "" where there is room, or where one thread is used."""
    cores = os.cpu_count() or 1
    if get_num_threads() == 1 or not hasattr(os, "getloadavg"):
        return ""
    load = os.getloadavg()[0]
    if load <= FULL * cores:
        return ""
    return (
        f"note: the machine is full ({load:.1f} threads want to run on {cores} cores): runs that share the cores are "
        f"faster with --threads 1 each"
    )
