"""`npstn train`: the folder that it writes, what it says, and what it answers when something is wrong."""

import dataclasses
import re
import weakref

import numba
import numpy as np
import pytest
import scipy
from command import (
    ALL_FILES,
    COMMAND,
    FILES,
    PICTURES,
    QUICK,
    last_accuracy,
    metrics_without_seconds,
    names,
    npstn_,
    read_config,
    refusal,
)
from numpy.testing import assert_array_equal
from processes import run_python

import npstn
import npstn.figures.run
from npstn import figures, models, runs, training
from npstn.backend.parallel import get_num_threads
from npstn.cli.train import line, no_better_than_chance
from npstn.data import sources
from npstn.data.sources import drawn
from npstn.tasks import Rotated
from npstn.training import RECIPES, Epoch

pytestmark = pytest.mark.usefixtures("small_world")

KINDS = {".png": b"\x89PNG\r\n\x1a\n", ".gif": b"GIF89a"}
ALONE = [*QUICK, "--transformer", "none"]


@pytest.fixture
def asked(monkeypatch):
    """The arguments (net, task, recipe, state) of each training that was asked for. None takes place."""
    calls = []

    def train(*arguments):
        calls.append(arguments)
        raise training.TrainingError("recorded")

    monkeypatch.setattr("npstn.runs.work.train", train)
    return calls


# What it writes and says


def test_the_pictures_are_drawn_without_the_training_set(tmp_path, monkeypatch):
    """It takes as much memory as they need. Nobody loads it a second time."""
    loaded, few, draw = {}, sources.draw_digits, figures.run.draw_run

    def note(count, seed):
        images, labels = few(count, seed=seed)
        images = images.copy()
        assert seed not in loaded
        loaded[seed] = weakref.ref(images)
        return images, labels

    def without(*given):
        assert [seed for seed, images in loaded.items() if images() is None] == [0]
        return draw(*given)

    monkeypatch.setattr(sources, "draw_digits", note)
    monkeypatch.setattr(figures.run, "draw_run", without)
    said = npstn_("train", *QUICK, "--out", tmp_path / "run")
    assert (said.status, said.err) == (0, "")
    assert names(tmp_path / "run") == ALL_FILES and loaded.keys() == {0, 1}


def test_train_writes_the_run(trained):
    folder, said = trained
    assert (said.status, said.err) == (0, "")
    assert names(folder) == ALL_FILES
    for name in PICTURES:
        assert (folder / name).read_bytes().startswith(KINDS[name[-4:]])
    state = npstn.load(folder / "weights.safetensors")
    assert {name: array.shape for name, array in state.items()} == {
        name: array.shape for name, array in models.STNClsNet().state_dict().items()
    }
    metrics = runs.read_metrics(folder)
    assert metrics["epoch"].tolist() == [1, 2]
    assert metrics["train_loss"][1] < metrics["train_loss"][0]


def test_train_says_what_it_does(trained):
    folder, said = trained
    accuracies = runs.read_metrics(folder)["test_accuracy"]
    lines = [line for line in said.out.splitlines() if not line.startswith("warning")]
    first, epoch_1, epoch_2, summary, *pictures = lines
    what = "a classifier behind a rotation transformer on 600 drawn digits, turned within ±30°"
    assert first == f"training {what}; run: {folder}"
    for number, text in enumerate((epoch_1, epoch_2)):
        assert text.startswith(f"epoch {number + 1}/2: test accuracy {accuracies[number]:.2f} %, angle correlation ")
        assert re.search(r", spread within a class \d+\.\d°, without the transformer \d+\.\d° \(\d+ s\)$", text)
    assert summary == f"test accuracy {accuracies[-1]:.2f} % after 2 epochs"
    assert sorted(pictures) == sorted(str(folder / name) for name in PICTURES)


def test_the_line_after_an_epoch():
    task = Rotated(drawn())

    def of(**measures):
        row = {"epoch": 1, "seconds": 9.04, "train_loss": 0.5, "test_loss": 0.1, "test_accuracy": 97.9912, **measures}
        return line(Epoch(row, None), 8, task)

    nan = float("nan")
    assert of(angle_correlation=-0.8012, residual_std_deg=15.04, input_std_deg=25.98) == (
        "epoch 1/8: test accuracy 97.99 %, angle correlation -0.80, spread within a class 15.0°, "
        "without the transformer 26.0° (9 s)"
    )
    # A localiser that answers the same angle for every image has a spread, but no correlation.
    assert "97.99 %, spread within a class 26.0°" in of(
        angle_correlation=nan, residual_std_deg=25.98, input_std_deg=25.98
    )
    assert of(**dict.fromkeys(task.measured, nan)) == "epoch 1/8: test accuracy 97.99 % (9 s)"


