"""Time this npstn and an older commit of it in turns, and print the ratios of their times.

    python -m benchmarks.against COMMIT                 every case of `python -m benchmarks`
    python -m benchmarks.against COMMIT --only step     the cases of one group

A process can be some percent slower than the next, for as long as it lives. So each case is timed in several pairs of
fresh processes, and the table has the median of the pairs, the least and the largest.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.cases import Case, cases
from benchmarks.worker import Worker, duel
from npstn.cli.arguments import COUNT

ROOT = Path(__file__).parent.parent


def sources(commit: str, folder: Path) -> Path:
    """Write the package as it was at a commit into a folder. Raises SystemExit for a commit that is not known."""
    packed = subprocess.run(["git", "archive", commit, "npstn"], cwd=ROOT, capture_output=True)
    if packed.returncode:
        sys.exit(f"benchmarks.against: error: {packed.stderr.decode().strip()}")
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


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("commit", help="of which the package is timed next to the files that are here")
    parser.add_argument("--only", choices=sorted({case.group for case in cases()}), help="measure only this group")
    parser.add_argument("--threads", type=COUNT, default=1, metavar="N", help="how many threads; 1 by default")
    parser.add_argument("--pairs", type=COUNT, default=5, metavar="N", help="how many pairs of processes; 5 by default")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        old = sources(options.commit, Path(folder))
        print(f"time at {options.commit} / time here, {options.threads} threads, {options.pairs} pairs of processes")
        print(f"{'':45}  median  least  largest")
        for case in cases():
            if options.only in (None, case.group):
                found = [ratio(case, old, options.threads) for _ in range(options.pairs)]
                print(f"{case.name:45}  {np.median(found):6.3f}  {min(found):5.3f}  {max(found):7.3f}", flush=True)


if __name__ == "__main__":
    main()
