"""`npstn show`: draw what the transformer of a run does to single test images."""

from __future__ import annotations

import argparse

from npstn.cli import arguments
from npstn.cli.errors import BadArgument


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("show", help="draw what a run's transformer does to single test images")
    arguments.add_run(parser)
    places = "their numbers in the test set, from 0; the first five by default"
    parser.add_argument("--digit", type=arguments.NATURAL, nargs="+", metavar="N", help=places)
    mistakes = "draw N misread test images in their place, 5 by default: first those with the highest loss"
    parser.add_argument("--wrong", type=arguments.COUNT, nargs="?", const=5, metavar="N", help=mistakes)
    arguments.add_data_dir(parser)
    out = "the picture to write; show.png in RUN by default"
    parser.add_argument("--out", type=arguments.picture, metavar="FILE", help=out)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from npstn.figures import show  # here, because importing matplotlib takes a while

    if options.wrong and options.digit:
        raise BadArgument("argument --wrong: chooses the images itself; leave --digit out")
    figure = show(options.folder, options.digit or range(5), options.data_dir, options.wrong or 0, options.best)
    arguments.write_figure(figure, options.out or options.folder / "show.png")
