"""`npstn show`: draw what the transformer of a run does to single test images."""

from __future__ import annotations

import argparse
import math

from npstn.cli import arguments
from npstn.cli.errors import BadArgument


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("show", help="draw what a run's transformer does to single test images")
    arguments.add_run(parser)
    places = "their numbers in the test set, from 0; the first five by default"
    parser.add_argument("--digit", type=arguments.NATURAL, nargs="+", metavar="N", help=places)
    mistakes = "draw N misread test images in their place, 5 by default: first those with the highest loss"
    parser.add_argument("--wrong", type=arguments.COUNT, nargs="?", const=5, metavar="N", help=mistakes)
    set_to = "draw one --digit with a parameter of the transformer set to each of these values (angles in degrees), in "
    set_to += "place of the one that was found; its name comes first where there are several: --parameter t_x -0.5 0.5"
    parser.add_argument("--parameter", type=_word, nargs="+", default=[], metavar="X", help=set_to)
    arguments.add_data_dir(parser)
    out = "the picture to write; show.png in RUN by default"
    parser.add_argument("--out", type=arguments.picture, metavar="FILE", help=out)
    parser.set_defaults(run=run)


def _word(text: str) -> str | float:
    """A finite number, or the name of a parameter."""
    try:
        value = float(text)
    except ValueError:
        return text
    return value if math.isfinite(value) else text


def run(options: argparse.Namespace) -> None:
    from npstn.figures import show  # here, because importing matplotlib takes a while

    digits, parameter = options.digit, options.parameter
    if options.wrong and digits:
        raise BadArgument("argument --wrong: chooses the images itself; leave --digit out")
    if parameter and options.wrong:
        raise BadArgument("argument --parameter: goes with one --digit, not with --wrong")
    if parameter and digits and len(digits) > 1:
        raise BadArgument(f"argument --parameter: goes with one --digit, got {len(digits)}")
    for word in parameter[1:]:
        if isinstance(word, str):
            raise BadArgument(f"argument --parameter: expected numbers after the name, got {word}")
    figure = show(options.folder, digits, options.data_dir, options.wrong or 0, parameter, options.best)
    arguments.write_figure(figure, options.out or options.folder / "show.png")
