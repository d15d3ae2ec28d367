"""How a run goes on longer than it was to be: to more epochs, or with more patience."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command import QUICK, npstn_, read_config, refusal, score_epochs, snapshot
from kills import contents, place_of

from npstn import runs, storage
from npstn.optim import SGD, OneCycleLR
from npstn.nn import Parameter

pytestmark = pytest.mark.usefixtures("small_world")

TRAIN = [*QUICK, "--transformer", "none", "--seed", "3"]
EPOCH = 19  # steps of an epoch of 600 images


@pytest.fixture(scope="module")
def two(small_world, tmp_path_factory):
    """A run of two epochs, which no test may change."""
    folder = tmp_path_factory.mktemp("two") / "run"
    npstn_("train", *TRAIN, "--out", folder)
    return folder


@pytest.fixture
def copy(tmp_path, two):
    return Path(shutil.copytree(two, tmp_path / "copy"))


@pytest.fixture(scope="module")
def four(small_world, tmp_path_factory, two):
    """What the run writes that goes on to four epochs, and the lines that it says."""
    folder = Path(shutil.copytree(two, tmp_path_factory.mktemp("four") / "run"))
    said = npstn_("train", "--resume", folder, "--epochs", "4")
    assert (said.status, said.err) == (0, "")
    return contents(folder), said.out.splitlines()


def rate(step, epochs):
    """Of a step, from 0, of the cycle of so many epochs."""
    return OneCycleLR(SGD([Parameter([0.0])], 0.1), 6e-3, epochs * EPOCH, pct_start=0.2).at(step)


def stop_after(epoch):
    def stop(line):
        if line.startswith(f"epoch {epoch}/"):
            raise KeyboardInterrupt  # before the checkpoint

    return stop


# More epochs


def test_a_run_goes_on_to_more_epochs_in_their_cycle(two, four):
    files, lines = four
    before, after = rate(2 * EPOCH, 2), rate(2 * EPOCH, 4)
    note = f"note: the learning rate changes from {before:.3g} to {after:.3g}: "
    assert lines[0] == f"{note}the run goes on within the cycle of 4 epochs, not of 2"
    assert lines[1].startswith("going on after epoch 2: training a classifier without a transformer on ")
    assert [line[:9] for line in lines if line.startswith("epoch")] == ["epoch 3/4", "epoch 4/4"]
    rates = [float(row["lr"]) for row in files["metrics.csv"]]
    np.testing.assert_allclose(rates, [rate(k * EPOCH - 1, epochs) for k, epochs in ((1, 2), (2, 2), (3, 4), (4, 4))])
    assert files["config.json"] == {**read_config(two), "recipe": {**read_config(two)["recipe"], "epochs": 4}}


def test_a_curriculum_is_stretched_over_more_epochs(tmp_path):
    npstn_("train", *TRAIN, "--curriculum", "0.75", "--out", tmp_path / "run")
    said = npstn_("train", "--resume", tmp_path / "run", "--epochs", "4").out.splitlines()
    assert said[1] == "note: images are distorted by 67 % of the whole from here on, not by 100 % (--curriculum)"
    assert npstn_("train", "--resume", tmp_path / "run", "--epochs", "5").out.count("--curriculum") == 0


def test_one_that_is_stopped_on_the_way_ends_in_the_same_way(copy, four):
    said = npstn_("train", "--resume", copy, "--epochs", "4", after_line=stop_after(3))
    assert said.status == 130 and place_of(copy) == (2, 0)
    assert npstn_("train", "--resume", copy).status == 0  # config.json says how far
    assert contents(copy) == four[0]


def test_one_that_is_killed_between_the_config_and_the_checkpoint_too(copy, four, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("npstn.cli.train.runs.Saver", killed)
        assert npstn_("train", "--resume", copy, "--epochs", "4").status == 130
    notes = storage.read_notes(copy / "checkpoint.safetensors")
    assert (read_config(copy)["recipe"]["epochs"], notes["config"]["recipe"]["epochs"]) == (4, 2)
    said = npstn_("train", "--resume", copy)
    assert said.out.splitlines()[0] == four[1][0]  # the note on the learning rate is not lost
    assert contents(copy) == four[0]


def test_a_constant_rate_stays(tmp_path):
    whole, folder = tmp_path / "whole", tmp_path / "run"
    constant = [*TRAIN, "--recipe", "blog", "--lr", "0.02"]
    npstn_("train", *constant, "--epochs", "3", "--out", whole)
    npstn_("train", *constant, "--out", folder)
    said = npstn_("train", "--resume", folder, "--epochs", "3")
    assert said.out.splitlines()[0] == "note: the learning rate stays at 0.02 for 3 epochs"
    assert contents(folder) == contents(whole)


def test_as_many_epochs_as_the_run_has_are_as_if_left_out(copy, two):
    said = npstn_("train", "--resume", copy, "--epochs", "2")
    assert said.out.startswith("this run has been trained to its end: ")
    assert contents(copy) == contents(two)


def test_fewer_epochs_than_the_run_has_done_are_refused(copy, tmp_path):
    before = snapshot(copy)
    message = f"argument --epochs: expected at least 2 epochs, which the run in {copy} has begun, got 1"
    assert refusal(2, "train", "--resume", copy, "--epochs", "1") == message
    assert snapshot(copy) == before


def test_fewer_epochs_than_planned_end_a_run_that_is_stopped_early(tmp_path):
    folder = tmp_path / "run"
    npstn_("train", *TRAIN, "--epochs", "4", "--out", folder, after_line=stop_after(3))
    assert place_of(folder) == (2, 0)
    said = npstn_("train", "--resume", folder, "--epochs", "2")
    assert said.status == 0 and said.out.startswith("this run has been trained to its end: ")
    assert runs.read_metrics(folder)["epoch"].tolist() == [1, 2]


# Patience


@pytest.fixture
def impatient(tmp_path, monkeypatch):
    """A run of six epochs that its patience of two has ended after the third, and what it said."""
    score_epochs(monkeypatch, 60.0, 50.0, 60.0)
    folder = tmp_path / "run"
    said = npstn_("train", *TRAIN, "--epochs", "6", "--patience", "2", "--out", folder)
    assert (said.status, said.err) == (0, "")
    return folder, said.out.splitlines()


def test_patience_ends_a_run_and_says_so(impatient):
    folder, lines = impatient
    assert runs.read_metrics(folder)["epoch"].tolist() == [1, 2, 3]
    assert lines[-3:-1] == [
        "stopped early: 2 epochs in a row brought no better test accuracy (--patience 2)",
        "test accuracy 60.00 % after 3 epochs; the best was 60.00 % after epoch 1 (best.safetensors)",
    ]
    before = contents(folder)
    said = npstn_("train", "--resume", folder).out.splitlines()
    assert said[0].startswith("this run has been trained to its end: ") and said[1] == lines[-3]
    assert contents(folder) == before


def test_more_patience_lets_it_go_on_as_if_it_had_always_had_it(impatient, tmp_path, monkeypatch):
    folder, _ = impatient
    score_epochs(monkeypatch, 60.0, 50.0, 60.0, 50.0, 40.0, 30.0)
    npstn_("train", *TRAIN, "--epochs", "6", "--patience", "4", "--out", tmp_path / "whole")
    score_epochs(monkeypatch, 50.0, 40.0, 30.0)
    said = npstn_("train", "--resume", folder, "--patience", "4")
    assert said.out.startswith("going on after epoch 3: ")
    assert contents(folder) == contents(tmp_path / "whole")
    assert runs.read_metrics(folder)["epoch"].tolist() == [1, 2, 3, 4, 5]


def test_more_epochs_alone_are_not_enough_for_it(impatient, monkeypatch):
    folder, _ = impatient
    before = snapshot(folder)
    assert refusal(2, "train", "--resume", folder, "--epochs", "8") == (
        f"argument --epochs: the last 2 epochs of {folder} were no better than its best, and its patience is 2: to go "
        f"on, give a --patience above 2 too"
    )
    assert snapshot(folder) == before
    score_epochs(monkeypatch, 70.0, 60.0, 60.0, 60.0)
    assert npstn_("train", "--resume", folder, "--epochs", "8", "--patience", "3").status == 0
    assert runs.read_metrics(folder)["epoch"].tolist() == [1, 2, 3, 4, 5, 6, 7]


# A run that an older npstn has begun


def test_a_run_without_learning_rates_goes_on(tmp_path, two):
    """Nor has its checkpoint the sum for steps.csv, nor its folder the best weights."""
    folder = tmp_path / "run"
    npstn_("train", *TRAIN, "--out", folder, after_line=stop_after(2))
    path = folder / "checkpoint.safetensors"
    notes, arrays = storage.read_notes(path), storage.load(path)
    state = notes["state"]
    del notes["sha256"], state["window_steps"], state["window_loss"], state["epochs"][0]["lr"]
    storage.write(arrays, path, notes)
    (folder / "best.safetensors").unlink()
    assert npstn_("train", "--resume", folder).status == 0
    metrics, wanted = runs.read_metrics(folder), runs.read_metrics(two)
    np.testing.assert_array_equal(metrics["lr"], [np.nan, wanted["lr"][1]])
    assert metrics["test_loss"].tolist() == wanted["test_loss"].tolist()
    assert (folder / "weights.safetensors").read_bytes() == (two / "weights.safetensors").read_bytes()
    assert npstn_("compare", folder, two.parent / "run", "--out", tmp_path / "x.png").status == 0


def test_a_config_that_is_not_that_of_the_checkpoint_is_refused_although_it_is_longer(copy):
    config = read_config(copy)
    config["recipe"].update(epochs=4, lr=0.01)
    (copy / "config.json").write_text(json.dumps(config))
    assert refusal(1, "train", "--resume", copy).endswith("it belongs to a run with another config.json")
