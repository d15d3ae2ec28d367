"""What the command `npstn` does: train, eval, show, compare, gradcheck, data. Its arguments are those of cli.py."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import math
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

import npstn
from npstn import data, runs, saving, training
from npstn.compiling import compile_at_first_start
from npstn.training import RECIPES, Epoch, Score

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Digits = tuple[np.ndarray, np.ndarray]  # images uint8 (N, 28, 28), labels int64 (N,)
Job = tuple[Path, dict[str, Any], training.Recipe, Digits, Digits]  # run folder, config, recipe, digits, test digits
# Not the parser's own, to which an option that is given and one that is not would be the same beside --resume.
TRAIN_DEFAULTS = {"data": "auto", "model": "stn", "angle": 45.0, "recipe": "fast", "seed": 0}


class BadArgument(Exception):
    """An argument that cannot be used, in one line."""


def train(options: argparse.Namespace) -> None:
    """Train a network into a run folder, or go on with a run that was stopped."""
    resuming = options.resume is not None
    out, config, recipe, digits, test_digits = _resumed(options) if resuming else _started(options)
    compile_at_first_start()
    npstn.manual_seed(config["seed"])
    net = training.build(config["model"], recipe.dropout)
    test = training.fixed_test_set(*test_digits, config["angle"], config["seed"])
    progress = training.begin(net, recipe, len(digits[0]))
    if resuming:
        runs.load_checkpoint(out, config, progress)
        runs.tidy(out)
    else:
        runs.keep_frame(out, 0, net, test)
    finished = len(progress.epochs) == recipe.epochs

    def after_epoch(epoch: Epoch, score: Score) -> None:
        npstn.save(net.state_dict(), out / "weights.safetensors")
        runs.keep_frame(out, epoch.epoch, net, test)
        _say(epoch.line(recipe.epochs))
        if config["angle"] > 0 and training.collapsed(score, test):
            _say(
                f"warning: the localisation network answers nearly the same angle for every image: they spread by "
                f"{np.std(score.predicted):.1f}°, the digits by {np.std(test.degrees):.1f}°. So the transformer does "
                f"nothing. Early in training it may yet wake up; else try a lower --lr, or another --seed"
            )
        saver.save()  # last: a run that is killed before this does the epoch's end again

    what = f"{len(digits[0]):,} {runs.DIGITS[config['data']]}, turned within ±{config['angle']:g}°"
    doing = f"going on {progress.place()}: training" if resuming else "training"
    if finished:
        doing = "this run has been trained to its end:"
    _say(f"{doing} {config['model']} on {what}; run: {out}")
    with saving.Saver(out, config, progress, options.checkpoint_minutes) as saver:
        saver.save()
        if finished:  # and was killed, maybe, before it could write all
            npstn.save(net.state_dict(), out / "weights.safetensors")
        score = training.train(
            net, digits, test, config["angle"], recipe, out / "metrics.csv", after_epoch, progress, saver.after_step
        )
        _say(f"test accuracy {score.accuracy:.2f} % after {recipe.epochs} epoch{'s' * (recipe.epochs > 1)}")
        for path in runs.draw(out, net, test, score):
            _say(str(path))


def _started(options: argparse.Namespace) -> Job:
    """A new run, as the options have it."""
    for name, value in TRAIN_DEFAULTS.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    given = {name: getattr(options, name) for name in ("epochs", "batch_size", "lr")}
    recipe = dataclasses.replace(RECIPES[options.recipe], **{k: v for k, v in given.items() if v is not None})
    _set_threads(options.threads)
    kind, (digits, test_digits) = _load_digits(options.data, options.data_dir, ("train", "test"), sys.stdout)
    out = _open_run(options.out, options.force)
    config = {
        "model": options.model,
        "data": kind,
        "digits_sha256": runs.sha256(*digits, *test_digits),
        "angle": options.angle,
        "seed": options.seed,
        "recipe": options.recipe,
        **dataclasses.asdict(recipe),
        "versions": _versions(),
    }
    runs.write_config(out, config)
    return out, config, recipe, digits, test_digits


def _resumed(options: argparse.Namespace) -> Job:
    """A run that is there, as it was started."""
    for name in (*TRAIN_DEFAULTS, "epochs", "batch_size", "lr", "out", "force"):
        if getattr(options, name) is not None:
            option = f"--{name.replace('_', '-')}"
            raise BadArgument(f"argument --resume: goes on with a run as it was started; expected no {option}")
    _set_threads(options.threads)
    out = options.resume
    config = runs.read_config(out)
    recipe = runs.read_recipe(out, config)
    _, (digits, test_digits) = _load_digits(config["data"], options.data_dir, ("train", "test"), sys.stdout)
    if runs.sha256(*digits, *test_digits) != config["digits_sha256"]:
        raise runs.RunError(f"expected the digits that the run in {out} was started with, got others (SHA-256)")
    before = config["versions"]
    others = [f"{name} {before.get(name)}, not {now}" for name, now in _versions().items() if before.get(name) != now]
    if others:
        _say(f"note: the run was started with {'; '.join(others)}: its last digits may differ")
    return out, config, recipe, digits, test_digits


def _versions() -> dict[str, str]:
    return {"npstn": npstn.__version__, "numpy": np.__version__, "python": platform.python_version()}


def evaluate(options: argparse.Namespace) -> None:
    """Score the weights of a run: the accuracy on standard output, of what it is on standard error."""
    _set_threads(options.threads)
    config = runs.read_config(options.folder)
    net = runs.load_net(options.folder, config)
    for name in ("data", "angle", "seed"):
        if getattr(options, name) is not None:
            config[name] = getattr(options, name)
    kind, (test_digits,) = _load_digits(config["data"], options.data_dir, ("test",), sys.stderr)
    test = training.fixed_test_set(*test_digits, config["angle"], config["seed"])
    score = training.evaluate(net, test)
    _say(f"{score.accuracy:.2f} %")
    text = f"{len(test.labels):,} {runs.DIGITS[kind]}, turned within ±{config['angle']:g}° (seed {config['seed']})"
    correlation = score.angle_correlation(test.degrees)
    if not math.isnan(correlation):
        text += f"; angle correlation {correlation:.2f}"
    print(text, file=sys.stderr)


def show(options: argparse.Namespace) -> None:
    """Draw what the transformer of a run does to single digits."""
    from npstn.show import show as draw  # here and below, because importing matplotlib takes a while

    figure = draw(options.folder, options.digit, options.data_dir)
    _write(figure, options.out or options.folder / "show.png")


def compare(options: argparse.Namespace) -> None:
    """Print the table of several runs and draw their curves."""
    from npstn import plots
    from npstn.compare import read, table

    groups = read(options.folders)
    _say(table(groups))
    _write(plots.comparison(groups), options.out)


def _write(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=150)
    _say(str(path))


def gradcheck(options: argparse.Namespace) -> int:
    """Check the gradients of the library's operations; the exit status."""
    from npstn import catalogue

    try:
        return catalogue.run(options.operations, options.json, options.plot)
    except ValueError as error:  # a name that is not there
        raise BadArgument(str(error)) from None


