"""Each step from a picture to what a network says about it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from npstn.figures.images import shown
from npstn.figures.picture import Picture
from npstn.runs.prediction import Prediction

MOST_BARS = 10  # classes of which the probability is drawn: the most probable


def draw(predictions: Sequence[Prediction], classes: tuple[str, ...]) -> Figure:
    """Pictures on their way through `npstn predict`, one a row.

    From the left, for a photograph: the picture, and where the digit was found; the ink, with the light evened out; the
    ink without ruled lines, and without other marks; the digit in the form of MNIST's. Then, for all pictures: what the
    network is given, what each transformer hands on, and the probabilities.
    """
    panels = [[*_panels(prediction)] for prediction in predictions]
    headings = [heading for heading, _ in panels[0]] + ["the classes' probabilities"]
    figure = Picture(figsize=(2.1 * len(headings), 0.4 + 2.5 * len(predictions)), layout="constrained")
    axes = figure.subplots(len(predictions), len(headings), squeeze=False)
    for at, heading in zip(axes[0], headings, strict=True):
        at.set_title(textwrap.fill(heading, 22), fontsize=9.5, weight="bold")
    for row, prediction, images in zip(axes, predictions, panels, strict=True):
        for at, (_, image) in zip(row, images, strict=False):
            at.imshow(shown(image), cmap="gray", vmin=0, vmax=1)
            at.set(xticks=[], yticks=[], anchor="N")
        row[0].set_xlabel(_shortened(Path(prediction.file).name, 36), fontsize=8)
        if prediction.found is not None:
            y, x = prediction.found.mark.box
            high, wide = y.stop - y.start + 1, x.stop - x.start + 1
            row[0].add_patch(Rectangle((x.start - 1, y.start - 1), wide, high, fill=False, color="red", linewidth=1.2))
        _bars(row[-1], prediction.probabilities, classes)
    return figure


def _panels(prediction: Prediction) -> Iterator[tuple[str, np.ndarray]]:
    """The images of a row, (C, H, W), each with its heading."""
    found = prediction.found
    if found is not None:
        yield "the picture, and where the digit is", found.grey[None]
        yield "the ink, in even light", _stretched(found.ink)
        yield "without ruled lines", _stretched(found.unruled)
        yield "the mark that stands out", _stretched(np.where(found.mark.mask, found.unruled, 0))
    given = "what the network is given" if found is None else "in the form of MNIST's digits"
    yield given, prediction.image
    for number, image in enumerate(prediction.read, start=1):
        which = f"transformer {number}" if len(prediction.read) > 1 else "the transformer"
        yield f"what {which} hands on", image


def _stretched(ink: np.ndarray) -> np.ndarray:
    """Ink to draw, (1, H, W): dark, as on paper, however pale it was."""
    return 1 - (ink / max(float(ink.max()), 1e-6))[None]


def _bars(at: Axes, probabilities: np.ndarray, classes: tuple[str, ...]) -> None:
    best = int(probabilities.argmax())
    which = np.sort((-probabilities).argsort(kind="stable")[:MOST_BARS])
    names = [_shortened(classes[k], 8) for k in which]
    colours = ["tab:blue" if k == best else "0.6" for k in which]
    at.barh(np.arange(len(which)), probabilities[which], color=colours)
    at.set(xlim=(0, 1), xticks=[0, 1], xticklabels=["0 %", "100 %"], yticks=np.arange(len(which)), yticklabels=names)
    at.invert_yaxis()
    at.tick_params(labelsize=8)
    at.set_xlabel(f"{_shortened(classes[best], 12)} at {100 * probabilities[best]:.1f} %", fontsize=9)


def _shortened(name: str, most: int) -> str:
    return name if len(name) <= most else f"...{name[3 - most :]}"
