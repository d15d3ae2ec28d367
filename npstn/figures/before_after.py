"""Images as a transformer is given them, and as it hands them on."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from npstn.figures.words import shown
from npstn.tasks.base import FEW as ROWS


def before_after(before: np.ndarray, after: np.ndarray) -> Figure:
    """Images as the transformer is given them, above; as it hands them on, below.

    Args:
        before, after: images in three rows, (3 columns, C, H, W), 0 .. 1, row by row; the size may differ.
    """
    figure = Figure(figsize=(7, 4.8), layout="constrained")
    titles = "what the transformer is given", "what it hands on"
    for axes, images, title in zip(figure.subplots(2, 1), (before, after), titles, strict=True):
        rows = np.split(np.stack([shown(image) for image in images]), ROWS)
        axes.imshow(np.concatenate([np.concatenate(list(row), axis=1) for row in rows]), cmap="gray", vmin=0, vmax=1)
        axes.set_title(title, fontsize=11)
        axes.axis("off")
    return figure
