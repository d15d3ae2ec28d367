"""What the transformer did to each test image, against how the image had been distorted."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from npstn.figures.picture import Picture
from npstn.tasks import Batch
from npstn.transformers.words import label, of_each

UNDONE_BY_ITS_NEGATIVE = "_deg", "_px"  # angles and shifts


def parameters(test: Batch, found: dict[str, np.ndarray], classes: tuple[str, ...]) -> Figure | None:
    """A panel for each quantity that both the task and a transformer name; None where there is none.

    Of several transformers each has a row.

    Args:
        test: the test set, with the truth of each distortion.
        found: how the transformers describe what they did: name -> (N,).
        classes: what the labels stand for.
    """
    rows = {number: [name for name in test.truth if name in own] for number, own in of_each(found).items()}
    rows = {number: names for number, names in rows.items() if names}
    if not rows:
        return None
    count = len(classes)
    colours = colormaps["tab10"] if count <= 10 else colormaps["viridis"].resampled(count)
    columns = max(map(len, rows.values()))
    figure = Picture(figsize=(5.6 * columns, 5 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), columns, squeeze=False)
    for axes in panels.flat:
        axes.set_visible(False)
    for row, (number, names) in zip(panels, rows.items(), strict=True):
        whose = f"of transformer {number}" if number else "of the transformer"
        for axes, name in zip(row, names, strict=False):
            axes.set_visible(True)
            values = found[f"{number}.{name}" if number else name]
            _panel(axes, name, whose, test, values, classes, colours)
    return figure


def _panel(
    axes: Axes,
    name: str,
    whose: str,
    test: Batch,
    values: np.ndarray,
    classes: tuple[str, ...],
    colours: Colormap,
) -> None:
    """One quantity of one transformer."""
    true, count = test.truth[name], len(classes)
    size = np.clip(3e4 / max(len(true), 1), 3, 20)  # square points; of many, the smaller
    style: dict[str, Any] = {"cmap": colours, "vmin": -0.5, "vmax": colours.N - 0.5, "alpha": 0.5, "linewidths": 0}
    points = axes.scatter(true, values, c=test.labels, s=size, **style)
    if name == "scale" or name.endswith(UNDONE_BY_ITS_NEGATIVE):
        x = np.linspace(true.min(), true.max(), 50)
        axes.plot(x, 1 / x if name == "scale" else -x, "k--", linewidth=1, label="undone exactly")
        axes.legend(loc="upper right")
    axes.set(xlabel=label(name, "of the distortion"), ylabel=label(name, whose))
    axes.set_title(f"{len(true):,} test images", fontsize=11)
    axes.grid(alpha=0.3)
    opaque = ScalarMappable(points.norm, points.cmap)  # the points' own colours are half transparent
    every = -(-count // 20)  # the names of about twenty classes have room
    bar = axes.figure.colorbar(opaque, ax=axes, label="class", ticks=range(0, count, every))
    bar.ax.set_yticklabels(classes[::every])
    bar.ax.set_ylim(-0.5, count - 0.5)
