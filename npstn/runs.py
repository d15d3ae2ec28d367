"""A run on disk: the folder that `npstn train` writes, made, checked, read and drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import npstn
from npstn import data, models, nn, training
from npstn.training import Score

DIGITS = {"mnist": "MNIST digits", "digits": "drawn digits"}  # what a run may have been trained on
FILES = ("config.json", "metrics.csv", "weights.safetensors", "before_after.png", "curves.png", "angles.png")


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
        if any(folder.iterdir()):
            if not replace:
                raise RunExists(f"{folder} exists already; choose another, or replace it with --force")
            if not (folder / "config.json").is_file():
                raise RunExists(f"expected a run in {folder}, got a folder without config.json")
            for name in FILES:
                (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"cannot write the run folder {folder}: {error.strerror}") from None


def write_config(folder: Path, config: dict[str, Any]) -> None:
    """Write config.json, what a run was started with."""
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a run: of its entries, "model", "data", "angle" and "seed" are checked."""
    try:
        config = json.loads((folder / "config.json").read_text())
        training.build(config["model"])
        angle, seed = config["angle"], config["seed"]
        if not (isinstance(angle, (int, float)) and 0 <= angle <= 180 and isinstance(seed, int) and seed >= 0):
            raise ValueError
        DIGITS[config["data"]]
    except (FileNotFoundError, NotADirectoryError):
        raise RunError(f"expected a run folder, got {folder}, with no config.json in it") from None
    except (ValueError, KeyError, TypeError):
        raise RunError(f"expected what a run writes in {folder / 'config.json'}, got something else") from None
    return config


def load_net(folder: Path, config: dict[str, Any]) -> nn.Module:
    """The network of a run, with its weights."""
    net = training.build(config["model"])
    try:
        net.load_state_dict(npstn.load(folder / "weights.safetensors"))
    except (KeyError, ValueError, TypeError) as error:
        raise RunError(f"the weights in {folder} do not fit its {config['model']}: {error.args[0]}") from None
    return net


def draw(folder: Path, net: nn.Module, test: data.Rotated, score: Score) -> list[Path]:
    """Write the pictures of a run; return their paths."""
    from npstn import plots  # here, because importing matplotlib takes a while

    figures = {"curves.png": plots.curves(plots.read_metrics(folder / "metrics.csv"))}
    if isinstance(net, models.STNClsNet):
        rows_of_digits = [np.flatnonzero(test.labels == digit)[:3] for digit in range(10)]
        shown = test.images[np.stack(rows_of_digits, axis=1).ravel()]
        figures["before_after.png"] = plots.before_after(shown, training.turned(net, shown))
        figures["angles.png"] = plots.angles(test.degrees, score.predicted, test.labels)
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=150)
    return [folder / name for name in figures]
