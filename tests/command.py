"""The command `npstn` as the tests call it: run and captured, on a few hundred drawn digits."""

import contextlib
import csv
import functools
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import npstn
from npstn import data, runs
from npstn.backend import parallel
from npstn.cli.parser import main
from npstn.data.mnist import load_mnist
from npstn.training import evaluate, loop

ROOT = Path(__file__).resolve().parents[1]
QUICK = ["--data", "drawn", "--epochs", "2", "--batch-size", "32"]
FILES = ["config.json", "metrics.csv", "weights.safetensors", "best.safetensors", "checkpoint.safetensors"]
PICTURES = ["before_after.png", "curves.png", "parameters.png", "training.gif"]
ALL_FILES = sorted([*FILES, "frames.safetensors", *PICTURES])  # of a run with a transformer

# Python code for a process of its own, with few drawn digits: one command, or several, the arguments of each in lines.
FEW_DIGITS = """
import sys
import npstn.data.sources as sources
draw = sources.draw_digits
sources.draw_digits = lambda count, seed: draw(count // 100, seed=seed)
from npstn.cli.parser import main
"""
COMMAND = f"{FEW_DIGITS}sys.exit(main(sys.argv[1:]))"
COMMANDS = f"{FEW_DIGITS}for lines in sys.argv[1:]: print('status', main(lines.splitlines()), flush=True)"


class Said(NamedTuple):
    status: int
    out: str
    err: str


class Watched(io.StringIO):
    """Standard output that calls a function after each line."""

    def __init__(self, after_line):
        super().__init__()
        self.after_line = after_line

    def flush(self):
        self.after_line(self.getvalue().splitlines()[-1])


def npstn_(*arguments, after_line=lambda line: None):
    """Run the command in this process. A traceback fails the test."""
    out, err = Watched(after_line), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            status = stop.code
    return Said(status, out.getvalue(), err.getvalue())


def program(*arguments, cwd, **streams):
    """Run the command as a program of its own."""
    streams = streams or {"capture_output": True, "text": True}
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    command = [sys.executable, "-m", "npstn", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=env, timeout=300, check=False, **streams)


def refusal(status, *arguments):
    """What the command says in one line on standard error when it cannot do what it is asked, without the beginning."""
    said = npstn_(*arguments)
    assert said.err.startswith("npstn: error: ")
    assert said.err.count("\n") == 1 and said.err.endswith("\n")
    assert "Traceback" not in said.err
    assert said.status == status
    return said.err.removeprefix("npstn: error: ").removesuffix("\n")


# The data


@functools.cache
def few_digits(count, seed):
    """A hundredth of the digits that are asked for, read-only."""
    images, labels = data.draw_digits(count // 100, seed=seed)
    images.flags.writeable = labels.flags.writeable = False
    return images, labels


def no_mnist(folder=None, train=True):
    raise data.MnistNotFound("could not download MNIST: no network")


def offline_mnist(folder=None, train=True):
    """MNIST as the library finds it, without a download."""
    return load_mnist(folder, train, download=False)


def use_mnist(patch, load):
    """Let the command find MNIST by calling `load(folder, train)`."""
    patch.setattr("npstn.data.sources.load_mnist", load)
    patch.setattr("npstn.cli.data.load_mnist", load)


@contextlib.contextmanager
def small_world():
    """Inside, there are few drawn digits, no MNIST and no network; kernels use one thread, as more gain nothing."""
    threads = parallel.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("NPSTN_DATA_DIR", raising=False)
        patch.setattr("npstn.data.sources.draw_digits", few_digits)
        use_mnist(patch, no_mnist)
        patch.setattr("npstn.cli.train.compile_at_first_start", lambda *given: None)  # it takes a step of its own
        npstn.set_num_threads(1)
        yield
    npstn.set_num_threads(threads)


def score_epochs(patch, *accuracies):
    """Let the epochs that come have these test accuracies; their losses are the true ones."""
    coming = iter(accuracies)
    patch.setattr(loop, "evaluate", lambda net, test: evaluate(net, test)._replace(accuracy=next(coming)))


# The folders


def snapshot(folder):
    """Everything below a folder: names, contents, times of the last change."""
    return {
        str(path.relative_to(folder)): (path.read_bytes() if path.is_file() else None, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
    }


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def read_config(folder):
    return json.loads((folder / "config.json").read_text())


def change_config(folder, path, value):
    """Change an entry of a run's config.json; `path` is its name, or the names that lead to it: "recipe.lr"."""
    config = read_config(folder)
    *above, last = path.split(".")
    functools.reduce(dict.__getitem__, above, config)[last] = value
    (folder / "config.json").write_text(json.dumps(config))


def metrics_without_seconds(folder):
    """The lines of a run's metrics.csv, each without the seconds."""
    with open(folder / "metrics.csv", newline="") as file:
        rows = list(csv.reader(file))
    column = rows[0].index("seconds")
    return [row[:column] + row[column + 1 :] for row in rows]


def last_accuracy(folder):
    return runs.read_metrics(folder)["test_accuracy"][-1]
