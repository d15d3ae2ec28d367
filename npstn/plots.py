"""The pictures of a run. Each function returns a matplotlib Figure; nothing opens a window."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

COLOURS = {"train": "tab:gray", "test": "tab:blue"}


def read_metrics(path: Path) -> dict[str, np.ndarray]:
    """The columns of a metrics.csv, as float64 (epochs,)."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def before_after(before: np.ndarray, after: np.ndarray, rows: int = 3) -> Figure:
    """Digits as they come in, above; as the transformer hands them on, below.

    Args:
        before, after: images, (rows * columns, 1, 28, 28), 0 .. 1, row after row.
    """
    figure = Figure(figsize=(7, 4.8), layout="constrained")
    titles = "what the network is shown", "what its transformer makes of it"
    for axes, images, title in zip(figure.subplots(2, 1), (before, after), titles, strict=True):
        columns = len(images) // rows
        grey = images.reshape(rows, columns, 28, 28)
        axes.imshow(grey.transpose(0, 2, 1, 3).reshape(rows * 28, columns * 28), cmap="gray", vmin=0, vmax=1)
        axes.set_title(title, fontsize=11)
        axes.axis("off")
    return figure


def curves(metrics: dict[str, np.ndarray]) -> Figure:
    """Loss and test accuracy against the epoch."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for part in ("train", "test"):
        left.plot(metrics["epoch"], metrics[f"{part}_loss"], "o-", color=COLOURS[part], label=part)
    left.set(xlabel="epoch", ylabel="negative log-likelihood", title="loss")
    left.legend()
    right.plot(metrics["epoch"], metrics["test_accuracy"], "o-", color=COLOURS["test"])
    right.set(xlabel="epoch", ylabel="% of the test digits", title="test accuracy")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.set_xlim(0.5, len(metrics["epoch"]) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure


def angles(true: np.ndarray, predicted: np.ndarray, labels: np.ndarray) -> Figure:
    """By how much the transformer turned each test digit, against by how much it had been turned; degrees."""
    figure = Figure(figsize=(5.6, 5), layout="constrained")
    axes = figure.subplots()
    points = axes.scatter(true, predicted, c=labels, cmap="tab10", vmin=-0.5, vmax=9.5, s=3, alpha=0.5, linewidths=0)
    ends = np.array([true.min(), true.max()])
    axes.plot(ends, -ends, "k--", linewidth=1, label="turned back exactly")
    axes.set(xlabel="angle by which the digit was turned (degrees)", ylabel="angle by which the transformer turns it")
    axes.set_title(f"{len(true):,} test digits", fontsize=11)
    axes.legend(loc="upper right")
    axes.grid(alpha=0.3)
    points_of_bar = ScalarMappable(points.norm, points.cmap)  # the points' own are half transparent
    figure.colorbar(points_of_bar, ax=axes, ticks=range(10), label="digit")
    return figure
