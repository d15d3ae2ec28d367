"""One image, read where it is told to: the loss, and its slopes in the parameters of a transformer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

import npstn.functional as F
from npstn import nn
from npstn.autograd import Tensor, no_grad
from npstn.models import Look, spatial_transformer, steer, watch
from npstn.training.metrics import evaluating
from npstn.transformers.words import read_as, word_and_unit

AT_ONCE = 100  # images that the network is given


class Reading(NamedTuple):
    """How an image was read at N places."""

    losses: np.ndarray  # (N,): -log of the probability of the label
    slopes: np.ndarray  # (N, P): ∂loss/∂parameters
    outputs: np.ndarray  # (N, C, h, w): what the transformer hands on


def which_parameter(names: Sequence[str], given: Any) -> int | None:
    """The number of the parameter that is meant by its number, its name, or its name without the unit; None for none.

    >>> which_parameter(["angle_deg", "t_x"], "angle"), which_parameter(["angle_deg", "t_x"], 1)
    (0, 1)
    """
    if isinstance(given, str):
        words = [word_and_unit(name)[0] if word_and_unit(name)[1] else name for name in names]
        return next((k for k, both in enumerate(zip(names, words, strict=True)) if given in both), None)
    number = isinstance(given, (int, np.integer)) and not isinstance(given, bool) and 0 <= given < len(names)
    return int(given) if number else None


def found(net: nn.Module, image: np.ndarray, number: int = 0) -> np.ndarray:
    """The parameters (P,) that a localisation network chooses for an image (C, H, W), in eval mode.

    Args:
        number: which transformer: see `models.spatial_transformer`.
    """
    module = spatial_transformer(net, number)
    with evaluating(net), no_grad(), watch(module) as looks:
        net(Tensor(image[None]))
    return looks[-1][1].parameters.data[0]  # the last: a localisation network may have transformers of its own


def setting(
    net: nn.Module, image: np.ndarray, parameter: int, values: Sequence[float] | np.ndarray, number: int = 0
) -> np.ndarray:
    """Parameters (N, P) with one of them at N values, and the others as the localisation network chooses them.

    Args:
        parameter: which one, from 0.
        values: (N,), angles in degrees.
        number: as for `found`.
    """
    names = spatial_transformer(net, number).transformer.parameter_names
    parameters = np.tile(found(net, image, number), (len(values), 1))
    parameters[:, parameter] = np.asarray(values) / read_as(names[parameter])
    return parameters


def follow(
    net: nn.Module, image: np.ndarray, label: int, parameters: np.ndarray, number: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray, Look]]:
    """Read an image (C, H, W) at parameters (N, P), in eval mode, and go back from the loss: AT_ONCE of them at a time.

    Gives the log-probabilities (n, classes), the slopes of the losses in the parameters (n, P), and the look of the
    transformer, whose grid has a gradient.

    Args:
        label: the class of the image.
        number: as for `found`.
    """
    module = spatial_transformer(net, number)
    for start in range(0, len(parameters), AT_ONCE):
        steered = Tensor(parameters[start : start + AT_ONCE], requires_grad=True)
        count = len(steered)
        with evaluating(net), steer(net, steered, number), watch(module) as looks:
            y = net(Tensor(np.tile(image, (count, 1, 1, 1))))
            seen = looks[-1][1]
            seen.grid.retain_grad()
            # nll_loss is a mean; with this upstream gradient it is a sum, in which each reading stands for itself.
            F.nll_loss(y, np.full(count, label)).backward(np.array(count, y.dtype))
        net.zero_grad()
        assert steered.grad is not None
        yield y.data, steered.grad, seen


def read_at(net: nn.Module, image: np.ndarray, label: int, parameters: np.ndarray, number: int = 0) -> Reading:
    """Read an image (C, H, W) at parameters (N, P), in eval mode. Args: as for `follow`."""
    followed = follow(net, image, label, parameters, number)
    parts = [Reading(-log_p[:, label], slopes, seen.V.data) for log_p, slopes, seen in followed]
    return Reading(*(np.concatenate(column) for column in zip(*parts, strict=True)))
