"""Curves against the epoch: of one run, and of several next to each other."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from npstn.figures.picture import Picture
from npstn.runs.comparison import Group, read

FINE = 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8  # ticks of a logarithmic axis that is shorter than a power of ten
COLOURS = {"train": "tab:gray", "test": "tab:blue"}


def curves(metrics: dict[str, np.ndarray]) -> Figure:
    """Loss and test accuracy against the epoch. Args: the columns of metrics.csv."""
    figure = Picture(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for part in ("train", "test"):
        left.plot(metrics["epoch"], metrics[f"{part}_loss"], "o-", color=COLOURS[part], label=part)
    left.set(xlabel="epoch", ylabel="negative log-likelihood", title="loss")
    left.legend()
    right.plot(metrics["epoch"], metrics["test_accuracy"], "o-", color=COLOURS["test"], clip_on=False, zorder=3)
    right.set(xlabel="epoch", ylabel="% of the test images", title="test accuracy")
    lowest, highest = right.get_ylim()
    right.set_ylim(max(lowest, 0), min(highest, 100))  # no margin where nothing can be
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.set_xlim(0.5, len(metrics["epoch"]) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure


def compare(folders: Sequence[str | os.PathLike[str]]) -> Figure:
    """The curves of several runs in one picture. Raises RunError as `runs.comparison.read` does."""
    return comparison(read(folders))


def comparison(groups: Sequence[Group]) -> Figure:
    """Curves of groups of runs: a thin line for each run, a thick one for the mean of the group.

    The panels are the test error, the test loss, and the first measure of a task that any run has.
    """
    panels = [
        ("test_error", "misread test images", "% of the test images"),
        ("test_loss", "loss on the test images", "negative log-likelihood"),
    ]
    for group in groups:
        name, measure = next(iter(group.measured.items()), ("", None))
        if measure is not None and np.isfinite(_column(group, name)).any():
            panels.append((name, measure.label, measure.unit.strip()))
            break
    width = 4 * len(panels)
    entries = [_entry(group) for group in groups]
    columns = min(len(groups), 2 if 2 * (0.6 + 0.09 * max(map(len, entries))) < width else 1)  # inches
    figure = Picture(figsize=(width, 3.5 + 0.3 * -(-len(groups) // columns)), layout="constrained")
    for axes, (column, title, unit) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        axes.set(xlabel="epoch", ylabel=unit, title=title)
        axes.grid(alpha=0.3)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        for i, group in enumerate(groups):
            _draw_group(axes, group, column, f"C{i}")
        lowest, highest = axes.dataLim.intervaly
        if 0 < 1.5 * lowest < highest:  # the first epochs differ by much, the last by little
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if highest > 10 * lowest else FINE))
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.yaxis.set_minor_locator(NullLocator())
    handles = [
        Line2D([], [], color=f"C{i}", marker="o", markersize=4, label=entry) for i, entry in enumerate(entries)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    return figure


def _draw_group(axes: Axes, group: Group, column: str, colour: str) -> None:
    """Draw the lines of a group."""
    epochs, values = group.metrics["epoch"][0], _column(group, column)
    if len(values) > 1:
        axes.plot(epochs, values.T, color=colour, linewidth=0.6, alpha=0.6)
    axes.plot(epochs, values.mean(axis=0), "o-", color=colour, linewidth=1.8, markersize=4)


def _column(group: Group, name: str) -> np.ndarray:
    """A column of the group's metrics (runs, epochs), NaN where its task does not have it."""
    if name == "test_error":
        return 100 - group.metrics["test_accuracy"]
    return group.metrics.get(name, np.full_like(group.metrics["epoch"], np.nan))


def _entry(group: Group) -> str:
    return f"{group.name} ({len(group.seeds)} runs, and their mean)" if len(group.seeds) > 1 else group.name
