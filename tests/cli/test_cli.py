"""The command, through its `main`, on a few hundred drawn digits: what it writes, says and answers to what is wrong."""

import contextlib
import functools
import io
import json
import math
import os
import re
import shutil
import struct
import subprocess
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import npstn
from npstn import checkpoint, cli, data, models, plots, saving, training
from npstn.training import RECIPES

NAMES = ["config.json", "metrics.csv", "weights.safetensors", "checkpoint.safetensors"]
PICTURES = ["before_after.png", "curves.png", "angles.png", "training.gif"]
KINDS = {".png": b"\x89PNG\r\n\x1a\n", ".gif": b"GIF89a"}
QUICK = ["--epochs", "2", "--batch-size", "32"]
WARNING = "warning: the localisation network answers nearly the same angle for every image"


class Said(NamedTuple):
    status: int
    out: str
    err: str


def npstn_(*arguments):
    """Run the command, and give its exit status and what it said; a traceback is the test's own failure."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = cli.main([str(argument) for argument in arguments])
        except SystemExit as stop:
            status = stop.code
    return Said(status, out.getvalue(), err.getvalue())


def refusal(status, *arguments):
    """The one line on standard error of a command that cannot do what it is asked, without its beginning."""
    said = npstn_(*arguments)
    assert said.err.startswith("npstn: error: ")
    assert said.err.count("\n") == 1 and said.err.endswith("\n")
    assert "Traceback" not in said.err
    assert said.status == status
    return said.err.removeprefix("npstn: error: ").removesuffix("\n")


def snapshot(folder):
    """Everything below a folder: names, contents, times of the last change."""
    return {
        str(path.relative_to(folder)): (path.read_bytes() if path.is_file() else None, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
    }


@functools.cache
def few_digits(count, seed):
    images, labels = data.digits.draw_digits(count // 100, seed=seed)
    images.flags.writeable = labels.flags.writeable = False
    return images, labels


def no_mnist(*arguments, **others):
    raise data.MnistNotFound("could not download MNIST: no network")


@pytest.fixture(scope="module", autouse=True)
def small_world():
    """A hundredth of the drawn digits, no MNIST, no network, one thread (more gain nothing on so few images)."""
    threads = npstn.backend.parallel.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("NPSTN_DATA_DIR", raising=False)
        patch.setattr(data, "draw_digits", few_digits)
        patch.setattr(data, "load_mnist", no_mnist)
        npstn.set_num_threads(1)
        yield
    npstn.set_num_threads(threads)


@pytest.fixture
def real_load_mnist(monkeypatch):
    """What finds MNIST, without the network."""
    monkeypatch.setattr(data, "load_mnist", functools.partial(data.mnist.load_mnist, download=False))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run that nobody may change, and what the command said."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    return folder, npstn_("train", "--data", "digits", *QUICK, "--seed", "3", "--angle", "30", "--out", folder)


@pytest.fixture
def copy(trained, tmp_path):
    """A copy of the run, to be damaged."""
    return Path(shutil.copytree(trained[0], tmp_path / "copy"))


def last_accuracy(folder):
    return plots.read_metrics(folder / "metrics.csv")["test_accuracy"][-1]


def rows_without_seconds(folder):
    rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    column = rows[0].index("seconds")
    return [row[:column] + row[column + 1 :] for row in rows]


# train


def test_train_writes_the_run(trained):
    folder, said = trained
    assert (said.status, said.err) == (0, "")
    assert sorted(path.name for path in folder.iterdir()) == sorted([*NAMES, "frames.safetensors", *PICTURES])
    for name in PICTURES:
        assert (folder / name).read_bytes().startswith(KINDS[name[-4:]])
    state = npstn.load(folder / "weights.safetensors")
    assert {name: array.shape for name, array in state.items()} == {
        name: array.shape for name, array in models.STNClsNet().state_dict().items()
    }
    metrics = plots.read_metrics(folder / "metrics.csv")
    assert metrics["epoch"].tolist() == [1, 2]
    assert metrics["train_loss"][1] < metrics["train_loss"][0]


def test_train_says_what_it_does(trained):
    folder, said = trained
    accuracies = plots.read_metrics(folder / "metrics.csv")["test_accuracy"]
    lines = [line for line in said.out.splitlines() if not line.startswith("warning")]
    first, epoch_1, epoch_2, summary, *pictures = lines
    assert first == f"training stn on 600 drawn digits, turned within ±30°; run: {folder}"
    for number, line in enumerate((epoch_1, epoch_2)):
        assert line.startswith(f"epoch {number + 1}/2: test accuracy {accuracies[number]:.2f} %, angle correlation ")
        assert re.search(r", spread within a class \d+\.\d° before, \d+\.\d° after \(\d+ s\)$", line)
    assert summary == f"test accuracy {accuracies[-1]:.2f} % after 2 epochs"
    assert sorted(pictures) == sorted(str(folder / name) for name in PICTURES)


def test_config_says_what_was_run(trained):
    config = json.loads((trained[0] / "config.json").read_text())
    versions = config.pop("versions")
    assert re.fullmatch("[0-9a-f]{64}", config.pop("digits_sha256"))
    assert config == {
        "model": "stn",
        "data": "digits",
        "angle": 30.0,
        "seed": 3,
        "recipe": "fast",
        "optimizer": "adamw",
        "lr": RECIPES["fast"].lr,
        "batch_size": 32,
        "epochs": 2,
        "dropout": RECIPES["fast"].dropout,
    }
    assert versions["npstn"] == npstn.__version__
    assert versions["numpy"] == np.__version__


def recorded(monkeypatch):
    """The arguments of training.train, which is left out."""
    calls = []

    def train(net, digits, test, angle, recipe, metrics, after_epoch, progress, after_step):
        calls.append((net, digits, test, angle, recipe, metrics))
        raise training.TrainingError("recorded")

    monkeypatch.setattr(training, "train", train)
    return calls


@pytest.mark.parametrize("name", ["fast", "blog"])
def test_recipes_are_taken_whole(tmp_path, monkeypatch, name):
    calls = recorded(monkeypatch)
    assert refusal(1, "train", "--recipe", name, "--out", tmp_path / "run").startswith("recorded; ")
    ((net, digits, test, angle, recipe, metrics),) = calls
    assert recipe == RECIPES[name]
    assert angle == 45
    assert metrics == tmp_path / "run" / "metrics.csv"
    assert net.cls_net.cnn.fc1_drop.p == RECIPES[name].dropout
    assert (len(digits[0]), len(test.images)) == (600, 100)
    assert not set(map(bytes, digits[0])) & set(map(bytes, few_digits(10_000, 1)[0]))  # nobody is tested on what it saw


def test_fast_is_the_default_recipe_and_options_change_it(tmp_path, monkeypatch):
    calls = recorded(monkeypatch)
    options = ["--epochs", "7", "--batch-size", "9", "--lr", "0.25", "--angle", "180", "--out", tmp_path / "run"]
    refusal(1, "train", *options)
    _, _, test, angle, recipe, _ = calls[0]
    assert recipe == training.Recipe("adamw", lr=0.25, batch_size=9, epochs=7, dropout=RECIPES["fast"].dropout)
    assert angle == 180
    assert np.abs(test.degrees).max() > 150


def test_the_test_set_follows_from_the_seed(tmp_path, monkeypatch):
    calls = recorded(monkeypatch)
    for run, seed in enumerate((5, 5, 6)):
        refusal(1, "train", "--seed", seed, "--out", tmp_path / str(run))
    (net_a, _, a, *_), (net_b, _, b, *_), (net_c, _, c, *_) = calls
    assert_array_equal(a.images, b.images)
    assert not np.isin(c.degrees, a.degrees).any()
    weights = [net.state_dict()["loc_net.cnn.conv1.weight"] for net in (net_a, net_b, net_c)]
    assert_array_equal(weights[0], weights[1])
    assert (weights[0] != weights[2]).all()


def test_without_a_transformer(tmp_path):
    out = tmp_path / "run"
    said = npstn_("train", "--model", "cnn", "--data", "digits", *QUICK, "--out", out)
    assert (said.status, said.err) == (0, "")
    assert sorted(path.name for path in out.iterdir()) == sorted([*NAMES, "curves.png"])
    lines = said.out.splitlines()
    assert lines[0].startswith("training cnn on 600 drawn digits")
    assert lines[-1] == str(out / "curves.png")
    assert "angle correlation" not in said.out and "warning" not in said.out
    assert json.loads((out / "config.json").read_text())["model"] == "cnn"
    assert np.isnan(plots.read_metrics(out / "metrics.csv")["angle_correlation"]).all()
    evaluated = npstn_("eval", out)
    assert (evaluated.status, evaluated.out) == (0, f"{last_accuracy(out):.2f} %\n")
    assert "correlation" not in evaluated.err


def test_upright_digits(tmp_path):
    said = npstn_("train", "--data", "digits", "--angle", "0", *QUICK, "--out", tmp_path / "run")
    assert (said.status, said.err) == (0, "")
    assert "warning" not in said.out  # there is nothing to turn back
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == sorted(
        [*NAMES, "frames.safetensors", *PICTURES]
    )
    assert plots.read_metrics(tmp_path / "run" / "metrics.csv")["input_std_deg"].tolist() == [0, 0]


def test_the_same_seed_gives_the_same_metrics_whatever_the_threads(tmp_path, two_threads):
    runs = iter(["one", "two"])
    options = ["--data", "digits", "--recipe", "blog", "--batch-size", "200", "--epochs", "2", "--seed", "8"]
    two_threads(
        lambda: npstn_("train", *options, "--threads", npstn.backend.parallel.get_num_threads(), "--out", tmp_path / next(runs))
    )
    npstn_("train", *options[:-1], "9", "--threads", "1", "--out", tmp_path / "other")
    one, two, other = (rows_without_seconds(tmp_path / name) for name in ("one", "two", "other"))
    assert len(one) == 3
    assert one == two
    assert one[1:] != other[1:]


def test_threads_are_set(tmp_path, monkeypatch, two_threads):
    recorded(monkeypatch)
    for threads in (2, 1):
        refusal(1, "train", "--threads", threads, "--out", tmp_path / str(threads))
        assert npstn.backend.parallel.get_num_threads() == threads


def test_a_run_has_a_folder_of_its_own_by_default(tmp_path, monkeypatch):
    recorded(monkeypatch)
    monkeypatch.chdir(tmp_path)
    refusal(1, "train")
    (run,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", run.name)
    assert (run / "config.json").is_file()


def test_an_empty_folder_is_as_good_as_none(tmp_path):
    said = npstn_("train", "--data", "digits", "--model", "cnn", "--epochs", "1", "--out", tmp_path)
    assert said.status == 0
    assert (tmp_path / "curves.png").is_file()


def test_force_replaces_the_run_and_nothing_else(copy):
    (copy / "notes.txt").write_text("mine")
    before = snapshot(copy)
    said = npstn_(
        "train", "--data", "digits", "--model", "cnn", "--epochs", "1", "--seed", "1", "--out", copy, "--force"
    )
    assert (said.status, said.err) == (0, "")
    # Nothing of the run that was there is left: a network without a transformer has but one picture.
    assert sorted(path.name for path in copy.iterdir()) == sorted([*NAMES, "curves.png", "notes.txt"])
    after = snapshot(copy)
    assert after["notes.txt"] == before["notes.txt"]
    assert all(after[name] != before[name] for name in [*NAMES, "curves.png"])


def test_weights_are_there_after_each_epoch(tmp_path, monkeypatch):
    seen, line = [], training.Epoch.line
    folder = tmp_path / "run"

    def spy(self, epochs):
        seen.append((len(plots.read_metrics(folder / "metrics.csv")["epoch"]), (folder / NAMES[2]).read_bytes()))
        return line(self, epochs)

    monkeypatch.setattr(training.Epoch, "line", spy)
    npstn_("train", "--data", "digits", "--model", "cnn", *QUICK, "--out", folder)
    assert [epochs for epochs, _ in seen] == [1, 2]
    assert seen[0][1] != seen[1][1] == (folder / NAMES[2]).read_bytes()


# The warning


def seeing(model, dropout=0.0):
    """A network whose localiser answers to what it sees from the start."""
    net = models.STNClsNet(dropout)
    net.loc_net.cnn.fc2.weight.data[...] = np.random.default_rng(0).normal(0, 1, (1, 50))
    return net


@pytest.mark.parametrize(("build", "times"), [(training.build, 2), (seeing, 0)], ids=["constant", "seeing"])
def test_a_constant_localiser_is_reported_after_each_epoch(tmp_path, monkeypatch, build, times):
    monkeypatch.setattr(training, "build", build)
    # At this learning rate a network stays as it is: a localiser that starts at zero answers 0 degrees to all.
    said = npstn_("train", "--data", "digits", *QUICK, "--lr", "1e-12", "--out", tmp_path / "run")
    assert said.status == 0
    lines = [line for line in said.out.splitlines() if line.startswith("warning")]
    assert len(lines) == times
    for line in lines:
        assert line.startswith(WARNING)
        assert re.search(r"they spread by 0\.0°, the digits by 2\d\.\d°", line)


# Which digits


@pytest.fixture
def mnist(monkeypatch):
    """MNIST is at hand, and it looks like digits that were drawn with other seeds."""
    asked = []

    def load_mnist(root=None, train=True, download=True):
        asked.append((root, train))
        return few_digits(30_000 if train else 5_000, 7 if train else 8)

    monkeypatch.setattr(data, "load_mnist", load_mnist)
    return asked


@pytest.mark.parametrize("options", [[], ["--data", "auto"], ["--data", "mnist"]])
def test_mnist_where_it_is_at_hand(tmp_path, mnist, monkeypatch, options):
    calls = recorded(monkeypatch)
    said = npstn_("train", *options, "--data-dir", tmp_path, "--out", tmp_path / "run")
    assert said.out.startswith("training stn on 300 MNIST digits")
    assert sorted(mnist) == [(tmp_path, False), (tmp_path, True)]
    assert len(calls[0][2].images) == 50
    assert json.loads((tmp_path / "run" / "config.json").read_text())["data"] == "mnist"


def test_auto_falls_back_to_drawn_digits_and_says_so_in_one_line(tmp_path, monkeypatch):
    recorded(monkeypatch)
    said = npstn_("train", "--out", tmp_path / "run")
    first, second = said.out.splitlines()
    assert first == "MNIST is not at hand and cannot be downloaded: using digits drawn by the program"
    assert second.startswith("training stn on 600 drawn digits")
    assert json.loads((tmp_path / "run" / "config.json").read_text())["data"] == "digits"


def test_digits_that_are_asked_for_are_drawn_without_a_word(tmp_path, mnist, monkeypatch):
    recorded(monkeypatch)
    said = npstn_("train", "--data", "digits", "--out", tmp_path / "run")
    assert said.out.count("\n") == 1 and said.out.startswith("training stn on 600 drawn digits")
    assert mnist == []


def test_mnist_that_is_asked_for_and_not_found(tmp_path):
    message = refusal(1, "train", "--data", "mnist", "--out", tmp_path / "run")
    assert message == "could not download MNIST: no network"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["auto", "mnist"])
def test_a_data_dir_without_the_files(tmp_path, real_load_mnist, kind):
    (tmp_path / "empty").mkdir()
    message = refusal(1, "train", "--data", kind, "--data-dir", tmp_path / "empty", "--out", tmp_path / "run")
    assert "train-images-idx3-ubyte" in message and str(tmp_path / "empty") in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["auto", "mnist"])
@pytest.mark.parametrize("by", ["option", "variable"])
def test_a_damaged_file_is_no_reason_to_draw_digits(tmp_path, real_load_mnist, monkeypatch, kind, by):
    for name in data.mnist.FILES:
        (tmp_path / name).write_bytes(b"\0\0\x08\x03 and no more")
    if by == "variable":
        monkeypatch.setenv("NPSTN_DATA_DIR", str(tmp_path))
    options = ["--data-dir", tmp_path] if by == "option" else []
    message = refusal(1, "train", "--data", kind, *options, "--out", tmp_path / "run")
    assert message.startswith(f"{tmp_path / 'train-images-idx3-ubyte'}: ")
    assert "has 16 bytes" in message
    assert not (tmp_path / "run").exists()


def test_the_command_data(tmp_path, mnist):
    said = npstn_("data", "--data-dir", tmp_path)
    assert said == (0, f"MNIST is whole: 300 training and 50 test digits in {tmp_path}\n", "")


def test_the_command_data_without_the_files(tmp_path, real_load_mnist):
    assert str(tmp_path) in refusal(1, "data", "--data-dir", tmp_path)


# eval


def test_eval_gives_what_training_ended_with(trained):
    folder, _ = trained
    before = snapshot(folder)
    said = npstn_("eval", folder)
    assert said.status == 0
    assert said.out == f"{last_accuracy(folder):.2f} %\n"
    correlation = plots.read_metrics(folder / "metrics.csv")["angle_correlation"][-1]
    about = f"100 drawn digits, turned within ±30° (seed 3); angle correlation {correlation:.2f}\n"
    assert said.err == about
    assert snapshot(folder) == before


@pytest.mark.parametrize(
    ("options", "angle", "seed", "digits"),
    [
        (["--angle", "90"], 90, 3, (10_000, 1)),
        (["--angle", "0"], 0, 3, (10_000, 1)),
        (["--seed", "11"], 30, 11, (10_000, 1)),
        (["--seed", "0"], 30, 0, (10_000, 1)),
        (["--data", "mnist"], 30, 3, (5_000, 8)),
        (["--data", "auto", "--angle", "60", "--seed", "2"], 60, 2, (5_000, 8)),
    ],
)
def test_eval_elsewhere(trained, mnist, options, angle, seed, digits):
    net = models.STNClsNet()
    net.load_state_dict(npstn.load(trained[0] / "weights.safetensors"))
    test = training.fixed_test_set(*few_digits(*digits), angle, seed)
    said = npstn_("eval", trained[0], *options)
    assert said.status == 0
    assert said.out == f"{training.evaluate(net, test).accuracy:.2f} %\n"
    assert f"turned within ±{angle}° (seed {seed})" in said.err
    assert f"{len(test.labels)} {'MNIST' if mnist else 'drawn'} digits" in said.err


def test_eval_has_nothing_but_the_accuracy_on_standard_output(trained):
    """Also where it falls back to drawn digits: who reads the number must not read a remark."""
    said = npstn_("eval", trained[0], "--data", "auto")
    assert said.status == 0
    assert said.out == f"{last_accuracy(trained[0]):.2f} %\n"
    assert "drawn digits" in said.err


# What is wrong with the arguments: status 2, and nothing is written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--angle", "-5"], "argument --angle: expected 0 to 180 degrees, got -5"),
        (["--angle", "180.5"], "argument --angle: expected 0 to 180 degrees, got 180.5"),
        (["--angle", "nan"], "argument --angle: expected 0 to 180 degrees, got nan"),
        (["--angle", "inf"], "argument --angle: expected 0 to 180 degrees, got inf"),
        (["--angle", "steep"], "argument --angle: expected 0 to 180 degrees, got steep"),
        (["--epochs", "0"], "argument --epochs: expected a whole number of at least 1, got 0"),
        (["--epochs", "-3"], "argument --epochs: expected a whole number of at least 1, got -3"),
        (["--epochs", "1.5"], "argument --epochs: expected a whole number of at least 1, got 1.5"),
        (["--batch-size", "0"], "argument --batch-size: expected a whole number of at least 1, got 0"),
        (["--batch-size", "many"], "argument --batch-size: expected a whole number of at least 1, got many"),
        (["--lr", "0"], "argument --lr: expected a learning rate above 0, got 0"),
        (["--lr", "-0.1"], "argument --lr: expected a learning rate above 0, got -0.1"),
        (["--lr", "nan"], "argument --lr: expected a learning rate above 0, got nan"),
        (["--lr", "inf"], "argument --lr: expected a learning rate above 0, got inf"),
        (["--seed", "-1"], "argument --seed: expected a whole number of at least 0, got -1"),
        (["--seed", "x"], "argument --seed: expected a whole number of at least 0, got x"),
        (["--checkpoint-minutes", "-1"], "argument --checkpoint-minutes: expected minutes, at least 0, got -1"),
        (["--checkpoint-minutes", "nan"], "argument --checkpoint-minutes: expected minutes, at least 0, got nan"),
        (["--threads", "0"], "argument --threads: expected a whole number of at least 1, got 0"),
        (
            ["--threads", "9999"],
            f"argument --threads: expected 1 to {numba.config.NUMBA_NUM_THREADS} threads on this machine, got 9999",
        ),
        (["--colour", "red"], "unrecognized arguments: --colour red"),
        (["here"], "unrecognized arguments: here"),
        (["--angle"], "argument --angle: expected one argument"),
        (
            ["--data", "digits", "--data-dir", "x"],
            "argument --data-dir: goes with --data mnist or auto, not with digits",
        ),
    ],
    ids=" ".join,
)
def test_wrong_arguments_of_train(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    threads = npstn.backend.parallel.get_num_threads()
    assert refusal(2, "train", "--out", "run", *arguments) == message
    assert list(tmp_path.iterdir()) == []
    assert npstn.backend.parallel.get_num_threads() == threads


@pytest.mark.parametrize(
    ("option", "given"), [("--data", "cifar"), ("--model", "resnet"), ("--recipe", "slow"), ("--data", "")]
)
def test_wrong_choices(tmp_path, option, given):
    message = refusal(2, "train", option, given, "--out", tmp_path / "run")
    assert message.startswith(f"argument {option}: invalid choice: {given!r} (choose from ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [[], ["fly"], ["eval"], ["train", "--verison"], ["--colour"]], ids=" ".join)
def test_wrong_commands(arguments):
    assert refusal(2, *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--angle", "-5"], "argument --angle: expected 0 to 180 degrees, got -5"),
        (["--seed", "-5"], "argument --seed: expected a whole number of at least 0, got -5"),
        (["--epochs", "3"], "unrecognized arguments: --epochs 3"),
        (["--data-dir", "x"], "argument --data-dir: goes with --data mnist or auto, not with digits"),
        (
            ["--threads", "9999"],
            f"argument --threads: expected 1 to {numba.config.NUMBA_NUM_THREADS} threads on this machine, got 9999",
        ),
    ],
    ids=" ".join,
)
def test_wrong_arguments_of_eval(trained, arguments, message):
    before = snapshot(trained[0])
    assert refusal(2, "eval", trained[0], *arguments) == message
    assert snapshot(trained[0]) == before


def test_a_run_that_exists_is_kept(copy):
    before = snapshot(copy)
    message = refusal(2, "train", "--data", "digits", "--out", copy)
    assert message == f"argument --out: {copy} exists already; choose another, or replace it with --force"
    assert snapshot(copy) == before


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (None, "expected a run folder, got {}, with no config.json in it"),
        ('{"architectures": ["Thesis"]}', "expected what a run writes in {}/config.json, got something else"),
    ],
    ids=["without config.json", "of another program"],
)
def test_a_folder_that_is_no_run_is_kept_even_with_force(tmp_path, config, says):
    (tmp_path / "weights.safetensors").write_text("thesis")
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    before = snapshot(tmp_path)
    message = refusal(2, "train", "--data", "digits", "--out", tmp_path, "--force")
    assert message == f"argument --force: {says.format(tmp_path)}"
    assert snapshot(tmp_path) == before


def test_a_wrong_argument_beside_force_keeps_the_run(copy, tmp_path, real_load_mnist):
    before = snapshot(copy)
    refusal(2, "train", "--data", "digits", "--epochs", "0", "--out", copy, "--force")
    refusal(2, "train", "--data", "digits", "--threads", "9999", "--out", copy, "--force")
    refusal(1, "train", "--data-dir", tmp_path, "--out", copy, "--force")
    assert snapshot(copy) == before


@pytest.mark.parametrize("below", ["file", "file/run", "file/runs/run"])
def test_an_out_that_cannot_be_written(tmp_path, below):
    (tmp_path / "file").write_text("mine")
    before = snapshot(tmp_path)
    message = refusal(1, "train", "--data", "digits", "--out", tmp_path / below)
    assert message.startswith(f"cannot write the run folder {tmp_path / below}: ")
    assert snapshot(tmp_path) == before


def test_an_out_in_a_folder_where_nothing_can_be_made():
    message = refusal(1, "train", "--data", "digits", "--out", "/proc/npstn/run")
    assert message.startswith("cannot write the run folder /proc/npstn/run: ")


# show and compare


def test_show_writes_its_picture_into_the_run(copy):
    said = npstn_("show", copy)
    assert (said.status, said.out, said.err) == (0, f"{copy / 'show.png'}\n", "")
    first = (copy / "show.png").read_bytes()
    assert first.startswith(KINDS[".png"])
    npstn_("show", copy, "--digit", "99")
    assert (copy / "show.png").read_bytes() != first


def test_show_writes_where_it_is_told_and_nothing_else(trained, tmp_path):
    before = snapshot(trained[0])
    said = npstn_("show", trained[0], "--digit", "3", "7", "--out", tmp_path / "x.svg")
    assert (said.status, said.out) == (0, f"{tmp_path / 'x.svg'}\n")
    drawn = (tmp_path / "x.svg").read_text()
    assert "test digit 3" in drawn and "test digit 7" in drawn and "test digit 0" not in drawn
    assert snapshot(trained[0]) == before


def test_compare_prints_a_table_and_draws_the_curves(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    npstn_("train", "--data", "digits", "--model", "cnn", *QUICK, "--angle", "30", "--out", "without")
    said = npstn_("compare", trained[0], "without")
    assert (said.status, said.err) == (0, "")
    header, with_, without, path = said.out.splitlines()
    assert header.split()[:3] == ["run", "seeds", "epochs"]
    assert re.match(rf"stn +3 +2 +{last_accuracy(trained[0]):.2f} % ", with_)
    assert re.match(rf"cnn +0 +2 +{last_accuracy(tmp_path / 'without'):.2f} % ", without)
    assert path == "compare.png"
    assert (tmp_path / path).read_bytes().startswith(KINDS[".png"])
    assert npstn_("compare", "without", "--out", "x.pdf").out.splitlines()[-1] == "x.pdf"
    assert (tmp_path / "x.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["show"], 2, "the following arguments are required: RUN"),
        (["show", "{run}", "--digit", "-1"], 2, "argument --digit: expected a whole number of at least 0, got -1"),
        (["show", "{run}", "--digit", "x"], 2, "argument --digit: expected a whole number of at least 0, got x"),
        (["show", "{run}", "--digit", "100"], 1, "expected test digits from 0 to 99, got 100"),
        (
            ["show", "{run}", "--data-dir", "x"],
            1,
            "expected no folder of MNIST's files for a run on drawn digits, got x",
        ),
        (["show", "nothing"], 1, "expected a run folder, got nothing, with no config.json in it"),
        (["compare"], 2, "the following arguments are required: RUN"),
        (["compare", "{run}", "{run}/."], 1, "expected each run once, got {run} twice"),
        (["compare", "{run}", "nothing"], 1, "expected a run folder, got nothing, with no config.json in it"),
    ],
)
def test_wrong_arguments_of_show_and_compare(trained, tmp_path, monkeypatch, arguments, status, message):
    monkeypatch.chdir(tmp_path)
    run = str(trained[0])
    given = [argument.replace("{run}", run) for argument in arguments]
    wanted = message if message.endswith("{run}") else message.replace("{run}", run)
    assert refusal(status, *given) == wanted
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["show", "compare"])
def test_a_picture_that_cannot_be_written(trained, tmp_path, command):
    for name in ("x.doc", "x"):
        message = refusal(2, command, trained[0], "--out", name)
        assert message == f"argument --out: expected a file that ends in .png, .pdf or .svg, got {name}"
    message = refusal(1, command, trained[0], "--out", tmp_path / "none" / "x.png")
    assert message == f"{tmp_path / 'none' / 'x.png'}: No such file or directory"


def test_a_reader_who_has_had_enough(trained):
    """As in `npstn compare RUN | head -0`."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "npstn", "gradcheck", "sub"],
        cwd=Path(npstn.__file__).parents[1],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_show_of_a_run_without_a_transformer(copy):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "model": "cnn"}))
    npstn.save(models.ClsNet().state_dict(), copy / "weights.safetensors")
    assert refusal(1, "show", copy) == f"expected a run with a transformer (--model stn), got {copy}, which has none"


