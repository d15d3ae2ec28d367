"""A run on disk: the folder that `npstn train` writes, made, checked, read and drawn."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

import npstn
from npstn import checkpoint, data, film, models, nn, training
from npstn.progress import Progress
from npstn.training import Recipe, Score

DIGITS = {"mnist": "MNIST digits", "digits": "drawn digits"}  # what a run may have been trained on
FILES = (
    "config.json",
    "metrics.csv",
    "checkpoint.safetensors",
    "weights.safetensors",
    film.FRAMES,
    "before_after.png",
    "curves.png",
    "angles.png",
    "training.gif",
    "show.png",
)
FORMAT = 1  # of checkpoints


class RunError(Exception):
    """What is wrong with a run folder, in one line."""


class RunExists(RunError):
    """The folder for a new run holds something that is not to be replaced."""


def create(folder: Path, replace: bool) -> None:
    """Make the folder of a new run; with `replace`, of a run that is there nothing is left.

    Raises RunExists for a folder with something in it, unless that is a run to be replaced; RunError where the folder
    cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if set(folder.iterdir()) - set(checkpoint.leftovers(folder, FILES)):
            if not replace:
                raise RunExists(f"{folder} exists already; choose another, or replace it with --force")
            try:
                read_config(folder)  # other programs, too, call a file config.json
            except RunError as error:
                raise RunExists(str(error)) from None
        for name in reversed(FILES):  # config.json last: until then it can be tried again
            (folder / name).unlink(missing_ok=True)
        tidy(folder)
    except OSError as error:
        raise RunError(f"cannot write the run folder {folder}: {error.strerror}") from None


def tidy(folder: Path) -> None:
    """Remove what a process that was killed while it wrote has left in a run folder."""
    for path in checkpoint.leftovers(folder, FILES):
        path.unlink(missing_ok=True)


def write_config(folder: Path, config: dict[str, Any]) -> None:
    """Write config.json, what a run was started with."""
    checkpoint.write_whole(folder / "config.json", (json.dumps(config, indent=2) + "\n").encode())


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a run: of its entries, "model", "data", "angle" and "seed" are checked."""
    path = folder / "config.json"
    if not path.is_file():
        raise RunError(f"expected a run folder, got {folder}, with no config.json in it")
    try:
        with path.open("rb") as file:
            config = json.loads(file.read(2**20))  # it has a few hundred bytes: what is cut here is none
        training.build(config["model"])
        angle, seed = config["angle"], config["seed"]
        if not (isinstance(angle, (int, float)) and 0 <= angle <= 180 and isinstance(seed, int) and seed >= 0):
            raise ValueError
        DIGITS[config["data"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RunError(f"expected what a run writes in {path}, got something else") from None
    return config


def read_recipe(folder: Path, config: dict[str, Any]) -> Recipe:
    """The recipe that a run was started with; checks of its config what it takes to go on."""
    try:
        recipe = Recipe(**{field.name: config[field.name] for field in dataclasses.fields(Recipe)})
        if not (
            recipe.optimizer in ("adamw", "sgd")
            and 0 < recipe.lr <= 1e3
            and 0 <= recipe.dropout < 1
            and all(isinstance(count, int) and 0 < count <= 10**9 for count in (recipe.batch_size, recipe.epochs))
            and isinstance(config["digits_sha256"], str)
            and isinstance(config["versions"], dict)
        ):
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise RunError(f"expected what a run writes in {folder / 'config.json'}, got something else") from None
    return recipe


def sha256(*arrays: np.ndarray) -> str:
    """What tells the digits of a run from others."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def save_checkpoint(folder: Path, config: dict[str, Any], progress: Progress) -> None:
    """Save all that it takes to go on: the file is the old one until the new one is whole and on the disk."""
    path = folder / "checkpoint.safetensors"
    notes = {"format": FORMAT, "epochs": len(progress.epochs), "config": config}
    state = progress.state_dict()
    try:
        checkpoint.write(state, path, notes)
    except OSError as error:
        whole = "; the one before it is whole" if path.exists() else ""
        raise RunError(f"cannot save the checkpoint {path}: {error.strerror}{whole}") from None


