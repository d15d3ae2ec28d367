"""`npstn data`: find or download MNIST, check it, and say where it is."""

from __future__ import annotations

import argparse

from npstn.cli import arguments
from npstn.data import load_mnist, mnist_folder


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("data", help="find or download MNIST, check it, say where it is")
    arguments.add_data_dir(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    train, test = load_mnist(options.data_dir), load_mnist(options.data_dir, train=False)
    folder = mnist_folder(options.data_dir)
    arguments.say(f"MNIST is whole: {len(train[0]):,} training and {len(test[0]):,} test digits in {folder}")