# The film, and what can be seen while training goes on


def test_a_run_that_is_resumed_has_the_film_of_one_that_was_not(tmp_path, monkeypatch):
    options = ["train", "--data", "digits", *QUICK]
    npstn_(*options, "--out", tmp_path / "whole")
    saved = saving.Saver.save

    def save(self):
        if len(self.progress.epochs) == 2:
            raise KeyboardInterrupt  # after the second frame is written, and before the second checkpoint is
        saved(self)

    with monkeypatch.context() as patch:
        patch.setattr(saving.Saver, "save", save)
        assert npstn_(*options, "--out", tmp_path / "stopped").status == 130
    # The second epoch is gone through again, and replaces its frame.
    frames = tmp_path / "stopped" / "frames.safetensors"
    npstn.save({**npstn.load(frames), "2": np.zeros((30, 28, 28), np.uint8)}, frames)
    assert npstn_("train", "--resume", tmp_path / "stopped").status == 0
    for name in ("frames.safetensors", "training.gif"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_metrics_can_be_followed(tmp_path, monkeypatch):
    """As by `tail -f`: a reader that has the file open finds each epoch's line, whole, while training goes on."""
    folder, seen, line = tmp_path / "run", [], training.Epoch.line
    reader = None

    def spy(self, epochs):
        nonlocal reader
        reader = reader or open(folder / "metrics.csv")
        seen.append(reader.read())
        return line(self, epochs)

    monkeypatch.setattr(training.Epoch, "line", spy)
    npstn_("train", "--data", "digits", "--model", "cnn", "--epochs", "3", "--batch-size", "32", "--out", folder)
    (header, first), second, third = seen[0].splitlines(), seen[1], seen[2]
    assert header == ",".join(training.Epoch._fields)
    for number, text in enumerate((first + "\n", second, third), start=1):
        assert text.startswith(f"{number},") and text.count("\n") == 1 and text.endswith("\n")
    with reader:
        assert reader.read() == ""


# What is wrong with the run to score: status 1


def test_eval_of_what_is_no_run(tmp_path):
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path, tmp_path / "none", tmp_path / "file"):
        assert refusal(1, "eval", folder) == f"expected a run folder, got {folder}, with no config.json in it"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"3",
        b"\xff\xfe\x00",
        b"{}",
        b'{"model": "vit", "data": "digits", "angle": 45.0, "seed": 0}',
        b'{"model": ["stn"], "data": "digits", "angle": 45.0, "seed": 0}',
        b'{"model": "stn", "data": "cifar", "angle": 45.0, "seed": 0}',
        b'{"model": "stn", "data": "digits", "seed": 0}',
        b'{"model": "stn", "data": "digits", "angle": -45.0, "seed": 0}',
        b'{"model": "stn", "data": "digits", "angle": NaN, "seed": 0}',
        b'{"model": "stn", "data": "digits", "angle": null, "seed": 0}',
        b'{"model": "stn", "data": "digits", "angle": "45", "seed": 0}',
        b'{"model": "stn", "data": "digits", "angle": 45.0, "seed": -1}',
        b'{"model": "stn", "data": "digits", "angle": 45.0, "seed": 0.5}',
        b'{"model": "stn", "data": "digits", "angle": 45.0, "seed": "3"}',
        b'{"model": "stn", "data": "digits", "angle": 45.0, "seed": Infinity}',
        b'{"model": ' * 100_000,
        b'{"model": "stn", "data": "digits", "angle": 45.0, "seed": 0, "more": ' + b"9" * 2**20 + b"}",
    ],
    ids=lambda content: content.decode(errors="replace")[:80] or "empty",
)
def test_eval_of_a_damaged_config(copy, content):
    (copy / "config.json").write_bytes(content)
    before = snapshot(copy)
    assert refusal(1, "eval", copy) == f"expected what a run writes in {copy / 'config.json'}, got something else"
    assert snapshot(copy) == before


