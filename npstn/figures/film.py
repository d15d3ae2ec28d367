"""training.gif: the same digits, epoch by epoch, as the transformer learns to turn them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from npstn.checkpoint import load, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FRAMES = "frames.safetensors"


def keep(folder: Path, epoch: int, turned: np.ndarray) -> None:
    """Add the digits as they are turned after an epoch (0: before the first) to a run's frames, whole or not at all.

    An epoch that is gone through again, in a run that is resumed, replaces its own.

    Args:
        turned: (N, 1, 28, 28), 0 .. 1.
    """
    frames = {**read(folder, len(turned)), epoch: np.rint(255 * turned[:, 0].clip(0, 1)).astype(np.uint8)}
    save({str(number): frame for number, frame in frames.items()}, folder / FRAMES)


def read(folder: Path, count: int) -> dict[int, np.ndarray]:
    """The frames that were kept, uint8 (count, 28, 28), by epoch. No run fails for want of them: what is damaged is
    left out."""
    try:
        frames = {int(epoch): frame for epoch, frame in load(folder / FRAMES).items()}
    except (FileNotFoundError, ValueError):
        return {}
    fit = (epoch for epoch, frame in frames.items() if frame.shape == (count, 28, 28) and frame.dtype == np.uint8)
    return {epoch: frames[epoch] for epoch in sorted(fit)}


def picture(before: np.ndarray, after: np.ndarray, epoch: int, accuracy: float | None) -> Figure:
    """One picture of the film: digits (N, 1, 28, 28) as they come in and as they are turned, under a title."""
    from npstn import plots

    figure = plots.before_after(before, after)
    title = "before training" if epoch == 0 else f"epoch {epoch}"
    if accuracy is not None:
        title += f": {accuracy:.1f} % of the test digits are read right"
    figure.suptitle(title, fontsize=13, x=0.02, ha="left")
    return figure


def write(path: Path, before: np.ndarray, frames: Mapping[int, np.ndarray], accuracies: Mapping[int, float]) -> None:
    """Write the film.

    Args:
        before: the digits as they come in, (N, 1, 28, 28), 0 .. 1.
        frames: as `read` gives them.
        accuracies: of the epochs, in percent.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    pictures = []
    for epoch, frame in frames.items():
        canvas = FigureCanvasAgg(picture(before, frame[:, None] / np.float32(255), epoch, accuracies.get(epoch)))
        canvas.draw()
        grey = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("L")
        pictures.append(grey.quantize(32))  # greys enough: with all of them the file is more than twice as large
    pauses = [800] * (len(pictures) - 1) + [3000]  # milliseconds; time to look at what came of it
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=pauses, loop=0)
