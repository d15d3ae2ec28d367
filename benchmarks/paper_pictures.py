"""The pictures of docs/paper.md: what each transformer does to each distortion, and which digits it spoils."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from benchmarks.paper_runs import Run, averages, transformed
from npstn.training.metrics import evaluate

Rows = Mapping[str, tuple[np.ndarray, np.ndarray]]  # title -> a digit of each class, their averages; (10, 1, H, W)


def distortion(kinds: Mapping[str, Run]) -> Figure:
    """A digit of each class, and the averages of the classes: upright, distorted, and as each transformer hands it on.

    Args:
        kinds: name of a transformer -> a run of the same task and seed.
    """
    first = next(iter(kinds.values()))
    labels = first.test.labels
    shown = [int(np.flatnonzero(labels == label)[0]) for label in range(len(first.task.classes))]

    def row(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return images[shown], averages(images, labels)

    rows = {"upright": row(first.upright), "distorted": row(first.test.images)}
    return _drawn({**rows, **{name: row(transformed(run.net, run.test.images)) for name, run in kinds.items()}})


def _drawn(rows: Rows) -> Figure:
    figure = Figure(figsize=(11, 0.62 * len(rows) + 0.35), layout="constrained")
    halves = figure.subplots(len(rows), 2, squeeze=False)
    for axes, (name, both) in zip(halves, rows.items(), strict=True):
        for half, images in zip(axes, both, strict=True):
            half.imshow(np.concatenate(list(images[:, 0]), axis=1), cmap="gray", vmin=0, vmax=1)
            half.set(xticks=[], yticks=[])
        axes[1].images[0].set_clim(0, 0.8)  # an average is nowhere white
        axes[0].set_ylabel(name, rotation=0, ha="right", va="center")
    halves[0, 0].set_title("a test digit of each class", fontsize=10)
    halves[0, 1].set_title("the average of all test digits of each class", fontsize=10)
    return figure


def side_by_side(run: Run, pairs: int = 6) -> Figure:
    """The first test pairs of the task addition, and the averages of all: given, and as each transformer hands them on.

    An average is sharp where a transformer has brought this digit to one place.
    """
    images = run.test.images
    rows = {"given": images}
    for number in range(run.line["parallel"]):
        rows[f"transformer {number + 1}"] = transformed(run.net, images, number)
    figure = Figure(figsize=(11, 0.8 * len(rows) + 0.35), layout="constrained")
    halves = figure.subplots(len(rows), 2, squeeze=False, width_ratios=(pairs, 1))
    for axes, (name, V) in zip(halves, rows.items(), strict=True):
        for half, drawn in zip(axes, (V[:pairs], V.mean(axis=0, keepdims=True)), strict=True):
            each = [np.pad(np.concatenate(list(pair), axis=1), 1, constant_values=0.5) for pair in drawn]
            half.imshow(np.concatenate(each, axis=1), cmap="gray", vmin=0, vmax=1)
            half.set(xticks=[], yticks=[])
        axes[1].images[0].set_clim(0, 0.5)  # averages are darker
        axes[0].set_ylabel(name, rotation=0, ha="right", va="center")
    halves[0, 0].set_title("the first test pairs, their two channels side by side", fontsize=10)
    halves[0, 1].set_title("the average", fontsize=10)
    return figure


def hurt(alone: Run, behind: Run, most: int = 10) -> Figure | None:
    """Test digits that a classifier alone reads right, and one behind a transformer misreads: the highest losses.

    None where there are no such digits.
    """
    labels = alone.test.labels
    scores = [evaluate(run.net, run.test) for run in (alone, behind)]
    lost = (scores[0].answers == labels) & (scores[1].answers != labels)
    if not lost.any():
        return None
    worst = np.argsort(-np.where(lost, scores[1].losses, -1))[: min(most, lost.sum())]
    figure = Figure(figsize=(11, 2.6), layout="constrained")
    panels = figure.subplots(2, len(worst), squeeze=False)
    after = transformed(behind.net, behind.test.images[worst])
    for column, number, image in zip(panels.T, worst, after, strict=True):
        for axes, drawn in zip(column, (behind.test.images[number], image), strict=True):
            axes.imshow(drawn[0], cmap="gray", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
        column[0].set_title(f"a {labels[number]}", fontsize=10)
        column[1].set_xlabel(f"read as {scores[1].answers[number]}", fontsize=10)
    panels[0, 0].set_ylabel("given", rotation=0, ha="right", va="center")
    panels[1, 0].set_ylabel("handed on", rotation=0, ha="right", va="center")
    return figure
