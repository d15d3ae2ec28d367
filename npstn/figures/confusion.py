"""Which classes a network takes for which."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from npstn.figures.picture import Picture

MOST_NUMBERED = 20  # classes: in the cells of more, numbers would overlap
CELL = 0.42, 0.16  # inches: of a cell with a number in it, and of one without
MOST_NAMED = 150  # classes: more names would overlap


def confusion_figure(counts: np.ndarray, classes: tuple[str, ...]) -> Figure:
    """How many images of each class were taken for each class. What was read right is left white: there are many.

    Args:
        counts: (classes, classes), a row for each true class.
        classes: their names.
    """
    numbered = len(classes) <= MOST_NUMBERED
    side = max(4.0, min(len(classes), MOST_NAMED) * CELL[0 if numbered else 1])
    mistakes = np.where(np.eye(len(classes), dtype=bool), 0, counts) / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Picture(figsize=(side + 2.2, side + 1.2), layout="constrained")
    axes = figure.subplots()
    worst = max(mistakes.max(), 1e-9)
    drawn = axes.imshow(100 * mistakes, cmap="Oranges", vmin=0, vmax=100 * worst)
    for (row, column), count in np.ndenumerate(counts):
        if numbered and count:
            ink = "0.45" if row == column else "1" if mistakes[row, column] > 0.6 * worst else "0"
            axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8, color=ink)
    every = -(-len(classes) // MOST_NAMED)
    places, names = range(0, len(classes), every), classes[::every]
    axes.set_xticks(places, names, rotation=0 if max(map(len, classes)) < 3 else 90, fontsize=9 if numbered else 6)
    axes.set_yticks(places, names, fontsize=9 if numbered else 6)
    axes.set_xlabel("the network's answer")
    axes.set_ylabel("what the image shows")
    total = counts.sum()
    wrong = total - np.trace(counts)
    axes.set_title(f"{wrong:,} of {total:,} test images are misread", fontsize=11)
    figure.colorbar(drawn, ax=axes, shrink=0.7, label="% of the images of a class")
    return figure
