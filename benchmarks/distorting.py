"""How much of a training step is spent on distorting its images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.cases import Case
from benchmarks.command_timings import limit
from benchmarks.worker import TURNS, Worker, take_turns

TASKS = ("E", "cluttered")
BATCH = 64


def shares(digits: Path, turns: int = TURNS) -> Iterator[dict[str, Any]]:
    """Time a task's batches alone, and whole training steps, in turns, in one process, on one thread."""
    with Worker("npstn", 1) as worker:
        for task in TASKS:
            for timed in ("distorting", "training_on"):
                worker.open(timed, Case("distort", timed, 1, 1, timed, (task, digits, BATCH)))
            blocks = [lambda calls, timed=timed: worker.block(timed, calls) for timed in ("distorting", "training_on")]
            alone, whole = take_turns(blocks, turns)
            worker.close()
            values = [a / b for a, b in zip(alone, whole, strict=True)]
            yield limit("distort", f"distorting a batch of {BATCH}: {task}", "of a step", 0.2, values, aim=0.1)