def find_mnist(options: argparse.Namespace) -> None:
    """Find or download MNIST, check it, and say where it is."""
    train, test = data.load_mnist(options.data_dir), data.load_mnist(options.data_dir, train=False)
    folder = data.mnist_folder(options.data_dir)
    _say(f"MNIST is whole: {len(train[0]):,} training and {len(test[0]):,} test digits in {folder}")


def _set_threads(threads: int | None) -> None:
    if threads is not None:
        try:
            npstn.set_num_threads(threads)
        except ValueError as error:
            raise BadArgument(f"argument --threads: {str(error).removeprefix('set_num_threads: ')}") from None


def _load_digits(
    kind: str, data_dir: Path | None, parts: Sequence[str], notes: TextIO
) -> tuple[str, list[Digits]]:
    """What was loaded, "mnist" or "digits", and its "train" or "test" digits."""
    if kind != "digits":
        try:
            return "mnist", [runs.load_digits("mnist", part, data_dir) for part in parts]
        except data.MnistNotFound:
            if kind == "mnist":
                raise
            print("MNIST is not at hand and cannot be downloaded: using digits drawn by the program", file=notes)
    elif data_dir is not None:
        raise BadArgument("argument --data-dir: goes with --data mnist or auto, not with digits")
    return "digits", [runs.load_digits("digits", part) for part in parts]


def _open_run(out: Path | None, force: bool | None) -> Path:
    out = out or Path("runs", datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S"))
    try:
        runs.create(out, replace=bool(force))
    except runs.RunExists as error:
        raise BadArgument(f"argument {'--force' if force else '--out'}: {error}") from None
    return out


def _say(text: str) -> None:
    print(text, flush=True)
