"""Quantities in words: what a transformer or a task calls `angle_deg` is written as "angle +30°"."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

UNITS = {"_deg": "°", "_px": " px"}


def label(name: str) -> str:
    """The name of a quantity for an axis.

    >>> label("angle_deg"), label("shift_x")
    ('angle (°)', 'shift x')
    """
    for ending, unit in UNITS.items():
        if name.endswith(ending):
            return f"{name.removesuffix(ending).replace('_', ' ')} ({unit.strip()})"
    return name.replace("_", " ")


def in_words(quantities: Mapping[str, float]) -> str:
    """Quantities with their values and units, degrees and pixels as whole numbers with a sign.

    >>> in_words({"angle_deg": -29.7, "scale": 1.25})
    'angle \N{MINUS SIGN}30°, scale 1.25'
    """
    parts = []
    for name, value in quantities.items():
        unit = next((unit for ending, unit in UNITS.items() if name.endswith(ending)), "")
        word = label(name).split(" (")[0]
        parts.append(f"{word} {value:{'+.0f' if unit else '.3g'}}{unit}".replace("-", "\N{MINUS SIGN}"))
    return ", ".join(parts)


def shown(image: np.ndarray) -> np.ndarray:
    """An image (C, H, W) as matplotlib draws it: (H, W, 3) of three channels, else (H, W), the mean of the channels."""
    return image.transpose(1, 2, 0) if len(image) == 3 else image.mean(axis=0)