def load_checkpoint(folder: Path, config: dict[str, Any], progress: Progress) -> None:
    """Take a training at its start to where the run was when it was saved last."""
    path = folder / "checkpoint.safetensors"
    try:
        notes = checkpoint.read_notes(path)
        epochs = notes.get("epochs")
        if notes.get("format") != FORMAT or not (isinstance(epochs, int) and 0 <= epochs <= config["epochs"]):
            raise ValueError(f"expected a checkpoint of format {FORMAT}, got something else")
        if notes.get("config") != config:
            raise ValueError("it is of a run with another config.json")
        progress.load_state_dict(checkpoint.read(path, like=progress.layout(epochs)))
    except (FileNotFoundError, NotADirectoryError):
        raise RunError(f"expected a checkpoint in {folder}, got none; train it afresh with --out and --force") from None
    except (KeyError, ValueError, TypeError) as error:
        raise RunError(f"cannot go on from the checkpoint {path}: {error.args[0]}") from None


def load_net(folder: Path, config: dict[str, Any]) -> nn.Module:
    """The network of a run, with its weights."""
    net = training.build(config["model"])
    try:
        net.load_state_dict(npstn.load(folder / "weights.safetensors", like=net.state_dict()))
    except FileNotFoundError:
        raise RunError(f"expected weights in {folder}, got none: is the run still in its first epoch?") from None
    except (KeyError, ValueError, TypeError) as error:
        raise RunError(f"the weights in {folder} do not fit its {config['model']}: {error.args[0]}") from None
    return net


def load_digits(kind: str, part: str, data_dir: str | os.PathLike[str] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The "train" or "test" digits of a kind, "mnist" or "digits": images uint8 (N, 28, 28), labels int64 (N,)."""
    if kind == "mnist":
        return data.load_mnist(data_dir, train=part == "train")
    return data.draw_digits(*{"train": (60_000, 0), "test": (10_000, 1)}[part])  # how many, and their seed


def test_set(config: dict[str, Any], data_dir: str | os.PathLike[str] | None = None) -> data.Rotated:
    """The digits on which a run was scored, turned as they were then."""
    if data_dir is not None and config["data"] != "mnist":
        raise RunError(f"expected no folder of MNIST's files for a run on {DIGITS[config['data']]}, got {data_dir}")
    return training.fixed_test_set(*load_digits(config["data"], "test", data_dir), config["angle"], config["seed"])


def keep_frame(folder: Path, epoch: int, net: nn.Module, test: data.Rotated) -> None:
    """Keep what the transformer makes of a few digits after an epoch (0: before the first), for training.gif."""
    if isinstance(net, models.STNClsNet):
        film.keep(folder, epoch, training.turned(net, _few(test)))


def draw(folder: Path, net: nn.Module, test: data.Rotated, score: Score) -> list[Path]:
    """Write the pictures of a run; return their paths."""
    from npstn import plots  # here, because importing matplotlib takes a while

    metrics, few = plots.read_metrics(folder / "metrics.csv"), _few(test)
    figures = {"curves.png": plots.curves(metrics)}
    if isinstance(net, models.STNClsNet):
        figures["before_after.png"] = plots.before_after(few, training.turned(net, few))
        figures["angles.png"] = plots.angles(test.degrees, score.predicted, test.labels)
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=150)
    paths = [folder / name for name in figures]
    frames = film.read(folder, len(few))
    if frames:
        paths.append(folder / "training.gif")
        accuracies = dict(zip(metrics["epoch"].astype(int).tolist(), metrics["test_accuracy"].tolist(), strict=True))
        film.write(paths[-1], few, frames, accuracies)
    return paths


def _few(test: data.Rotated) -> np.ndarray:
    """Three test digits of each class, in three rows from 0 to 9."""
    rows_of_digits = [np.flatnonzero(test.labels == digit)[:3] for digit in range(10)]
    return test.images[np.stack(rows_of_digits, axis=1).ravel()]
