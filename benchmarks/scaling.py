"""How the time of npstn grows with the work, from 1 to 64 times as much: it should grow linearly, or less."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import cases
from benchmarks.worker import TURNS, Worker, take_turns

BATCHES = (16, 32, 64, 128, 256, 512, 1024)
SIZES = (64, 128, 256, 512)  # pixels a side of an image that is sampled
SIDES = (16, 32, 64, 128)  # of what a convolution gives
CHANNELS = (8, 16, 32, 64)  # of its image, and as many filters
FILTERS = (1, 2, 4, 8)  # pixels a side


def curves() -> Iterator[tuple[str, str, list[int], list[cases.Case]]]:
    """For each curve: what is timed, the unit of the work, the amounts of work, and a case for each amount."""
    yield "training step", "image", list(BATCHES), [cases.training_step(batch) for batch in BATCHES]
    samplers = [cases.sampler((4, 3, size, size)) for size in SIZES]
    yield from _both_ways("grid_sample, 3 channels", "pixel", [4 * size**2 for size in SIZES], samplers)
    layers = [cases.convolution((16, 10, n + 4, n + 4), (20, 10, 5, 5)) for n in SIDES]
    yield from _both_ways("conv2d 5x5 10->20", "pixel", [16 * n**2 for n in SIDES], layers)
    layers = [cases.convolution((16, C, 20, 20), (C, C, 5, 5)) for C in CHANNELS]
    yield from _both_ways("conv2d 5x5 to 16x16", "channel pair", [C * C for C in CHANNELS], layers)
    layers = [cases.convolution((16, 10, 23 + K, 23 + K), (20, 10, K, K)) for K in FILTERS]
    yield from _both_ways("conv2d 10->20 to 24x24", "filter pixel", [K * K for K in FILTERS], layers)


def _both_ways(
    name: str, unit: str, work: list[int], steps: list[Iterator[cases.Case]]
) -> Iterator[tuple[str, str, list[int], list[cases.Case]]]:
    for way, of_one_way in zip(("forward", "backward"), zip(*steps, strict=True), strict=True):
        yield f"{name} {way}", unit, work, list(of_one_way)


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
    """Draw time against work, and the fitted line; on both axes 10 times as much is as far everywhere."""
    from matplotlib.figure import Figure

    columns = min(len(rows), 3)
    lines = -(-len(rows) // columns)
    figure = Figure(figsize=(4.4 * columns, 3.4 * lines), layout="constrained")
    for n, row in enumerate(rows, start=1):
        axes = figure.add_subplot(lines, columns, n)
        at_none, per_unit = line(row)
        work, milliseconds = np.array(row["work"]), 1e3 * np.array(row["seconds"])
        title = f"{row['name']}\n{1e3 * at_none:.2g} ms + {1e6 * per_unit:.4g} µs for each {row['unit']}"
        axes.plot(work, 1e3 * (at_none + per_unit * work), color="0.6")
        axes.plot(work, milliseconds, "o", color="tab:blue")
        axes.set_title(title, fontsize="medium")
        axes.set(xlabel=f"{row['unit']}s", ylabel="milliseconds", xscale="log", yscale="log")
    figure.suptitle(f"npstn, {rows[0]['threads']} thread{'s' * (rows[0]['threads'] > 1)}")
    figure.savefig(path, dpi=120)
