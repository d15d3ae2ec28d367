"""A kind of map: from a few parameters to the grid that the sampler reads at (the paper's T_theta, section 3.2)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from npstn.autograd import Tensor
from npstn.messages import one_line


class Setting(NamedTuple):
    """A number that can be chosen for a transformer or a task; the command makes an option of its name.

    A setting whose default is an integer takes integers only.
    """

    default: float
    least: float
    most: float
    help: str


def choose(owner: str, settings: dict[str, Setting], given: dict[str, float]) -> dict[str, float]:
    """The values of all settings: those given, else the defaults.

    Raises ValueError for a value outside its limits and for an unknown name.
    """
    for name, value in given.items():
        if name not in settings:
            known = ", ".join(settings) or "none"
            raise ValueError(f"{owner}: expected settings among {known}; got {one_line(name)}")
        default, least, most, _ = settings[name]
        whole = isinstance(default, int)
        kind = (int, np.integer) if whole else (int, float, np.integer, np.floating)
        if isinstance(value, bool) or not isinstance(value, kind) or not least <= value <= most:
            integer = "an integer " if whole else ""
            expected = f"{name} to be {integer}from {least:g} to {most:g}"
            raise ValueError(f"{owner}: expected {expected}, got {one_line(value)}")
    numbers = {name: value.item() if isinstance(value, np.generic) else value for name, value in given.items()}
    return {name: setting.default for name, setting in settings.items()} | numbers


class Transformer:
    """One kind of map. It has no weights: a localisation network chooses its parameters for each image.

    A subclass sets the attributes and defines `grid` and `describe`; a row in `TRANSFORMERS` makes it known to the
    command.

    Attributes:
        name: its name in the command and in config.json.
        identity: (P,) float32, the parameters that change nothing. A localisation network starts there.
        settings: what can be chosen, by name; chosen: the values.
    """

    name: str
    identity: np.ndarray
    settings: dict[str, Setting] = {}

    def __init__(self, **settings: float) -> None:
        self.chosen = choose(getattr(self, "name", type(self).__name__), self.settings, settings)

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """The names of the P parameters. One that ends in "_deg" is an angle in radians; a person reads degrees.

        A subclass that says nothing has "parameter_1" and so on.
        """
        return tuple(f"parameter_{k}" for k in range(1, len(self.identity) + 1))

    def handles(self, parameters: np.ndarray) -> np.ndarray:
        """Points of the input, normalised, that a person can drag: (B, K, 2), (x, y) last.

        Parameters 2 k and 2 k + 1 move the point k along x and y, and no other point. There are none, K = 0, unless a
        subclass has some. Args: parameters: (B, P).
        """
        return np.zeros((len(parameters), 0, 2), parameters.dtype)

    def grid(self, parameters: Tensor, size: tuple[int, int]) -> Tensor:
        """The points at which each output pixel reads the input.

        Args:
            parameters: (B, P), as the localisation network gives them.
            size: rows and columns of the output, (h, w).

        Returns (B, h, w, 2) of (x, y), normalised: -1 and 1 are the centres of the corner pixels (align_corners).
        """
        raise TypeError(f"{type(self).__name__}: expected a subclass that defines grid, got one without")

    def describe(self, parameters: np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
        """The map of each sample in quantities that a person understands: name -> (B,).

        A name ends in its unit where it has one: "angle_deg". Args: as for `grid`, the parameters as an array.
        """
        raise TypeError(f"{type(self).__name__}: expected a subclass that defines describe, got one without")
