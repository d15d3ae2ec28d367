"""Time this npstn and an older commit of it in turns, and print the ratios of their times.

    python -m benchmarks --against COMMIT                 every case of `python -m benchmarks`
    python -m benchmarks --against COMMIT --only step     the cases of one group

A process can be some percent slower than the next, for as long as it lives. So each case is timed in several pairs of
fresh processes, and the table has the median of the pairs, the least and the largest.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.cases import Case, cases
from benchmarks.worker import Worker, duel

ROOT = Path(__file__).parent.parent


def sources(commit: str, folder: Path) -> Path:
    """Write the package as it was at a commit into a folder. Raises SystemExit for a commit that is not known."""
    packed = subprocess.run(["git", "archive", commit, "npstn"], cwd=ROOT, capture_output=True)
    if packed.returncode:
        sys.exit(f"benchmarks: error: --against: {packed.stderr.decode().strip()}")
    with tempfile.TemporaryFile() as file:
        file.write(packed.stdout)
        file.seek(0)
        with tarfile.open(fileobj=file) as archive:
            archive.extractall(folder, filter="data")
    return folder


def ratio(case: Case, old: Path, threads: int) -> float:
    """The older build's time over this one's, in a pair of fresh processes."""
    with Worker("npstn", threads) as new, Worker("npstn", threads, old) as before:
        times = duel(case, {"new": new, "old": before})
    return float(np.median(np.divide(times["old"], times["new"])))


def compare(commit: str, only: str | None, threads: int, pairs: int) -> None:
    """Print a line for each case of a group, or for all cases for None."""
    with tempfile.TemporaryDirectory() as folder:
        old = sources(commit, Path(folder))
        print(f"time at {commit} / time here, {threads} threads, {pairs} pairs of processes")
        print(f"{'':60}  median  least  largest")
        for case in cases(threads):
            if only in (None, case.group):
                try:
                    found = [ratio(case, old, threads) for _ in range(pairs)]
                    text = f"{np.median(found):6.3f}  {min(found):5.3f}  {max(found):7.3f}"
                except RuntimeError as error:  # an older npstn does not know every case
                    text = str(error)
                print(f"{case.name:60}  {text}", flush=True)
