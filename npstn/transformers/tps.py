"""The thin-plate spline: 2 K^2 parameters, where each of K x K control points looks in the input.

The control points c_k stand on a regular grid over -span .. span in the output, row by row, and stay there. The
parameters are their points in the input, (x, y) after (x, y), normalised:

    points_k = parameters_k                  unbounded
    points_k = tanh(parameters_k)            bounded: no point leaves the image, and far points hardly move

and the spline through them (see `ops/tps_grid.py`) carries all other pixels along. The identity is points_k = c_k; but
bounded points start at 0.999 where c_k is 1, which no tanh reaches.

The map is described by what it does at the centre of the output, and by its bending energy: the integral of the squared
second derivatives of the spline, in normalised coordinates, is 8 pi times points^T B points, summed over x and y, with
B the first K^2 rows of the spline's `coefficients`. An affine map has none.

Source: Jaderberg et al. 2015, section 3.2; grid, span and bound as in WarBean/tps_stn_pytorch.
"""

from __future__ import annotations

import numpy as np

import npstn.functional as F
from npstn.autograd import Tensor
from npstn.ops.tps_grid import coefficients
from npstn.transformers.affine import describe_affine
from npstn.transformers.base import Setting, Transformer


class Tps(Transformer):
    """A smooth bending.

    Args:
        grid_size: control points along each side, K, 2 to 16.
        span: how far from the centre the outermost control points stand, 0.1 to 1.
        bounded: 1 to keep the points inside of the image by tanh, 0 to leave them free.

    >>> spline = Tps(grid_size=3)
    >>> found = spline.describe(spline.identity[None] / 2, (21, 21))
    >>> found["scale"].round(6).item(), abs(found["bending"].round(6).item())
    (2.0, 0.0)
    """

    name = "tps"
    settings = {
        "grid_size": Setting(4, 2, 16, "control points along each side of the spline"),
        "span": Setting(0.9, 0.1, 1.0, "how far the spline's control points reach, 1 being the edge"),
        "bounded": Setting(0, 0, 1, "1 to keep the points of the spline inside of the image, 0 to leave them free"),
    }

    def __init__(self, **settings: float) -> None:
        super().__init__(**settings)
        K, span = int(self.chosen["grid_size"]), self.chosen["span"]
        side = np.linspace(-span, span, K)
        y, x = np.meshgrid(side, side, indexing="ij")
        self.control_points = np.stack([x.ravel(), y.ravel()], axis=1)  # (K^2, 2)
        self.bounded = bool(self.chosen["bounded"])
        points = np.clip(self.control_points, -0.999, 0.999) if self.bounded else self.control_points
        self.identity = (np.arctanh(points) if self.bounded else points).ravel().astype(np.float32)

    @property
    def parameter_names(self) -> tuple[str, ...]:
        return tuple(f"{axis}_{k}" for k in range(1, len(self.control_points) + 1) for axis in "xy")

    def grid(self, parameters: Tensor, size: tuple[int, int]) -> Tensor:
        points = F.tanh(parameters) if self.bounded else parameters
        points = points.reshape(len(parameters), len(self.control_points), 2)
        return F.tps_grid(points, self.control_points, size)

    def handles(self, parameters: np.ndarray) -> np.ndarray:
        points = np.tanh(parameters) if self.bounded else parameters
        return points.reshape(len(parameters), len(self.control_points), 2)

    def describe(self, parameters: np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
        points = self.handles(parameters).astype(np.float64)  # (B, K^2, 2)
        solved = coefficients(self.control_points.tobytes())  # (K^2 + 3, K^2)
        c, w, a = self.control_points, solved[: len(self.control_points)], solved[len(self.control_points) :]
        r2 = (c**2).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            U = np.where(r2 > 0, r2 * np.log(r2) / 2, 0)  # at z = 0
            slope = np.where(r2[:, None] > 0, -c * (np.log(r2)[:, None] + 1), 0)  # ∂U(|z - c|)/∂z at z = 0
        centre, derivative = U @ w + a[0], slope.T @ w + a[1:]  # (K^2), (2, K^2)
        A = np.swapaxes(derivative @ points, 1, 2)  # (B, 2, 2): row x or y of the input, column x or y of the output
        energy = 8 * np.pi * (points * (w @ points)).sum(axis=(1, 2))
        return {**describe_affine(A, centre @ points, size), "bending": energy}