def damage(change):
    """The weights, after a change to their bytes."""

    def apply(path):
        path.write_bytes(change(path.read_bytes()))

    return apply


def in_another_dtype(name):
    """A well-formed safetensors file whose weights are all zero, of the dtype with this name and 2 bytes."""

    def apply(path):
        header, end = {}, 0
        for key, array in models.STNClsNet().state_dict().items():
            header[key] = {"dtype": name, "shape": array.shape, "data_offsets": [end, end := end + 2 * array.size]}
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(end))

    return apply


def in_python(change):
    """The weights, saved again after a change to them, with whatever they hold."""

    def apply(path):
        state = npstn.load(path)
        change(state)
        checkpoint.write(state, path)

    return apply


def put_nan(state):
    state["loc_net.cnn.fc1.bias"][7] = np.nan


def by_torch(path):
    pytest.importorskip("torch").save({"a": 1}, path)


def as_pipe(path):
    path.unlink()
    os.mkfifo(path)


def huge(path):
    """A sparse file, well-formed, in which one layer has 2^40 bytes more than it should."""
    header, end = {}, 0
    for key, array in models.STNClsNet().state_dict().items():
        shape = [2**38] if key == "cls_net.cnn.fc2.bias" else list(array.shape)
        header[key] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end := end + 4 * math.prod(shape)]}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    os.truncate(path, 8 + len(text) + end)


