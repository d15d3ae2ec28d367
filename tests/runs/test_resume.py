"""A run that is stopped, killed or damaged: what is saved and when, and that it goes on as if nothing had been."""

import csv
import functools
import itertools
import json
import os
import re
import shutil
import signal
import threading
from pathlib import Path

import kills
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from test_cli import few_digits, npstn_, refusal, small_world, snapshot  # noqa: F401  (small_world is a fixture)

import npstn
from npstn import checkpoint, data, models, optim, runs, runtime, saving, training
from npstn.progress import Progress, TrainingError
from npstn.training import Recipe

pytestmark = pytest.mark.usefixtures("one_thread")

FAST = Recipe("adamw", lr=4e-3, batch_size=16, epochs=3, dropout=0.0)
BLOG = Recipe("sgd", lr=0.05, batch_size=16, epochs=3, dropout=0.5)  # its dropout draws random numbers in each step
STEPS = 7  # of an epoch of 100 images


@pytest.fixture(scope="module")
def test_set():
    return training.fixed_test_set(*few_digits(5000, 1), 45, seed=0)


class Enough(Exception):
    """Ends a training where a test wants it to end."""


def start(model, recipe, seed=3):
    npstn.manual_seed(seed)
    net = training.build(model, recipe.dropout)
    return net, training.begin(net, recipe, 100)


def train(net, progress, recipe, test_set, path, after_step=lambda: None, after_epoch=lambda line, score: None):
    digits = few_digits(10_000, 0)
    training.train(net, digits, test_set, 45.0, recipe, path, after_epoch, progress, after_step)
    with open(path, newline="") as file:
        return [row[:1] + row[2:] for row in csv.reader(file)]  # without the seconds


# Progress


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, test_set):
    """The weights and the metrics of a training, and its states: after each step, and after each epoch."""

    @functools.cache
    def trained(model, recipe):
        net, progress = start(model, recipe)
        states = [progress.state_dict()]

        def keep(*_):
            states.append(progress.state_dict())

        metrics = train(net, progress, recipe, test_set, tmp_path_factory.mktemp("run") / "metrics.csv", keep, keep)
        return net.state_dict(), metrics, states

    return trained


@pytest.mark.parametrize("recipe", [FAST, BLOG], ids=["adamw", "sgd with dropout"])
@pytest.mark.parametrize("model", ["stn", "cnn"])
def test_training_goes_on_from_each_of_its_states_to_the_same_end(tmp_path, test_set, uninterrupted, model, recipe):
    weights, metrics, states = uninterrupted(model, recipe)
    assert len(states) == 1 + 3 * (STEPS + 1)
    # The start; the first step; the middle of an epoch; its last step; its end; the first step of the next; the end.
    for number in (0, 1, 4, STEPS, STEPS + 1, STEPS + 2, 2 * STEPS, len(states) - 1):
        net, progress = start(model, recipe, seed=number)
        generator().random(number)
        progress.load_state_dict(states[number])
        assert train(net, progress, recipe, test_set, tmp_path / "metrics.csv") == metrics, number
        for name, array in net.state_dict().items():
            assert array.tobytes() == weights[name].tobytes(), (number, name)


def test_a_state_comes_back_as_it_was(uninterrupted):
    for state in uninterrupted("stn", BLOG)[2][::5]:
        _, progress = start("stn", BLOG, seed=9)
        assert {k: (v.shape, v.dtype) for k, v in progress.layout(len(state["epochs"])).items()} == {
            k: (v.shape, v.dtype) for k, v in state.items()
        }
        progress.load_state_dict(state)
        for name, array in progress.state_dict().items():
            assert array.tobytes() == state[name].tobytes(), name


def test_half_of_a_random_number_is_not_lost():
    """PCG64 draws 64 bits and keeps the half that 32-bit numbers leave over."""
    npstn.manual_seed(1)
    net = models.ClsNet()
    progress = Progress(net, optim.SGD(net.parameters(), 0.1))
    generator().random(3, np.float32)
    state = progress.state_dict()
    wanted = generator().random(5, np.float32)
    assert state["random"][1, 4] == 1
    npstn.manual_seed(2)
    progress.load_state_dict(state)
    assert_array_equal(generator().random(5, np.float32), wanted)


