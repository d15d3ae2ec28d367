"""The pictures of a run, written into its folder when its training ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from npstn import nn
from npstn.figures import film
from npstn.figures.before_after import before_after
from npstn.figures.curves import curves
from npstn.figures.parameters import parameters
from npstn.runs import frames, read_config, read_metrics
from npstn.tasks import Task
from npstn.training import Score, look


def draw_run(folder: Path, net: nn.Module, task: Task, score: Score) -> list[Path]:
    """Write the pictures of a run; return their paths."""
    metrics, test = read_metrics(folder), task.test()
    figures = {"curves.png": curves(metrics)}
    looks = look(net, task.few())
    if looks:
        before, after = looks[0][1].U.data, np.concatenate([seen.V.data for _, seen in looks])
        figures["before_after.png"] = before_after(before, after)
        compared = parameters(test, score.found, task.classes)
        if compared is not None:
            figures["parameters.png"] = compared
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=150)
    paths = [folder / name for name in figures]
    if looks:
        kept = frames.read(folder, after.shape)
        if kept:
            epochs = metrics["epoch"].astype(int).tolist()
            accuracies = dict(zip(epochs, metrics["test_accuracy"].tolist(), strict=True))
            paths.append(folder / "training.gif")
            steps = -(-len(task) // read_config(folder).recipe.batch_size)
            film.write(paths[-1], before, kept, steps, accuracies)
    return paths
