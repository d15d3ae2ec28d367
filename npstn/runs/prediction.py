"""What the network of a run says about a picture: a photograph of a digit, or a picture as it was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from npstn import nn
from npstn.autograd import Tensor, no_grad
from npstn.data.folder import read_picture
from npstn.data.photograph import Found, NoDigit, find_digit, on_black, read_grey
from npstn.data.sources import DIGITS, FOLDER
from npstn.models import watch
from npstn.runs.config import Config
from npstn.runs.errors import RunError
from npstn.tasks.base import as_floats
from npstn.training.metrics import evaluating


class Prediction(NamedTuple):
    """A picture, the steps to what the network was given, and its answer."""

    file: str
    found: Found | None  # None for a picture that was not searched for a digit
    image: np.ndarray  # float32 (C, H, W), 0 .. 1: what the network was given
    read: list[np.ndarray]  # (C, h, w) each: what the transformers hand on
    probabilities: np.ndarray  # (classes,)


def can_predict(config: Config, classes: tuple[str, ...]) -> None:
    """Raise RunError for a run on images that no single photograph gives: the sum of two digits, say."""
    if config.task["source"] != FOLDER and classes != DIGITS:
        raise RunError(f"expected a run that reads one digit or pictures, got one of the task {config.task['name']}")


def predict(net: nn.Module, config: Config, file: Path | BinaryIO, name: str) -> Prediction:
    """What a run's network says about a picture, PNG or JPEG.

    Where the run was trained on digits, the digit is found, and made like one of MNIST's. Where it was trained on
    pictures of the user, the picture is brought to their size in the way in which they were.

    Args:
        name: of the file, in errors.

    Raises DataError where the picture cannot be read; NoDigit where nothing in it looks like a digit.
    """
    channels, *sides = config.model["image"]
    size, found = (sides[0], sides[1]), None
    if config.task["source"] == FOLDER:
        image = read_picture(file, name, size, grey=channels == 1)
    else:
        try:
            found = find_digit(read_grey(file, name))
        except NoDigit as error:
            raise NoDigit(f"expected a digit in {name}, got {error}") from None
        image = on_black(found.digit, size)
    given = as_floats(image[None])
    with evaluating(net), no_grad(), watch(net) as looks:
        log_probabilities = net(Tensor(given)).data[0]
    return Prediction(name, found, given[0], [look.V.data[0] for _, look in looks], np.exp(log_probabilities))
