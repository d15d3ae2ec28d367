"""Films: training.gif, the same test images again and again as the transformers learn; and how a film is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from npstn.figures.before_after import before_after
from npstn.runs.frames import Moment


def picture(before: np.ndarray, after: np.ndarray, title: str) -> Figure:
    """One picture of training.gif: images as `before_after` takes them, under a title."""
    figure = before_after(before, after)
    figure.suptitle(title, fontsize=13, x=0.02, ha="left")
    return figure


def title(moment: Moment, steps: int, accuracies: Mapping[int, float]) -> str:
    """When a frame was kept, and the accuracy where there is one. Args: as for `write`.

    >>> title(Moment(0, 234), 1875, {}), title(Moment(2), 1875, {2: 97.89})
    ('in epoch 1, after 234 of 1875 steps', 'after epoch 2: 97.9 % of the test images are read right')
    """
    if moment.steps:
        return f"in epoch {moment.epochs + 1}, after {moment.steps} of {steps} steps"
    if not moment.epochs:
        return "before training"
    accuracy = accuracies.get(moment.epochs)
    reads = "" if accuracy is None else f": {accuracy:.1f} % of the test images are read right"
    return f"after epoch {moment.epochs}{reads}"


def write(
    path: Path, before: np.ndarray, frames: Mapping[Moment, np.ndarray], steps: int, accuracies: Mapping[int, float]
) -> None:
    """Write training.gif.

    Args:
        before: the images as they come in, (N, C, H, W), 0 .. 1.
        frames: as `runs.frames.read` gives them.
        steps: how many an epoch has.
        accuracies: test accuracy in percent by epoch.
    """
    titles = {moment: title(moment, steps, accuracies) for moment in frames}
    pictures = (picture(before, frame / np.float32(255), titles[moment]) for moment, frame in frames.items())
    write_gif(path, pictures, "RGB" if before.shape[1] in (2, 3) else "L", 800)


def write_gif(path: Path, figures: Iterable[Figure], mode: str, pause: int) -> None:
    """Write figures of one size as a film that begins again and again.

    Args:
        mode: "RGB" for colours, "L" for greys.
        pause: how long a figure is shown, in milliseconds; the last one longer, as it is to be looked at.
    """
    pictures = [_pixels(figure, mode) for figure in figures]
    below_each_other = np.concatenate(pictures)
    # Few colours, and the same for all pictures: what stays as it was is then not written again.
    drawn = Image.fromarray(below_each_other)
    # By coverage: the median would mix a colour that few pixels have, that of a mark, with others.
    few = drawn.quantize(32, Image.Quantize.MAXCOVERAGE) if mode == "RGB" else drawn.quantize(16)
    height = few.height // len(pictures)
    first, *others = (few.crop((0, top, few.width, top + height)) for top in range(0, few.height, height))
    pauses = [pause] * len(others) + [3000]
    first.save(path, save_all=True, append_images=others, duration=pauses, loop=0, optimize=True)


def _pixels(figure: Figure, mode: str) -> np.ndarray:
    """The figure as it is drawn, uint8 (rows, columns), or (rows, columns, 3) for colours."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert(mode))
