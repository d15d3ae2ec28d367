"""Arguments that several commands take."""

from __future__ import annotations

import argparse
import difflib
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import npstn
from npstn.cli.errors import BadArgument
from npstn.data import SOURCES, DataError, MnistNotFound, Source
from npstn.data.sources import is_pictures
from npstn.runs import Config, RunError
from npstn.tasks import TASKS, Pictures, Task
from npstn.transformers import Setting

if TYPE_CHECKING:
    from matplotlib.figure import Figure


REPLACED = {"--model": "--transformer takes its place: rotation for stn, none for cnn"}  # options of an older npstn


class Parser(argparse.ArgumentParser):
    """Answers wrong arguments in one line, and suggests a name that is nearly the one that was given.

    Attributes:
        words: for options that are easily forgotten, whether a word was meant for them.
    """

    words: Mapping[str, Callable[[str], bool]] = {}

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # Before Python 3.14, argparse takes -1e-3 and -5. for options.
        self._negative_number_matcher = re.compile(r"-\.?\d")

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"npstn: error: {message}\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:  # said here rather than by the parser of all commands, which does not know this command's options
            wrong = next((text for text in unknown if text.startswith("-")), unknown[0])
            self.error(f"unrecognized arguments: {' '.join(unknown)}{self._hint(wrong)}")
        return known, unknown

    def _hint(self, wrong: str) -> str:
        """The end of an error: what was meant by an unknown option, or by a word that belongs to none."""
        name = wrong.partition("=")[0]
        if name in REPLACED:
            return f"; {REPLACED[name]}"
        if wrong.startswith("-"):
            return suggestion(name.lstrip("-"), [o[2:] for o in self._option_string_actions if o[:2] == "--"], "--")
        options = self._option_string_actions.items()
        of_choices = [option for option, action in options if wrong in (action.choices or ())]
        meant = [option for option, fits in self.words.items() if fits(wrong)] + of_choices
        return f"; did you mean {meant[0]} {wrong}?" if meant else ""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            error.message += suggestion(value, action.choices or ())
            raise


def suggestion(given: str, known: Iterable[str], prefix: str = "") -> str:
    """The end of an error: the known name that is most like the one that was given, or two; "" where none is.

    Args:
        prefix: put before a name that is suggested.

    >>> suggestion("rts", ["R", "RTS"]), suggestion("cn", ["cnn", "fcn"]), suggestion("x", ["R", "RTS"])
    ('; did you mean RTS?', '; did you mean cnn or fcn?', '')
    """
    alike = {name: difflib.SequenceMatcher(None, name.lower(), given.lower()).ratio() for name in known}
    best = max(alike.values(), default=0)
    close = [prefix + name for name, ratio in alike.items() if ratio == best >= 0.6]
    return f"; did you mean {' or '.join(close[:2])}?" if close else ""


def number(kind: Callable[[str], Any], least: float, most: float, what: str) -> Callable[[str], Any]:
    """A parser of numbers from `least` to `most`; its error says that `what` was expected."""

    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"expected {what}, got {text}")
        return value

    return parse


def path(text: str) -> Path:
    """A path. The shell leaves a "~" as it is in --out=~/runs, and other programs everywhere.

    An empty text, such as of a shell variable that is not set, would be the current folder.
    """
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got an empty text")
    return Path(os.path.expanduser(text))


COUNT = number(int, 1, 10**9, "a whole number of at least 1")
NATURAL = number(int, 0, 2**63, "a whole number of at least 0")


def picture(text: str) -> Path:
    if Path(text).suffix not in (".png", ".pdf", ".svg"):
        raise argparse.ArgumentTypeError(f"expected a file that ends in .png, .pdf or .svg, got {text}")
    return path(text)


def task(text: str) -> str:
    """The name of a task, or the path of the user's pictures; a typing error is not taken for a path."""
    names = [name for name in TASKS if name != Pictures.name]
    if text in names:
        return text
    there = path(text)
    if is_pictures(there):
        return str(there)
    if there.name != text:  # nobody calls a task so
        what = "which is neither" if there.exists() else "and there is nothing of that name"
        raise argparse.ArgumentTypeError(f"expected a folder of pictures or an .npz, got {text!r}, {what}")
    expected = f"{', '.join(names)}, a folder of pictures or an .npz"
    raise argparse.ArgumentTypeError(f"expected {expected}; got {text!r}{suggestion(text, names)}")


def add_run(parser: argparse.ArgumentParser) -> None:
    """The run whose weights a command loads, by `runs.load_net(options.folder, config, options.best)`."""
    parser.add_argument("folder", type=path, metavar="RUN", help="the run folder")
    add_best(parser)


