"""`npstn export`: write the network of a run as an ONNX file, which other programs run without npstn."""

from __future__ import annotations

import argparse
from pathlib import Path

from npstn import onnx, runs
from npstn.cli import arguments
from npstn.cli.arguments import say


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("export", help="write a run's network as an ONNX file, for other programs")
    arguments.add_run(parser)
    parser.add_argument("file", type=model_file, metavar="FILE", help="the .onnx file to write")
    parser.set_defaults(run=run)


def model_file(text: str) -> Path:
    """The path of a model: with RUN and FILE in the wrong order, nothing of a run is replaced."""
    if Path(text).suffix != ".onnx":
        raise argparse.ArgumentTypeError(f"expected a file that ends in .onnx, got {text}")
    return Path(text)


def run(options: argparse.Namespace) -> None:
    """One line says what the model takes and gives."""
    config = runs.read_config(options.folder)
    image, classes = config.model["image"], config.model["classes"]
    onnx.save(runs.load_net(options.folder, config, options.best), options.file, image)
    pixels = ", ".join(map(str, image))
    say(f"{options.file}: images (batch, {pixels}) -> log-probabilities (batch, {classes}), opset {onnx.OPSET}")
