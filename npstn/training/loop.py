"""The training loop: it yields each step and each epoch, and leaves saving, writing and printing to its caller."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

import npstn.functional as F
from npstn import nn
from npstn.autograd import Tensor
from npstn.backend.random import generator
from npstn.tasks import Batch, Task
from npstn.training.metrics import Score, evaluate
from npstn.training.recipe import Recipe
from npstn.training.state import State, TrainingError

# Of metrics.csv, before the task's own measures.
COLUMNS = "epoch", "seconds", "train_loss", "test_loss", "test_accuracy", "lr"


class Step(NamedTuple):
    """A step of the optimiser."""

    images: int  # in its batch
    loss: float  # of the labels as they are, also where the recipe smooths them
    lr: float


class Epoch(NamedTuple):
    """An epoch, and the network's score after it."""

    row: dict[str, float]  # a line of metrics.csv: name of the column -> value
    score: Score


def train(net: nn.Module, task: Task, recipe: Recipe, state: State) -> Iterator[Step | Epoch]:
    """Train a network on a task, from where `state` stands to its end.

    Between two events `state` can be saved; a training that goes on from there ends with the very same weights.

    Where the recipe averages the weights, `net` stays the network that is trained, and `state.evaluated` is the one
    with the averaged weights: it gives the scores, and is the one to use afterwards. Without an average it is `net`.

    Raises TrainingError where the loss or a weight is no longer a finite number.

    >>> from npstn import models
    >>> from npstn.data import Source, draw_digits
    >>> from npstn.tasks import Rotated
    >>> digits = Source("few", "digits", lambda train: draw_digits(40), (28, 28), tuple("0123456789"))
    >>> task, recipe = Rotated(digits, angle=30), Recipe("sgd", lr=0.01, batch_size=20, epochs=1, dropout=0.0)
    >>> net = models.STNClsNet(recipe.dropout)
    >>> state = State(net, recipe, len(task))
    >>> for event in train(net, task, recipe, state):
    ...     print(type(event).__name__)
    Step
    Step
    Epoch
    >>> evaluate(state.evaluated, task.test()).accuracy == event.score.accuracy
    True
    """
    test = task.test()
    while not state.over(recipe):
        start = time.perf_counter() - state.seconds
        net.train()
        order = state.order(len(task))[state.steps * recipe.batch_size :]
        strengths = recipe.strengths(state.steps_since_start(), len(task))
        for batch in task.batches(recipe.batch_size, generator(), order, strengths):
            loss = _step(net, batch, recipe, state)
            state.loss += loss * len(batch.labels)
            state.window_steps += 1
            state.window_loss += loss
            state.seconds = time.perf_counter() - start
            yield Step(len(batch.labels), loss, state.last_lr())
        state.check()
        score = evaluate(state.evaluated, test)
        row = {
            "epoch": len(state.epochs) + 1,
            "seconds": round(time.perf_counter() - start, 1),
            "train_loss": state.loss / len(task),
            "test_loss": score.loss,
            "test_accuracy": score.accuracy,
            "lr": state.last_lr(),
            **task.measures(test, score.found),
        }
        state.end_epoch(row)
        yield Epoch(row, score)


@np.errstate(over="ignore", invalid="ignore")  # a loss that is not finite stops the training, with a message of its own
def _step(net: nn.Module, batch: Batch, recipe: Recipe, state: State) -> float:
    """Take one step of the optimiser, and of its schedule. Returns the loss of the labels as they are."""
    state.steps += 1
    state.optimizer.zero_grad()
    log_p = net(Tensor(batch.images))
    loss = of_labels = F.nll_loss(log_p, batch.labels)
    if recipe.label_smoothing:  # log-probabilities are their own log_softmax, so this is nll_loss of smoothed labels
        loss = F.cross_entropy(log_p, batch.labels, label_smoothing=recipe.label_smoothing)
    if not np.isfinite(loss.item()):
        where = f"epoch {len(state.epochs) + 1}, step {state.steps}, at a learning rate of {state.optimizer.lr:.3g}"
        raise TrainingError(f"the loss became {loss.item()} in {where}")
    loss.backward()
    state.optimizer.step()
    if state.average is not None:
        state.average.update_parameters(net)
    if state.schedule is not None:
        state.schedule.step()
    return of_labels.item()
