"""Images as matplotlib draws them."""

from __future__ import annotations

import numpy as np


def shown(image: np.ndarray) -> np.ndarray:
    """An image (C, H, W) to draw.

    Three channels are red, green and blue, two are red and cyan: (H, W, 3). Else it is grey, (H, W), the mean of the
    channels.
    """
    if len(image) not in (2, 3):
        return image.mean(axis=0)
    # The sampler's rounding may leave a colour above 1, which matplotlib would warn of.
    return image[[0, 1, -1]].transpose(1, 2, 0).clip(0, 1)
