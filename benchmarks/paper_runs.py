"""What is measured of one of the paper's runs on its test set: a line of docs/paper.csv.

Quantities are those of `Transformer.describe`: the angle by which a transformer turned the picture, and the scale by
which it enlarged it. A rotation by the angle a is undone by -a, and a scale s by 1 / s. So the part that is undone is
minus the slope of what the transformer did over the truth, by least squares (of the logarithms, for a scale): 1 is all,
more is too much. In P and E it is not measured: their truth is the map at the digit's centre, and a transformer has to
undo what the map does to the whole digit.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from npstn import nn, runs
from npstn.runs.sweep import LAST
from npstn.tasks import TASKS, Batch, Task, base
from npstn.tasks.rts import similar
from npstn.training import RECIPES
from npstn.training.metrics import evaluate, look, misread

KEYS = "task", "strength", "network", "transformer", "of_transformer", "parallel", "recipe", "lr", "epochs", "seed"
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
    "upright_angle",  # by how many degrees the transformer turns such images on the average
    "upright_angle_of_classes",  # the standard deviation of that average over the classes, degrees
    "upright_angle_spread",  # the standard deviation over the images, degrees
    "upright_scale_spread",
    "slant_undone",  # by the shear, within a class of upright digits: see `slants`
)

# What is not as by the command's default, by task: see examples/paper.
CHANGED: dict[str, dict[str, Any]] = {
    **{task: {"optimizer": "adamw"} for task in ("R", "P", "E")},
    "cluttered": {"optimizer": "adamw", "localiser_factor": 0.3},
    "addition": {"localiser_factor": 0.3, "curriculum": 0.5, "batch_size": 32},
}


class Run(NamedTuple):
    """A run, with what it sees and what it makes of it."""

    line: dict[str, Any]  # its keys
    net: nn.Module
    task: Task
    test: Batch
    upright: np.ndarray  # the test images without a distortion, (N, 1, H, W)


def why_not(folder: Path) -> str:
    """Why a folder has no place in the tables; "" if it has one."""
    if not runs.is_run(folder):
        return "no run"
    config = runs.read_config(folder)
    usual, recipe = RECIPES.get(config.recipe_name), config.recipe
    if config.task["source"] != "mnist":
        return "its images are not MNIST"
    if usual is not None:  # the rate and the epochs are keys of a line
        task, changed = TASKS[config.task["name"]], dict(CHANGED.get(config.task["name"], {}))
        if config.model["transformer"] == "none":
            changed["localiser_factor"] = usual.localiser_factor
        elif usual.optimizer != "sgd":
            changed.setdefault("localiser_factor", usual.localiser_factor * task.localiser_factor)
        usual = dataclasses.replace(usual, lr=recipe.lr, epochs=recipe.epochs, **changed)
    if recipe != usual:
        return "it is not trained as its recipe says"
    if not (folder / LAST).exists() or len(runs.read_metrics(folder)["epoch"]) < recipe.epochs:
        return "it is not done"
    return ""


def read(folder: Path, data_dir: Path | None = None) -> Run:
    """Raises RunError for what is no run."""
    config = runs.read_config(folder)
    task = config.open_task(folder, data_dir)
    (strength,) = task.chosen.values()  # a task of digits has one setting
    model = config.model
    settings = (f"{name}={model[name]:g}" for name in model if name in ("grid_size", "span", "bounded"))
    what = task.name, f"{strength:g}", model["network"], model["transformer"], " ".join(settings), model["parallel"]
    epochs = len(runs.read_metrics(folder)["epoch"])
    how = config.recipe_name, f"{config.recipe.lr:g}", epochs, config.seed
    line = dict(zip(KEYS, (*what, *how), strict=True))
    images = task.source.test[0]
    upright = base.as_floats(images) if task.image[1:] == images.shape[1:3] else similar(images, {}, task.image[1:])
    return Run(line, runs.load_net(folder, config), task, task.test(), upright)


def measured(run: Run, folder: Path, alone: set[int] | None) -> tuple[dict[str, Any], set[int]]:
    """The line of a run, and the numbers of the images that it misreads.

    Args:
        alone: the numbers of the images that the classifier alone misreads, if that is known.
    """
    score = evaluate(run.net, run.test)
    labels, true = run.test.labels, run.test.truth
    wrong = set(misread(labels, score).tolist())
    line: dict[str, Any] = {**run.line, **dict.fromkeys(MEASURED, "")}
    line["error"] = 100 - score.accuracy
    line["seconds"] = runs.read_metrics(folder)["seconds"].sum()
    counts = np.bincount(labels[sorted(wrong)], minlength=len(run.task.classes))
    line["class_errors"] = " ".join(map(str, counts))
    if not true or run.line["parallel"] > 1:  # no transformer is bound to undo the whole
        return line, wrong
    straight = evaluate(run.net, run.test._replace(images=run.upright))
    line["upright_error"] = 100 - straight.accuracy
    if not score.found:
        return line, wrong
    if alone is not None:
        line["lost"], line["gained"] = len(wrong - alone), len(alone - wrong)
    if run.task.name not in ("P", "E"):
        if {"angle_deg"} <= true.keys() & score.found.keys():
            line["angle_undone"] = angle_undone(score.found["angle_deg"], true["angle_deg"])
        if {"scale"} <= true.keys() & score.found.keys():
            line["scale_undone"] = undone(np.log(score.found["scale"]), np.log(true["scale"]))
    line["alike_given"] = alike(run.test.images, labels)
    line["alike_transformed"] = alike(transformed(run.net, run.test.images), labels)
    line["alike_upright"] = alike(run.upright, labels)
    if "scale" in score.found:
        line["zoom"] = np.median(score.found["scale"])
        line["upright_scale_spread"] = np.std(straight.found["scale"])
    if "angle_deg" in straight.found:
        angle = straight.found["angle_deg"]
        line["upright_angle"] = np.mean(angle)
        line["upright_angle_of_classes"] = np.std([angle[labels == label].mean() for label in np.unique(labels)])
        line["upright_angle_spread"] = np.std(angle)
    if "shear" in straight.found:
        found, lean = (within_class(values, labels) for values in (straight.found["shear"], slants(run.upright)))
        line["slant_undone"] = undone(found, lean)
    return line, wrong


def within_class(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Values (N,) less the mean of their class."""
    return values - np.array([values[labels == label].mean() for label in range(labels.max() + 1)])[labels]


