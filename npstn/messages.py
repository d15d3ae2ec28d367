"""What the user gave, in the messages about it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

LONGEST = 100  # characters of a value: a message is one line, and says more than the value


def one_line(value: Any) -> str:
    """A value as the user would write it, in one line; of a long one, the beginning.

    >>> one_line("zero"), one_line([[1, 2], [3, 4]]), one_line(list(range(1000)))[-9:]
    ("'zero'", '[[1, 2], [3, 4]]', '25, 26...')
    """
    text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def check_name(owner: str, argument: str, value: Any, known: Iterable[str]) -> None:
    """Raise ValueError unless the value is one of the known names.

    >>> check_name("grid_sample", "mode", "cubic", ["bilinear", "nearest"])
    Traceback (most recent call last):
    ValueError: grid_sample: expected mode to be one of bilinear, nearest, got 'cubic'
    """
    names = list(known)
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"{owner}: expected {argument} to be one of {', '.join(names)}, got {one_line(value)}")
