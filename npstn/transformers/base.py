"""A kind of map: from a few parameters to the grid that the sampler reads at (the paper's T_theta, section 3.2)."""

from __future__ import annotations

import numpy as np

from npstn.autograd import Tensor


class Transformer:
    """One kind of map. It has no weights: a localisation network chooses its parameters for each image.

    A subclass sets the attributes and defines `grid` and `describe`; a row in `TRANSFORMERS` makes it known to the
    command.

    Attributes:
        name: its name in the command and in config.json.
        identity: (P,) float32, the parameters that change nothing. A localisation network starts there.
    """

    name: str
    identity: np.ndarray

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
