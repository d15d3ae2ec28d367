"""Images as matplotlib draws them."""

from __future__ import annotations

import numpy as np


def shown(image: np.ndarray) -> np.ndarray:
    """An image (C, H, W) to draw: (H, W, 3) if it has three channels, else (H, W), the mean of the channels."""
    # The sampler's rounding may leave a colour above 1, which matplotlib would warn of.
    return image.transpose(1, 2, 0).clip(0, 1) if len(image) == 3 else image.mean(axis=0)
