"""The command `npstn`: train, eval, show, compare, gradcheck, data."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import io
import math
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import numpy as np

import npstn
from npstn import data, runs, saving, training
from npstn.training import RECIPES, Epoch, Score

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Digits = tuple[np.ndarray, np.ndarray]  # images uint8 (N, 28, 28), labels int64 (N,)
# Not the parser's own, to which an option that is given and one that is not would be the same beside --resume.
TRAIN_DEFAULTS = {"data": "auto", "model": "stn", "angle": 45.0, "recipe": "fast", "seed": 0}


class BadArgument(Exception):
    """An argument that cannot be used, in one line."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0, 1 for what went wrong while running, or 2 for wrong arguments."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows no "±" or "°" is no reason to stop
    options = _parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except KeyboardInterrupt:
        print("\nnpstn: stopped", file=sys.stderr)
        return 130
    except saving.Stopped as stopped:
        print(f"\nnpstn: {stopped}", file=sys.stderr)
        return stopped.status
    except (BadArgument, runs.RunError, data.DataError, training.TrainingError, OSError) as error:
        print(f"npstn: error: {error}", file=sys.stderr)
        return 2 if isinstance(error, BadArgument) else 1


class _Parser(argparse.ArgumentParser):
    """Answers wrong arguments in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"npstn: error: {message}\n")


def _parser() -> _Parser:
    parser = _Parser(prog="npstn", description="Spatial transformer networks on the CPU.")
    parser.add_argument("--version", action="version", version=f"npstn {npstn.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    folder = _Parser(add_help=False)
    folder.add_argument("--data-dir", type=Path, metavar="DIR", help="the folder of MNIST's files, or NPSTN_DATA_DIR")
    common = _Parser(add_help=False, parents=[folder])
    common.add_argument("--threads", type=_COUNT, metavar="N", help="threads of the kernels; all cores by default")

    auto = "digits are drawn by the program; auto, the default, is mnist if at hand or to be downloaded, else digits"
    train = commands.add_parser("train", parents=[common], help="train a network on digits turned by random angles")
    train.add_argument("--data", choices=("auto", "mnist", "digits"), help=auto)
    train.add_argument("--model", choices=("stn", "cnn"), help="with the transformer (stn, the default), or without")
    train.add_argument("--angle", type=_ANGLE, metavar="A", help="turn digits within +-A degrees; 45")
    train.add_argument("--recipe", choices=tuple(RECIPES), help="fast, the default, or as in the blog post")
    train.add_argument("--epochs", type=_COUNT, metavar="N", help=_recipes("epochs"))
    train.add_argument("--batch-size", type=_COUNT, metavar="N", help=_recipes("batch_size"))
    train.add_argument("--lr", type=_RATE, metavar="X", help=_recipes("lr") + "; fast: the highest of its cycle")
    train.add_argument("--seed", type=_SEED, metavar="N", help="of all random numbers; 0")
    train.add_argument("--out", type=Path, metavar="RUN", help="the run folder to write; runs/ and the time by default")
    train.add_argument("--force", action="store_true", default=None, help="replace the run that is there")
    onward = "go on with a run that was stopped, from its last checkpoint and with its own recipe"
    train.add_argument("--resume", type=Path, metavar="RUN", help=onward)
    minutes = "save the run after each epoch, and within one every M minutes; 5"
    train.add_argument("--checkpoint-minutes", type=_MINUTES, default=5.0, metavar="M", help=minutes)
    train.set_defaults(run=_train)

    evaluate = commands.add_parser("eval", parents=[common], help="score a run's weights on any digits, at any angle")
    evaluate.add_argument("folder", type=Path, metavar="RUN", help="the run folder")
    evaluate.add_argument("--data", choices=("auto", "mnist", "digits"), help="the test digits; as the run by default")
    evaluate.add_argument("--angle", type=_ANGLE, metavar="A", help="turned within +-A degrees; as the run by default")
    evaluate.add_argument("--seed", type=_SEED, metavar="N", help="of the angles; as the run by default")
    evaluate.set_defaults(run=_eval)

    what = "draw what a run's transformer does to single digits"
    view = commands.add_parser("show", parents=[folder], help=what)
    view.add_argument("folder", type=Path, metavar="RUN", help="the run folder")
    places = "their numbers in the test set, from 0; the first five by default"
    view.add_argument("--digit", type=_PLACE, nargs="+", default=range(5), metavar="N", help=places)
    view.add_argument("--out", type=_picture, metavar="FILE", help="the picture to write; show.png in RUN by default")
    view.set_defaults(run=_show)

    several = commands.add_parser("compare", help="put runs side by side; those alike but for the seed are averaged")
    several.add_argument("folders", type=Path, nargs="+", metavar="RUN", help="the run folders")
    picture = "the picture to write; compare.png in this folder by default"
    several.add_argument("--out", type=_picture, default=Path("compare.png"), metavar="FILE", help=picture)
    several.set_defaults(run=_compare)

    check = commands.add_parser("gradcheck", help="check the gradients of the library's operations")
    check.add_argument("operations", nargs="*", metavar="OP", help="some of them; all, and the network, by default")
    check.add_argument("--json", action="store_true", help="print the whole report as JSON")
    check.add_argument("--plot", type=Path, metavar="DIR", help="draw the error against the step, a picture for each")
    check.set_defaults(run=_gradcheck)

    fetch = commands.add_parser("data", parents=[folder], help="find or download MNIST, check it, say where it is")
    fetch.set_defaults(run=_data)
    return parser


def _number(kind: Callable[[str], Any], least: float, most: float, what: str) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"expected {what}, got {text}")
        return value

    return parse


_ANGLE = _number(float, 0, 180, "0 to 180 degrees")
_COUNT = _number(int, 1, 10**9, "a whole number of at least 1")
_SEED = _PLACE = _number(int, 0, 2**63, "a whole number of at least 0")
_MINUTES = _number(float, 0, 1e6, "minutes, at least 0")
_RATE = _number(float, 1e-12, 1e3, "a learning rate above 0")


def _picture(text: str) -> Path:
    if Path(text).suffix not in (".png", ".pdf", ".svg"):
        raise argparse.ArgumentTypeError(f"expected a file that ends in .png, .pdf or .svg, got {text}")
    return Path(text)


def _recipes(field: str) -> str:
    return " or ".join(f"{getattr(recipe, field):g} ({name})" for name, recipe in RECIPES.items()) + " by default"


def _say(text: str) -> None:
    print(text, flush=True)


def _train(options: argparse.Namespace) -> None:
    resuming = options.resume is not None
    out, config, recipe, digits, test_digits = _resumed(options) if resuming else _started(options)
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


Job = tuple[Path, dict[str, Any], training.Recipe, Digits, Digits]  # run folder, config, recipe, digits, test digits


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


def _eval(options: argparse.Namespace) -> None:
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


def _show(options: argparse.Namespace) -> None:
    from npstn.show import show  # here and below, because importing matplotlib takes a while

    figure = show(options.folder, options.digit, options.data_dir)
    _write(figure, options.out or options.folder / "show.png")


def _compare(options: argparse.Namespace) -> None:
    from npstn import compare, plots

    groups = compare.read(options.folders)
    _say(compare.table(groups))
    _write(plots.comparison(groups), options.out)


def _write(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=150)
    _say(str(path))


def _gradcheck(options: argparse.Namespace) -> int:
    from npstn import catalogue

    try:
        return catalogue.run(options.operations, options.json, options.plot)
    except ValueError as error:  # a name that is not there
        raise BadArgument(str(error)) from None


def _data(options: argparse.Namespace) -> None:
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