def damaged(**changes):
    def change(state):
        return {**state, **{name: np.asarray(value(state[name].copy())) for name, value in changes.items()}}

    return change


def put(index, value):
    def change(array):
        array[index] = value
        return array

    return change


BAD_STATES = {
    "negative step": damaged(steps=lambda _: -1),
    "loss": damaged(loss=lambda _: np.nan),
    "seconds": damaged(seconds=lambda _: np.inf),
    "negative seconds": damaged(seconds=lambda _: -1.0),
    "epochs in disorder": damaged(epochs=put((0, 0), 2)),
    "epoch that is no number": damaged(epochs=put((1, 0), np.nan)),
    "half": damaged(random=put((0, 5), 2**32)),
    "has half": damaged(random=put((1, 4), 2)),
    "taken": damaged(**{"schedule.taken": lambda _: -1}),
}


@pytest.mark.parametrize("change", BAD_STATES.values(), ids=BAD_STATES)
def test_a_state_that_no_training_has_is_refused(uninterrupted, change):
    state = uninterrupted("cnn", FAST)[2][2 * (STEPS + 1) + 3]
    _, progress = start("cnn", FAST)
    progress.load_state_dict(state)
    with pytest.raises(ValueError, match="load_state_dict: expected"):
        progress.load_state_dict(change(state))


@pytest.mark.parametrize("part", ["weight", "optimiser"])
def test_what_is_not_finite_is_not_saved(part):
    net, progress = start("cnn", FAST)
    progress.steps = 2
    name = "net.cnn.fc1.bias" if part == "weight" else "optimizer.m.5"
    if part == "weight":
        net.cnn.fc1.bias.data[3] = -np.inf
    else:
        state = progress.optimizer.state_dict()
        state["m.5"][3] = np.nan
        progress.optimizer.load_state_dict(state)
    message = rf"^{name} became NaN or infinite in epoch 1, after 2 steps, at a learning rate of 0\.00016$"
    with pytest.raises(TrainingError, match=message):
        progress.state_dict()


def test_an_epoch_that_ends_in_infinite_weights_is_no_epoch(tmp_path, test_set):
    """Even where no loss shows it: a class that is infinitely unlikely costs nothing while it does not come."""
    net, progress = start("cnn", FAST)

    def spoil():
        if progress.steps == STEPS:
            net.cnn.fc2.bias.data[7] = -np.inf

    done = []
    with pytest.raises(TrainingError, match=r"^net\.cnn\.fc2\.bias became NaN or infinite in epoch 1, after 7 steps"):
        train(net, progress, FAST, test_set, tmp_path / "metrics.csv", spoil, lambda *line: done.append(line))
    assert done == []


