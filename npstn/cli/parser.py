"""The command `npstn`: collects the commands, runs the one that was asked for, and says in one line what went wrong."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

import npstn
from npstn import runs
from npstn.cli import compare, data, eval, export, gradcheck, play, predict, show, sweep, train
from npstn.cli.arguments import Parser
from npstn.cli.errors import BadArgument
from npstn.data import DataError
from npstn.onnx import ExportError
from npstn.training import TrainingError

COMMANDS = train, eval, predict, show, play, compare, sweep, export, gradcheck, data


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0, 1 for what went wrong while running, or 2 for wrong arguments."""
    _open_missing_streams()
    os.environ["MPLBACKEND"] = "agg"  # a notebook sets its own for the programs it starts; no command opens a window
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows no "±" or "°" is no reason to stop
    parser = Parser(prog="npstn", description="Spatial transformer networks on the CPU.")
    parser.add_argument("--version", action="version", version=f"npstn {npstn.__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_arguments(subparsers)
    given = sys.argv[1:] if arguments is None else list(arguments)
    if not given:
        parser.print_help()
        return 0
    options = parser.parse_args(given)
    try:
        return options.run(options) or 0
    except KeyboardInterrupt:
        print("\nnpstn: stopped", file=sys.stderr)
        return 130
    except runs.Stopped as stopped:
        print(f"\nnpstn: {stopped}", file=sys.stderr)
        return stopped.status
    except BrokenPipeError:  # the reader of the output, `head` say, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain as it ends
        return 128 + 13  # as a shell reports SIGPIPE
    except OSError as error:
        print(f"npstn: error: {f'{error.filename}: {error.strerror}' if error.filename else error}", file=sys.stderr)
        return 1
    except (BadArgument, runs.RunError, DataError, ExportError, TrainingError) as error:
        print(f"npstn: error: {error}", file=sys.stderr)
        return 2 if isinstance(error, BadArgument) else 1


def _open_missing_streams() -> None:
    """Let what was closed lead nowhere, as in `npstn train 2>&-` and in some services.

    Otherwise the next file to be opened would be taken for standard error, and Python itself has no stream to print to.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - as long as the process
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
