"""The frames of training.gif: what the transformers hand on after each epoch, for the same few test images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from npstn.storage import load, save

FILE = "frames.safetensors"


def keep(folder: Path, epoch: int, images: np.ndarray) -> None:
    """Add the images after an epoch (0: before the first) to a run's frames, whole or not at all.

    An epoch that a resumed run goes through again replaces its own frame.

    Args:
        images: (N, C, H, W), 0 .. 1; of several transformers, one after the other.
    """
    frames = {**read(folder, images.shape), epoch: np.rint(255 * images.clip(0, 1)).astype(np.uint8)}
    save({str(number): frame for number, frame in frames.items()}, folder / FILE)


def read(folder: Path, shape: tuple[int, ...]) -> dict[int, np.ndarray]:
    """The frames that were kept, uint8 of this shape, by epoch. Damaged ones are left out: no run fails for them."""
    try:
        frames = {int(epoch): frame for epoch, frame in load(folder / FILE).items()}
    except (FileNotFoundError, ValueError):
        return {}
    fit = (epoch for epoch, frame in frames.items() if frame.shape == shape and frame.dtype == np.uint8)
    return {epoch: frames[epoch] for epoch in sorted(fit)}