# When it is saved


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand, seconds."""
    now = [1000.0]
    monkeypatch.setattr(saving.time, "monotonic", lambda: now[0])
    return now


def test_a_run_is_saved_every_few_minutes(tmp_path, clock):
    _, progress = start("cnn", FAST)
    saved = []
    with saving.Saver(tmp_path, {"lr": 0.1}, progress, minutes=2) as saver:
        saver.save()
        for step in range(1, 11):
            clock[0] += 45
            progress.steps = step
            saver.after_step()
            at = int(checkpoint.read(tmp_path / "checkpoint.safetensors")["steps"])
            saved += [at] if at == step else []
    assert saved == [3, 6, 9]


def handlers():
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


@pytest.mark.parametrize("error", [Enough, None])
def test_signals_are_handled_as_ever_afterwards(tmp_path, error):
    before = handlers()
    _, progress = start("cnn", FAST)
    try:
        with saving.Saver(tmp_path, {}, progress, 1):
            assert all(now != then for now, then in zip(handlers(), before, strict=True))
            if error:
                raise error
    except Enough:
        pass
    assert handlers() == before


def test_a_signal_that_is_ignored_stays_so(tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with saving.Saver(tmp_path, {}, start("cnn", FAST)[1], 1) as saver:
            signal.raise_signal(signal.SIGINT)
            saver.save()
    finally:
        signal.signal(signal.SIGINT, before)


def test_outside_of_the_main_thread_there_are_no_signals(tmp_path):
    done = []

    def work():
        with saving.Saver(tmp_path, {}, start("cnn", FAST)[1], 1) as saver:
            saver.save()
        done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done


# The command

TRAIN = ["--data", "digits", "--model", "cnn", "--epochs", "2", "--batch-size", "32", "--seed", "3", "--angle", "30"]
EPOCH = 19  # steps of an epoch of 600 images


def result(folder):
    """All files of a run, without how long it took."""
    return kills.contents(folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, small_world):  # noqa: F811
    """A run that nobody may change, and what the command said at last."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return folder, npstn_("train", *TRAIN, "--out", folder)


def at_step(monkeypatch, number, act):
    """Call `act` while the given step of a training is under way, counted from 1."""
    steps, nll_loss = itertools.count(1), training.F.nll_loss

    def acting(output, labels):
        if len(labels) <= 32 and next(steps) == number:  # and not one of evaluate's
            act()
        return nll_loss(output, labels)

    monkeypatch.setattr(training.F, "nll_loss", acting)


@pytest.fixture
def stopped(tmp_path, whole, monkeypatch):
    """A function that starts a run which gets a signal, or several, in a step; gives its folder and what it said."""

    def run(step, *signals):
        folder = tmp_path / "a run"
        with monkeypatch.context() as patch:
            at_step(patch, step, lambda: [signal.raise_signal(number) for number in signals])
            before = handlers()
            said = npstn_("train", *TRAIN, "--out", folder)
            assert handlers() == before
        return folder, said

    return run


def place(folder):
    state = checkpoint.read(folder / "checkpoint.safetensors")
    return len(state["epochs"]), int(state["steps"])


@pytest.mark.parametrize(
    ("number", "step", "wanted", "words"),
    [
        (signal.SIGINT, 1, (0, 1), "in epoch 1, after 1 step"),
        (signal.SIGINT, EPOCH, (0, EPOCH), "in epoch 1, after 19 steps"),
        (signal.SIGINT, EPOCH + 3, (1, 3), "in epoch 2, after 3 steps"),
        (signal.SIGTERM, 5, (0, 5), "in epoch 1, after 5 steps"),
    ],
)
def test_control_c_saves_the_step_and_the_run_goes_on_to_the_same_end(
    stopped, whole, capfd, number, step, wanted, words
):
    folder, said = stopped(step, number)
    assert said.status == 128 + number
    how = f"npstn train --resume '{folder}'"
    assert said.err == f"\nnpstn: stopped; the run is saved as it was {words}; to go on: {how}\n"
    assert capfd.readouterr().err == "\nnpstn: stopping after this step; a second Ctrl-C stops at once\n"
    assert place(folder) == wanted
    assert len((folder / "metrics.csv").read_text().splitlines()) == 1 + wanted[0]

    going_on = npstn_("train", "--resume", folder)
    assert (going_on.status, going_on.err) == (0, "")
    first, *_ = going_on.out.splitlines()
    assert first == f"going on {words}: training cnn on 600 drawn digits, turned within ±30°; run: {folder}"
    assert result(folder) == result(whole[0])
    assert going_on.out.splitlines()[-2:] == whole[1].out.replace(str(whole[0]), str(folder)).splitlines()[-2:]


def test_a_second_control_c_stops_at_once(stopped, whole):
    folder, said = stopped(EPOCH + 3, signal.SIGINT, signal.SIGINT)
    assert said.status == 130
    assert said.err == (
        f"\nnpstn: stopped; the run is saved as it was after epoch 1; to go on: npstn train --resume '{folder}'\n"
    )
    assert place(folder) == (1, 0)
    assert npstn_("train", "--resume", folder, "--threads", "1", "--checkpoint-minutes", "0").status == 0
    assert result(folder) == result(whole[0])


