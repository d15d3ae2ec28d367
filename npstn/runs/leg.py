"""A leg of a run: what a worker of a sweep does at a time, from the files of a run folder to its files.

A leg is an epoch, or the part of a long one. It depends on nothing but the files that it is given, and so it can be
done again, on another machine, if its worker dies.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import npstn
from npstn.data import DataError, Source, shared
from npstn.runs.config import FILE, Config, read_config, versions
from npstn.runs.errors import RunError, RunIsBusy
from npstn.runs.folder import CHECKPOINT
from npstn.runs.lock import locked
from npstn.runs.resume import load_checkpoint
from npstn.runs.saver import Saver
from npstn.runs.work import at_its_start, work
from npstn.tasks import Task
from npstn.training import COLUMNS, Epoch, TrainingError, evaluate
from npstn.training.first_start import compile_at_first_start

Files = dict[str, bytes]  # name in a run folder -> content

_turn = threading.Lock()  # the library has one source of random numbers: a process does one leg at a time
_sources: dict[str, Source] = {}  # by their hash
_task: dict[str, Task] = {}  # the last one, with its distorted test set
_compiled: set[str] = set()  # the networks and recipes whose kernels are there


class NotReady(Exception):
    """This process cannot do the leg, but another could."""


class OtherVersions(NotReady):
    """This process has other versions than the sweep: its results would have other last digits."""


def check_versions(wanted: dict[str, str]) -> None:
    """Raise OtherVersions, which names them, unless this process has these versions; another Python is no harm."""
    own = versions()
    others = [f"{name} {own[name]}, not {wanted[name]}" for name in wanted if own[name] != wanted[name]]
    if [text for text in others if not text.startswith("python ")]:
        raise OtherVersions("; ".join(others))


def missing(wanted: dict[str, str], about: dict[str, shared.Packed]) -> list[str]:
    """Map the images that this machine has into the memory of this process; return the hashes of the others.

    Args:
        wanted: as for `check_versions`, which raises OtherVersions.
        about: what the images are, by their hash: see `shared.about`.
    """
    check_versions(wanted)
    for sha256 in about.keys() - _sources.keys():
        with contextlib.suppress(DataError):  # none, or damaged ones: these have been removed
            _sources[sha256] = shared.mapped(about[sha256], sha256)
    return [sha256 for sha256 in about if sha256 not in _sources]


def receive(packed: dict[str, shared.Packed]) -> None:
    """Keep images, by their hash, on this machine, and map them into the memory of this process."""
    for sha256, source in packed.items():
        shared.keep(source, sha256)
        _sources[sha256] = shared.mapped(source, sha256)


def forget(hashes: list[str]) -> None:
    """Remove images, by their hashes, from this machine."""
    for sha256 in hashes:
        shared.forget(sha256)


def leg(files: Files, where: str, wanted: dict[str, str], minutes: float, finish: Callable[..., Any]) -> Files:
    """Take a run to the end of its epoch, or for some minutes.

    Args:
        files: those that the run folder has: config.json at least.
        where: the run folder, to be named in errors; this process need not see it.
        wanted: the versions that this process must have.
        finish: draws the pictures of a run that is done: finish(folder, net, task, score).

    Returns the files as they are then, without config.json. Raises RunError, in one line, where the run cannot go on;
    NotReady where this process has other versions, or was not given the images.
    """
    check_versions(wanted)
    with _turn, tempfile.TemporaryDirectory(dir=_scratch(), prefix="npstn-") as temporary:
        folder = Path(temporary)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        try:
            _go_on(folder, minutes, finish)
        except (RunError, TrainingError, DataError) as error:
            raise RunError(str(error).replace(temporary, where)) from None
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != FILE}


def _scratch() -> str | None:
    """The folder of this worker for temporary files: Dask removes what a killed one has left in it."""
    from distributed import get_worker

    try:
        return get_worker().local_directory
    except ValueError:  # this is no worker
        return None


def _go_on(folder: Path, minutes: float, finish: Callable[..., Any]) -> None:
    npstn.set_num_threads(1)
    config = read_config(folder)
    _compile(config)
    task = _open_task(config, folder)
    state = at_its_start(config, task)
    if (folder / CHECKPOINT).exists():
        load_checkpoint(folder, config, state, (*COLUMNS, *task.measured))
    score, due = None, time.monotonic() + 60 * minutes
    with Saver(folder, config, state, minutes=float("inf")) as saver:
        with contextlib.closing(work(saver, task)) as events:
            for event in events:
                if isinstance(event, Epoch):
                    score = event.score
                if score is not None or time.monotonic() >= due:
                    saver.save()
                    break
        if state.over(config.recipe):
            net = state.evaluated
            finish(folder, net, task, score or evaluate(net, task.test()))


def _open_task(config: Config, folder: Path) -> Task:
    """The task of a run. The task of the last leg is used again where it is the same, with its distorted test set."""
    key = json.dumps([config.task, config.seed, config.data_sha256])
    if key not in _task:
        if config.data_sha256 not in _sources:
            raise NotReady(f"expected the images {config.data_sha256[:8]} in this process, got none")
        _task.clear()
        _task[key] = config.open_task(folder, source=_sources[config.data_sha256])
    return _task[key]


def _compile(config: Config) -> None:
    """Compile the kernels of a run, while no other process of this machine does.

    Two processes that add machine code of one kernel to Numba's cache at once may take the one for the other.
    """
    key = json.dumps([config.model, dataclasses.asdict(config.recipe)])
    while key not in _compiled:
        try:
            with locked(shared.folder()):
                compile_at_first_start(config.model, dataclasses.asdict(config.recipe))
                _compiled.add(key)
        except RunIsBusy:
            time.sleep(0.1)
