"""The command `npstn`, each time in a new process: how long it takes to start and to train, and how much memory."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
ACCURACY = 98.5  # percent of the test digits: a training is timed until it reaches this

IMPORT = """
import sys, time
start = time.perf_counter()
import npstn
print(time.perf_counter() - start, *(name for name in ("matplotlib", "torch") if name in sys.modules))
"""

# Runs in a process as small as possible, because the peak of a child starts at that of its parent.
PEAK = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
sys.exit(status)
"""


# Options of a training for `starting`: each task and each transformer once, with the network that goes with the task.
STARTS = (
    "--task rotated --transformer rotation",
    "--task R --transformer similarity",
    "--task P --transformer projective",
    "--task E --transformer tps",
    "--task RTS --transformer affine --network cnn",
    "--task cluttered --transformer attention --network cnn",
    "--task addition --transformer affine --network cnn --parallel 2",
)


def limit(
    group: str, name: str, unit: str, under: float, values: list[float], aim: float | None = None
) -> dict[str, Any]:
    return {"group": group, "name": name, "unit": unit, "under": under, "aim": aim, "values": values}


def train_command(digits: Path, run: Path, *options: str) -> list[str]:
    """The command that trains on MNIST."""
    where = ["--data-dir", str(digits), "--out", str(run)]
    return [sys.executable, "-m", "npstn", "train", "--data", "mnist", *where, *options]


def as_installed() -> dict[str, str]:
    """An environment in which Python keeps bytecode, as it does for an installed package."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def afresh(folder: Path) -> dict[str, str]:
    """An environment in which npstn was never compiled, if this folder is new."""
    return {**as_installed(), "NUMBA_CACHE_DIR": str(folder)}


def seconds_until(command: list[str], environment: dict[str, str], happened: Callable[[], Any]) -> tuple[float, Any]:
    """Start a command, wait until `happened` returns something true, and end it: the seconds, and what it returned."""
    with tempfile.TemporaryFile("w+") as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=output, stderr=output)
        try:
            while True:
                ended = process.poll() is not None
                what = happened()
                if what:
                    return time.perf_counter() - start, what
                if ended:
                    output.seek(0)
                    raise RuntimeError(f"the command ended too soon: {' '.join(command)}\n{output.read()}")
                time.sleep(0.01)
        finally:
            process.kill()
            process.wait()


def epoch_reached(metrics: Path, accuracy: float) -> int | None:
    """The first epoch in a metrics.csv with at least this test accuracy, if any; the file may be growing."""
    if not metrics.exists():
        return None
    whole, _, _ = metrics.read_text().rpartition("\n")
    rows = csv.DictReader(whole.splitlines())
    return next((int(row["epoch"]) for row in rows if float(row["test_accuracy"]) >= accuracy), None)


def steps_saved(run: Path) -> int:
    """How many steps of its epoch a run's checkpoint has done; 0 while there is no checkpoint."""
    from npstn.storage import read_notes

    path = run / "checkpoint.safetensors"
    return read_notes(path)["state"]["steps"] if path.exists() else 0


def training(digits: Path, libraries: list[str], accuracy: float = ACCURACY) -> dict[str, Any]:
    """Time a training from the command to the end of the first epoch with this accuracy, compiling included."""
    threads = os.cpu_count() or 1
    times, epochs = {}, {}
    for library in libraries:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            if library == "npstn":
                metrics, command = folder / "run" / "metrics.csv", train_command(digits, folder / "run")
            else:
                metrics = folder / "metrics.csv"
                command = [sys.executable, "-m", "benchmarks.peer_training", str(digits), str(metrics), str(threads)]
            environment = afresh(folder / "cache")
            took, epochs[library] = seconds_until(command, environment, partial(epoch_reached, metrics, accuracy))
            times[library] = [took]
    name = f"training to {accuracy:g} % at ±45°"
    row = {"group": "train", "name": name, "threads": threads, "at_least": 2, "aim": 4}
    return {**row, "times": times, "epochs": epochs}


def starting(digits: Path | None, repeats: int = 3) -> Iterator[dict[str, Any]]:
    """Time `import npstn`, and the command until its first training step, for each of `STARTS` compiled afresh."""
    importing = [sys.executable, "-c", IMPORT]
    subprocess.run(importing, cwd=ROOT, env=as_installed(), stdout=subprocess.DEVNULL, check=True)  # writes bytecode
    printed = [subprocess.check_output(importing, cwd=ROOT, env=as_installed(), text=True).split() for _ in range(9)]
    for _, *heavy in printed:
        assert not heavy, f"import npstn imports {', '.join(heavy)}"
    yield limit("start", "import npstn", "s", 0.7, [float(seconds) for seconds, *_ in printed])
    if digits is None:
        return
    for options in STARTS:
        with tempfile.TemporaryDirectory() as temporary:
            environment, first_steps = afresh(Path(temporary, "cache")), []
            for repeat in range(1 + repeats):
                run = Path(temporary, f"run{repeat}")
                # A checkpoint after each step shows from outside when the first one is done.
                command = train_command(digits, run, "--checkpoint-minutes", "0", *options.split())
                first_steps.append(seconds_until(command, environment, partial(steps_saved, run))[0])
        yield limit("start", f"to the first step, compiling: {options}", "s", 9, first_steps[:1], aim=6)
        yield limit("start", f"to the first step, after that: {options}", "s", 2, first_steps[1:], aim=1.5)


def peak_memory(digits: Path) -> dict[str, Any]:
    """Measure the peak memory of a training run of one epoch, with compiling and pictures."""
    with tempfile.TemporaryDirectory() as temporary:
        command = train_command(digits, Path(temporary, "run"), "--epochs", "1")
        small = [sys.executable, "-c", PEAK, *command]
        peak = subprocess.check_output(small, cwd=ROOT, env=afresh(Path(temporary, "cache")), text=True)
    return limit("memory", "peak memory of a training run", "MB", 350, [int(peak) / 1e6], aim=250)
