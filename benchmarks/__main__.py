"""Time npstn and PyTorch in alternation and print their ratios, a process for each number of threads.

    python -m benchmarks                    everything that takes milliseconds
    python -m benchmarks --only sampler     a part: step, eval, conv, pool, sampler, grid
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

GROUPS = ("step", "eval", "conv", "pool", "sampler", "grid")
BLOCK = 0.03  # seconds that one library runs before it is the other's turn
TURNS = 25


def measure(only: str | None, threads: int) -> Iterator[dict[str, Any]]:
    """Time each case in this process; the raw figures, milliseconds a call."""
    import npstn
    from benchmarks import cases

    npstn.set_num_threads(threads)
    if cases.torch is not None:
        cases.torch.set_num_threads(threads)
    for case in cases.cases():
        if only not in (None, case.group):
            continue
        sides = {"npstn": case.npstn, **({"torch": case.torch} if case.torch else {})}
        results = [side.result(side.run(side.prepare())) for side in sides.values()]
        for ours, theirs in zip(results[0], results[-1], strict=True):
            # float32 sums of many terms, added in another order
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5 * max(np.abs(theirs).max(), 1))
        calls = {name: 1 for name in sides}
        times: dict[str, list[float]] = {name: [] for name in sides}
        for turn in range(TURNS + 1):
            for name, side in sides.items():
                time.sleep(0.005)  # the other's threads stop waiting for work and go to sleep
                took = []
                for _ in range(calls[name] + 1):
                    given = side.prepare()
                    start = time.perf_counter()
                    side.run(given)
                    took.append(time.perf_counter() - start)
                if turn == 0:  # the warm-up: learn how many calls fill a block
                    calls[name] = max(1, int(BLOCK / took[-1]))
                else:
                    times[name].append(1e3 * float(np.median(took[1:])))
        yield {
            "group": case.group,
            "name": case.name,
            "threads": threads,
            "at_least": case.at_least,
            "aim": case.aim,
            "milliseconds": times,
        }


def ratio(row: dict[str, Any]) -> tuple[float, float, float]:
    """PyTorch's time over npstn's, turn by turn: the median and the quartiles."""
    turns = np.array(row["milliseconds"]["torch"]) / np.array(row["milliseconds"]["npstn"])
    low, middle, high = np.percentile(turns, (25, 50, 75))
    return float(middle), float(low), float(high)


def table(rows: list[dict[str, Any]]) -> str:
    lines = ["| | threads | npstn, ms | PyTorch, ms | ratio | quartiles | at least | aim |", "|---" * 8 + "|"]
    for row in rows:
        ours = float(np.median(row["milliseconds"]["npstn"]))
        line = f"| {row['name']} | {row['threads']} | {ours:.3f} |"
        if "torch" in row["milliseconds"]:
            theirs = float(np.median(row["milliseconds"]["torch"]))
            middle, low, high = ratio(row)
            short = " (short)" if middle < row["at_least"] else ""
            line += f" {theirs:.3f} | {middle:.2f}{short} | {low:.2f} .. {high:.2f} |"
        else:
            line += " | | |"
        lines.append(line + f" {row['at_least']:g} | {row['aim']:g} |")
    return "\n".join(lines)


def chart(rows: list[dict[str, Any]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.28 * len(rows) + 1), layout="constrained")
    axes = figure.subplots()
    names = [f"{row['name']}, {row['threads']} thread{'s' * (row['threads'] > 1)}" for row in rows]
    ratios = np.array([ratio(row) for row in rows])
    spread = np.abs(ratios[:, 1:] - ratios[:, :1]).T
    axes.barh(names, ratios[:, 0], xerr=spread, color="tab:blue", ecolor="0.4")
    at_least = [row["at_least"] for row in rows]
    axes.scatter(at_least, names, marker="|", s=120, color="tab:red", zorder=3, label="at least")
    axes.axvline(1, color="0.3", linewidth=1)
    axes.invert_yaxis()
    axes.set(xlabel="times as fast as PyTorch", title="npstn against PyTorch, float32")
    axes.legend()
    figure.savefig(path, dpi=120)


def machine() -> dict[str, Any]:
    import numba
    import scipy

    about = {"date": datetime.date.today().isoformat(), "cores": os.cpu_count(), "system": platform.platform()}
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            about["processor"] = line.split(": ", 1)[1]
    about |= {"python": platform.python_version(), "numpy": np.__version__, "numba": numba.__version__}
    about["scipy"] = scipy.__version__
    try:
        import torch

        about["torch"] = torch.__version__
    except ModuleNotFoundError:
        pass
    return about


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=GROUPS, help="one part")
    parser.add_argument("--threads", type=int, action="append", help="1 and 2 by default")
    parser.add_argument("--out", type=Path, default=Path("benchmarks", "results"), help="folder of JSON and chart")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        for row in measure(options.only, options.worker):
            print(json.dumps(row), flush=True)
        return

    about = machine()
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    if "torch" not in about:
        print("PyTorch is not installed: npstn is timed alone (pip install '.[bench]')")
    rows = []
    cores = os.cpu_count() or 1
    for threads in options.threads or [n for n in (1, 2) if n <= cores]:
        # Each library's idle threads would wait in a loop and take the core from the other's.
        environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": str(threads)}
        command = [sys.executable, "-m", "benchmarks", "--worker", str(threads)]
        command += ["--only", options.only] if options.only else []
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        rows += [json.loads(line) for line in done.stdout.splitlines()]
    print(table(rows))
    options.out.mkdir(parents=True, exist_ok=True)
    name = f"{about['date']}{'-' + options.only if options.only else ''}"
    (options.out / f"{name}.json").write_text(json.dumps({"machine": about, "rows": rows}, indent=1) + "\n")
    if "torch" in about:
        chart(rows, options.out / f"{name}.png")


if __name__ == "__main__":
    main()
