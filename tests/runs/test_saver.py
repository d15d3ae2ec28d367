"""When a run is saved, how it is stopped, and what is left of it where saving fails."""

import os
import re
import shutil
import signal
import threading

import numpy as np
import pytest
from command import QUICK, npstn_, refusal, score_epochs
from kills import contents, place_of
from numpy.testing import assert_array_equal

import npstn
from npstn import models, runs, storage
from npstn.runs import Config, Saver
from npstn.runs.folder import FILES
from npstn.training import Recipe, State, loop

pytestmark = pytest.mark.usefixtures("small_world")

TRAIN = [*QUICK, "--transformer", "none", "--seed", "3", "--angle", "30"]
EPOCH = 19  # steps of an epoch of 600 images


@pytest.fixture
def start():
    """A training at its start, and the config of its run."""
    config = Config(
        task={"name": "rotated", "source": "drawn", "angle": 45.0},
        model={"transformer": "none", "image": (1, 28, 28), "classes": 10, "network": "blog", "parallel": 1},
        recipe=Recipe("adamw", lr=4e-3, batch_size=16, epochs=3, dropout=0.0),
        recipe_name="fast",
        seed=0,
        data_folder=None,
        data_sha256="0" * 64,
        versions={},
    )
    return config, State(config.build_net(), config.recipe, 100)


def handlers():
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_a_run_is_saved_every_few_minutes(tmp_path, start, monkeypatch):
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    config, state = start
    saved = []
    with Saver(tmp_path, config, state, minutes=2) as saver:
        saver.save()
        for step in range(1, 11):
            now += 45
            state.steps = step
            saver.after_step()
            saved += [step] if place_of(tmp_path) == (0, step) else []
    assert saved == [3, 6, 9]


@pytest.mark.parametrize("error", [ArithmeticError, None])
def test_signals_are_handled_as_ever_afterwards(tmp_path, start, error):
    before = handlers()
    try:
        with Saver(tmp_path, *start, minutes=1):
            assert all(now != then for now, then in zip(handlers(), before, strict=True))
            if error:
                raise error
    except ArithmeticError:
        pass
    assert handlers() == before


def test_a_signal_that_is_ignored_stays_so(tmp_path, start):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Saver(tmp_path, *start, minutes=1) as saver:
            signal.raise_signal(signal.SIGINT)
            saver.save()
    finally:
        signal.signal(signal.SIGINT, before)


def test_outside_of_the_main_thread_there_are_no_signals(tmp_path, start):
    done = []

    def work():
        with Saver(tmp_path, *start, minutes=1) as saver:
            saver.save()
        done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done


def test_what_is_not_finite_is_not_saved(tmp_path, start):
    config, state = start
    runs.save_checkpoint(tmp_path, config, state)
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    state.net.cnn.fc1.bias.data[3] = np.nan
    with pytest.raises(npstn.training.TrainingError, match="net.cnn.fc1.bias became NaN or infinite at the start"):
        runs.save_checkpoint(tmp_path, config, state)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


def test_a_loss_that_became_infinite_on_the_test_images_can_be_saved(tmp_path, start):
    config, state = start
    columns = "epoch", "test_loss", "angle_correlation"
    state.end_epoch(dict(zip(columns, (1, np.inf, np.nan), strict=True)))
    runs.save_checkpoint(tmp_path, config, state)
    again = State(config.build_net(), config.recipe, 100)
    runs.load_checkpoint(tmp_path, config, again, columns)
    assert_array_equal(list(again.epochs[0].values()), [1, np.inf, np.nan])


# The weights of the best epoch


def weights_after_each_epoch(folder, *options):
    """Train; give the last and the best weights as bytes, when each epoch is told, and what is said."""
    seen = []

    def look(line):
        if line.startswith("epoch"):
            names = "weights.safetensors", "best.safetensors"
            seen.append([(folder / name).read_bytes() if (folder / name).exists() else None for name in names])

    return seen, npstn_("train", *TRAIN, *options, "--out", folder, after_line=look)


def test_the_best_weights_are_those_of_the_first_best_epoch(tmp_path, monkeypatch):
    score_epochs(monkeypatch, 50.0, 70.0, 70.0, 60.0)
    folder = tmp_path / "run"
    seen, said = weights_after_each_epoch(folder, "--epochs", "4")
    weights = [last for last, _ in seen]
    assert (folder / "best.safetensors").read_bytes() == weights[1] != weights[2]
    assert (folder / "weights.safetensors").read_bytes() == weights[3]
    # They follow the checkpoint: when an epoch is told, they are those of the best before it.
    assert [best for _, best in seen] == [None, weights[0], weights[1], weights[1]]
    last = said.out.splitlines()[-2]
    assert last == "test accuracy 60.00 % after 4 epochs; the best was 70.00 % after epoch 2 (best.safetensors)"


def test_the_weights_of_a_run_are_the_average_of_those_that_are_trained(tmp_path):
    weights_after_each_epoch(tmp_path / "run", "--epochs", "1")
    kept = npstn.load(tmp_path / "run" / "checkpoint.safetensors")
    for file in ("weights.safetensors", "best.safetensors"):
        for name, array in npstn.load(tmp_path / "run" / file).items():
            assert_array_equal(array, kept[f"average.module.{name}"])
            assert (array != kept[f"net.{name}"]).any()


