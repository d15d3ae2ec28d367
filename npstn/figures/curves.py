"""The pictures of a run. Each function returns a matplotlib Figure; nothing opens a window."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

if TYPE_CHECKING:
    from npstn.compare import Group
    from npstn.show import Look

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


def transformer(looks: Sequence[Look]) -> Figure:
    """Digits on their way through the transformer, one a row.

    From the left: the digit; the sampling grid on it; what is read there, and what the classifier says to that; and the
    arrows along which the loss would fall, were each point of the grid free to move.
    """
    # In inches, by hand: panels of a fixed shape with texts all round are more than a layout engine gets right.
    panel, gap, edge, head, text = 2.5, 0.3, 0.2, 0.8, 0.95
    width, height = 2 * edge + 4 * panel + 3 * gap, head + len(looks) * (panel + text)
    figure = Figure(figsize=(width, height))
    sides = {"left": edge / width, "right": 1 - edge / width, "top": 1 - head / height, "bottom": text / height}
    spaces = {**sides, "wspace": gap / panel, "hspace": text / panel}
    panels = figure.subplots(len(looks), 4, squeeze=False, gridspec_kw=spaces)
    for row, seen in zip(panels, looks, strict=True):
        _row(row, seen)
    for axes, heading in zip(panels[0], _HEADINGS, strict=True):
        axes.text(0.5, 1.13, heading, transform=axes.transAxes, ha="center", fontsize=10.5, weight="bold")
    return figure


_HEADINGS = (
    "What the network is shown\n(+: counter-clockwise)",
    "Where its transformer reads:\nthe grid (red: upper edge)",
    "What it reads there, and\nwhat the classifier says",
    "Where the loss would move\nthe points of the grid",
)


def _row(row: Sequence[Axes], seen: Look) -> None:
    """One digit of `transformer`."""
    shown, grid, output, arrows = row
    bright, dim = 1.0, 2.0  # the value that is white: behind lines the digit is grey
    images = (seen.image, bright), (seen.image, dim), (seen.output, bright), (seen.image, dim)
    for axes, (image, white) in zip(row, images, strict=True):
        axes.imshow(image, cmap="gray", vmin=0, vmax=white)
        axes.set(xticks=[], yticks=[])
    shown.set_title(f"test digit {seen.number}: a {seen.label}, turned {_signed(seen.turned)}°", fontsize=10)

    # Every third row and column of the grid, 0 .. 27; the corners of a grid that is turned lie outside of the image.
    x, y = seen.points[..., 0], seen.points[..., 1]
    grid.plot(x[::3].T, y[::3].T, x[:, ::3], y[:, ::3], color="tab:orange", linewidth=0.8)
    grid.plot(x[0], y[0], color="red", linewidth=2)
    grid.set(xlim=(-7, 34), ylim=(34, -7), facecolor="0.85")
    grid.set_title(f"turns the digit {_signed(seen.turns)}°", fontsize=10)

    answer = int(seen.probabilities.argmax())
    text = f"a {answer}: {100 * seen.probabilities[answer]:.1f} %"
    if answer != seen.label:
        text = f"wrong: {text} (a {seen.label}: {100 * seen.probabilities[seen.label]:.1f} %)"
    output.set_title(text, color="black" if answer == seen.label else "red", fontsize=10)

    fall = -seen.slopes
    length = np.hypot(fall[..., 0], fall[..., 1])
    far = length > 0.02 * length.max()  # the others would be dots
    scale = length.max() / 4 or 1  # the longest is 4 pixels long
    u, v = fall[far].T / scale
    arrows.quiver(x[far], y[far], u, v, angles="xy", scale_units="xy", scale=1, width=0.009, color="yellow")
    arrows.set(xlim=(-0.5, 27.5), ylim=(27.5, -0.5))
    arrows.set_title(f"the loss is {seen.loss:.2g}", fontsize=10)
    turn = seen.slope_of_turn
    together = f"by {abs(turn):.2g} if all turn {_signed(np.copysign(1, -turn))}° further"
    along = f"it falls by {length.max():.2g} a pixel\nalong the longest arrow,"
    arrows.set_xlabel(f"{along}\n{together}", fontsize=9.5)


def _signed(number: float) -> str:
    return f"{number:+.0f}".replace("-", "\N{MINUS SIGN}")


def comparison(groups: Sequence[Group]) -> Figure:
    """Curves of groups of runs against the epoch: a thin line for each run, a thick one for the mean of the group."""
    panels = [
        ("test_error", "misread test digits", "% of the test digits"),
        ("test_loss", "loss on the test digits", "negative log-likelihood"),
        ("angle_correlation", "angles: turned back (-1) or not (0)", "correlation of predicted and true"),
    ]
    if all(np.isnan(group.metrics["angle_correlation"]).all() for group in groups):
        del panels[2]  # no transformer among them
    figure = Figure(figsize=(4 * len(panels), 3.5 + 0.3 * -(-len(groups) // 2)), layout="constrained")
    for axes, (column, title, unit) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        axes.set(xlabel="epoch", ylabel=unit, title=title)
        axes.grid(alpha=0.3, which="both")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        lowest = []
        for i, group in enumerate(groups):
            metrics = {**group.metrics, "test_error": 100 - group.metrics["test_accuracy"]}
            epochs, runs = metrics["epoch"][0], metrics[column]
            if len(runs) > 1:
                axes.plot(epochs, runs.T, color=f"C{i}", linewidth=0.6, alpha=0.6)
            axes.plot(epochs, runs.mean(axis=0), "o-", color=f"C{i}", linewidth=1.8, markersize=4)
            lowest.append(runs.min())
        if min(lowest) > 0:  # the first epochs differ by much, the last by little
            axes.set_yscale("log")
            for set_formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
                set_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "1235" else "")
    handles = [
        Line2D([], [], color=f"C{i}", marker="o", markersize=4, label=_entry(group)) for i, group in enumerate(groups)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(2, len(groups)))
    return figure


def _entry(group: Group) -> str:
    return f"{group.name} ({len(group.seeds)} runs, and their mean)" if len(group.seeds) > 1 else group.name
