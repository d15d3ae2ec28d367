"""Time npstn and PyTorch in alternation and print their ratios; npstn's start, memory and scaling by themselves.

    python -m benchmarks                    all of it
    python -m benchmarks --only sampler     a part
    python -m benchmarks --table FILE       the tables of a result once more
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import commands, report, scaling
from benchmarks.cases import cases
from benchmarks.worker import Worker, duel, installed

MILLISECONDS = ("step", "eval", "conv", "pool", "sampler", "grid")
GROUPS = (*MILLISECONDS, "scaling", "start", "memory", "train")


def ratios(only: str | None, threads: int) -> Iterator[dict[str, Any]]:
    """Time each case of a group, or all, with that many threads."""
    with ExitStack() as stack:
        workers = {library: stack.enter_context(Worker(library, threads)) for library in installed()}
        for case in cases():
            if only in (None, case.group):
                row = {"group": case.group, "name": case.name, "threads": threads}
                yield {**row, "at_least": case.at_least, "aim": case.aim, "times": duel(case, workers)}


def find_digits(folder: Path | None) -> Path | None:
    """The folder of MNIST's files, or None, and a line that says why."""
    from npstn.data import DataError, load_mnist, mnist_folder

    try:
        load_mnist(folder, train=True, download=False), load_mnist(folder, train=False, download=False)
    except DataError as error:
        print(f"no training is timed, nor its start and memory: {error}")
        return None
    return mnist_folder(folder).resolve()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=GROUPS, help="one part")
    parser.add_argument("--threads", type=int, action="append", help="1 and 2 by default")
    parser.add_argument("--data-dir", type=Path, help="the folder of MNIST's files, or NPSTN_DATA_DIR")
    parser.add_argument("--out", type=Path, default=Path("benchmarks", "results"), help="folder of JSON and pictures")
    parser.add_argument("--table", type=Path, metavar="FILE", help="measure nothing, print the tables of a result")
    options = parser.parse_args()
    if options.table:
        print(report.table(json.loads(options.table.read_text())))
        return

    about = report.machine()
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    if "torch" not in installed():
        print("PyTorch is not installed: npstn is timed alone (pip install '.[bench]')")
    wanted = GROUPS if options.only is None else (options.only,)
    digits = find_digits(options.data_dir) if {"start", "memory", "train"} & set(wanted) else None
    cores = os.cpu_count() or 1
    options.out.mkdir(parents=True, exist_ok=True)
    name = f"{about['date']}{'-' + options.only if options.only else ''}"
    found: dict[str, Any] = {"machine": about, "ratios": [], "limits": [], "scaling": []}

    def keep() -> None:
        """Write what there is so far: the last part takes minutes."""
        (options.out / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")

    if set(MILLISECONDS) & set(wanted):
        for threads in options.threads or [n for n in (1, 2) if n <= cores]:
            found["ratios"] += ratios(options.only, threads)
            keep()
    if "scaling" in wanted:
        found["scaling"] += scaling.measure(max(options.threads or [cores]))
        scaling.plot(found["scaling"], options.out / f"{about['date']}-scaling.png")
    if "start" in wanted:
        found["limits"] += commands.starting(digits)
    if "memory" in wanted and digits:
        found["limits"].append(commands.peak_memory(digits))
    keep()
    if "train" in wanted and digits:
        found["ratios"].append(commands.training(digits, installed()))
    keep()
    print(report.table(found))
    if found["ratios"] and "torch" in about:
        report.chart(found["ratios"], options.out / f"{name}.png")


if __name__ == "__main__":
    main()
