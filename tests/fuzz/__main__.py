"""The long run: `python -m tests.fuzz --minutes 30`.

Each example follows from the seed and its number. Another process works through the examples, so that an example that
crashes or hangs is noticed and named, too. The exit status is 1 if an example fails; the last line says how to run it
again.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import numba
import numpy as np

import npstn
from npstn.backend.compiler import kernel
from tests.fuzz.draws import Draws
from tests.fuzz.targets import TARGETS

MEMORY = 12 << 30  # bytes of addresses: a call that needs more gets a MemoryError, and the machine lives on


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0, metavar="M", help="the minutes to run; 30 by default")
    seed = "the seed of the examples; a new one each time by default"
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**9, metavar="N", help=seed)
    names = "the functions to try; all by default"
    parser.add_argument("--only", nargs="+", choices=TARGETS, default=list(TARGETS), metavar="NAME", help=names)
    parser.add_argument("--bounds-checked", action="store_true", help="compile kernels that check every index")
    parser.add_argument("--example", type=int, metavar="K", help="run example K only, in this process")
    patience = "the seconds after which an example counts as hanging; 180 by default"
    parser.add_argument("--patience", type=float, default=180.0, metavar="S", help=patience)
    parser.add_argument("--progress", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.progress:
        return work(options)
    if options.bounds_checked and not numba.config.BOUNDSCHECK:  # Numba reads it when it is imported
        with tempfile.TemporaryDirectory() as folder:  # Numba would load unchecked kernels from a used cache
            env = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": folder}
            return subprocess.run([sys.executable, "-m", "tests.fuzz", *sys.argv[1:]], env=env, check=False).returncode
    if numba.config.BOUNDSCHECK:
        prove_that_bounds_are_checked()
    return one(options, options.example) if options.example is not None else watch(options)


def watch(options: argparse.Namespace) -> int:
    """Watch another process work until the time is over."""
    again = f"python -m tests.fuzz --seed {options.seed}{' --bounds-checked' * options.bounds_checked}"
    again += f" --only {' '.join(options.only)}" * (options.only != list(TARGETS))
    with tempfile.TemporaryDirectory() as folder:
        progress = Path(folder, "progress")
        progress.touch()
        command = [sys.executable, "-m", "tests.fuzz", *sys.argv[1:], "--seed", str(options.seed)]
        worker = subprocess.Popen([*command, "--progress", progress])
        try:
            end = follow(worker, progress, 60 * options.minutes, options.patience)
        finally:
            worker.kill()
            worker.wait()
        last = int(progress.read_text() or 0)
    if not end:
        print(f"{last} examples of {len(options.only)} functions, seed {options.seed}: no fault")
        return 0
    name = options.only[last % len(options.only)]
    print(f"example {last} of seed {options.seed}, {name}, {end}. Again: {again} --example {last}")
    return 1


def follow(worker: subprocess.Popen, progress: Path, seconds: float, patience: float) -> str:
    """How the worker failed; an empty text if it still works after that many seconds."""
    last, since, start = "", 0.0, 0.0
    while (status := worker.poll()) is None:
        time.sleep(0.1)
        now = time.monotonic()
        if (number := progress.read_text()) != last:
            last, since, start = number, now, start or now
        if start and now - start > seconds:
            return ""
        if start and now - since > patience:
            return f"hangs for {patience:.0f} s"
    return "fails" if status == 1 else f"ends the process with status {status}"


def work(options: argparse.Namespace) -> int:
    """Run one example after the other until one fails."""
    limit_memory()
    file = os.open(options.progress, os.O_WRONLY)
    for number in itertools.count():
        os.pwrite(file, str(number).encode(), 0)
        if one(options, number):
            return 1
    return 0


def one(options: argparse.Namespace, number: int) -> int:
    name = options.only[number % len(options.only)]
    npstn.set_num_threads(1)  # the fastest for small arrays
    try:
        TARGETS[name](Draws.seeded(options.seed, number))
    except Exception:  # noqa: BLE001 - any error is a find
        traceback.print_exc()
        return 1
    return 0


def limit_memory() -> None:
    try:
        import resource
    except ImportError:  # on Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, hard))


@kernel
def read_past_the_end(x):
    return x[x.size]


def prove_that_bounds_are_checked() -> None:
    """Stop unless bounds are checked: a warm cache of machine code silently ignores NUMBA_BOUNDSCHECK."""
    try:
        read_past_the_end(np.ones(3))
    except IndexError:
        return
    raise SystemExit("fuzz: expected kernels that check their bounds, got others; use a fresh NUMBA_CACHE_DIR")


if __name__ == "__main__":
    sys.exit(main())
