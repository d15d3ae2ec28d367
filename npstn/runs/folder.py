"""The folder of a run: made, tidied and read."""

from __future__ import annotations

import contextlib
import csv
import datetime
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from npstn import nn, storage
from npstn.runs import config, events, frames, lock
from npstn.runs.config import Config, read_config
from npstn.runs.errors import RunError, RunExists

WEIGHTS, BEST, CHECKPOINT = "weights.safetensors", "best.safetensors", "checkpoint.safetensors"
METRICS, STEPS = "metrics.csv", "steps.csv"
PICTURES = "curves.png", "before_after.png", "parameters.png", "training.gif", "show.png", "play.html"
FILES = (config.FILE, METRICS, STEPS, CHECKPOINT, WEIGHTS, BEST, frames.FILE, *PICTURES)


def named_after_now(below: Path) -> Path:
    """Make an empty folder named after the time; of two processes in one second, the later one gets a number too."""
    now = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for number in itertools.count(1):
        folder = below / (now if number == 1 else f"{now}_{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise _not_writable(folder, error) from None
        return folder
    raise AssertionError  # there is always another number


@contextlib.contextmanager
def create(folder: Path, replace: bool) -> Iterator[bool]:
    """Make the folder of a new run, and lock it inside the `with`; see `lock.locked` for what this gives.

    With `replace`, nothing is left of the run that is there.

    Raises RunExists for a folder with something in it, unless that is a run to be replaced; RunIsBusy where another
    process is working in it; RunError where it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_writable(folder, error) from None
    with lock.locked(folder) as held:
        _make_empty(folder, replace)
        yield held


def _make_empty(folder: Path, replace: bool) -> None:
    """Remove a run from its folder, if it may be replaced; raise RunExists for anything else that is there."""
    try:
        if set(folder.iterdir()) - {folder / lock.FILE, *storage.leftovers(folder, FILES)}:
            if not replace:
                raise RunExists(f"{folder} exists already; choose another, or replace it with --force")
            try:
                read_config(folder)  # other programs, too, call a file config.json
            except RunError as error:
                raise RunExists(str(error)) from None
        events.clear(folder)
        for name in reversed(FILES):  # config.json last: until then it can be tried again
            (folder / name).unlink(missing_ok=True)
        tidy(folder)
    except OSError as error:
        raise _not_writable(folder, error) from None


def _not_writable(folder: Path, error: OSError) -> RunError:
    return RunError(f"cannot write the run folder {folder}: {error.strerror}")


def tidy(folder: Path) -> None:
    """Remove what processes that were killed while they wrote have left in a run folder."""
    for path in storage.leftovers(folder, FILES):
        path.unlink(missing_ok=True)


def load_net(folder: Path, of: Config, best: bool = False) -> nn.Module:
    """The network of a run, with the weights after its last epoch, or after its best."""
    net = of.build_net()
    try:
        net.load_state_dict(storage.load(folder / (BEST if best else WEIGHTS), like=net.state_dict()))
    except FileNotFoundError:
        if best and (folder / WEIGHTS).exists():
            raise RunError(
                f"expected {BEST} in {folder}, got none: an older npstn did not keep the best epoch's weights; leave "
                f"--best out for those of the last"
            ) from None
        raise RunError(f"expected weights in {folder}, got none: is the run still in its first epoch?") from None
    except (KeyError, ValueError, TypeError) as error:
        kind = of.model["transformer"]
        network = f"its network (--transformer {kind})"
        raise RunError(f"the weights in {folder} do not fit {network}: {error.args[0]}") from None
    return net


class MetricsFile:
    """metrics.csv, open to be written: the rows of the epochs that are done, and a row after each further one."""

    def __init__(self, folder: Path, columns: Sequence[str], rows: Sequence[dict[str, float]]) -> None:
        self._file = open(folder / METRICS, "w", newline="")  # noqa: SIM115 - closed by `__exit__`
        self._writer = csv.DictWriter(self._file, columns)
        self._writer.writeheader()
        self._writer.writerows(rows)  # what the file had may have been a line ahead of what was saved
        self._file.flush()

    def add(self, row: dict[str, float]) -> None:
        self._writer.writerow(row)
        self._file.flush()

    def __enter__(self) -> MetricsFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def read_metrics(folder: Path) -> dict[str, np.ndarray]:
    """The columns of a run's metrics.csv, float64 (epochs,).

    Raises RunError where no epoch is finished, and where the file does not hold columns of numbers.
    """
    path = folder / METRICS
    try:
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        metrics = {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
    except (FileNotFoundError, IndexError):
        raise RunError(f"expected an epoch at least in {path}, got none: is the run still in its first?") from None
    except (ValueError, TypeError, csv.Error):
        raise RunError(f"expected numbers in {path}, got something else") from None
    return metrics
