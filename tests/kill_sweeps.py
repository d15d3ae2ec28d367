"""Kill a sweep with SIGKILL at random instants (the command, a worker, both), and see that nothing is lost.

    python -m tests.kill_sweeps --kills 10

The sweep is `npstn sweep` with twelve runs on few drawn digits. In the end every file of every run, and the tables but
for their times, must be those of a sweep that nothing stopped, to the last bit.
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "runs")]

import sweeping  # noqa: E402  (its folder has just been named)
from sweeping import GRID, epochs_done, everything, finish, start, wait_for_epochs  # noqa: E402

KINDS = "the command", "a worker", "both"


def kill_until_the_end(out: Path, grid: list[str], kills: int, chance: random.Random, epochs: int) -> list[str]:
    """Kill a sweep at instants spread over its epochs, then let it end; returns what was killed each time."""
    killed = []
    for number in range(kills):
        process = start(out, *grid)
        wait_for_epochs(process, out, number * epochs // (kills + 1))
        time.sleep(chance.uniform(0, 1))
        kind, workers = KINDS[number % 3], sweeping.workers_of(process)
        if kind != "the command" and workers:
            sweeping.kill(chance.choice(workers))
            killed.append("a worker")
        if kind == "a worker":  # what the sweep does about it
            wait_for_epochs(process, out, epochs_done(out) + 2)
        sweeping.kill(process.pid)
        process.communicate(timeout=60)
        killed.append("the command")
    finish(start(out, *grid))
    return killed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    grid = [*GRID, "--seeds", "3", "--workers", "2"]
    with tempfile.TemporaryDirectory() as below:
        whole, out = Path(below, "whole"), Path(below, "killed")
        finish(start(whole, *grid))
        wanted = everything(whole)
        killed = kill_until_the_end(out, grid, options.kills, random.Random(options.seed), epochs_done(whole))
        found = everything(out)
        other = [f"{run}/{name}" for run in wanted for name in wanted[run] if found[run].get(name) != wanted[run][name]]
        assert not other and found.keys() == wanted.keys(), f"other files: {', '.join(other)}"
        assert sweeping.tables(out) == sweeping.tables(whole)
    counts = ", ".join(f"{killed.count(kind)} times {kind}" for kind in KINDS[:2])
    print(f"{len(wanted)} runs, killed {counts}: every file as in a sweep that nothing stopped")


if __name__ == "__main__":
    main()
