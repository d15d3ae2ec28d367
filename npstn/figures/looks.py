"""What a trained transformer does to single digits, and where the loss would have it look instead."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import npstn.functional as F
from npstn import models, runs
from npstn.autograd import Tensor, no_grad
from npstn.data import Rotated

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Look(NamedTuple):
    """A digit on its way through the network; places and steps in pixels of the input, x to the right, y down."""

    number: int  # in the test set
    label: int
    turned: float  # degrees counter-clockwise, by which the digit had been turned
    image: np.ndarray  # (28, 28), what the network is shown
    turns: float  # degrees counter-clockwise, by which the transformer turns it
    points: np.ndarray  # (28, 28, 2): where each output pixel reads, (x, y)
    output: np.ndarray  # (28, 28), what it reads there
    probabilities: np.ndarray  # (10,), what the classifier makes of that
    loss: float  # -log of the probability of the label
    slopes: np.ndarray  # (28, 28, 2): d loss / d points, per pixel

    @property
    def slope_of_turn(self) -> float:
        """d loss / d turns, per degree: all that the slopes do together, where the grid may only turn. A torque."""
        (x, y), (dx, dy) = (self.points - 13.5).transpose(2, 0, 1), self.slopes.transpose(2, 0, 1)
        return float(np.deg2rad((x * dy - y * dx).sum()))


def look(net: models.STNClsNet, test: Rotated, numbers: Sequence[int]) -> list[Look]:
    """Follow some test digits through a network, in eval mode for the time being, and each one's loss to the grid."""
    was_training = net.training
    net.eval()
    which = np.asarray(numbers)
    x, labels = Tensor(test.images[which]), test.labels[which]
    with no_grad():
        angle = net.loc_net(x)
        grid = net.rotate(angle)
    G = Tensor(grid, requires_grad=True)  # a leaf: the gradient stops here
    V = F.grid_sample(x, G, align_corners=True)
    y = net.cls_net(V)
    # nll_loss is the mean over the digits; with this upstream gradient, their sum: each digit stands for itself.
    F.nll_loss(y, labels).backward(np.array(len(which), y.dtype))
    net.train(was_training)
    assert G.grad is not None
    half = (np.array(x.shape[:1:-1], G.dtype) - 1) / 2  # a step of 1 in the grid is that many pixels, x and y
    return [
        Look(
            number,
            int(labels[b]),
            float(test.degrees[number]),
            x.data[b, 0],
            float(np.rad2deg(angle.data[b])),
            (G.data[b] + 1) * half,
            V.data[b, 0],
            np.exp(y.data[b]),
            -float(y.data[b, labels[b]]),
            G.grad[b] / half,
        )
        for b, number in enumerate(numbers)
    ]


def show(
    run: str | os.PathLike[str], digits: Sequence[int] = range(5), data_dir: str | os.PathLike[str] | None = None
) -> Figure:
    """The picture of some test digits of a run, one a column: see `plots.transformer`.

    Args:
        run: the folder that `npstn train` wrote.
        digits: their numbers in the test set, from 0.
        data_dir: the folder of MNIST's files, as for `data.load_mnist`.

    Raises runs.RunError where there is no such run, no transformer in it or no such digit.
    """
    from npstn import plots  # here, because importing matplotlib takes a while

    config = runs.read_config(Path(run))
    net = runs.load_net(Path(run), config)
    if not isinstance(net, models.STNClsNet):
        raise runs.RunError(f"expected a run with a transformer (--model stn), got {run}, which has none")
    if not len(digits):
        raise runs.RunError("expected a test digit at least, got none")
    test = runs.test_set(config, data_dir)
    for number in digits:
        if not 0 <= number < len(test.labels):
            raise runs.RunError(f"expected test digits from 0 to {len(test.labels) - 1}, got {number}")
    return plots.transformer(look(net, test, digits))