def add_best(parser: argparse.ArgumentParser) -> None:
    best = "take the weights of its best epoch, which the test images chose; those of its last by default"
    parser.add_argument("--best", action="store_true", help=best)


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    files = "the folder of MNIST's files, in place of NPSTN_DATA_DIR"
    parser.add_argument("--data-dir", type=path, metavar="DIR", help=files)


def add_threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=COUNT, metavar="N", help="how many threads; one for each core by default")


def add_checkpoint_minutes(parser: argparse.ArgumentParser) -> None:
    minutes = number(float, 0, 1e6, "minutes, at least 0")
    often = "save the run after each epoch, and within one every M minutes; 5 by default"
    parser.add_argument("--checkpoint-minutes", type=minutes, default=5.0, metavar="M", help=often)


def set_threads(threads: int | None) -> None:
    if threads is not None:
        try:
            npstn.set_num_threads(threads)
        except ValueError as error:
            raise BadArgument(f"argument --threads: {str(error).removeprefix('set_num_threads: ')}") from None


def all_settings(kinds: Mapping[str, Any]) -> dict[str, Setting]:
    """The settings of all tasks or of all transformers, by name: each is an option."""
    return {name: setting for kind in kinds.values() for name, setting in kind.settings.items()}


def add_settings(
    parser: argparse.ArgumentParser, kinds: Mapping[str, Any], by_default: str = "", several: bool = False
) -> None:
    """Add an option for each setting, with several values each if asked for.

    Its help ends in `by_default`; if that is "", in the settings' own defaults.
    """
    for name, setting in all_settings(kinds).items():
        whole = isinstance(setting.default, int)
        what = f"a{' whole' if whole else ''} number from {setting.least:g} to {setting.most:g}"
        kind = number(int if whole else float, setting.least, setting.most, what)
        text = f"{setting.help}; {by_default or _defaults(name, kinds)}"
        nargs = "+" if several else None
        parser.add_argument(option(name), dest=name, type=kind, nargs=nargs, metavar=name[0].upper(), help=text)


def _defaults(name: str, kinds: Mapping[str, Any]) -> str:
    """The defaults of a setting; where there are several, each with the kinds that have it."""
    owners: dict[float, list[str]] = {}
    for key, kind in kinds.items():
        if name in kind.settings:
            owners.setdefault(kind.settings[name].default, []).append(key)
    if len(owners) == 1:
        return f"{next(iter(owners)):g} by default"
    return "by default " + ", ".join(f"{value:g} ({', '.join(keys)})" for value, keys in owners.items())


def given_settings(options: argparse.Namespace, kinds: Mapping[str, Any], chosen: str) -> dict[str, float]:
    """The settings that were given for one of the kinds. Raises BadArgument for one that it does not have."""
    given = {name: getattr(options, name) for name in all_settings(kinds) if getattr(options, name) is not None}
    own = kinds[chosen].settings if chosen in kinds else {}
    for name in given:
        if name not in own:
            owners = " or ".join(key for key, kind in kinds.items() if name in kind.settings)
            raise BadArgument(f"argument {option(name)}: goes with {owners}, not with {chosen}")
    return given


def option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def find_source(name: str, data_dir: Path | None, train: bool = True, notes: TextIO | None = None) -> Source:
    """The source of this name, loaded; for "auto", MNIST if it is at hand or can be downloaded, else drawn digits.

    Args:
        train: whether the training set is needed too.
        notes: where to say that digits are drawn; standard output where None.
    """
    if name == "drawn" and data_dir is not None:
        raise BadArgument("argument --data-dir: goes with --data mnist or auto, not with drawn")
    source = SOURCES["mnist" if name == "auto" else name](data_dir)
    try:
        return source.loaded(train)
    except MnistNotFound:
        if name != "auto":
            raise
    print("MNIST is not at hand and cannot be downloaded: using digits drawn by the program", file=notes or sys.stdout)
    return SOURCES["drawn"](None).loaded(train)


def open_task(config: Config, run: Path, data_dir: Path | None, source: Source | None = None, **changes: Any) -> Task:
    """The task of a run, as by `Config.open_task`. Raises BadArgument for a --data-dir if the source has no files."""
    try:
        return config.open_task(run, data_dir, source, **changes)
    except DataError as error:
        if data_dir is None:
            raise
        raise BadArgument(f"argument --data-dir: {error}") from None


def say(text: str) -> None:
    print(text, flush=True)


def write_figure(figure: Figure, path: Path, option: str = "--out") -> None:
    """Write a picture, and say where it is. `option` chooses the place."""
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}; choose another place with {option}") from None
    say(str(path))