def test_control_c_as_an_epoch_ends(tmp_path, whole, monkeypatch):
    line = training.Epoch.line
    monkeypatch.setattr(
        training.Epoch, "line", lambda self, epochs: (signal.raise_signal(signal.SIGINT), line(self, epochs))[1]
    )
    folder = tmp_path / "run"
    assert npstn_("train", *TRAIN, "--out", folder).status == 130
    assert place(folder) == (1, 0)
    assert npstn_("train", "--resume", folder).status == 130
    assert place(folder) == (2, 0)
    assert npstn_("train", "--resume", folder).status == 0
    assert result(folder) == result(whole[0])


def test_a_line_of_the_metrics_ahead_of_the_checkpoint_is_not_doubled(stopped, whole):
    folder, _ = stopped(5, signal.SIGINT)
    with open(folder / "metrics.csv", "a") as file:
        file.write("1,0.5,1.0,1.0,50.0,0.0,0.0,0.0\n2,0.5")
    npstn_("train", "--resume", folder)
    assert result(folder) == result(whole[0])


def test_what_a_killed_process_left_is_removed(stopped, whole):
    folder, _ = stopped(5, signal.SIGINT)
    for name in (".checkpoint.safetensors.12.34", ".weights.safetensors.12.34", ".config.json.1.2"):
        (folder / name).write_text("half")
    (folder / ".mine.12.34").write_text("mine")
    npstn_("train", "--resume", folder)
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == [".mine.12.34"]
    (folder / ".metrics.csv.12.34").write_text("half")
    assert npstn_("train", *TRAIN, "--out", folder, "--force").status == 0
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == [".mine.12.34"]
    (folder / ".mine.12.34").unlink()
    assert result(folder) == result(whole[0])


def test_a_folder_with_nothing_but_what_a_killed_process_left_is_empty(tmp_path):
    (tmp_path / ".config.json.12.34").write_text("half")
    runs.create(tmp_path, replace=False)
    assert list(tmp_path.iterdir()) == []


def test_a_finished_run_says_so_and_writes_its_results_again(tmp_path, whole):
    folder = Path(shutil.copytree(whole[0], tmp_path / "copy"))
    (folder / "weights.safetensors").unlink()
    (folder / "curves.png").write_bytes(b"half")
    said = npstn_("train", "--resume", folder)
    assert (said.status, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0].startswith("this run has been trained to its end: cnn on 600 drawn digits")
    assert lines[1:] == whole[1].out.replace(str(whole[0]), str(folder)).splitlines()[-2:]
    assert result(folder) == result(whole[0])


def test_a_run_goes_on_under_other_versions_with_a_note(stopped, monkeypatch):
    folder, _ = stopped(5, signal.SIGINT)
    monkeypatch.setattr(npstn, "__version__", "9.9")
    said = npstn_("train", "--resume", folder)
    assert said.status == 0
    note, *_ = said.out.splitlines()
    assert re.fullmatch(r"note: the run was started with npstn \S+, not 9\.9: its last digits may differ", note)


# What is wrong with --resume


@pytest.fixture
def copy(tmp_path, whole):
    """A copy of the run, to be damaged."""
    return Path(shutil.copytree(whole[0], tmp_path / "copy"))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--data", "digits"),
        ("--model", "stn"),
        ("--angle", "30"),
        ("--recipe", "fast"),
        ("--epochs", "2"),
        ("--batch-size", "32"),
        ("--lr", "0.1"),
        ("--seed", "0"),
        ("--out", "elsewhere"),
        ("--force", None),
    ],
)
def test_resume_takes_the_recipe_of_the_run(copy, option, value):
    before = snapshot(copy)
    message = refusal(2, "train", "--resume", copy, option, *([value] if value else []))
    assert message == f"argument --resume: goes on with a run as it was started; expected no {option}"
    assert snapshot(copy) == before


