"""A task with a transformer, through the command, as the tests of pairs try it."""

from command import npstn_, read_config, refusal
from PIL import Image

from npstn import runs
from npstn.tasks import TASKS
from npstn.training import COLUMNS

ONCE = ["--data", "drawn", "--epochs", "1", "--batch-size", "100"]


def size(picture):
    with Image.open(picture) as image:
        return image.size


def trained_and_shown(folder, *options):
    """Train a run with these options, evaluate it and show it; gives what `train` said."""
    said = npstn_("train", *ONCE, *options, "--out", folder)
    assert (said.status, said.err) == (0, "")
    config, metrics = read_config(folder), runs.read_metrics(folder)
    transformer, task = config["model"]["transformer"], TASKS[config["task"]["name"]]
    assert list(metrics) == [*COLUMNS, *task.measured]
    evaluated = npstn_("eval", folder)
    assert (evaluated.status, evaluated.out) == (0, f"{metrics['test_accuracy'][-1]:.2f} %\n")
    pictures = {path.name: size(path) for path in folder.iterdir() if path.suffix in (".png", ".gif")}
    if transformer == "none":
        assert list(pictures) == ["curves.png"]
        assert refusal(1, "show", folder) == f"expected a run with a transformer, got {folder}, which has none"
        return said
    assert {"curves.png", "before_after.png", "training.gif"} <= pictures.keys()
    shown = npstn_("show", folder, "--digit", 0, 7)
    assert (shown.status, shown.err) == (0, "")
    assert min(*pictures.values(), size(folder / "show.png")) > (300, 300)
    return said
