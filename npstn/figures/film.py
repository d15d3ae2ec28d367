"""training.gif: the same test images, epoch by epoch, as the transformers learn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from npstn.figures.before_after import before_after


def picture(before: np.ndarray, after: np.ndarray, epoch: int, accuracy: float | None) -> Figure:
    """One picture of the film: images as `before_after` takes them, under a title."""
    figure = before_after(before, after)
    title = "before training" if epoch == 0 else f"epoch {epoch}"
    if accuracy is not None:
        title += f": {accuracy:.1f} % of the test images are read right"
    figure.suptitle(title, fontsize=13, x=0.02, ha="left")
    return figure


def write(path: Path, before: np.ndarray, frames: Mapping[int, np.ndarray], accuracies: Mapping[int, float]) -> None:
    """Write the film.

    Args:
        before: the images as they come in, (N, C, H, W), 0 .. 1.
        frames: as `runs.frames.read` gives them.
        accuracies: test accuracy in percent by epoch.
    """
    pictures = []
    for epoch, frame in frames.items():
        canvas = FigureCanvasAgg(picture(before, frame / np.float32(255), epoch, accuracies.get(epoch)))
        canvas.draw()
        drawn = Image.fromarray(np.asarray(canvas.buffer_rgba()))
        drawn = drawn.convert("RGB") if before.shape[1] in (2, 3) else drawn.convert("L")
        pictures.append(drawn.quantize(32))  # greys enough: with all of them the file is more than twice as large
    pauses = [800] * (len(pictures) - 1) + [3000]  # milliseconds; time to look at the end of training
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=pauses, loop=0)