def test_resume_of_what_is_no_run(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        message = f"expected a run folder, got {folder}, with no config.json in it"
        assert refusal(1, "train", "--resume", folder) == message


def test_resume_without_a_checkpoint(copy):
    (copy / "checkpoint.safetensors").unlink()
    before = snapshot(copy)
    assert refusal(1, "train", "--resume", copy).startswith(f"expected a checkpoint in {copy}, got none; ")
    assert snapshot(copy) == before


def test_resume_with_other_digits(copy, monkeypatch):
    draw = data.draw_digits
    monkeypatch.setattr(data, "draw_digits", lambda count, seed: draw(count, seed + 5))
    before = snapshot(copy)
    message = f"expected the digits that the run in {copy} was started with, got others (SHA-256)"
    assert refusal(1, "train", "--resume", copy) == message
    assert snapshot(copy) == before


def change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "rmsprop"},
        {"lr": "fast"},
        {"lr": -1.0},
        {"lr": float("nan")},
        {"batch_size": 0},
        {"batch_size": 2.5},
        {"epochs": None},
        {"epochs": 10**12},
        {"dropout": 1.0},
        {"digits_sha256": 5},
        {"versions": "new"},
    ],
    ids=repr,
)
def test_resume_with_a_config_that_is_damaged(copy, changes):
    change_config(copy, **changes)
    before = snapshot(copy)
    assert refusal(1, "train", "--resume", copy).startswith("expected ")
    assert snapshot(copy) == before


@pytest.mark.parametrize("changes", [{"lr": 0.01}, {"epochs": 3}, {"angle": 45.0}, {"model": "stn"}, {"extra": 1}])
def test_resume_with_the_config_of_another_run(copy, changes):
    change_config(copy, **changes)
    path = copy / "checkpoint.safetensors"
    message = f"cannot go on from the checkpoint {path}: it is of a run with another config.json"
    assert refusal(1, "train", "--resume", copy) == message


def rewritten(notes=None, **arrays):
    """The checkpoint as someone would write it who meant harm: with the right hash."""

    def spoil(path):
        old = checkpoint.read_notes(path)
        del old["sha256"]
        state = {**checkpoint.read(path), **arrays}
        checkpoint.write({k: v for k, v in state.items() if v is not None}, path, {**old, **(notes or {})})

    return spoil


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)


NOT_A_NUMBER = np.full(10, np.nan, np.float32)
SPOILT = {
    "cut": (cut, "bytes of arrays, where its header has"),
    "a bit": (flip, "its content is not what was written"),
    "empty": (lambda path: path.write_bytes(b""), "its 0 bytes begin with"),
    "pickle": (lambda path: path.write_bytes(b"\x80\x04}."), "a pickle, which is never read"),
    "weights": (lambda path: npstn.save(models.ClsNet().state_dict(), path), "expected a checkpoint of format 1"),
    "no array": (rewritten(loss=None), "one without 'loss'"),
    "one array more": (rewritten(more=np.ones(1)), "one with 'more', which is unknown"),
    "shape": (rewritten(**{"optimizer.t": np.ones(3, np.int64)}), "'optimizer.t' has the shape (3,), expected (8,)"),
    "dtype": (rewritten(steps=np.array(1.5)), "'steps' is of float64, expected int64"),
    "not finite": (rewritten(**{"net.cnn.fc2.bias": NOT_A_NUMBER}), "expected finite numbers in 'net.cnn.fc2.bias'"),
    "steps": (rewritten(steps=np.array(-1)), "expected a place in an epoch, got -1 steps"),
    "random": (rewritten(random=np.full((2, 6), 2**64 - 1, np.uint64)), "expected the state of a random generator"),
    "format": (rewritten({"format": 2}), "expected a checkpoint of format 1"),
    "epochs": (rewritten({"epochs": 10**9}), "expected a checkpoint of format 1"),
    "fewer epochs": (rewritten({"epochs": 1}), "'epochs' has the shape (2, 8), expected (1, 8)"),
    "no epochs": (rewritten({"epochs": "2"}), "expected a checkpoint of format 1"),
}


