"""Where a training stands: everything that its steps change, to be saved and gone on from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from npstn import nn, optim
from npstn.backend.random import generator
from npstn.training.recipe import Recipe

Part = nn.Module | optim.Optimizer | optim.OneCycleLR


class TrainingError(RuntimeError):
    """Training cannot go on; the text says why, in one line."""


class State:
    """Where a training stands, between two steps.

    The order of the images in the current epoch is not kept. Instead the state of the random numbers that it was drawn
    from is kept, so that it can be drawn again.

    Args:
        net: the network, as it is at the start.
        recipe: how it is trained.
        images: how many training images there are.

    Attributes:
        epochs: the rows of metrics.csv of the epochs that are done.
        steps, loss, seconds: of the current epoch: the steps taken, the sum of the loss over their images, the time.
    """

    def __init__(self, net: nn.Module, recipe: Recipe, images: int) -> None:
        self.net = net
        self.optimizer, self.schedule = recipe.optimizer_for(net, images)
        self.epochs: list[dict[str, float]] = []
        self.steps, self.loss, self.seconds = 0, 0.0, 0.0
        self._random_at_start = generator().bit_generator.state

    def end_epoch(self, row: dict[str, float]) -> None:
        """Add the row of an epoch that is done, and begin the next."""
        self.epochs.append(row)
        self.steps, self.loss, self.seconds = 0, 0.0, 0.0

    def order(self, images: int) -> np.ndarray:
        """The order of the images in the current epoch: drawn at its start, later the same again."""
        if self.steps == 0:
            self._random_at_start = generator().bit_generator.state
            return generator().permutation(images)
        again = np.random.default_rng()
        again.bit_generator.state = self._random_at_start
        return again.permutation(images)

    def place(self) -> str:
        """Where the training stands, in words."""
        if self.steps:
            return f"in epoch {len(self.epochs) + 1}, after {self.steps} step{'s' * (self.steps > 1)}"
        return f"after epoch {len(self.epochs)}" if self.epochs else "at the start"

    def check(self) -> None:
        """Raise TrainingError if a weight, or a number that the optimiser keeps for it, is not finite."""
        lr = self.optimizer.lr
        for name, array in self.arrays().items():
            if not np.isfinite(array).all():
                raise TrainingError(f"{name} became NaN or infinite {self.place()}, at a learning rate of {lr:.3g}")

    def arrays(self) -> dict[str, np.ndarray]:
        """A copy of each weight, and of each array of the optimiser, by name."""
        return {name: value for name, value in self._parts().items() if isinstance(value, np.ndarray)}

    def numbers(self) -> dict[str, Any]:
        """Everything else, as JSON can hold it: plain numbers, and the random state. NaN becomes None."""
        return {
            "parts": {name: value for name, value in self._parts().items() if not isinstance(value, np.ndarray)},
            "random": {"at_start": self._random_at_start, "now": generator().bit_generator.state},
            "epochs": [{name: None if math.isnan(x) else x for name, x in row.items()} for row in self.epochs],
            "steps": self.steps,
            "loss": self.loss,
            "seconds": self.seconds,
        }

    def load(self, arrays: Mapping[str, np.ndarray], numbers: Mapping[str, Any]) -> None:
        """Go to where another training of the same network stood, and set the library's random numbers.

        Raises KeyError, ValueError or TypeError where `arrays` and `numbers` are not those of such a training.
        """
        steps, loss, seconds = numbers["steps"], numbers["loss"], numbers["seconds"]
        for name, value in (("steps", steps), ("seconds", seconds), ("loss", loss)):
            if not _finite(value) or (name != "loss" and value < 0):
                raise ValueError(f"State.load: expected {name} to be a finite number of at least 0, got {value!r}")
        epochs = [{name: math.nan if x is None else x for name, x in row.items()} for row in numbers["epochs"]]
        if [row["epoch"] for row in epochs] != list(range(1, len(epochs) + 1)):
            raise ValueError("State.load: expected the epochs that are done, numbered from 1, got others")
        trial = np.random.default_rng()
        for moment in ("at_start", "now"):  # refused here rather than in the midst of training
            trial.bit_generator.state = numbers["random"][moment]
        values = {**arrays, **numbers["parts"]}
        for name, part in self._named():
            part.load_state_dict({k.removeprefix(f"{name}."): v for k, v in values.items() if k.startswith(f"{name}.")})
        generator().bit_generator.state = numbers["random"]["now"]
        self.epochs, self.steps, self.loss, self.seconds = epochs, steps, loss, seconds
        self._random_at_start = numbers["random"]["at_start"]

    def _parts(self) -> dict[str, Any]:
        """What the network, the optimiser and the schedule give to be saved, by name."""
        return {f"{name}.{key}": value for name, part in self._named() for key, value in part.state_dict().items()}

    def _named(self) -> list[tuple[str, Part]]:
        parts = ("net", self.net), ("optimizer", self.optimizer), ("schedule", self.schedule)
        return [(name, part) for name, part in parts if part is not None]


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
