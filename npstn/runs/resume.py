"""The checkpoint of a run: everything that it takes to go on."""

from __future__ import annotations

from pathlib import Path

from npstn import storage
from npstn.runs.config import Config
from npstn.runs.errors import RunError
from npstn.runs.folder import CHECKPOINT
from npstn.runs.formats import FORMAT
from npstn.training import State


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


def load_checkpoint(folder: Path, config: Config, state: State, columns: tuple[str, ...]) -> None:
    """Take a training at its start to where the run stood when it was saved last.

    Args:
        columns: those of the run's metrics.csv.
    """
    path = folder / CHECKPOINT
    try:
        notes = storage.read_notes(path)
        if not {"config", "state"} <= notes.keys():
            raise ValueError(f"expected a checkpoint of format {FORMAT}, got something else")
        if notes["config"] != config.as_json():
            raise ValueError("it belongs to a run with another config.json")
        state.load(storage.load(path, like=state.arrays()), notes["state"])
        if len(state.epochs) > config.recipe.epochs or any(tuple(row) != columns for row in state.epochs):
            raise ValueError("its epochs are not those of such a run")
    except (FileNotFoundError, NotADirectoryError):
        raise RunError(f"expected a checkpoint in {folder}, got none; train it afresh with --out and --force") from None
    except (KeyError, ValueError, TypeError) as error:
        raise RunError(f"cannot go on from the checkpoint {path}: {error.args[0]}") from None
