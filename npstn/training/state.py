"""Where a training stands: everything that its steps change, to be saved and gone on from."""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from npstn import nn, optim
from npstn.backend.random import generator
from npstn.training.recipe import Recipe

Part = nn.Module | optim.Optimizer | optim.OneCycleLR | optim.AveragedModel


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
        net: the network that is trained.
        average: the average of its weights, if the recipe evaluates one.
        epochs: the rows of metrics.csv of the epochs that are done.
        steps, loss, seconds: of the current epoch: the steps taken, the sum of the loss over their images, the time.
        window_steps, window_loss: since `begin_window` was called last: the steps taken, the sum of their losses.
    """

    def __init__(self, net: nn.Module, recipe: Recipe, images: int) -> None:
        self.net = net
        self.optimizer, self.schedule = recipe.optimizer_for(net, images)
        self.average = recipe.average_for(net)
        self.epochs: list[dict[str, float]] = []
        self.steps, self.loss, self.seconds = 0, 0.0, 0.0
        self._steps_in_epoch = -(-images // recipe.batch_size)
        self.begin_window()
        self._random_at_start = generator().bit_generator.state

    @property
    def evaluated(self) -> nn.Module:
        """The network whose weights are evaluated, drawn and saved as the result: the average, if there is one."""
        return self.net if self.average is None else self.average.module

    def begin_window(self) -> None:
        """Begin to sum the losses anew, for their mean over some steps, which need not be an epoch."""
        self.window_steps, self.window_loss = 0, 0.0

    def steps_since_start(self) -> int:
        """The steps taken in all epochs."""
        return len(self.epochs) * self._steps_in_epoch + self.steps

    def end_epoch(self, row: dict[str, float]) -> None:
        """Add the row of an epoch that is done, and begin the next."""
        self.epochs.append(row)
        self.steps, self.loss, self.seconds = 0, 0.0, 0.0

    def epochs_begun(self) -> int:
        """The number of the epoch that the training is in; between two epochs, of the one that is done."""
        return len(self.epochs) + (self.steps > 0)

    def over(self, recipe: Recipe) -> bool:
        """Whether the training is at its end: all epochs are done, or the patience has run out."""
        done = len(self.epochs) >= recipe.epochs or recipe.out_of_patience(self.epochs)
        return done and self.steps == 0  # an epoch that was begun is ended

    def last_lr(self) -> float:
        """The learning rate of the step that was taken last; the optimiser has that of the next."""
        return self.schedule.at(self.schedule.taken - 1) if self.schedule is not None else self.optimizer.lr

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
        """Everything else, as JSON can hold it: plain numbers, and the random state. NaN and infinity become texts."""
        return {
            "parts": {name: value for name, value in self._parts().items() if not isinstance(value, np.ndarray)},
            "random": {"at_start": self._random_at_start, "now": generator().bit_generator.state},
            "epochs": [{name: x if _finite(x) else str(x) for name, x in row.items()} for row in self.epochs],
            "steps": self.steps,
            "loss": self.loss,
            "seconds": self.seconds,
            "window_steps": self.window_steps,
            "window_loss": self.window_loss,
        }

    def load(self, arrays: Mapping[str, np.ndarray], numbers: Mapping[str, Any]) -> None:
        """Go to where another training of the same network stood, and set the library's random numbers.

        Raises KeyError, ValueError or TypeError where `arrays` and `numbers` are not those of such a training.
        """
        own = self.numbers()
        if isinstance(numbers, Mapping) and not {"window_steps", "window_loss"} & numbers.keys():
            numbers = {**numbers, "window_steps": 0, "window_loss": 0.0}  # early checkpoints do not have them
        _check_names("numbers", numbers, own)
        for name in ("parts", "random"):
            _check_names(name, numbers[name], own[name])
        plain = {name: numbers[name] for name in ("steps", "loss", "seconds", "window_steps", "window_loss")}
        _check_numbers(plain, own)
        _check_numbers(numbers["parts"], own["parts"])
        for state in numbers["random"].values():
            _check_random(state)
        epochs = _read_epochs(numbers["epochs"])
        values = {**arrays, **numbers["parts"]}
        for name, part in self._named():
            part.load_state_dict({k.removeprefix(f"{name}."): v for k, v in values.items() if k.startswith(f"{name}.")})
        generator().bit_generator.state = numbers["random"]["now"]
        self.epochs = epochs
        for name, value in plain.items():
            setattr(self, name, value)
        self._random_at_start = numbers["random"]["at_start"]

    def _parts(self) -> dict[str, Any]:
        """What the network, the optimiser, the schedule and the average give to be saved, by name."""
        return {f"{name}.{key}": value for name, part in self._named() for key, value in part.state_dict().items()}

    def _named(self) -> list[tuple[str, Part]]:
        parts: dict[str, Part | None] = {"net": self.net, "optimizer": self.optimizer, "schedule": self.schedule}
        return [(name, part) for name, part in {**parts, "average": self.average}.items() if part is not None]


def _check_names(what: str, given: Any, own: Mapping[str, Any]) -> None:
    if not isinstance(given, Mapping) or given.keys() != own.keys():
        got = ", ".join(given) if isinstance(given, Mapping) else type(given).__name__
        raise ValueError(f"State.load: expected {what} to have the entries {', '.join(own)}; got {got or 'none'}")


def _check_numbers(given: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Numbers are finite, at least 0 but for a loss, and integers where this training has integers."""
    for name, value in given.items():
        kind = "an integer" if isinstance(own[name], int) else "a finite number"
        least = "" if name.endswith("loss") else " of at least 0"
        if not _finite(value) or (least and value < 0) or (kind == "an integer" and not isinstance(value, int)):
            raise ValueError(f"State.load: expected {name} to be {kind}{least}, got {reprlib.repr(value)}")


def _check_random(state: Any) -> None:
    """Raise ValueError for a bad state now, not during training: NumPy rounds or ignores some bad entries."""
    trial = np.random.default_rng().bit_generator
    try:
        trial.state = state
        kept = trial.state == state and state["has_uint32"] in (0, 1)
    except (KeyError, ValueError, TypeError, OverflowError):
        kept = False
    if not kept:
        raise ValueError("State.load: expected the state of a PCG64 random generator, got something else")


def _read_epochs(rows: Any) -> list[dict[str, float]]:
    """The rows of the epochs that are done, as `State.numbers` gives them."""
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("State.load: expected epochs to be a list of rows, got something else")
    epochs = []
    for number, row in enumerate(rows, start=1):
        epochs.append({name: _read_number(name, number, x) for name, x in row.items()})
        if row.get("epoch") != number:
            raise ValueError("State.load: expected the epochs that are done, numbered from 1, got others")
    return epochs


def _read_number(name: str, epoch: int, value: Any) -> float:
    if value in ("nan", "inf", "-inf"):
        return float(value)
    if not _finite(value):
        got = reprlib.repr(value)
        raise ValueError(f"State.load: expected {name} of epoch {epoch} to be a number, got {got}")
    return value


def _finite(value: Any) -> bool:
    """Whether it is a number, and one that a float can hold."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