def transformed(net: nn.Module, images: np.ndarray, number: int = 0, at_once: int = 250) -> np.ndarray:
    """The images (N, C, H, W) as a transformer, by its number, hands them on."""
    parts = (look(net, images[start : start + at_once])[number][1].V.data for start in range(0, len(images), at_once))
    return np.concatenate(list(parts))


def undone(found: np.ndarray, true: np.ndarray) -> float:
    """Minus the slope of what was found over the truth, both (N,); 1 where each distortion is undone.

    NaN where the truth has no spread.

    >>> undone(np.array([10.0, -10, 0]), np.array([-20.0, 20, 0]))
    0.5
    """
    known = np.isfinite(found)
    if not known.any() or np.ptp(true[known]) == 0:
        return float("nan")
    return -float(np.polyfit(true[known], found[known], 1)[0])


def angle_undone(found: np.ndarray, true: np.ndarray) -> float:
    """The same for angles in degrees. What is left, found + true, may be any one angle, and is measured around it.

    >>> round(angle_undone(np.array([-170.0, 170, 150]), np.array([10.0, 30, 50])), 12)  # upright is at -160 degrees
    1.0
    """
    left = np.exp(1j * np.deg2rad(found + true))
    return 1 + undone(np.angle(left / left.mean(), deg=True), true)


def slants(images: np.ndarray) -> np.ndarray:
    """How far each image (N, 1, H, W) leans, in columns to the right for each row down: (N,).

    The slope of x over y by least squares, each pixel counted by its brightness. A digit that leans to the right, as
    most do, has a negative one. A shear by s adds s.

    >>> slants(np.eye(5).reshape(1, 1, 5, 5)).round(6)
    array([1.])
    """
    weights = images[:, 0].astype(np.float64)
    total = weights.sum(axis=(1, 2))
    y, x = np.indices(weights.shape[1:])
    centre_x, centre_y = ((weights * z).sum(axis=(1, 2)) / total for z in (x, y))
    dx, dy = x - centre_x[:, None, None], y - centre_y[:, None, None]
    return (weights * dx * dy).sum(axis=(1, 2)) / (weights * dy**2).sum(axis=(1, 2))


def averages(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The mean image of each class: (N, C, H, W) -> (classes, C, H, W)."""
    return np.stack([images[labels == label].mean(axis=0) for label in range(labels.max() + 1)])


def alike(images: np.ndarray, labels: np.ndarray) -> float:
    """How alike the images of a class are: the energy of the class's mean over the mean energy of its images.

    1 where all images of each class are the same; the mean over the classes. Blur alone makes it larger.

    >>> alike(np.eye(4).reshape(4, 1, 2, 2), np.array([0, 0, 1, 1]))
    0.5
    """
    energy = [(images[labels == label] ** 2).sum(axis=(1, 2, 3)).mean() for label in range(labels.max() + 1)]
    return float(np.mean((averages(images, labels) ** 2).sum(axis=(1, 2, 3)) / energy))