@pytest.mark.parametrize(("spoil", "says"), SPOILT.values(), ids=SPOILT)
def test_resume_of_a_damaged_or_foreign_checkpoint(copy, spoil, says):
    spoil(copy / "checkpoint.safetensors")
    before = snapshot(copy)
    message = refusal(1, "train", "--resume", copy)
    assert message.startswith(f"cannot go on from the checkpoint {copy / 'checkpoint.safetensors'}: ")
    assert says in message
    assert snapshot(copy) == before


# What goes wrong on the way


def test_a_disk_that_is_full_leaves_the_checkpoint_before_whole(tmp_path, whole, monkeypatch):
    folder, fsync = tmp_path / "run", os.fsync

    def fill_up():
        def fail(descriptor):
            raise OSError(28, "No space left on device")

        patch.setattr(os, "fsync", fail)

    with monkeypatch.context() as patch:
        at_step(patch, EPOCH + 3, fill_up)
        message = refusal(1, "train", *TRAIN, "--checkpoint-minutes", "0", "--out", folder)
    assert os.fsync is fsync
    path = folder / "checkpoint.safetensors"
    assert message == f"cannot save the checkpoint {path}: No space left on device; the one before it is whole"
    assert place(folder) == (1, 2)
    assert checkpoint.leftovers(folder, runs.FILES) == []
    assert npstn_("train", "--resume", folder).status == 0
    assert result(folder) == result(whole[0])


def test_a_folder_that_vanishes(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    at_step(monkeypatch, 3, lambda: shutil.rmtree(folder))
    message = refusal(1, "train", *TRAIN, "--checkpoint-minutes", "0", "--out", folder)
    assert message == f"cannot save the checkpoint {folder / 'checkpoint.safetensors'}: No such file or directory"


def test_a_loss_that_is_no_number_names_the_last_good_checkpoint(tmp_path, monkeypatch):
    folder, nets, build = tmp_path / "run", [], training.build
    monkeypatch.setattr(training, "build", lambda *arguments: nets.append(build(*arguments)) or nets[-1])
    at_step(monkeypatch, EPOCH + 4, lambda: put(0, np.nan)(nets[-1].cnn.fc2.bias.data))
    message = refusal(1, "train", *TRAIN, "--out", folder)
    assert re.fullmatch(
        r"the loss became nan in epoch 2, step 5, at a learning rate of [\d.e-]+; try an --lr below 0\.003; "
        rf"the last good checkpoint, saved after epoch 1, is {re.escape(str(folder / 'checkpoint.safetensors'))}",
        message,
    )
    assert place(folder) == (1, 0)


def test_weights_that_are_not_finite_do_not_replace_the_last_good_ones(tmp_path, monkeypatch):
    folder, nets, build = tmp_path / "run", [], training.build
    monkeypatch.setattr(training, "build", lambda *arguments: nets.append(build(*arguments)) or nets[-1])
    at_step(monkeypatch, 4, lambda: put(0, np.inf)(nets[-1].cnn.conv1.bias.data))
    message = refusal(1, "train", *TRAIN, "--checkpoint-minutes", "0", "--out", folder)
    assert message.startswith("net.cnn.conv1.bias became NaN or infinite in epoch 1, after 4 steps, at a ")
    assert message.endswith(f"saved in epoch 1, after 3 steps, is {folder / 'checkpoint.safetensors'}")
    assert place(folder) == (0, 3)


# kill -9


def test_a_run_that_is_killed_again_and_again_ends_as_if_it_had_not_been(tmp_path):
    """`python -m tests.kills` does it more often."""
    assert kills.Runs(tmp_path, seed=5).kill_until_the_end(tmp_path / "run", kills=4) > 0
