"""Quantities in words: what transformers and tasks call `angle_deg` a person reads as "angle +30°"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

UNITS = {"_deg": "°", "_px": " px"}
Value = TypeVar("Value")


def of_each(quantities: Mapping[str, Value]) -> dict[str, dict[str, Value]]:
    """The quantities of each of several transformers, by its number; by "" where there is only one transformer.

    >>> of_each({"1.scale": 2, "1.angle_deg": 30, "2.scale": 3})
    {'1': {'scale': 2, 'angle_deg': 30}, '2': {'scale': 3}}
    """
    each: dict[str, dict[str, Value]] = {}
    for name, value in quantities.items():
        number, dot, rest = name.partition(".")
        each.setdefault(number if dot else "", {})[rest if dot else name] = value
    return each


def word_and_unit(name: str) -> tuple[str, str]:
    """The name of a quantity as words, and its unit, "" for none.

    >>> word_and_unit("shift_x_px")
    ('shift x', ' px')
    """
    ending = next((ending for ending in UNITS if name.endswith(ending)), "")
    return name.removesuffix(ending).replace("_", " ").replace(".", ". "), UNITS.get(ending, "")


def label(name: str, whose: str = "") -> str:
    """The name of a quantity for an axis.

    >>> label("angle_deg", "of the transformer"), label("shift_x")
    ('angle of the transformer (°)', 'shift x')
    """
    word, unit = word_and_unit(name)
    return " ".join(part for part in (word, whose, f"({unit.strip()})" if unit else "") if part)


def read_as(name: str) -> float:
    """What a parameter of this name is multiplied by for a person, who reads an angle in degrees.

    >>> read_as("angle_deg") * np.pi, read_as("t_x")
    (180.0, 1.0)
    """
    return 180 / np.pi if name.endswith("_deg") else 1.0


def parameter_label(name: str) -> str:
    """The name of a transformer's parameter for an axis. One without a unit is a letter of a formula, and stays so.

    >>> parameter_label("angle_deg"), parameter_label("t_x")
    ('angle of the transformer (°)', 't_x of the transformer')
    """
    whose = "of the transformer"
    return label(name, whose) if word_and_unit(name)[1] else f"{name} {whose}"


def parameter_in_words(name: str, value: float) -> str:
    """A parameter at a value, which is in degrees if the name ends in "_deg".

    >>> parameter_in_words("angle_deg", -12.5), parameter_in_words("t_x", 0.25)
    ('angle \N{MINUS SIGN}12.5°', 't_x 0.25')
    """
    word, unit = word_and_unit(name)
    return (f"{word} {value:+.4g}{unit}" if unit else f"{name} {value:.4g}").replace("-", "\N{MINUS SIGN}")


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


def sizes_in_words(quantities: Mapping[str, float]) -> str:
    """How large quantities are, without a sign.

    >>> sizes_in_words({"angle_deg": 2.94, "scale": 0.012})
    'angle 2.9°, scale 0.012'
    """
    return _joined(quantities, ".1f", ".3g")


def _joined(quantities: Mapping[str, float], with_unit: str, plain: str) -> str:
    """Names, values and units; the two format specifications are for values with and without a unit."""
    parts = []
    for name, value in quantities.items():
        word, unit = word_and_unit(name)
        form = with_unit if unit else plain
        written = f"{value:{form}}"
        if float(written) == 0:
            written = f"{0.0:{form}}"  # no "-0"
        parts.append(f"{word} {written}{unit}".replace("-", "\N{MINUS SIGN}"))
    return ", ".join(parts)
