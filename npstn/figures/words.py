"""Quantities in words: what a transformer or a task calls `angle_deg` is written as "angle +30°"."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

UNITS = {"_deg": "°", "_px": " px"}


def label(name: str, whose: str = "") -> str:
    """The name of a quantity for an axis.

    >>> label("angle_deg", "of the transformer"), label("shift_x")
    ('angle of the transformer (°)', 'shift x')
    """
    word, unit = _parts(name)
    return " ".join(part for part in (word, whose, f"({unit.strip()})" if unit else "") if part)


def in_words(quantities: Mapping[str, float]) -> str:
    """Quantities with their values and units, degrees and pixels as whole numbers with a sign.

    >>> in_words({"angle_deg": -29.7, "scale": 1.25})
    'angle \N{MINUS SIGN}30°, scale 1.25'
    """
    return _joined(quantities, "+.0f", ".3g")


def changes_in_words(quantities: Mapping[str, float]) -> str:
    """By how much quantities change: each with a sign and two digits.

    >>> changes_in_words({"angle_deg": 2.94, "scale": -0.012})
    'angle +2.9°, scale \N{MINUS SIGN}0.012'
    """
    return _joined(quantities, "+.2g", "+.2g")


def shown(image: np.ndarray) -> np.ndarray:
    """An image (C, H, W) as matplotlib draws it: (H, W, 3) of three channels, else (H, W), the mean of the channels."""
    # The sampler's rounding may leave a colour above 1, which matplotlib would warn of.
    return image.transpose(1, 2, 0).clip(0, 1) if len(image) == 3 else image.mean(axis=0)


def _parts(name: str) -> tuple[str, str]:
    """The name of a quantity as words, and its unit, "" for none."""
    ending = next((ending for ending in UNITS if name.endswith(ending)), "")
    return name.removesuffix(ending).replace("_", " ").replace(".", ". "), UNITS.get(ending, "")


def _joined(quantities: Mapping[str, float], with_unit: str, plain: str) -> str:
    """Names, values and units; the two format specifications are for values with and without a unit."""
    parts = []
    for name, value in quantities.items():
        word, unit = _parts(name)
        form = with_unit if unit else plain
        written = f"{value:{form}}"
        if float(written) == 0:
            written = f"{0.0:{form}}"  # no "-0"
        parts.append(f"{word} {written}{unit}".replace("-", "\N{MINUS SIGN}"))
    return ", ".join(parts)
