"""`npstn show`: draw what the transformer of a run does to single test images."""

from __future__ import annotations

import argparse

from npstn.cli import arguments


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("show", help="draw what a run's transformer does to single test images")
    arguments.add_run(parser)
    places = "their numbers in the test set, from 0; the first five by default"
    parser.add_argument("--digit", type=arguments.NATURAL, nargs="+", default=range(5), metavar="N", help=places)
    arguments.add_data_dir(parser)
    out = "the picture to write; show.png in RUN by default"
    parser.add_argument("--out", type=arguments.picture, metavar="FILE", help=out)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from npstn.figures import show  # here, because importing matplotlib takes a while

    figure = show(options.folder, options.digit, options.data_dir)
    arguments.write_figure(figure, options.out or options.folder / "show.png")