def test_best_weights_that_a_kill_has_left_out_are_written_when_the_run_goes_on(tmp_path, monkeypatch):
    weights_after_each_epoch(tmp_path / "whole")
    folder = tmp_path / "run"

    def killed(state, path):
        if len(runs.read_metrics(folder)["epoch"]) == 2:
            raise KeyboardInterrupt
        npstn.save(state, path)

    with monkeypatch.context() as patch:
        patch.setattr("npstn.runs.saver.save", killed)
        assert npstn_("train", *TRAIN, "--out", folder).status == 130
    assert place_of(folder) == (2, 0)
    best, wanted = ((run / "best.safetensors").read_bytes() for run in (folder, tmp_path / "whole"))
    assert best != wanted  # those of the first epoch
    assert npstn_("train", "--resume", folder).status == 0
    assert contents(folder) == contents(tmp_path / "whole")


# The command


@pytest.fixture
def in_step(monkeypatch):
    """A function that lets another act in a step of the training, counted from 1; it is given the network."""
    nll_loss, build = loop.F.nll_loss, models.build

    def arrange(number, act):
        nets, steps = [], 0

        def building(*arguments, **others):
            nets.append(build(*arguments, **others))
            return nets[-1]

        def acting(output, labels):
            nonlocal steps
            steps += len(labels) <= 32  # and not the test set
            if len(labels) <= 32 and steps == number:
                act(nets[-1])
            return nll_loss(output, labels)

        monkeypatch.setattr(models, "build", building)
        monkeypatch.setattr(loop.F, "nll_loss", acting)

    return arrange


def test_a_disk_that_fills_up_leaves_the_checkpoint_before_whole(tmp_path, in_step, monkeypatch):
    npstn_("train", *TRAIN, "--out", tmp_path / "whole")
    folder, fsync = tmp_path / "run", os.fsync

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    in_step(EPOCH + 3, lambda net: monkeypatch.setattr(os, "fsync", fail))
    message = refusal(1, "train", *TRAIN, "--checkpoint-minutes", "0", "--out", folder)
    monkeypatch.setattr(os, "fsync", fsync)
    path = folder / "checkpoint.safetensors"
    assert message == f"cannot save the checkpoint {path}: No space left on device; the one before it is whole"
    assert place_of(folder) == (1, 2)
    assert storage.leftovers(folder, FILES) == []
    in_step(0, None)
    assert npstn_("train", "--resume", folder).status == 0
    assert contents(folder) == contents(tmp_path / "whole")


def test_a_disk_that_is_too_full_for_the_weights(tmp_path, monkeypatch):
    def save(state, path):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(npstn, "save", save)
    message = refusal(1, "train", *TRAIN, "--out", tmp_path / "run")
    assert message == f"cannot write the run folder {tmp_path / 'run'}: No space left on device"


def test_a_folder_that_vanishes(tmp_path, in_step):
    folder = tmp_path / "run"
    in_step(3, lambda net: shutil.rmtree(folder))
    message = refusal(1, "train", *TRAIN, "--checkpoint-minutes", "0", "--out", folder)
    assert message == f"cannot save the checkpoint {folder / 'checkpoint.safetensors'}: No such file or directory"


def test_control_c_before_the_first_epoch_is_done(tmp_path, monkeypatch):
    def save(state, path):
        raise KeyboardInterrupt

    monkeypatch.setattr(npstn, "save", save)
    said = npstn_("train", *TRAIN, "--out", tmp_path / "run")
    how = f"npstn train --resume {tmp_path / 'run'}"
    assert said.status == 130
    assert said.err == f"\nnpstn: stopped; the run is saved as it was at the start; to go on: {how}\n"


def test_a_loss_that_is_no_number_names_the_last_good_checkpoint(tmp_path, in_step):
    folder = tmp_path / "run"
    in_step(EPOCH + 4, lambda net: net.cnn.fc2.bias.data.fill(np.nan))
    message = refusal(1, "train", *TRAIN, "--out", folder)
    assert re.fullmatch(
        r"the loss became nan in epoch 2, step 5, at a learning rate of [\d.e-]+; try an --lr below 0\.006; "
        rf"the last good checkpoint, saved after epoch 1, is {re.escape(str(folder / 'checkpoint.safetensors'))}",
        message,
    )
    assert place_of(folder) == (1, 0)


def test_weights_that_are_not_finite_do_not_replace_the_last_good_ones(tmp_path, in_step):
    folder = tmp_path / "run"
    in_step(4, lambda net: net.cnn.conv1.bias.data.fill(np.inf))
    message = refusal(1, "train", *TRAIN, "--checkpoint-minutes", "0", "--out", folder)
    assert message.startswith("net.cnn.conv1.bias became NaN or infinite in epoch 1, after 4 steps, at a ")
    assert message.endswith(f"saved in epoch 1, after 3 steps, is {folder / 'checkpoint.safetensors'}")
    assert place_of(folder) == (0, 3)
