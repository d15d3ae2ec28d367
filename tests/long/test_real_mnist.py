"""What is promised of real MNIST: the accuracies, and a localiser that is alive. Minutes, so marked slow."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command import ROOT, last_accuracy, npstn_

import npstn
from benchmarks import photographs, tables
from benchmarks.camera import KINDS
from npstn import models, training
from npstn.data import Source, draw_digits, load_mnist
from npstn.runs import read_metrics
from npstn.tasks import Rotated

FOLDER = Path(os.environ.get("NPSTN_DATA_DIR") or ROOT.parent / "shared" / "mnist").resolve()
NAMES = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
MISSING = [name for name in NAMES if not (FOLDER / name).exists() and not (FOLDER / f"{name}.gz").exists()]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"no MNIST in {FOLDER}: {', '.join(MISSING)} missing (NPSTN_DATA_DIR)"),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """For each recipe, the folder of a run with the default settings and what the command said.

    Both are trained at once, on a thread each, which changes no bit of either.
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
    metrics = read_metrics(folder)
    assert metrics["test_accuracy"][-1] >= 98.8
    assert f"{metrics['test_accuracy'][-1]:.2f} %" in said
    config = json.loads((folder / "config.json").read_text())
    assert config["task"] == {"name": "rotated", "source": "mnist", "angle": 45}
    assert (config["model"]["transformer"], config["recipe_name"]) == ("rotation", "fast")
    assert metrics["epoch"].tolist() == list(range(1, config["recipe"]["epochs"] + 1))


def test_the_localiser_is_alive(run):
    folder, said = run
    metrics = read_metrics(folder)
    assert metrics["angle_correlation"][-1] < -0.7  # it turns back what was turned
    assert metrics["residual_std_deg"][-1] < 0.75 * metrics["input_std_deg"][-1]
    # Of uniform angles within +-45 degrees, 90 / sqrt(12) = 26.0, but for the 1000 or so digits of each class.
    assert metrics["input_std_deg"][-1] == pytest.approx(90 / np.sqrt(12), abs=0.5)
    *_, last_epoch, _, _, _, _, _ = said.splitlines()  # then the summary and four paths, and no warning
    assert last_epoch.startswith("epoch ")
    for name in ("before_after.png", "curves.png", "parameters.png", "training.gif"):
        assert str(folder / name) in said.splitlines()
        assert (folder / name).stat().st_size > 10_000


def test_eval_gives_what_training_ended_with(run):
    folder, _ = run
    said = npstn_("eval", folder)  # it remembers the folder of its images
    assert (said.status, said.out) == (0, f"{last_accuracy(folder):.2f} %\n")


def test_eval_at_other_angles(run):
    folder, _ = run
    upright, half, beyond = (
        float(npstn_("eval", folder, "--data-dir", FOLDER, "--angle", angle).out.removesuffix(" %\n"))
        for angle in (0, 90, 180)
    )
    assert upright >= 98.8
    assert upright > half > beyond > 30  # it has never seen a digit lie on its side


def test_photographs_of_digits_are_read(run, tmp_path):
    """Of digits that the network reads from their own pixels, 90 % at least, in each kind of photograph."""
    folder, _ = run
    (tmp_path / photographs.PAGE).write_text(photographs.START + tables.END)
    photographs.main([str(folder), "--docs", str(tmp_path), "--digits", "30"])
    table = (tmp_path / photographs.PAGE).read_text()
    right = {kind: float(share) for kind, share in re.findall(r"^\| (.+?) \|.*\| ([\d.]+) % \|$", table, re.MULTILINE)}
    assert right.keys() == {photographs.OWN, *KINDS}
    assert min(right.values()) >= 90, right


def test_the_recipe_blog_reaches_what_is_promised(runs):
    folder, _ = runs["blog"]
    metrics = read_metrics(folder)
    assert metrics["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert metrics["test_accuracy"][-1] >= 91.5


def test_a_network_that_saw_drawn_digits_only_reads_real_ones():
    def load(train):
        return draw_digits(60_000, seed=0) if train else load_mnist(FOLDER, train=False)

    task = Rotated(Source("both", "digits", load, (28, 28), tuple("0123456789")), angle=0)
    npstn.manual_seed(0)
    net = models.ClsNet(dropout=0.0)
    recipe = training.Recipe("adamw", lr=4e-3, batch_size=64, epochs=2, dropout=0.0)
    *_, last = training.train(net, task, recipe, training.State(net, recipe, len(task)))
    assert last.score.accuracy >= 90
