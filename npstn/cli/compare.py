"""`npstn compare`: put runs next to each other, as a table and as curves."""

from __future__ import annotations

import argparse
from pathlib import Path

from npstn.cli import arguments
from npstn.runs import comparison


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    what = "put runs next to each other; those alike but for the seed are averaged"
    parser = subparsers.add_parser("compare", help=what)
    parser.add_argument("folders", type=arguments.path, nargs="+", metavar="RUN", help="the run folders")
    out = "the picture to write; compare.png in this folder by default"
    parser.add_argument("--out", type=arguments.picture, default=Path("compare.png"), metavar="FILE", help=out)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    folders = [folder for folder in options.folders if not folder.is_file()]  # the tables of a sweep, by FOLDER/*
    groups = comparison.read(folders or options.folders)
    arguments.say(comparison.table(groups))
    from npstn.figures import curves  # here, because importing matplotlib takes a while

    arguments.write_figure(curves.comparison(groups), options.out)
