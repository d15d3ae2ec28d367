"""The frames of training.gif: what the transformers hand on as a training goes on, for the same few test images."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from npstn.storage import load, save

FILE = "frames.safetensors"
# Parts of the first epoch. On MNIST the angles of the rotation transformer spread by 0.01 degrees after 1/16 of it, by
# 19 degrees after 1/8, and by 23 degrees at its end.
EARLY = 1 / 16, 1 / 8, 3 / 16, 1 / 4, 1 / 2


class Moment(NamedTuple):
    """When a frame was kept; a later moment is the larger one."""

    epochs: int  # that were done, 0 before the first
    steps: int = 0  # that were taken since

    def __str__(self) -> str:
        return f"{self.epochs}+{self.steps}" if self.steps else str(self.epochs)


def is_early(steps: int, of: int) -> bool:
    """Whether a frame is kept after so many steps of the first epoch, which has `of`.

    >>> [steps for steps in range(33) if is_early(steps, 32)]
    [2, 4, 6, 8, 16]
    """
    return 0 < steps < of and steps in {round(share * of) for share in EARLY}


def keep(folder: Path, moment: Moment, images: np.ndarray) -> None:
    """Add the images at a moment to a run's frames, whole or not at all.

    What a resumed run goes through again replaces its own frames.

    Args:
        images: (N, C, H, W), 0 .. 1; of several transformers, one after the other.
    """
    frames = {**read(folder, images.shape), moment: np.rint(255 * images.clip(0, 1)).astype(np.uint8)}
    save({str(moment): frame for moment, frame in frames.items()}, folder / FILE)


def read(folder: Path, shape: tuple[int, ...]) -> dict[Moment, np.ndarray]:
    """The frames that were kept, uint8 of this shape, in order. Damaged ones are left out: no run fails for them."""
    try:
        frames = {Moment(*map(int, name.split("+"))): frame for name, frame in load(folder / FILE).items()}
    except (FileNotFoundError, ValueError, TypeError):
        return {}
    fit = (moment for moment, frame in frames.items() if frame.shape == shape and frame.dtype == np.uint8)
    return {moment: frames[moment] for moment in sorted(fit)}
