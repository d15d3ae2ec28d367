"""The training loop: a recipe, a network and digits in; a trained network and its metrics out."""

from __future__ import annotations

import csv
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

import npstn.functional as F
from npstn import models, nn, optim
from npstn.autograd import Tensor, no_grad
from npstn.data import Rotated, batches, rotate
from npstn.runtime import generator


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a network is trained."""

    optimizer: str  # "adamw", weight decay 0.05, the rate in one cycle up to lr; or "sgd", momentum 0.5, constant lr
    lr: float
    batch_size: int
    epochs: int
    dropout: float


RECIPES = {
    "fast": Recipe("adamw", lr=3e-3, batch_size=32, epochs=8, dropout=0.0),
    "blog": Recipe("sgd", lr=1e-3, batch_size=10, epochs=5, dropout=0.5),
}


class TrainingError(RuntimeError):
    """Training cannot go on; says why, in one line."""


class Score(NamedTuple):
    """How a network does on a test set."""

    loss: float
    accuracy: float  # percent
    predicted: np.ndarray  # (N,) degrees counter-clockwise: by how much the transformer turned each image; NaN without

    def angle_correlation(self, true: np.ndarray) -> float:
        """Of predicted with true angles: -1 where all are turned back by what they were turned; NaN without spread."""
        predicted, true = self.predicted.astype(np.float64), true.astype(np.float64)
        if not (np.std(predicted) > 0 and np.std(true) > 0):
            return float("nan")
        return float(np.corrcoef(predicted, true)[0, 1])


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


def build(model: str, dropout: float = 0.0) -> nn.Module:
    """The network that goes by "stn", with the transformer, or "cnn", the classifier alone."""
    return {"stn": models.STNClsNet, "cnn": models.ClsNet}[model](dropout)


def fixed_test_set(images: np.ndarray, labels: np.ndarray, angle: float, seed: int) -> Rotated:
    """The test digits turned once, by angles within +-`angle` degrees that follow from the seed alone."""
    degrees = np.random.default_rng(seed).uniform(-angle, angle, len(images)).astype(np.float32)
    return Rotated(rotate(images, degrees), labels, degrees)


def spread_within_class(degrees: np.ndarray, labels: np.ndarray) -> float:
    """The standard deviation of the angles within each class, averaged over the classes."""
    return float(np.mean([np.std(degrees[labels == label]) for label in np.unique(labels)]))


def collapsed(score: Score, test: Rotated) -> bool:
    """Whether the localisation network answers nearly the same angle for every image, whatever it is shown."""
    return bool(np.std(score.predicted) < 0.05 * np.std(test.degrees))


def evaluate(net: nn.Module, test: Rotated, batch_size: int = 1000) -> Score:
    """Score a network, in eval mode for the time being, on digits that were turned."""
    was_training = net.training
    net.eval()
    loss, right, predicted = 0.0, 0, np.full(len(test.labels), np.nan, np.float32)
    with no_grad():
        for start in range(0, len(test.labels), batch_size):
            batch = slice(start, start + batch_size)
            x, labels = Tensor(test.images[batch]), test.labels[batch]
            if isinstance(net, models.STNClsNet):
                upright, angle = net.transform(x)
                log_probabilities = net.cls_net(upright)
                predicted[batch] = np.rad2deg(angle.data)
            else:
                log_probabilities = net(x)
            loss += F.nll_loss(log_probabilities, labels).item() * len(labels)
            right += int((log_probabilities.data.argmax(axis=1) == labels).sum())
    net.train(was_training)
    return Score(loss / len(test.labels), 100 * right / len(test.labels), predicted)


def turned(net: models.STNClsNet, images: np.ndarray) -> np.ndarray:
    """The images as the transformer of a trained network hands them on, (N, 1, 28, 28)."""
    net.eval()
    with no_grad():
        return net.transform(Tensor(images))[0].data


def train(
    net: nn.Module,
    digits: tuple[np.ndarray, np.ndarray],
    test: Rotated,
    angle: float,
    recipe: Recipe,
    metrics: Path,
    after_epoch: Callable[[Epoch, Score], None],
) -> Score:
    """Train a network on digits, turned afresh within +-`angle` degrees in each epoch; return its score at the end.

    Writes a line to the file `metrics` after each epoch, and calls `after_epoch` with it. Raises TrainingError where
    the loss is no longer a number.
    """
    images, labels = digits
    optimizer: optim.Optimizer
    schedule: optim.OneCycleLR | None = None
    if recipe.optimizer == "adamw":
        optimizer = optim.AdamW(net.parameters(), recipe.lr, weight_decay=0.05)
        steps = recipe.epochs * -(-len(images) // recipe.batch_size)
        schedule = optim.OneCycleLR(optimizer, recipe.lr, steps, pct_start=0.2)
    else:
        optimizer = optim.SGD(net.parameters(), recipe.lr, momentum=0.5)

    @np.errstate(over="ignore", invalid="ignore")  # a loss that is no number stops the training, in words of its own
    def step(batch: Rotated) -> float:
        optimizer.zero_grad()
        loss = F.nll_loss(net(Tensor(batch.images)), batch.labels)
        loss.backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()
        return loss.item()

    with open(metrics, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Epoch._fields)
        for epoch in range(1, recipe.epochs + 1):
            start = time.perf_counter()
            net.train()
            total = 0.0
            # disable=None: no bar where nobody is looking, in a log file
            with tqdm(total=len(images), unit=" images", desc=f"epoch {epoch}", leave=False, disable=None) as bar:
                for batch in batches(images, labels, angle, recipe.batch_size, generator()):
                    loss = step(batch)
                    if not np.isfinite(loss):
                        raise TrainingError(f"the loss became {loss} in epoch {epoch}; try an --lr below {recipe.lr:g}")
                    total += loss * len(batch.labels)
                    bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
                    bar.update(len(batch.labels))
            score = evaluate(net, test)
            has_angles = isinstance(net, models.STNClsNet)
            line = Epoch(
                epoch,
                round(time.perf_counter() - start, 1),
                total / len(images),
                score.loss,
                score.accuracy,
                score.angle_correlation(test.degrees),
                spread_within_class(test.degrees + score.predicted, test.labels),
                spread_within_class(test.degrees, test.labels) if has_angles else float("nan"),
            )
            writer.writerow(line)
            file.flush()
            after_epoch(line, score)
    return score
