"""What transformers do to single test images, and the slopes of the loss where they read."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

import npstn.functional as F
from npstn import nn
from npstn.autograd import Tensor
from npstn.models import Look, steer, watch
from npstn.tasks import Batch
from npstn.training.metrics import evaluating
from npstn.transformers import Transformer


class View(NamedTuple):
    """A test image on its way through the network; places and steps in pixels of the image, x to the right, y down."""

    number: int  # in the test set
    label: int
    truth: dict[str, float]  # how the image had been distorted
    image: np.ndarray  # (C, H, W), what the transformer is given
    found: dict[str, float]  # what the transformer does to it
    points: np.ndarray  # (h, w, 2): where each output pixel reads, (x, y)
    output: np.ndarray  # (C, h, w), what it reads there
    probabilities: np.ndarray  # (classes,), by the classifier
    loss: float  # -log of the probability of the label
    slopes: np.ndarray  # (h, w, 2): ∂loss/∂points, per pixel
    downhill: dict[str, float]  # change of `found` along which the transformer lowers the loss most quickly, such that
    #                             the point that moves farthest moves by one pixel
    fall: float  # by how much the loss falls then, to first order
    whose: str = "the transformer"  # which one, where there are several
    set_to: str = ""  # the parameter that was set, and not found by the localisation network, in words


def view(net: nn.Module, test: Batch, numbers: Sequence[int], parameters: np.ndarray | None = None) -> list[View]:
    """Follow test images through a network, in eval mode, and the loss of each back to the grid of each transformer.

    Of several transformers, the views of the first image come first.

    Args:
        parameters: (B, P), where the first transformer reads each image; where its localisation network says if None.
    """
    which = np.asarray(numbers)
    labels = test.labels[which]
    with contextlib.ExitStack() as inside:
        inside.enter_context(evaluating(net))
        looks = inside.enter_context(watch(net))
        if parameters is not None:
            inside.enter_context(steer(net, Tensor(parameters, requires_grad=True)))
        y = net(Tensor(test.images[which]))
        for _, look in looks:
            look.parameters.retain_grad()
            look.grid.retain_grad()
        # nll_loss is the mean over the images; with this upstream gradient it is their sum: each stands for itself.
        F.nll_loss(y, labels).backward(np.array(len(which), y.dtype))
        net.zero_grad()
    of_each = [_views(transformer, look, test, numbers, y.data) for transformer, look in looks]
    if len(looks) > 1:
        of_each = [[v._replace(whose=f"transformer {k}") for v in views] for k, views in enumerate(of_each, start=1)]
    return [seen for views in zip(*of_each, strict=True) for seen in views]


def _views(transformer: Transformer, look: Look, test: Batch, numbers: Sequence[int], y: np.ndarray) -> list[View]:
    """The views of one transformer. Args: y: the log-probabilities, (B, classes)."""
    labels = test.labels[np.asarray(numbers)]
    dp, dG = look.parameters.grad, look.grid.grad
    assert dp is not None and dG is not None
    G, half = look.grid.data, _pixels(look.U.data)
    size = G.shape[1], G.shape[2]
    found = transformer.describe(look.parameters.data, size)
    step, fall = _downhill(transformer, look.parameters.data, G, dp, half)
    changed = transformer.describe(look.parameters.data + step, size)
    return [
        View(
            number,
            int(labels[b]),
            {name: float(values[number]) for name, values in test.truth.items()},
            look.U.data[b],
            {name: float(values[b]) for name, values in found.items()},
            (G[b] + 1) * half,
            look.V.data[b],
            np.exp(y[b]),
            -float(y[b, labels[b]]),
            dG[b] / half,
            {name: float(changed[name][b] - found[name][b]) for name in found},
            float(fall[b]),
        )
        for b, number in enumerate(numbers)
    ]


def _pixels(U: np.ndarray) -> np.ndarray:
    """How many pixels of an image a step of 1 in the grid is, along x and y."""
    return (np.array(U.shape[:1:-1], U.dtype) - 1) / 2


def _downhill(
    transformer: Transformer, parameters: np.ndarray, G: np.ndarray, dp: np.ndarray, half: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The step of the parameters against their gradient that moves the farthest point by one pixel, and by how much
    the loss falls along it, to first order."""
    tiny = 1e-3 / (np.linalg.norm(dp, axis=1, keepdims=True) + np.finfo(dp.dtype).tiny)
    moved = transformer.grid(Tensor(parameters - tiny * dp), (G.shape[1], G.shape[2])).data
    farthest = np.linalg.norm((moved - G) * half, axis=3).max(axis=(1, 2))  # pixels
    step = np.where(farthest[:, None] > 0, -tiny * dp / np.maximum(farthest, 1e-12)[:, None], 0).astype(dp.dtype)
    return step, -(step * dp).sum(axis=1)
