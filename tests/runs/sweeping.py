"""Sweeps as programs of their own, on few drawn digits, which their workers get from them."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from command import COMMAND, ROOT
from kills import contents

GRID = "--data drawn --recipe blog --network fcn --task R P --transformer none affine --epochs 3".split()
GRID += ["--batch-size", "32"]


def start(out, *arguments, before=""):
    """Start a sweep into a folder, after some code; its process leads a group of its own."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    command = [sys.executable, "-c", before + COMMAND, "sweep", "--out", str(out), *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=env, text=True, cwd=ROOT, start_new_session=True, **pipes)


def finish(process, status=0):
    """What a sweep says in the end."""
    try:
        out, err = process.communicate(timeout=200)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == status, err[-3000:]
    return out, err


def everything(out):
    """Every file of every run of a sweep, without the times."""
    return {run.name: contents(run) for run in sorted(Path(out).iterdir()) if run.is_dir()}


def workers_of(process):
    """The processes that a sweep has started and that train: those with a Dask worker in them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
            parent = int(path.with_name("stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if parent == process.pid and b"spawn_main" in words:
            found.append(int(path.parent.name))
    return found


def kill(*numbers):
    """Kill these processes, if they still run."""
    for number in numbers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


def epochs_done(out):
    """How many epochs of all runs are written."""
    return sum(max(len(path.read_text().splitlines()) - 1, 0) for path in Path(out).glob("*/metrics.csv"))


def wait_for_epochs(process, out, count):
    """Wait until so many epochs are written, or the sweep has ended. A sweep that comes no further fails the test."""
    end = time.monotonic() + 120
    while process.poll() is None and epochs_done(out) < count:
        if time.monotonic() > end:
            process.kill()
            raise TimeoutError(f"{epochs_done(out)} epochs are done, not {count}")
        time.sleep(0.02)


def tables(out):
    """The tables of a sweep without the times, which end each line."""
    cut = {"table.txt": "  ", "table.csv": ",", "table.md": " | "}
    return {
        name: [line.rpartition(mark)[0].rstrip() for line in (Path(out) / name).read_text().splitlines()]
        for name, mark in cut.items()
    }
