"""`npstn play`: write a page on which one moves the parameters of a run's transformer, or one point between pixels."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from npstn import pages, runs
from npstn.cli import arguments
from npstn.cli.arguments import say
from npstn.cli.errors import BadArgument


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("play", help="write a page with sliders for what a run's transformer does")
    which = "the run folder; without it, the page shows one point between four pixels, and its gradient"
    parser.add_argument("folder", type=arguments.path, nargs="?", metavar="RUN", help=which)
    places = "the numbers of its images in the test set, from 0; the first three by default, for a spline the first; "
    places += "fewer give finer steps"
    parser.add_argument("--digit", type=arguments.NATURAL, nargs="+", metavar="N", help=places)
    arguments.add_best(parser)
    arguments.add_data_dir(parser)
    out = "the page to write; play.html in RUN by default, without RUN in this folder"
    parser.add_argument("--out", type=page, metavar="FILE", help=out)
    parser.set_defaults(run=run)


def page(text: str) -> Path:
    if Path(text).suffix not in (".html", ".htm"):
        raise argparse.ArgumentTypeError(f"expected a file that ends in .html, got {text}")
    return arguments.path(text)


def run(options: argparse.Namespace) -> None:
    folder = options.folder
    if folder is None:
        for name in ("digit", "data_dir", "best"):
            if getattr(options, name):
                raise BadArgument(f"argument --{name.replace('_', '-')}: goes with a RUN, and there is none")
    else:
        runs.read_config(folder)
    out = options.out or (folder or Path()) / "play.html"
    cannot = f"cannot write {out}"
    if not os.access(out.parent, os.W_OK):  # said before the work, which takes a while
        why = "there is no such folder" if not out.parent.exists() else "it is not allowed"
        raise runs.RunError(f"{cannot}: {why}; choose another place with --out")
    try:
        if folder is None:
            pages.write_pixel_page(out)
        else:
            pages.write_run_page(out, folder, options.digit, options.data_dir, options.best, say)
    except BrokenPipeError:  # the reader of the output has had enough
        raise
    except OSError as error:
        raise runs.RunError(f"{cannot}: {error.strerror or error}; choose another place with --out") from None
    say(f"{out}: open it in a browser")
