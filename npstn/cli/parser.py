"""The command `npstn`: its arguments, and what ends it; what it then does stands in commands.py."""

from __future__ import annotations

import argparse
import io
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import npstn
from npstn import commands, data, runs, saving, training


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
    except BrokenPipeError:  # whoever read what is said, `head` say, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would say so as it ends
        return 128 + 13  # as a shell reports SIGPIPE
    except OSError as error:
        print(f"npstn: error: {f'{error.filename}: {error.strerror}' if error.filename else error}", file=sys.stderr)
        return 1
    except (commands.BadArgument, runs.RunError, data.DataError, training.TrainingError) as error:
        print(f"npstn: error: {error}", file=sys.stderr)
        return 2 if isinstance(error, commands.BadArgument) else 1


class _Parser(argparse.ArgumentParser):
    """Answers wrong arguments in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"npstn: error: {message}\n")


def _parser() -> _Parser:
    parser = _Parser(prog="npstn", description="Spatial transformer networks on the CPU.")
    parser.add_argument("--version", action="version", version=f"npstn {npstn.__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    folder = _Parser(add_help=False)
    folder.add_argument("--data-dir", type=Path, metavar="DIR", help="the folder of MNIST's files, or NPSTN_DATA_DIR")
    common = _Parser(add_help=False, parents=[folder])
    common.add_argument("--threads", type=_COUNT, metavar="N", help="threads of the kernels; all cores by default")

    auto = "digits are drawn by the program; auto, the default, is mnist if at hand or to be downloaded, else digits"
    train = subparsers.add_parser("train", parents=[common], help="train a network on digits turned by random angles")
    train.add_argument("--data", choices=("auto", "mnist", "digits"), help=auto)
    train.add_argument("--model", choices=("stn", "cnn"), help="with the transformer (stn, the default), or without")
    train.add_argument("--angle", type=_ANGLE, metavar="A", help="turn digits within +-A degrees; 45")
    train.add_argument("--recipe", choices=tuple(training.RECIPES), help="fast, the default, or as in the blog post")
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
    train.set_defaults(run=commands.train)

    evaluate = subparsers.add_parser("eval", parents=[common], help="score a run's weights on any digits, at any angle")
    evaluate.add_argument("folder", type=Path, metavar="RUN", help="the run folder")
    evaluate.add_argument("--data", choices=("auto", "mnist", "digits"), help="the test digits; as the run by default")
    evaluate.add_argument("--angle", type=_ANGLE, metavar="A", help="turned within +-A degrees; as the run by default")
    evaluate.add_argument("--seed", type=_SEED, metavar="N", help="of the angles; as the run by default")
    evaluate.set_defaults(run=commands.evaluate)

    what = "draw what a run's transformer does to single digits"
    view = subparsers.add_parser("show", parents=[folder], help=what)
    view.add_argument("folder", type=Path, metavar="RUN", help="the run folder")
    places = "their numbers in the test set, from 0; the first five by default"
    view.add_argument("--digit", type=_PLACE, nargs="+", default=range(5), metavar="N", help=places)
    view.add_argument("--out", type=_picture, metavar="FILE", help="the picture to write; show.png in RUN by default")
    view.set_defaults(run=commands.show)

    several = subparsers.add_parser("compare", help="put runs side by side; those alike but for the seed are averaged")
    several.add_argument("folders", type=Path, nargs="+", metavar="RUN", help="the run folders")
    picture = "the picture to write; compare.png in this folder by default"
    several.add_argument("--out", type=_picture, default=Path("compare.png"), metavar="FILE", help=picture)
    several.set_defaults(run=commands.compare)

    check = subparsers.add_parser("gradcheck", help="check the gradients of the library's operations")
    check.add_argument("operations", nargs="*", metavar="OP", help="some of them; all, and the network, by default")
    check.add_argument("--json", action="store_true", help="print the whole report as JSON")
    check.add_argument("--plot", type=Path, metavar="DIR", help="draw the error against the step, a picture for each")
    check.set_defaults(run=commands.gradcheck)

    fetch = subparsers.add_parser("data", parents=[folder], help="find or download MNIST, check it, say where it is")
    fetch.set_defaults(run=commands.find_mnist)
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
    defaults = (f"{getattr(recipe, field):g} ({name})" for name, recipe in training.RECIPES.items())
    return " or ".join(defaults) + " by default"
