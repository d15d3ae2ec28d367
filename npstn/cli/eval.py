"""`npstn eval`: score the weights of a run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from npstn import runs
from npstn.cli import arguments
from npstn.cli.arguments import say
from npstn.cli.errors import BadArgument
from npstn.data import SOURCES
from npstn.data.sources import is_pictures
from npstn.tasks import TASKS, Pictures
from npstn.training import confusion, evaluate

MOST_IN_TABLE = 20  # classes: a table of more is wider than a screen
MOST_MISTAKES = 30  # in the list for more classes


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("eval", help="score a run's weights, also on other images or with other settings")
    arguments.add_run(parser)
    images = f"the test images: auto, {', '.join(SOURCES)}, or a folder with a subfolder for each class; as the run's"
    parser.add_argument("--data", type=_data, metavar="DATA", help=f"{images} by default")
    arguments.add_data_dir(parser)
    arguments.add_settings(parser, TASKS, by_default="as the run by default")
    seed = "of the test set's distortions; as the run by default"
    parser.add_argument("--seed", type=arguments.NATURAL, metavar="N", help=seed)
    arguments.add_threads(parser)
    taken = "print how many images of each class were taken for each class"
    parser.add_argument("--confusion", action="store_true", help=taken)
    drawn = "draw the numbers of --confusion as a picture"
    parser.add_argument("--draw", type=arguments.picture, metavar="FILE", help=drawn)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """The accuracy goes to standard output, the description of the test set and the measures to standard error."""
    arguments.set_threads(options.threads)
    config = runs.read_config(options.folder)
    net = runs.load_net(options.folder, config, options.best)
    changes = arguments.given_settings(options, TASKS, config.task["name"])
    if "size" in changes:
        raise BadArgument("argument --size: the network takes pictures of one size only; leave --size out")
    if options.seed is not None:
        changes["seed"] = options.seed
    without: list[str] = []
    source = None
    if isinstance(options.data, Path):
        from npstn.data.unseen import photographs, pictures_like  # here, because importing scipy.ndimage takes a while

        if options.data_dir is not None:
            raise BadArgument(f"argument --data-dir: goes with MNIST's files; the pictures come from {options.data}")
        if config.task["name"] == Pictures.name:
            source = pictures_like(options.data, config.class_names(options.folder), config.model["image"])
        else:
            source, without = photographs(options.data)
    elif config.task["name"] == Pictures.name and options.data is not None:
        raise BadArgument(f"argument --data: expected a folder or an .npz for a run of pictures, got {options.data}")
    elif options.data not in (None, config.task["source"]):
        source = arguments.find_source(options.data, options.data_dir, train=False, notes=sys.stderr)
    task = arguments.open_task(config, options.folder, options.data_dir, source, **changes)
    test = task.test()
    score = evaluate(net, test)
    found = len(test.labels)
    say(f"{score.accuracy * found / (found + len(without)):.2f} %")
    measures = task.measures(test, score.found)
    parts = [f"{task.summary(len(test.labels))} (seed {task.seed})"]
    for name, measure in task.measured.items():
        if not np.isnan(measures[name]):
            parts.append(f"{measure.label} {measure.written(measures[name])}")
    print("; ".join(parts), file=sys.stderr)
    for name in without:
        print(f"nothing looks like a digit in {name}: counted as wrong", file=sys.stderr)
    counts = confusion(test.labels, score.answers, len(task.classes))
    if options.confusion:
        say(confusion_table(counts, task.classes))
    if options.draw:
        from npstn.figures.confusion import confusion_figure  # here, because importing matplotlib takes a while

        arguments.write_figure(confusion_figure(counts, task.classes), options.draw, "--draw")


def confusion_table(counts: np.ndarray, classes: tuple[str, ...]) -> str:
    """A row for each true class, a column for each answer; of many classes, the most frequent mistakes."""
    each = counts.sum(axis=1)
    if len(classes) > MOST_IN_TABLE:
        wrong = np.where(np.eye(len(classes), dtype=bool), 0, counts)
        most = [divmod(int(k), len(classes)) for k in (-wrong).argsort(axis=None, kind="stable")[:MOST_MISTAKES]]
        seen = [(i, k) for i, k in most if wrong[i, k]]
        lines = [f"{wrong[i, k]:,} of {each[i]:,} images of {classes[i]} are taken for {classes[k]}" for i, k in seen]
        return "\n".join(lines) or "no image is misread"
    rows = [["", *classes, "right"]]
    for name, row, right, total in zip(classes, counts, np.diag(counts), each, strict=True):
        share = f"{100 * right / total:.1f} %" if total else "-"
        rows.append([name, *(f"{count:,}" if count else "." for count in row), share])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    return "\n".join(["a row for each class, a column for what its images were taken for", *lines])


def _data(text: str) -> str | Path:
    """The name of a source, or the path of pictures; a typing error is not taken for a path."""
    names = ("auto", *SOURCES)
    if text in names:
        return text
    if is_pictures(text):
        return Path(text)
    wrong = f"expected {', '.join(names)}, a folder of pictures or an .npz; got {text!r}"
    raise argparse.ArgumentTypeError(wrong + arguments.suggestion(text, names))
