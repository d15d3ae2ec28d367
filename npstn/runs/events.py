"""Event files, which TensorBoard reads: the numbers of metrics.csv and of steps.csv.

They are written by tensorboardX (`pip install "npstn[tensorboard]"`), through its RecordWriter: its SummaryWriter
writes in a thread, and waits for ever where that thread has died of a full disk.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

FOLDER = "tensorboard"
NAME = "events.out.tfevents"  # TensorBoard takes files for event files by this


def available() -> bool:
    """Whether the writer is installed."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError:  # it may also be there, and not go with what it needs
        return False
    return True


def clear(folder: Path) -> None:
    """Remove the event files of a run; what else is in their folder stays."""
    for path in (folder / FOLDER).glob(f"{NAME}.*"):
        path.unlink()
    with contextlib.suppress(OSError):  # there is no such folder, or something else is in it
        (folder / FOLDER).rmdir()


class EventFile:
    """The event file of a run, open to be written.

    It is written anew when a run goes on, so that no point is there twice. A TensorBoard that has read the old file is
    told to forget its points.

    Args:
        folder: the run folder.
        epochs, steps: the rows of metrics.csv and of steps.csv so far.
    """

    def __init__(
        self, folder: Path, epochs: Iterable[Mapping[str, float]], steps: Iterable[Mapping[str, float]]
    ) -> None:
        from tensorboardX import RecordWriter
        from tensorboardX.proto.event_pb2 import SessionLog

        clear(folder)
        (folder / FOLDER).mkdir(exist_ok=True)
        self._file = RecordWriter(str(folder / FOLDER / f"{NAME}.{time.time():.0f}"))
        self._write(0, file_version="brain.Event:2")
        self._write(0, session_log=SessionLog(status=SessionLog.START))  # forget the points from step 0 on
        for row in epochs:
            self.add_epoch(row)
        for row in steps:
            self.add_steps(row)

    def add_epoch(self, row: Mapping[str, float]) -> None:
        """Add a row of metrics.csv, against the number of the epoch."""
        self._add("epoch", row)

    def add_steps(self, row: Mapping[str, float]) -> None:
        """Add a row of steps.csv, against the number of the step."""
        self._add("step", row)

    def _add(self, against: str, row: Mapping[str, float]) -> None:
        from tensorboardX.proto.summary_pb2 import Summary

        finite = {name: x for name, x in row.items() if name not in ("epoch", "step") and math.isfinite(x)}
        values = [Summary.Value(tag=f"{against}/{name}", simple_value=x) for name, x in finite.items()]
        self._write(int(row[against]), summary=Summary(value=values))
        self._file.flush()

    def _write(self, step: int, **content: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        self._file.write(Event(wall_time=time.time(), step=step, **content).SerializeToString())

    def __enter__(self) -> EventFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
