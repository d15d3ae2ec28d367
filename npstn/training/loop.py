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
from npstn.progress import Epoch, Progress, TrainingError
from npstn.backend.random import generator


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
    """The images as the transformer of a network, in eval mode for the time being, hands them on: (N, 1, 28, 28)."""
    was_training = net.training
    net.eval()
    with no_grad():
        upright = net.transform(Tensor(images))[0].data
    net.train(was_training)
    return upright


def begin(net: nn.Module, recipe: Recipe, images: int) -> Progress:
    """The progress of a training that is about to begin, with that many images."""
    if recipe.optimizer == "sgd":
        return Progress(net, optim.SGD(net.parameters(), recipe.lr, momentum=0.5))
    optimizer = optim.AdamW(net.parameters(), recipe.lr, weight_decay=0.05)
    steps = recipe.epochs * -(-images // recipe.batch_size)
    return Progress(net, optimizer, optim.OneCycleLR(optimizer, recipe.lr, steps, pct_start=0.2))


def train(
    net: nn.Module,
    digits: tuple[np.ndarray, np.ndarray],
    test: Rotated,
    angle: float,
    recipe: Recipe,
    metrics: Path,
    after_epoch: Callable[[Epoch, Score], None],
    progress: Progress | None = None,
    after_step: Callable[[], None] = lambda: None,
) -> Score:
    """Train a network on digits, turned afresh within +-`angle` degrees in each epoch; return its score at the end.

    Writes a line to the file `metrics` after each epoch, and calls `after_epoch` with it. A training that was
    interrupted goes on from its `progress` to the very result that it would have had; this can be saved in
    `after_epoch`, and in `after_step`, which is called between two steps. Raises TrainingError where the loss or a
    weight is no longer a number.
    """
    images, labels = digits
    progress = progress or begin(net, recipe, len(images))
    optimizer, schedule, score = progress.optimizer, progress.schedule, None

    @np.errstate(over="ignore", invalid="ignore")  # a loss that is no number stops the training, in words of its own
    def step(batch: Rotated) -> float:
        progress.steps += 1
        optimizer.zero_grad()
        loss = F.nll_loss(net(Tensor(batch.images)), batch.labels)
        if not np.isfinite(loss.item()):
            where = f"epoch {len(progress.epochs) + 1}, step {progress.steps}, at a learning rate of {optimizer.lr:.3g}"
            raise TrainingError(f"the loss became {loss.item()} in {where}")
        loss.backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()
        return loss.item()

    with open(metrics, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Epoch._fields)
        writer.writerows(progress.epochs)  # whatever the file had: it may have been a line ahead of what was saved
        file.flush()
        while len(progress.epochs) < recipe.epochs:
            start = time.perf_counter() - progress.seconds
            net.train()
            epoch, done = len(progress.epochs) + 1, progress.steps * recipe.batch_size
            order = progress.order(len(images))[done:]
            # disable=None: no bar where nobody is looking, in a log file
            with tqdm(
                total=len(images), initial=done, unit=" images", desc=f"epoch {epoch}", leave=False, disable=None
            ) as bar:
                for batch in batches(images, labels, angle, recipe.batch_size, generator(), order):
                    loss = step(batch)
                    progress.loss += loss * len(batch.labels)
                    progress.seconds = time.perf_counter() - start
                    bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
                    bar.update(len(batch.labels))
                    after_step()
            progress.check()
            score = evaluate(net, test)
            has_angles = isinstance(net, models.STNClsNet)
            line = Epoch(
                epoch,
                round(time.perf_counter() - start, 1),
                progress.loss / len(images),
                score.loss,
                score.accuracy,
                score.angle_correlation(test.degrees),
                spread_within_class(test.degrees + score.predicted, test.labels),
                spread_within_class(test.degrees, test.labels) if has_angles else float("nan"),
            )
            progress.end_epoch(line)
            writer.writerow(line)
            file.flush()
            after_epoch(line, score)
    return score or evaluate(net, test)  # nothing was left to do: only the score is missing