@pytest.mark.parametrize(("accuracy", "warned"), [(9.0, True), (10.0, True), (10.1, False)])
@pytest.mark.parametrize("found", [{}, {"angle_deg": np.zeros(3)}], ids=["alone", "behind a transformer"])
def test_a_network_that_reads_no_more_than_one_class_is_warned_of(accuracy, warned, found):
    """The drawn test digits are 10 % of each class."""
    said = no_better_than_chance(training.Score(2.3, accuracy, found, np.zeros(3, int), np.zeros(3)), Rotated(drawn()))
    if warned:
        assert said.startswith("the network reads no more test images right than one that always answers the most ")
        assert "class (10.00 %): it has learned nothing" in said and "a lower --lr" in said
    else:
        assert said == ""
    assert ("--localiser-factor" in said) == ("its transformer" in said) == (warned and found != {})


@pytest.mark.parametrize(
    ("options", "factor"),
    [
        (["--task", "RTS"], 0.5),
        (["--task", "cluttered"], 0.1),
        (["--task", "cluttered", "--recipe", "paper"], 1),
        (["--task", "cluttered", "--localiser-factor", "3"], 3),
        (["--task", "cluttered", "--transformer", "none"], 0.5),
    ],
    ids=str,
)
def test_localisers_of_hard_tasks_learn_more_slowly(tmp_path, asked, options, factor):
    refusal(1, "train", *["--transformer", "affine", *options], "--out", tmp_path / "run")
    assert asked[0][2].localiser_factor == factor


def test_a_classifier_alone_has_no_localiser(tmp_path):
    said = refusal(2, "train", "--transformer", "none", "--localiser-factor", "0.5", "--out", tmp_path / "run")
    assert said == "argument --localiser-factor: goes with a transformer, not with none"


def test_config_says_what_was_run(trained):
    config = read_config(trained[0])
    versions = config.pop("versions")
    assert re.fullmatch("[0-9a-f]{64}", config.pop("data_sha256"))
    assert config == {
        "format": 2,
        "task": {"name": "rotated", "source": "drawn", "angle": 30.0},
        "model": {
            "transformer": "rotation",
            "image": [1, 28, 28],
            "classes": 10,
            "network": "blog",
            "parallel": 1,
        },
        "recipe": {
            "optimizer": "muon",
            "lr": RECIPES["fast"].lr,
            "batch_size": 32,
            "epochs": 2,
            "dropout": RECIPES["fast"].dropout,
            "localiser_factor": RECIPES["fast"].localiser_factor,
            "warmup": RECIPES["fast"].warmup,
            "average": RECIPES["fast"].average,
            "label_smoothing": RECIPES["fast"].label_smoothing,
        },
        "recipe_name": "fast",
        "seed": 3,
        "data_folder": None,
    }
    assert versions["npstn"] == npstn.__version__
    assert versions["numpy"] == np.__version__
    assert versions["numba"] == numba.__version__
    assert versions["scipy"] == scipy.__version__


def test_without_a_transformer(tmp_path):
    out = tmp_path / "run"
    said = npstn_("train", *ALONE, "--out", out)
    assert (said.status, said.err) == (0, "")
    assert names(out) == sorted([*FILES, "curves.png"])
    lines = said.out.splitlines()
    assert lines[0].startswith("training a classifier without a transformer on 600 drawn digits")
    assert lines[-1] == str(out / "curves.png")
    assert "angle correlation" not in said.out and "warning" not in said.out
    assert read_config(out)["model"]["transformer"] == "none"
    assert np.isnan(runs.read_metrics(out)["angle_correlation"]).all()
    evaluated = npstn_("eval", out)
    assert (evaluated.status, evaluated.out) == (0, f"{last_accuracy(out):.2f} %\n")
    assert "correlation" not in evaluated.err and "spread" not in evaluated.err


def test_upright_digits(tmp_path):
    out = tmp_path / "run"
    said = npstn_("train", *QUICK, "--angle", "0", "--out", out)
    assert (said.status, said.err) == (0, "")
    assert "warning" not in said.out  # there is nothing to turn back
    assert "on 600 drawn digits, upright; run:" in said.out
    assert names(out) == ALL_FILES
    assert runs.read_metrics(out)["input_std_deg"].tolist() == [0, 0]


def test_weights_and_metrics_can_be_followed(tmp_path):
    """A reader that keeps metrics.csv open, as `tail -f` does, finds the whole line of each epoch that was printed."""
    folder, read, weights = tmp_path / "run", [], []
    readers = []

    def look(line):
        if line.startswith("epoch"):
            readers or readers.append(open(folder / "metrics.csv"))
            read.append(readers[0].read())
            weights.append((folder / "weights.safetensors").read_bytes())

    npstn_("train", *ALONE, "--epochs", "3", "--out", folder, after_line=look)
    with readers[0]:
        assert readers[0].read() == ""
    header, first = read[0].splitlines()
    measures = "angle_correlation,residual_std_deg,input_std_deg"
    assert header == f"epoch,seconds,train_loss,test_loss,test_accuracy,lr,{measures}"
    for number, text in enumerate([first + "\n", *read[1:]], start=1):
        assert text.startswith(f"{number},") and text.count("\n") == 1 and text.endswith("\n")
        assert len([float(cell) for cell in text.split(",")]) == len(header.split(","))
    assert len(weights) == 3 and weights[0] != weights[1] != weights[2]
    assert weights[2] == (folder / "weights.safetensors").read_bytes()


