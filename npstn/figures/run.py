"""The pictures of a run, written into its folder when its training ends."""

from __future__ import annotations

from pathlib import Path

from npstn import nn
from npstn.figures import film
from npstn.figures.before_after import before_after
from npstn.figures.curves import curves
from npstn.figures.parameters import parameters
from npstn.runs import frames, read_metrics
from npstn.tasks import Task
from npstn.training import Score, look


def draw_run(folder: Path, net: nn.Module, task: Task, score: Score) -> list[Path]:
    """Write the pictures of a run; return their paths."""
    metrics, test = read_metrics(folder), task.test()
    figures = {"curves.png": curves(metrics)}
    looks = look(net, task.few())
    if looks:
        figures["before_after.png"] = before_after(looks[0][1].U.data, looks[0][1].V.data)
        compared = parameters(test, score.found, task.classes)
        if compared is not None:
            figures["parameters.png"] = compared
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=150)
    paths = [folder / name for name in figures]
    if looks:
        kept = frames.read(folder, looks[0][1].V.shape)
        if kept:
            epochs = metrics["epoch"].astype(int).tolist()
            accuracies = dict(zip(epochs, metrics["test_accuracy"].tolist(), strict=True))
            paths.append(folder / "training.gif")
            film.write(paths[-1], looks[0][1].U.data, kept, accuracies)
    return paths
