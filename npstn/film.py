"""training.gif: the same digits, epoch by epoch, as the transformer learns to turn them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from npstn.checkpoint import load, save

FRAMES = "frames.safetensors"


def keep(folder: Path, epoch: int, turned: np.ndarray) -> None:
    """Add the digits as they are turned after an epoch (0: before the first) to a run's frames, whole or not at all.

    An epoch that is gone through again, in a run that is resumed, replaces its own.

    Args:
        turned: (N, 1, 28, 28), 0 .. 1.
    """
    frames = {str(number): frame for number, frame in read(folder).items()}
    frames[str(epoch)] = np.rint(255 * turned[:, 0].clip(0, 1)).astype(np.uint8)
    save(frames, folder / FRAMES)


def read(folder: Path) -> dict[int, np.ndarray]:
    """The frames that were kept, uint8 (N, 28, 28) by epoch. Those of a damaged file are lost, and only they."""
    try:
        frames = {int(epoch): frame for epoch, frame in load(folder / FRAMES).items()}
    except (FileNotFoundError, ValueError):
        return {}
    return dict(sorted(frames.items()))


def write(path: Path, before: np.ndarray, frames: Mapping[int, np.ndarray], accuracies: Mapping[int, float]) -> None:
    """Write the film.

    Args:
        before: the digits as they come in, (N, 1, 28, 28), 0 .. 1.
        frames: as `read` gives them.
        accuracies: of the epochs, in percent.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    from npstn import plots

    pictures = []
    for epoch, turned in frames.items():
        figure = plots.before_after(before, turned[:, None] / np.float32(255))
        title = "before training" if epoch == 0 else f"epoch {epoch}"
        if epoch in accuracies:
            title += f": {accuracies[epoch]:.1f} % of the test digits are read right"
        figure.suptitle(title, fontsize=13, x=0.02, ha="left")
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        grey = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("L")
        pictures.append(grey.quantize(32))  # greys enough: with all of them the file is more than twice as large
    pauses = [800] * (len(pictures) - 1) + [3000]  # milliseconds; time to look at what came of it
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=pauses, loop=0)