# What it trains


@pytest.mark.parametrize("name", ["fast", "blog"])
def test_recipes_are_taken_whole(tmp_path, asked, name):
    assert refusal(1, "train", "--recipe", name, "--out", tmp_path / "run").startswith("recorded; ")
    ((net, task, recipe, _),) = asked
    assert recipe == RECIPES[name]
    assert task.angle == 45
    assert net.cls_net.cnn.fc1_drop.p == RECIPES[name].dropout
    assert (len(task), len(task.test().images)) == (600, 100)
    learnt, scored = (set(map(bytes, images)) for images, _ in (task.source.train, task.source.test))
    assert not learnt & scored


def test_fast_is_the_default_recipe_and_options_change_it(tmp_path, asked):
    options = ["--epochs", "7", "--batch-size", "9", "--lr", "0.25", "--localiser-factor", "0.5", "--angle", "180"]
    options += ["--curriculum", "0.75", "--weight-decay", "0"]
    refusal(1, "train", *options, "--out", tmp_path / "run")
    _, task, recipe, _ = asked[0]
    wanted = {"lr": 0.25, "batch_size": 9, "epochs": 7, "localiser_factor": 0.5, "curriculum": 0.75, "weight_decay": 0}
    assert recipe == dataclasses.replace(RECIPES["fast"], **wanted)
    assert np.abs(task.test().truth["angle_deg"]).max() > 150


def test_weights_and_test_set_follow_from_the_seed(tmp_path, asked):
    for run, seed in enumerate((5, 5, 6)):
        refusal(1, "train", "--seed", seed, "--out", tmp_path / str(run))
    weights = [net.state_dict()["loc_net.cnn.conv1.weight"] for net, *_ in asked]
    assert_array_equal(weights[0], weights[1])
    assert (weights[0] != weights[2]).all()
    tests = [task.test() for _, task, *_ in asked]
    assert_array_equal(tests[0].images, tests[1].images)
    assert not np.isin(tests[2].truth["angle_deg"], tests[0].truth["angle_deg"]).any()


def test_the_same_seed_gives_the_same_metrics_with_any_threads(tmp_path, two_threads):
    runs_ = iter(["one", "two"])
    options = ["--data", "drawn", "--recipe", "blog", "--batch-size", "200", "--epochs", "2", "--seed", "8"]
    two_threads(lambda: npstn_("train", *options, "--threads", get_num_threads(), "--out", tmp_path / next(runs_)))
    npstn_("train", *options[:-1], "9", "--threads", "1", "--out", tmp_path / "other")
    one, two, other = (metrics_without_seconds(tmp_path / name) for name in ("one", "two", "other"))
    assert len(one) == 3
    assert one == two
    assert one[1:] != other[1:]


def test_threads_are_set(tmp_path, asked, two_threads):
    for threads in (2, 1):
        refusal(1, "train", "--threads", threads, "--out", tmp_path / str(threads))
        assert get_num_threads() == threads


def seeing(transformer, image, classes, network, parallel, dropout=0.0):
    """A network whose localiser answers to what it sees from the start."""
    net = models.STNClsNet(dropout)
    net.loc_net.cnn.fc2.weight.data[...] = np.random.default_rng(0).normal(0, 1, (1, 50))
    return net


@pytest.mark.parametrize(("build", "times"), [(models.build, 2), (seeing, 0)], ids=["constant", "seeing"])
def test_a_constant_localiser_is_reported_after_each_epoch(tmp_path, monkeypatch, build, times):
    monkeypatch.setattr(models, "build", build)
    # At this learning rate a network stays as it is: a localiser that starts at zero answers 0 degrees to all.
    said = npstn_("train", *QUICK, "--lr", "1e-12", "--out", tmp_path / "run")
    assert said.status == 0
    lines = [line for line in said.out.splitlines() if line.startswith("warning")]
    assert len(lines) == times
    for text in lines:
        assert text.startswith("warning: the localisation network answers nearly the same for every image. ")
        assert re.search(r"Its answers spread by angle 0\.0°, the images by angle 2\d\.\d°", text)


def test_no_backend_of_matplotlib_is_needed(tmp_path):
    """`!npstn train` in a notebook is given one that the program's own Python may not have."""
    options = "--data", "drawn", "--transformer", "none", "--epochs", "1", "--threads", "1", "--out", tmp_path / "run"
    run_python(COMMAND, "train", *options, MPLBACKEND="of another Python")
    assert (tmp_path / "run" / "curves.png").read_bytes().startswith(KINDS[".png"])


def test_a_tilde_is_the_home(tmp_path, monkeypatch, asked):
    """The shell leaves it as it is in --out=~/runs."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    refusal(1, "train", "--out=~/a/run")
    assert names(tmp_path) == ["a"]
    assert refusal(1, "eval", "~/a/run").startswith(f"expected weights in {tmp_path / 'a' / 'run'}, got none")
