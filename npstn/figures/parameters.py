"""What the transformer did to each test image, against how the image had been distorted."""

from __future__ import annotations

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from npstn.tasks import Batch
from npstn.transformers.words import label


def parameters(test: Batch, found: dict[str, np.ndarray], classes: tuple[str, ...]) -> Figure | None:
    """A panel for each quantity that both the task and the transformer name; None where there is none.

    Args:
        test: the test set, with the truth of each distortion.
        found: how the transformers describe what they did: name -> (N,).
        classes: what the labels stand for.
    """
    names = [name for name in test.truth if name in found]
    if not names:
        return None
    figure = Figure(figsize=(5.6 * len(names), 5), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        true, count = test.truth[name], len(classes)
        style = {"cmap": "tab10" if count <= 10 else "viridis", "vmin": -0.5, "vmax": count - 0.5}
        points = axes.scatter(true, found[name], c=test.labels, s=3, alpha=0.5, linewidths=0, **style)
        ends = np.array([true.min(), true.max()])
        axes.plot(ends, -ends, "k--", linewidth=1, label="undone exactly")
        axes.set(xlabel=f"{label(name)} by which the image was distorted", ylabel=f"{label(name)} of the transformer")
        axes.set_title(f"{len(true):,} test images", fontsize=11)
        axes.legend(loc="upper right")
        axes.grid(alpha=0.3)
        opaque = ScalarMappable(points.norm, points.cmap)  # the points' own colours are half transparent
        bar = figure.colorbar(opaque, ax=axes, label="class", ticks=range(count) if count <= 10 else None)
        if count <= 10:
            bar.ax.set_yticklabels(classes)
    return figure
