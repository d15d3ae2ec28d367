"""How far a training has come: all that its steps change, as arrays that can be saved and gone on from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from npstn import nn, optim
from npstn.backend.random import generator


class TrainingError(RuntimeError):
    """Training cannot go on; says why, in one line."""


class Epoch(NamedTuple):
    """A line of metrics.csv; the three about angles are NaN for a network without a transformer."""

    epoch: int
    seconds: float
    train_loss: float
    test_loss: float
    test_accuracy: float  # percent
    angle_correlation: float
    residual_std_deg: float  # within a class, after the transformer
    input_std_deg: float  # within a class, before it

    def line(self, epochs: int) -> str:
        """What a person is told of the epoch."""
        text = f"epoch {self.epoch}/{epochs}: test accuracy {self.test_accuracy:.2f} %"
        if not np.isnan(self.residual_std_deg):
            text += f", angle correlation {self.angle_correlation:.2f}"
            text += f", spread within a class {self.input_std_deg:.1f}° before, {self.residual_std_deg:.1f}° after"
        return f"{text} ({self.seconds:.0f} s)"


class Progress:
    """Where a training stands, between two steps.

    The order of the images in the epoch under way is not kept, but the state of the random numbers that it was drawn
    from, so that it can be drawn again.
    """

    def __init__(self, net: nn.Module, optimizer: optim.Optimizer, schedule: optim.OneCycleLR | None = None) -> None:
        self.net, self.optimizer, self.schedule = net, optimizer, schedule
        self.epochs: list[Epoch] = []  # those that are done
        # Of the epoch under way: steps that were taken, the sum of the loss over the images seen in them, and the time.
        self.steps, self.loss, self.seconds = 0, 0.0, 0.0
        self._random_at_start = _random_state(generator())

    def end_epoch(self, line: Epoch) -> None:
        """An epoch is done, and nothing yet of the next."""
        self.epochs.append(line)
        self.steps, self.loss, self.seconds = 0, 0.0, 0.0

    def order(self, images: int) -> np.ndarray:
        """The order of the images in the epoch under way: drawn at its start, later on the same again."""
        if self.steps == 0:
            self._random_at_start = _random_state(generator())
            return generator().permutation(images)
        again = np.random.default_rng()
        _set_random_state(again, self._random_at_start)
        return again.permutation(images)

    def place(self) -> str:
        """Where that is, in words."""
        if self.steps:
            return f"in epoch {len(self.epochs) + 1}, after {self.steps} step{'s' * (self.steps > 1)}"
        return f"after epoch {len(self.epochs)}" if self.epochs else "at the start"

    def check(self) -> None:
        """Raise TrainingError if a weight, or a number that the optimiser keeps of it, is not finite."""
        lr = self.optimizer.lr
        for name, array in self._arrays().items():
            if not np.isfinite(array).all():
                raise TrainingError(f"{name} became NaN or infinite {self.place()}, at a learning rate of {lr:.3g}")

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of it all, and of the state of the library's random numbers.

        Raises TrainingError, as `check` does: what is not finite is not worth saving.
        """
        self.check()
        return {
            **self._arrays(),
            "random": np.stack([self._random_at_start, _random_state(generator())]),
            "epochs": np.array(self.epochs, np.float64).reshape(-1, len(Epoch._fields)),
            "steps": np.array(self.steps),
            "loss": np.array(self.loss),
            "seconds": np.array(self.seconds),
        }

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Go to where another training of the same network stood, and set the library's random numbers.

        Raises KeyError, ValueError or TypeError for what `state_dict` of such a training cannot have given.
        """
        for name, array in state.items():
            if name != "epochs" and not np.isfinite(array).all():
                raise ValueError(f"load_state_dict: expected finite numbers in {name!r}, got NaN or infinity")
        steps, loss, seconds = int(state["steps"]), float(state["loss"]), float(state["seconds"])
        if not (steps >= 0 and seconds >= 0):
            raise ValueError(f"load_state_dict: expected a place in an epoch, got {steps} steps in {seconds} s")
        if not np.array_equal(state["epochs"][:, 0], np.arange(1, len(state["epochs"]) + 1)):
            raise ValueError("load_state_dict: expected the epochs that are done in order, got others")
        start, now = state["random"]
        again = np.random.default_rng()
        _set_random_state(again, start)  # refused now rather than in the midst of training
        for part, of in self._parts():
            of.load_state_dict({k.removeprefix(f"{part}."): v for k, v in state.items() if k.startswith(f"{part}.")})
        _set_random_state(generator(), now)
        self.epochs = [Epoch(int(row[0]), *map(float, row[1:])) for row in state["epochs"]]
        self.steps, self.loss, self.seconds, self._random_at_start = steps, loss, seconds, start

    def layout(self, epochs: int) -> dict[str, np.ndarray]:
        """The names, shapes and dtypes of `state_dict` after so many epochs; it allocates nothing for these."""
        return {**self.state_dict(), "epochs": np.broadcast_to(np.float64(0), (epochs, len(Epoch._fields)))}

    def _arrays(self) -> dict[str, np.ndarray]:
        return {f"{part}.{k}": np.asarray(v) for part, of in self._parts() for k, v in of.state_dict().items()}

    def _parts(self) -> list[tuple[str, nn.Module | optim.Optimizer | optim.OneCycleLR]]:
        parts = ("net", self.net), ("optimizer", self.optimizer), ("schedule", self.schedule)
        return [(name, part) for name, part in parts if part is not None]


# The state of a generator, two numbers of 128 bits and half of one that was drawn, as six of 64. Only that of NumPy's
# default, PCG64, which `manual_seed` makes.


def _random_state(random: np.random.Generator) -> np.ndarray:
    state = random.bit_generator.state
    wide = state["state"]["state"], state["state"]["inc"]
    words = [word for number in wide for word in divmod(number, 2**64)]
    return np.array([*words, state["has_uint32"], state["uinteger"]], np.uint64)


def _set_random_state(random: np.random.Generator, words: np.ndarray) -> None:
    high, low, inc_high, inc_low, has_half, half = map(int, words)
    if not (has_half < 2 and half < 2**32):
        raise ValueError("load_state_dict: expected the state of a random generator, got something else")
    random.bit_generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": high * 2**64 + low, "inc": inc_high * 2**64 + inc_low},
        "has_uint32": has_half,
        "uinteger": half,
    }
