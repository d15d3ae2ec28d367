"""How well a network does: its score on a test set, and what its transformers do to each image."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

import npstn.functional as F
from npstn import nn
from npstn.autograd import Tensor, no_grad
from npstn.models import Look, watch
from npstn.tasks import Batch
from npstn.transformers import Transformer


class Score(NamedTuple):
    """How a network does on a test set."""

    loss: float
    accuracy: float  # percent
    found: dict[str, np.ndarray]  # how its transformers describe what they did: name -> (N,); empty without any
    answers: np.ndarray  # int64 (N,): the most probable class of each image
    losses: np.ndarray  # (N,): of each image, -log of the probability of its label


@contextlib.contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Inside, the network is in eval mode; afterwards in the mode that it was in."""
    was_training = net.training
    net.eval()
    try:
        yield
    finally:
        net.train(was_training)


def look(net: nn.Module, images: np.ndarray) -> list[tuple[Transformer, Look]]:
    """What each transformer of a network does to images (N, C, H, W), in eval mode and without gradients."""
    with evaluating(net), no_grad(), watch(net) as looks:
        net(Tensor(images))
    return looks


def describe(looks: list[tuple[Transformer, Look]]) -> dict[str, np.ndarray]:
    """The parameters of one batch in quantities that a person understands: name -> (B,).

    Where there are several transformers, the names begin with the number of the transformer, from 1: "2.angle_deg".
    """
    found = {}
    for number, (transformer, seen) in enumerate(looks, start=1):
        size = seen.grid.shape[1], seen.grid.shape[2]
        prefix = f"{number}." if len(looks) > 1 else ""
        for name, values in transformer.describe(seen.parameters.data, size).items():
            found[prefix + name] = values
    return found


def evaluate(net: nn.Module, test: Batch, batch_size: int = 250) -> Score:
    """Score a network, in eval mode, on a test set.

    Args:
        net: images (B, C, H, W) -> log-probabilities (B, classes).
        batch_size: how many images it is given at once.
    """
    loss, found, answers, losses = 0.0, [], [], []
    with evaluating(net), no_grad():
        for start in range(0, len(test.labels), batch_size):
            labels = test.labels[start : start + batch_size]
            with watch(net) as looks:
                log_p = net(Tensor(test.images[start : start + batch_size]))
            found.append(describe(looks))
            loss += F.nll_loss(log_p, labels).item() * len(labels)
            answers.append(log_p.data.argmax(axis=1))
            losses.append(-log_p.data[np.arange(len(labels)), labels])
    joined = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    answered = np.concatenate(answers)
    right = int((answered == test.labels).sum())
    count = len(test.labels)
    return Score(loss / count, 100 * right / count, joined, answered, np.concatenate(losses))


def misread(labels: np.ndarray, score: Score) -> np.ndarray:
    """The numbers of the images (N,) that a network misread, int64 (K,): first those with the highest loss."""
    worst = np.argsort(-score.losses, kind="stable")
    return worst[(score.answers != labels)[worst]]


def confusion(labels: np.ndarray, answers: np.ndarray, classes: int) -> np.ndarray:
    """How many images of each class were taken for each class: int64 (classes, classes), a row for each true class.

    Args:
        labels, answers: the true and the answered class of each image, integers (N,).

    >>> confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    array([[1, 1],
           [0, 1]])
    """
    return np.bincount(labels * classes + answers, minlength=classes**2).reshape(classes, classes)
