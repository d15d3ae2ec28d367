"""What is promised of real MNIST: the accuracies, and a localiser that is alive. Minutes, so marked slow."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import npstn
from npstn import cli, data, plots, training
from npstn.data import Rotated, rotate

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path(os.environ.get("NPSTN_DATA_DIR") or ROOT.parent / "shared" / "mnist").resolve()
NAMES = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
MISSING = [name for name in NAMES if not (FOLDER / name).exists() and not (FOLDER / f"{name}.gz").exists()]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"no MNIST in {FOLDER}: {', '.join(MISSING)} missing (NPSTN_DATA_DIR)"),
]


def command(*arguments):
    """What `npstn` prints on standard output; it must succeed."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        status = cli.main([str(argument) for argument in arguments])
    assert status == 0
    return out.getvalue()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Of the default settings and the recipe "blog": the folder of a run, and what the command said.

    Both at once, on a thread each, which changes no bit of either.
    """
    folders = {recipe: tmp_path_factory.mktemp("mnist") / recipe for recipe in ("fast", "blog")}
    options = {"fast": [], "blog": ["--recipe", "blog"]}
    train = [sys.executable, "-m", "npstn", "train", "--data", "mnist", "--data-dir", str(FOLDER), "--threads", "1"]
    processes = {
        recipe: subprocess.Popen(
            [*train, *options[recipe], "--out", str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for recipe, folder in folders.items()
    }
    said = {recipe: process.communicate()[0] for recipe, process in processes.items()}
    assert [process.returncode for process in processes.values()] == [0, 0]
    return {recipe: (folders[recipe], said[recipe]) for recipe in folders}


@pytest.fixture
def run(runs):
    return runs["fast"]


def test_the_default_settings_reach_what_is_promised(run):
    folder, said = run
    metrics = plots.read_metrics(folder / "metrics.csv")
    assert metrics["test_accuracy"][-1] >= 98.8
    assert f"{metrics['test_accuracy'][-1]:.2f} %" in said
    config = json.loads((folder / "config.json").read_text())
    assert (config["data"], config["model"], config["angle"], config["recipe"]) == ("mnist", "stn", 45, "fast")
    assert metrics["epoch"].tolist() == list(range(1, config["epochs"] + 1))


def test_the_localiser_is_alive(run):
    folder, said = run
    metrics = plots.read_metrics(folder / "metrics.csv")
    assert metrics["angle_correlation"][-1] < -0.7  # it turns back what was turned
    assert metrics["residual_std_deg"][-1] < 0.75 * metrics["input_std_deg"][-1]
    # Of uniform angles within +-45 degrees, 90 / sqrt(12) = 26.0, but for the 1000 or so digits of each class.
    assert metrics["input_std_deg"][-1] == pytest.approx(90 / np.sqrt(12), abs=0.5)
    *_, last_epoch, _, _, _, _, _ = said.splitlines()  # then the summary and four paths, and no warning
    assert last_epoch.startswith("epoch ")
    for name in ("before_after.png", "curves.png", "angles.png", "training.gif"):
        assert str(folder / name) in said.splitlines()
        assert (folder / name).stat().st_size > 10_000


def test_eval_gives_what_training_ended_with(run):
    folder, _ = run
    accuracy = plots.read_metrics(folder / "metrics.csv")["test_accuracy"][-1]
    assert command("eval", folder, "--data-dir", FOLDER) == f"{accuracy:.2f} %\n"


def test_eval_at_other_angles(run):
    folder, _ = run
    upright, half, beyond = (
        float(command("eval", folder, "--data-dir", FOLDER, "--angle", angle).removesuffix(" %\n"))
        for angle in (0, 90, 180)
    )
    assert upright >= 98.8
    assert upright > half > beyond > 30  # it has never seen a digit lie on its side


def test_the_recipe_blog_reaches_what_is_promised(runs):
    folder, _ = runs["blog"]
    metrics = plots.read_metrics(folder / "metrics.csv")
    assert metrics["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert metrics["test_accuracy"][-1] >= 91.5


def test_a_network_that_saw_drawn_digits_only_reads_real_ones(tmp_path):
    images, labels = data.load_mnist(FOLDER, train=False)
    upright = Rotated(rotate(images, np.zeros(len(images))), labels, np.zeros(len(images), np.float32))
    npstn.manual_seed(0)
    net = training.build("cnn")
    recipe = training.Recipe("adamw", lr=4e-3, batch_size=64, epochs=2, dropout=0.0)
    drawn = data.draw_digits(60_000, seed=0)
    score = training.train(net, drawn, upright, 0.0, recipe, tmp_path / "metrics.csv", lambda line, score: None)
    assert score.accuracy >= 90
