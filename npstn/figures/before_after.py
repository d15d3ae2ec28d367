"""Images as transformers are given them, and as they hand them on."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from npstn.figures.images import shown
from npstn.figures.picture import Picture
from npstn.tasks.base import FEW as ROWS

WIDTH, TITLE, HIGHEST = 7.0, 0.3, 5.0  # inches: of the figure, of a title, of the images below it at most


def before_after(before: np.ndarray, after: np.ndarray) -> Figure:
    """Images as the transformers are given them, above; as each transformer hands them on, below.

    Args:
        before: images in three rows, (3 columns, C, H, W), 0 .. 1, row by row.
        after: the same images as the transformer hands them on, of a size of their own; of several transformers, those
            of the second after those of the first, and so on.
    """
    outputs = np.split(after, len(after) // len(before))
    several = len(outputs) > 1
    titles = [f"what the transformer{'s are' if several else ' is'} given"]
    for number in range(1, len(outputs) + 1):
        titles.append(f"what transformer {number} hands on" if several else "what it hands on")
    if before.shape[1] == 2:
        titles[0] += " (red and cyan: the first and the second channel)"
    drawn = [_in_rows(images) for images in (before, *outputs)]
    heights = [TITLE + min(WIDTH * image.shape[0] / image.shape[1], HIGHEST) for image in drawn]
    figure = Picture(figsize=(WIDTH, sum(heights)), layout="constrained")
    panels = figure.subplots(len(drawn), 1, height_ratios=heights)
    for axes, image, title in zip(panels, drawn, titles, strict=True):
        axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        axes.set_title(title, fontsize=11)
        axes.axis("off")
    return figure


def _in_rows(images: np.ndarray) -> np.ndarray:
    """All images (3 columns, C, H, W) as one, to draw."""
    rows = np.split(np.stack([shown(image) for image in images]), ROWS)
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
