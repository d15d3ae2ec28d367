"""What is measured of one of the paper's runs on its test set: a line of docs/paper.csv.

Quantities are those of `Transformer.describe`: the angle by which a transformer turned the picture, and the scale by
which it enlarged it. A distortion by the angle a is undone by -a, one by the scale s by 1 / s. So the part that is
undone is minus the slope of what the transformer did over the truth, by least squares (of the logarithms, for a scale):
1 is all, more is too much.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from npstn import nn, runs
from npstn.tasks import Batch, Task, base
from npstn.tasks.rts import similar
from npstn.training.metrics import evaluate, look, misread

KEYS = "task", "strength", "network", "transformer", "of_transformer", "parallel", "recipe", "epochs", "seed"
MEASURED = (
    "error",  # percent of the test images
    "seconds",  # of the training with the tests after each epoch
    "lost",  # images that the classifier alone reads right, with the same seed, and this run does not
    "gained",  # the other way round
    "class_errors",  # misread images of each class
    "angle_undone",
    "scale_undone",
    "zoom",  # the median scale of what the transformer does
    "alike_given",  # how alike the images of a class are: see `alike`
    "alike_transformed",
    "alike_upright",
    "upright_error",  # percent of the test images without a distortion
    "upright_angle",  # degrees by which the transformer turns such images: the mean size
    "upright_angles",  # the mean of each class
)


class Run(NamedTuple):
    """A run, with what it sees and what it makes of it."""

    line: dict[str, Any]  # its keys
    net: nn.Module
    task: Task
    test: Batch
    upright: np.ndarray  # the test images without a distortion, (N, C, H, W)


def read(folder: Path, data_dir: Path | None = None) -> Run:
    """Raises RunError for what is no run."""
    config = runs.read_config(folder)
    task = config.open_task(folder, data_dir)
    (strength,) = task.chosen.values()
    model = config.model
    settings = (f"{name}={model[name]:g}" for name in model if name in ("grid_size", "span", "bounded"))
    what = task.name, f"{strength:g}", model["network"], model["transformer"], " ".join(settings), model["parallel"]
    how = config.recipe_name, len(runs.read_metrics(folder)["epoch"]), config.seed
    line = dict(zip(KEYS, (*what, *how), strict=True))
    images = task.source.test[0]
    upright = base.planes(images) if task.image[1:] == images.shape[1:3] else similar(images, {}, task.image[1:])
    return Run(line, runs.load_net(folder, config), task, task.test(), upright)


def measured(run: Run, folder: Path, alone: set[int] | None) -> tuple[dict[str, Any], set[int]]:
    """The line of a run, and the numbers of the images that it misreads.

    Args:
        alone: the numbers of the images that the classifier alone misreads, if that is known.
    """
    score = evaluate(run.net, run.test)
    wrong = set(misread(run.test.labels, score).tolist())
    line: dict[str, Any] = {**run.line, **dict.fromkeys(MEASURED, "")}
    line["error"] = 100 - score.accuracy
    line["seconds"] = runs.read_metrics(folder)["seconds"].sum()
    counts = np.bincount(run.test.labels[sorted(wrong)], minlength=len(run.task.classes))
    line["class_errors"] = " ".join(map(str, counts))
    if not run.test.truth:  # in addition no transformer is bound to a digit
        return line, wrong
    straight = evaluate(run.net, run.test._replace(images=run.upright))
    line["upright_error"] = 100 - straight.accuracy
    if not score.found:
        return line, wrong
    if alone is not None:
        line["lost"], line["gained"] = len(wrong - alone), len(alone - wrong)
    if "angle_deg" in run.test.truth:
        line["angle_undone"] = undone(score.found["angle_deg"], run.test.truth["angle_deg"])
    if "scale" in run.test.truth and "scale" in score.found:
        line["scale_undone"] = undone(np.log(score.found["scale"]), np.log(run.test.truth["scale"]))
    if "scale" in score.found:
        line["zoom"] = np.median(score.found["scale"])
    line["alike_given"] = alike(run.test.images, run.test.labels)
    line["alike_transformed"] = alike(transformed(run.net, run.test.images), run.test.labels)
    line["alike_upright"] = alike(run.upright, run.test.labels)
    angle = straight.found["angle_deg"]
    line["upright_angle"] = np.mean(np.abs(angle))
    of_each = [angle[run.test.labels == label].mean() for label in range(len(run.task.classes))]
    line["upright_angles"] = " ".join(f"{mean:.2f}" for mean in of_each)
    return line, wrong


def transformed(net: nn.Module, images: np.ndarray, at_once: int = 250) -> np.ndarray:
    """The images (N, C, H, W) as the transformer hands them on."""
    parts = (look(net, images[start : start + at_once])[0][1].V.data for start in range(0, len(images), at_once))
    return np.concatenate(list(parts))


def undone(found: np.ndarray, true: np.ndarray) -> float:
    """Minus the slope of what was found over the truth, both (N,); 1 where each distortion is undone.

    >>> undone(np.array([10.0, -10, 0]), np.array([-20.0, 20, 0]))
    0.5
    """
    known = np.isfinite(found)
    return -float(np.polyfit(true[known], found[known], 1)[0])


def averages(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The mean image of each class: (N, C, H, W) -> (classes, C, H, W)."""
    return np.stack([images[labels == label].mean(axis=0) for label in range(labels.max() + 1)])


def alike(images: np.ndarray, labels: np.ndarray) -> float:
    """How alike the images of a class are: the energy of the class's mean over the mean energy of its images.

    1 where all images of each class are the same; the mean over the classes. The brightness does not matter.

    >>> alike(np.eye(4).reshape(4, 1, 2, 2), np.array([0, 0, 1, 1]))
    0.5
    """
    energy = [(images[labels == label] ** 2).sum(axis=(1, 2, 3)).mean() for label in range(labels.max() + 1)]
    return float(np.mean((averages(images, labels) ** 2).sum(axis=(1, 2, 3)) / energy))
