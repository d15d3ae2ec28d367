"""`npstn predict`: say what is in pictures, photographs of digits above all."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from npstn import nn, runs
from npstn.autograd import Tensor, no_grad
from npstn.cli import arguments
from npstn.cli.arguments import say
from npstn.data import DataError
from npstn.data.folder import SUFFIXES, read_picture, visible
from npstn.data.photograph import Found, NoDigit, find_digit, on_black, read_grey
from npstn.data.sources import DIGITS, FOLDER
from npstn.runs import Config
from npstn.tasks.base import planes
from npstn.training.metrics import evaluating

STANDARD_INPUT = "-"
MOST_DRAWN = 20  # pictures in one figure: more would be too high to look at
LEAST = 0.0005  # of a probability in the table: less would be 0.0 %


class Answer(NamedTuple):
    """A picture, and what a network says about it."""

    file: str
    image: np.ndarray  # uint8 (H, W) or (H, W, 3): what the network was given
    found: Found | None  # the steps to it; None for a picture that was not searched for a digit
    probabilities: np.ndarray  # (classes,)


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("predict", help="say which digit is in a photograph, or what is in a picture")
    arguments.add_run(parser)
    files = "PNG or JPEG files, folders of them, or - for a picture from standard input"
    parser.add_argument("pictures", nargs="+", metavar="PICTURE", help=files)
    entries = "print a list of objects with file, class, probability and probabilities, in place of the table"
    parser.add_argument("--json", action="store_true", help=entries)
    steps = f"draw each step from a picture to its answer, for the first {MOST_DRAWN}"
    parser.add_argument("--draw", type=arguments.picture, metavar="FILE", help=steps)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Answers go to standard output; a picture without one is an error on standard error, and does not stop the rest."""
    config = runs.read_config(options.folder)
    net = runs.load_net(options.folder, config)
    classes = config.class_names(options.folder)
    if config.task["source"] != FOLDER and classes != DIGITS:
        raise runs.RunError(f"expected a run that reads one digit, got one of the task {config.task['name']}")
    status, answers = 0, []
    for file in _files(options.pictures):
        try:
            answers.append(_answer(file, net, config))
        except DataError as error:
            print(f"npstn: error: {error}", file=sys.stderr)
            status = 1
    if options.json:
        say(json.dumps([_entry(answer, classes) for answer in answers], indent=2))
    elif answers:
        say(_table(answers, classes))
    if options.draw and answers:
        from npstn.figures.steps import draw  # here, because importing matplotlib takes a while

        path = draw(net, classes, answers)
    return status


def _files(pictures: list[str]) -> Iterator[str]:
    """The names of the pictures, with those in a folder in place of the folder."""
    for name in pictures:
        if Path(name).is_dir():
            inside = [str(file) for file in visible(Path(name)) if file.suffix.lower() in SUFFIXES]
            yield from inside or [name]  # a folder without pictures is read as a picture would be, to say so
        else:
            yield name


def _answer(file: str, net: nn.Module, config: Config) -> Answer:
    """What the network says about a picture. Raises DataError where it cannot be read, or holds no digit."""
    if Path(file).is_dir():
        raise DataError(f"expected PNG or JPEG files in {file}, got none")
    source: Path | BinaryIO = Path(file)
    if file == STANDARD_INPUT:
        file, source = "standard input", io.BytesIO(sys.stdin.buffer.read())
    channels, *size = config.model["image"]
    if config.task["source"] == FOLDER:
        image, found = read_picture(source, file, (size[0], size[1]), grey=channels == 1), None
    else:
        try:
            found = find_digit(read_grey(source, file))
        except NoDigit as error:
            raise NoDigit(f"expected a digit in {file}, got {error}") from None
        image = on_black(found.digit, (size[0], size[1]))
    with evaluating(net), no_grad():
        log_probabilities = net(Tensor(planes(image[None]))).data[0]
    return Answer(file, image, found, np.exp(log_probabilities))


def _entry(answer: Answer, classes: tuple[str, ...]) -> dict[str, Any]:
    best = int(answer.probabilities.argmax())
    named = {name: float(p) for name, p in zip(classes, answer.probabilities, strict=True)}
    return {"file": answer.file, "class": classes[best], "probability": named[classes[best]], "probabilities": named}


def _table(answers: list[Answer], classes: tuple[str, ...]) -> str:
    """A line for each picture: its class, the probability, and the other classes that are not out of the question."""
    rows = [("file", "class", "probability", "others")]
    for file, _, _, probabilities in answers:
        best, *others = (int(k) for k in (-probabilities).argsort(kind="stable"))
        rest = ", ".join(f"{classes[k]} {100 * probabilities[k]:.1f} %" for k in others if probabilities[k] >= LEAST)
        rows.append((file, classes[best], f"{100 * probabilities[best]:.1f} %", rest))
    a, b, c, _ = (max(len(row[i]) for row in rows) for i in range(4))
    return "\n".join(f"{w:{a}}  {x:{b}}  {y:>{c}}  {z}".rstrip() for w, x, y, z in rows)
