"""What the transformer did to each test image, against how the image had been distorted."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from npstn.figures.words import label
from npstn.tasks import Batch


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
    count = len(classes)
    colours = colormaps["tab10"] if count <= 10 else colormaps["viridis"].resampled(count)
    figure = Figure(figsize=(5.6 * len(names), 5), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        true = test.truth[name]
        size = np.clip(3e4 / max(len(true), 1), 3, 20)  # square points; of many, the smaller
        style = {"cmap": colours, "vmin": -0.5, "vmax": colours.N - 0.5, "alpha": 0.5, "linewidths": 0}
        points = axes.scatter(true, found[name], c=test.labels, s=size, **style)
        if name.endswith("_deg"):  # an angle is undone by its negative; what undoes another quantity depends on it
            ends = np.array([true.min(), true.max()])
            axes.plot(ends, -ends, "k--", linewidth=1, label="undone exactly")
            axes.legend(loc="upper right")
        axes.set(xlabel=label(name, "of the distortion"), ylabel=label(name, "of the transformer"))
        axes.set_title(f"{len(true):,} test images", fontsize=11)
        axes.grid(alpha=0.3)
        opaque = ScalarMappable(points.norm, points.cmap)  # the points' own colours are half transparent
        every = -(-count // 20)  # the names of about twenty classes have room
        bar = figure.colorbar(opaque, ax=axes, label="class", ticks=range(0, count, every))
        bar.ax.set_yticklabels(classes[::every])
        bar.ax.set_ylim(-0.5, count - 0.5)
    return figure