def without(name):
    def apply(path):
        state = npstn.load(path)
        del state[name]
        npstn.save(state, path)

    return apply


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (damage(lambda content: b""), "expected a safetensors file"),
        (damage(lambda content: content[:-1]), "expected a safetensors file"),
        (damage(lambda content: content[:100]), "expected a safetensors file"),
        (damage(lambda content: b"\xff" * 8 + content[8:]), "expected a safetensors file"),
        (damage(lambda content: content + b"more"), "expected a safetensors file"),
        (damage(lambda content: b"not weights at all"), "expected a safetensors file"),
        (without("cls_net.cnn.fc2.bias"), "cls_net.cnn.fc2.bias"),
        (lambda path: npstn.save(models.ClsNet().state_dict(), path), "loc_net.cnn.conv1.weight"),
        (in_another_dtype("F16"), "float16"),
        (in_another_dtype("BF16"), "BF16"),
        (damage(lambda content: content[:-5] + b"?" + content[-4:]), "its content is not what was written"),
        (damage(lambda content: b"<html>404</html>"), "a web page"),
        (damage(lambda content: b"\x80\x04}."), "a pickle, which is never read"),
        (by_torch, "a zip archive, as torch.save writes it, which is never read"),
        (in_python(put_nan), "NaN or infinity in 'loc_net.cnn.fc1.bias'"),
        (in_python(lambda state: state.update(more=np.ones(1))), "'more', which is unknown"),
        (huge, "'cls_net.cnn.fc2.bias' has the shape (274877906944,), expected (10,)"),
        (as_pipe, "no regular file"),
    ],
    ids=["empty", "cut by a byte", "cut", "header", "longer", "text", "one missing", "of a cnn", "float16", "bfloat16"]
    + ["a byte", "html", "pickle", "torch.save", "NaN", "one more", "huge", "pipe"],
)
def test_eval_of_damaged_or_foreign_weights(copy, spoil, says):
    spoil(copy / "weights.safetensors")
    before = None if spoil is huge else snapshot(copy)  # which reads every file
    message = refusal(1, "eval", copy)
    assert message.startswith(f"the weights in {copy} do not fit its stn: ") and says in message
    assert spoil is huge or snapshot(copy) == before


