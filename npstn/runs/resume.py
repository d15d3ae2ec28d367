"""The checkpoint of a run: everything that it takes to go on."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any, NamedTuple

from npstn import storage
from npstn.runs.config import Config
from npstn.runs.errors import RunError
from npstn.runs.folder import CHECKPOINT
from npstn.runs.formats import FORMAT
from npstn.training import State


class Saved(NamedTuple):
    """How a run was to go on when it was saved."""

    epochs: int  # of the whole training
    lr: float  # of the next step


def save_checkpoint(folder: Path, config: Config, state: State) -> None:
    """Save where the training stands: the file is the old one until the new one is whole and on the disk.

    Raises TrainingError where a weight is not finite: such a state is not worth saving.
    """
    path = folder / CHECKPOINT
    state.check()
    try:
        storage.write(state.arrays(), path, {"config": config.as_json(), "state": state.numbers()})
    except OSError as error:
        whole = "; the one before it is whole" if path.exists() else ""
        raise RunError(f"cannot save the checkpoint {path}: {error.strerror}{whole}") from None


def load_checkpoint(folder: Path, config: Config, state: State, columns: tuple[str, ...]) -> Saved:
    """Take a training at its start to where the run stood when it was saved last.

    The run may be longer now than it was to be then, or have another patience: the schedule of `config` goes on from
    the step where the run stood.

    Args:
        columns: those of the run's metrics.csv.
    """
    path = folder / CHECKPOINT
    try:
        notes = storage.read_notes(path)
        if not {"config", "state"} <= notes.keys():
            raise ValueError(f"expected a checkpoint of format {FORMAT}, got something else")
        epochs = _epochs_before(notes["config"], config)
        state.load(storage.load(path, like=state.arrays()), notes["state"])
        state.epochs = [_row(row, columns) for row in state.epochs]
        if state.epochs_begun() > epochs:
            raise ValueError("its epochs are not those of such a run")
        return Saved(epochs, notes["state"]["parts"]["optimizer.lr"])
    except (FileNotFoundError, NotADirectoryError):
        raise RunError(f"expected a checkpoint in {folder}, got none; train it afresh with --out and --force") from None
    except (KeyError, ValueError, TypeError) as error:
        raise RunError(f"cannot go on from the checkpoint {path}: {error.args[0]}") from None


def _epochs_before(entries: Any, config: Config) -> int:
    """How many epochs the run was to have when its checkpoint was saved.

    Args:
        entries: those of config.json then. But for the epochs and the patience they must be those of `config`.
    """
    try:
        length = {"epochs": entries["recipe"]["epochs"], "patience": entries["recipe"].get("patience")}
        before = dataclasses.replace(config, recipe=dataclasses.replace(config.recipe, **length))
    except (KeyError, ValueError, TypeError, AttributeError):
        before = None
    if before is None or entries != before.as_json():
        raise ValueError("it belongs to a run with another config.json")
    return before.recipe.epochs


def _row(row: dict[str, float], columns: tuple[str, ...]) -> dict[str, float]:
    """The row of an epoch; one that an older npstn wrote has no learning rate."""
    if tuple(row) not in (columns, tuple(name for name in columns if name != "lr")):
        raise ValueError("its epochs are not those of such a run")
    return {name: row.get(name, math.nan) for name in columns}
