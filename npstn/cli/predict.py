"""`npstn predict`: say which digit is in a photograph, or what is in a picture."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npstn import runs
from npstn.cli import arguments
from npstn.cli.arguments import say
from npstn.data import DataError
from npstn.data.folder import SUFFIXES, visible

if TYPE_CHECKING:
    from npstn.runs.prediction import Prediction

STANDARD_INPUT = "-"
MOST_DRAWN = 20  # pictures in one figure: more would be too high to look at
LEAST_SHOWN = 0.0005  # of a probability in the table: less would be 0.0 %


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("predict", help="say which digit is in a photograph, or what is in a picture")
    arguments.add_run(parser)
    files = "PNG or JPEG files, folders of them, or - for a picture from standard input"
    parser.add_argument("pictures", nargs="+", metavar="PICTURE", help=files)
    entries = "print a list of objects with file, class, probability and probabilities in place of the table"
    parser.add_argument("--json", action="store_true", help=entries)
    steps = f"draw each step from a picture to its answer, for the first {MOST_DRAWN} pictures"
    parser.add_argument("--draw", type=arguments.picture, metavar="FILE", help=steps)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Answers go to standard output. A picture without one is a line on standard error, and does not stop the rest."""
    from npstn.runs.prediction import can_predict, predict  # here, because importing scipy.ndimage takes a while

    config = runs.read_config(options.folder)
    net = runs.load_net(options.folder, config, options.best)
    classes = config.class_names(options.folder)
    can_predict(config, classes)
    predictions, status = [], 0
    for name, file in _files(options.pictures):
        try:
            if file is None:
                raise DataError(f"expected PNG or JPEG files in {name}, got {_instead(name, options.folder)}")
            predictions.append(predict(net, config, file, name))
        except DataError as error:
            print(f"npstn: error: {error}", file=sys.stderr, flush=True)
            status = 1
    if options.json:
        say(json.dumps([_entry(prediction, classes) for prediction in predictions], indent=2))
    elif predictions:
        say(_table(predictions, classes))
    if options.draw and predictions:
        from npstn.figures.steps import draw  # here, because importing matplotlib takes a while

        draw(predictions[:MOST_DRAWN], classes).savefig(options.draw, dpi=100)
        print(options.draw, file=sys.stderr)  # standard output may be read as JSON
    return status


def _files(pictures: Sequence[str]) -> Iterator[tuple[str, Path | io.BytesIO | None]]:
    """The names of the pictures, each with its file; a folder gives those in it, or None for the lack of any."""
    for name in pictures:
        if name == STANDARD_INPUT:
            yield "standard input", io.BytesIO(sys.stdin.buffer.read())
        elif not Path(name).is_dir():
            yield name, Path(name)
        else:
            inside = [file for file in visible(Path(name)) if file.suffix.lower() in SUFFIXES]
            yield from ((str(file), file) for file in inside) if inside else [(name, None)]


def _instead(folder: str, run: Path) -> str:
    """What a folder without pictures has, and what to do."""
    inside = [path for path in visible(Path(folder)) if path.is_dir()]
    if not inside:
        return "none"
    all_of_them = f"score all of them with npstn eval {run} --data {folder}"
    return f"folders: give one of them, such as {inside[0]}, or {all_of_them}"


def _entry(prediction: Prediction, classes: tuple[str, ...]) -> dict[str, Any]:
    named = dict(zip(classes, prediction.probabilities.tolist(), strict=True))
    best = max(named, key=named.__getitem__)
    return {"file": prediction.file, "class": best, "probability": named[best], "probabilities": named}


def _table(predictions: Sequence[Prediction], classes: tuple[str, ...]) -> str:
    """A line for each picture: its class, how probable it is, and which others are not out of the question."""
    rows = [("file", "class", "probability", "others")]
    for prediction in predictions:
        p = prediction.probabilities
        best, *others = (int(k) for k in (-p).argsort(kind="stable"))
        rest = ", ".join(f"{classes[k]} {100 * p[k]:.1f} %" for k in others if p[k] >= LEAST_SHOWN)
        rows.append((prediction.file, classes[best], f"{100 * p[best]:.1f} %", rest))
    file, name, percent = (max(len(row[i]) for row in rows) for i in range(3))
    return "\n".join(f"{a:{file}}  {b:{name}}  {c:>{percent}}  {d}".rstrip() for a, b, c, d in rows)