def test_eval_of_a_config_that_names_the_other_model(copy):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "model": "cnn"}))
    assert refusal(1, "eval", copy).startswith(f"the weights in {copy} do not fit its cnn: ")


def test_eval_of_a_run_without_weights(copy):
    (copy / "weights.safetensors").unlink()
    message = refusal(1, "eval", copy)
    assert message == f"expected weights in {copy}, got none: is the run still in its first epoch?"


def test_eval_of_a_run_on_mnist_where_there_is_none(copy):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "data": "mnist"}))
    assert refusal(1, "eval", copy) == "could not download MNIST: no network"


# What goes wrong on the way


@pytest.fixture
def unwarned():
    """No warning goes to standard error, where it would be two more lines, of no use to their reader."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    assert [str(warning.message) for warning in caught] == []


def test_a_loss_that_is_no_number(tmp_path, unwarned):
    options = ["--data", "digits", "--recipe", "blog", "--lr", "1000", "--epochs", "3"]
    message = refusal(1, "train", *options, "--out", tmp_path / "run")
    last = re.escape(str(tmp_path / "run" / "checkpoint.safetensors"))
    assert re.fullmatch(
        r"the loss became (nan|inf) in epoch 1, step \d+, at a learning rate of 1e\+03; try an --lr below 1000; "
        rf"the last good checkpoint, saved at the start, is {last}",
        message,
    )


def test_a_full_disk(tmp_path, monkeypatch):
    def save(state, path):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(npstn, "save", save)
    message = refusal(1, "train", "--data", "digits", "--model", "cnn", *QUICK, "--out", tmp_path / "run")
    assert "No space left on device" in message


def test_control_c(tmp_path, monkeypatch):
    def save(state, path):
        raise KeyboardInterrupt

    monkeypatch.setattr(npstn, "save", save)
    said = npstn_("train", "--data", "digits", "--model", "cnn", *QUICK, "--out", tmp_path / "run")
    assert said.status == 130
    how = f"npstn train --resume {tmp_path / 'run'}"
    assert said.err == f"\nnpstn: stopped; the run is saved as it was at the start; to go on: {how}\n"


# As a program


def program(*arguments, cwd):
    env = {**os.environ, "PYTHONPATH": str(Path(npstn.__file__).parents[1]), "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", "npstn", *arguments],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_version(tmp_path):
    done = program("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"npstn {npstn.__version__}\n", "")


def test_help_names_every_option_and_its_default(tmp_path):
    done = program("train", "-h", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    options = "--data --data-dir --model --angle --recipe --epochs --batch-size --lr --seed --threads --out --force"
    for option in [*options.split(), "--resume", "--checkpoint-minutes"]:
        assert re.search(rf"^  {option}\b", done.stdout, re.MULTILINE), option
    blog = RECIPES["blog"]
    for name, value in (("--epochs", blog.epochs), ("--batch-size", blog.batch_size), ("--lr", f"{blog.lr:g}")):
        assert re.search(rf"^  {name} .*\b{value} \(blog\)", done.stdout, re.MULTILINE), name


def test_an_error_has_no_traceback_and_leaves_nothing_behind(tmp_path):
    done = program("train", "--data", "digits", "--angle", "-5", cwd=tmp_path)
    wanted = "npstn: error: argument --angle: expected 0 to 180 degrees, got -5\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", wanted)
    assert list(tmp_path.iterdir()) == []


def test_help_is_printed_by_every_command():
    for command in ("train", "eval", "show", "compare", "data"):
        said = npstn_(command, "--help")
        assert (said.status, said.err) == (0, "")
        assert said.out.startswith(f"usage: npstn {command} ")
