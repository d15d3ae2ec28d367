"""How the time of npstn grows with the work, from 1 to 16 times as much: it should grow linearly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import cases
from benchmarks.worker import TURNS, Worker, take_turns

BATCHES = (16, 32, 64, 128, 256)
SIZES = (64, 96, 128, 192, 256)  # pixels a side


def curves() -> list[tuple[str, str, list[int], list[cases.Case]]]:
    """For each curve: what is timed, the unit of the work, the amounts of work, and a case for each amount."""
    steps = [cases.training_step(batch) for batch in BATCHES]
    samplers = list(zip(*(cases.sampler((4, 3, size, size)) for size in SIZES), strict=True))
    pixels = [4 * size**2 for size in SIZES]
    return [
        ("training step", "image", list(BATCHES), steps),
        ("grid_sample forward, 3 channels", "pixel", pixels, list(samplers[0])),
        ("grid_sample backward, 3 channels", "pixel", pixels, list(samplers[1])),
    ]


def measure(threads: int, turns: int = TURNS) -> list[dict[str, Any]]:
    """Time the cases of each curve in turns, in a new process: seconds for a call."""
    rows = []
    with Worker("npstn", threads) as worker:
        for name, unit, work, steps in curves():
            for case in steps:
                worker.open(case.name, case)
            blocks = [lambda calls, case=case: worker.block(case.name, calls) for case in steps]
            times = [float(np.median(of_one)) for of_one in take_turns(blocks, turns)]
            worker.close()
            rows.append({"name": name, "unit": unit, "threads": threads, "work": work, "seconds": times})
    return rows


def line(row: dict[str, Any]) -> tuple[float, float]:
    """Fit a straight line to time over work, by least squares of relative errors: seconds at no work, and per unit."""
    work, seconds = np.array(row["work"]), np.array(row["seconds"])
    per_second = np.stack([1 / seconds, work / seconds], axis=1)
    (at_none, per_unit), *_ = np.linalg.lstsq(per_second, np.ones(len(work)), rcond=None)
    return float(at_none), float(per_unit)


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw time against work, and the fitted line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(rows), 3.4), layout="constrained")
    for axes, row in zip(np.atleast_1d(figure.subplots(1, len(rows))), rows, strict=True):
        at_none, per_unit = line(row)
        work, milliseconds = np.array(row["work"]), 1e3 * np.array(row["seconds"])
        ends = np.array([0, work[-1]])
        title = f"{row['name']}\n{1e3 * at_none:.2g} ms + {1e6 * per_unit:.4g} µs for each {row['unit']}"
        axes.plot(ends, 1e3 * (at_none + per_unit * ends), color="0.6")
        axes.plot(work, milliseconds, "o", color="tab:blue")
        axes.set(title=title, xlabel=f"{row['unit']}s", ylabel="milliseconds", xlim=(0, None), ylim=(0, None))
    figure.suptitle(f"npstn, {rows[0]['threads']} thread{'s' * (rows[0]['threads'] > 1)}")
    figure.savefig(path, dpi=120)
