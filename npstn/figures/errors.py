"""The errors of groups of runs, a row for each group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from npstn.figures.picture import Picture
from npstn.runs.comparison import Group


def errors(groups: Sequence[Group]) -> Figure:
    """The share of misread test images after the last epoch: a dot for each run, a bar at the mean of its group."""
    figure = Picture(figsize=(8, 1.2 + 0.28 * len(groups)), layout="constrained")
    axes = figure.subplots()
    for row, group in enumerate(groups):
        error = 100 - group.metrics["test_accuracy"][:, -1]
        axes.plot(error, np.full(len(error), row), "o", color="tab:blue", markersize=4, alpha=0.7)
        axes.plot(error.mean(), row, "|", color="black", markersize=12, markeredgewidth=1.5)
    axes.set_yticks(range(len(groups)), [group.name for group in groups])
    axes.set_ylim(len(groups) - 0.5, -0.5)  # the first row on top
    axes.set_xlim(left=0)
    axes.set(xlabel="misread test images, %", title="a dot for each run, a bar at the mean of its group")
    axes.grid(alpha=0.3)
    return figure
