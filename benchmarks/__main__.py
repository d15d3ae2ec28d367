"""Time npstn and PyTorch in turns, and print the ratios of their times.

npstn's start, its memory, how its time grows with the work, and what distorting costs are measured without PyTorch.

    python -m benchmarks                      measure everything
    python -m benchmarks --only sampler       measure one part
    python -m benchmarks --table FILE         print the tables of a result again
    python -m benchmarks --readme FILE        write the ratios of a result into README.md
    python -m benchmarks --against COMMIT     time npstn as it was at a commit next to npstn as it is
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import against, command_timings, distorting, scaling, tables
from benchmarks.cases import cases
from benchmarks.worker import Worker, duel, installed

MILLISECONDS = ("step", "eval", "conv", "pool", "sampler", "bicubic", "grid")
GROUPS = (*MILLISECONDS, "scaling", "start", "memory", "distort", "train")
README = against.ROOT / "README.md"


def ratios(only: str | None, threads: int) -> Iterator[dict[str, Any]]:
    """Time each case of a group, or all cases for None, with this many threads."""
    with ExitStack() as stack:
        workers = {library: stack.enter_context(Worker(library, threads)) for library in installed()}
        for case in cases(threads):
            if only in (None, case.group):
                row = {"group": case.group, "name": case.name, "threads": threads, "mean": case.mean}
                yield {**row, "at_least": case.at_least, "aim": case.aim, "times": duel(case, workers)}


def find_digits(folder: Path | None) -> Path | None:
    """The folder of MNIST's files; None where there are none, after a line that says so."""
    from npstn.data import DataError, load_mnist, mnist_folder

    try:
        load_mnist(folder, train=True, download=False), load_mnist(folder, train=False, download=False)
    except DataError as error:
        print(f"training, its start, its memory and distorting are not measured: {error}")
        return None
    return mnist_folder(folder).resolve()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=GROUPS, help="measure only this part")
    threads = "how many threads; may be given several times; 1 and 2 by default"
    parser.add_argument("--threads", type=int, metavar="N", action="append", help=threads)
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="the folder of MNIST's files, or NPSTN_DATA_DIR")
    results = Path("benchmarks", "results")
    out = f"the folder for JSON and pictures; {results} by default"
    parser.add_argument("--out", type=Path, metavar="DIR", default=results, help=out)
    parser.add_argument("--table", type=Path, metavar="FILE", help="print the tables of a result, and measure nothing")
    readme = "write the ratios of a result into README.md, and measure nothing"
    parser.add_argument("--readme", type=Path, metavar="FILE", help=readme)
    older = "time the package as it was at a commit next to the files that are here, without PyTorch"
    parser.add_argument("--against", metavar="COMMIT", help=older)
    pairs = "with --against: how many pairs of processes; 5 by default"
    parser.add_argument("--pairs", type=int, metavar="N", default=5, help=pairs)
    options = parser.parse_args()
    if options.table:
        print(tables.table(json.loads(options.table.read_text())))
        return
    if options.readme:
        made = tables.summary(json.loads(options.readme.read_text())) + "\n"
        README.write_text(tables.written(README.read_text(encoding="utf-8"), tables.START, made), encoding="utf-8")
        return
    if options.against:
        if options.only not in (None, *MILLISECONDS):
            parser.error(f"argument --only: with --against expected one of {', '.join(MILLISECONDS)}")
        for threads in options.threads or [1]:
            against.compare(options.against, options.only, threads, options.pairs)
        return

    about = tables.machine()
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    if "torch" not in installed():
        print("PyTorch is not installed, so npstn is timed alone; to install it: pip install '.[bench]'")
    wanted = GROUPS if options.only is None else (options.only,)
    digits = find_digits(options.data_dir) if {"start", "memory", "distort", "train"} & set(wanted) else None
    cores = os.cpu_count() or 1
    options.out.mkdir(parents=True, exist_ok=True)
    name = f"{about['date']}{'-' + options.only if options.only else ''}"
    found: dict[str, Any] = {"machine": about, "ratios": [], "limits": [], "scaling": []}

    def keep() -> None:
        """Write the result so far: the last part takes minutes."""
        (options.out / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")

    if set(MILLISECONDS) & set(wanted):
        for threads in options.threads or [n for n in (1, 2) if n <= cores]:
            found["ratios"] += ratios(options.only, threads)
            keep()
    if "scaling" in wanted:
        found["scaling"] += scaling.measure(max(options.threads or [cores]))
        scaling.plot(found["scaling"], options.out / f"{about['date']}-scaling.png")
    if "start" in wanted:
        found["limits"] += command_timings.starting(digits)
    if "memory" in wanted and digits:
        found["limits"].append(command_timings.peak_memory(digits))
    if "distort" in wanted and digits:
        found["limits"] += distorting.shares(digits)
    keep()
    if "train" in wanted and digits:
        found["ratios"].append(command_timings.training(digits, installed()))
    keep()
    print(tables.table(found))
    if found["ratios"] and "torch" in about:
        tables.chart(found["ratios"], options.out / f"{name}.png")


if __name__ == "__main__":
    main()
