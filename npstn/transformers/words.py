"""Quantities in words: what transformers and tasks call `angle_deg` a person reads as "angle +30°"."""

from __future__ import annotations

from collections.abc import Mapping

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


def in_words(quantities: Mapping[str, float], signed: bool = True) -> str:
    """Quantities with their values and units: degrees as whole numbers with a sign; unless `signed`, with a decimal.

    >>> in_words({"angle_deg": -29.7, "scale": 1.25})
    'angle \N{MINUS SIGN}30°, scale 1.25'
    """
    parts = []
    for name, value in quantities.items():
        unit = next((unit for ending, unit in UNITS.items() if name.endswith(ending)), "")
        word = label(name).split(" (")[0]
        form = ".3g" if not unit else ("+.0f" if unit == "°" else "+.1f") if signed else ".1f"
        parts.append(f"{word} {value:{form}}{unit}".replace("-", "\N{MINUS SIGN}"))
    return ", ".join(parts)
