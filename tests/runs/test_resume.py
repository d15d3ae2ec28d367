"""A run that is stopped, killed or damaged: that it goes on as if nothing had been, and what is refused."""

import itertools
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from command import QUICK, change_config, few_digits, npstn_, refusal, snapshot
from kills import contents, place_of

import npstn
from npstn import models, storage
from npstn.training import loop

pytestmark = pytest.mark.usefixtures("small_world")

TRAIN = [*QUICK, "--transformer", "none", "--seed", "3", "--angle", "30"]
EPOCH = 19  # steps of an epoch of 600 images


@pytest.fixture(scope="module")
def whole(small_world, tmp_path_factory):
    """A run without a stop, which no test may change, and what the command said."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return folder, npstn_("train", *TRAIN, "--out", folder)


@pytest.fixture
def copy(tmp_path, whole):
    """A copy of that run, to be damaged."""
    return Path(shutil.copytree(whole[0], tmp_path / "copy"))


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """A function that starts a run which gets signals in a step, counted from 1. Gives its folder and what it said."""

    def run(step, *signals):
        steps, nll_loss = itertools.count(1), loop.F.nll_loss

        def acting(output, labels):
            if len(labels) <= 32 and next(steps) == step:  # and not the test set
                for number in signals:
                    signal.raise_signal(number)
            return nll_loss(output, labels)

        with monkeypatch.context() as patch:
            patch.setattr(loop.F, "nll_loss", acting)
            before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
            said = npstn_("train", *TRAIN, "--out", tmp_path / "a run")
            assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
        return tmp_path / "a run", said

    return run


def last_lines(whole, folder):
    """What a run in this folder says at last: the accuracy and the path of its only picture."""
    return whole[1].out.replace(str(whole[0]), str(folder)).splitlines()[-2:]


# To go on


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
    assert place_of(folder) == wanted
    assert len((folder / "metrics.csv").read_text().splitlines()) == 1 + wanted[0]

    going_on = npstn_("train", "--resume", folder)
    assert (going_on.status, going_on.err) == (0, "")
    first, *_ = going_on.out.splitlines()
    what = "a classifier without a transformer on 600 drawn digits, turned within ±30°"
    assert first == f"going on {words}: training {what}; run: {folder}"
    assert contents(folder) == contents(whole[0])
    assert going_on.out.splitlines()[-2:] == last_lines(whole, folder)


def test_a_second_control_c_stops_at_once(stopped, whole):
    folder, said = stopped(EPOCH + 3, signal.SIGINT, signal.SIGINT)
    assert said.status == 130
    assert said.err == (
        f"\nnpstn: stopped; the run is saved as it was after epoch 1; to go on: npstn train --resume '{folder}'\n"
    )
    assert place_of(folder) == (1, 0)
    assert npstn_("train", "--resume", folder, "--threads", "1", "--checkpoint-minutes", "0").status == 0
    assert contents(folder) == contents(whole[0])


def test_control_c_as_an_epoch_ends(tmp_path, whole):
    folder = tmp_path / "run"

    def stop(line):
        if line.startswith("epoch"):
            signal.raise_signal(signal.SIGINT)

    assert npstn_("train", *TRAIN, "--out", folder, after_line=stop).status == 130
    assert place_of(folder) == (1, 0)
    assert npstn_("train", "--resume", folder, after_line=stop).status == 130
    assert place_of(folder) == (2, 0)
    assert npstn_("train", "--resume", folder).status == 0
    assert contents(folder) == contents(whole[0])


def test_the_film_of_a_run_that_was_resumed_is_that_of_one_that_was_not(trained, tmp_path):
    folder = tmp_path / "run"

    def stop(line):
        if line.startswith("epoch 2/2"):
            raise KeyboardInterrupt  # after the second frame is written, and before the second checkpoint is

    options = [*QUICK, "--seed", "3", "--angle", "30"]
    assert npstn_("train", *options, "--out", folder, after_line=stop).status == 130
    # The second epoch is gone through again, and replaces its frame.
    frames = npstn.load(folder / "frames.safetensors")
    npstn.save({**frames, "2": np.zeros_like(frames["2"])}, folder / "frames.safetensors")
    assert npstn_("train", "--resume", folder).status == 0
    assert contents(folder) == contents(trained[0])


@pytest.mark.parametrize("step", [4, 5, 6])
def test_the_early_frames_of_a_run_that_was_stopped_there(trained, tmp_path, monkeypatch, step):
    """Before, at, and after a step with a frame: the film is that of the run that was not stopped."""
    folder, take_step, count = tmp_path / "run", loop._step, itertools.count(1)

    def stopping(*given):
        if next(count) == step:
            signal.raise_signal(signal.SIGINT)
        return take_step(*given)

    monkeypatch.setattr(loop, "_step", stopping)
    assert npstn_("train", *QUICK, "--seed", "3", "--angle", "30", "--out", folder).status == 130
    kept = sorted(npstn.load(folder / "frames.safetensors"))
    assert kept == ["0", *(f"0+{early}" for early in (1, 2, 4, 5) if early <= step)]
    assert npstn_("train", "--resume", folder).status == 0
    assert sorted(npstn.load(folder / "frames.safetensors")) == ["0", *(f"0+{k}" for k in (1, 10, 2, 4, 5)), "1", "2"]
    assert contents(folder) == contents(trained[0])


def test_a_line_of_the_metrics_ahead_of_the_checkpoint_is_not_doubled(stopped, whole):
    folder, _ = stopped(5, signal.SIGINT)
    with open(folder / "metrics.csv", "a") as file:
        file.write("1,0.5,1.0,1.0,50.0,0.0,0.0,0.0\n2,0.5")
    npstn_("train", "--resume", folder)
    assert contents(folder) == contents(whole[0])


def test_what_a_killed_process_left_is_removed(stopped, whole):
    folder, _ = stopped(5, signal.SIGINT)
    for name in (".checkpoint.safetensors.12.34", ".weights.safetensors.12.34", ".config.json.1.2"):
        (folder / name).write_text("half")
    (folder / ".mine.12.34").write_text("mine")
    npstn_("train", "--resume", folder)
    assert sorted(path.name for path in folder.glob(".*")) == [".mine.12.34"]
    (folder / ".metrics.csv.12.34").write_text("half")
    assert npstn_("train", *TRAIN, "--out", folder, "--force").status == 0
    assert sorted(path.name for path in folder.glob(".*")) == [".mine.12.34"]
    (folder / ".mine.12.34").unlink()
    assert contents(folder) == contents(whole[0])


def test_a_finished_run_says_so_and_writes_its_results_again(copy, whole):
    (copy / "weights.safetensors").unlink()
    (copy / "curves.png").write_bytes(b"half")
    said = npstn_("train", "--resume", copy)
    assert (said.status, said.err) == (0, "")
    first, *others = said.out.splitlines()
    assert first.startswith("this run has been trained to its end: a classifier without a transformer on 600 drawn ")
    assert others == last_lines(whole, copy)
    assert contents(copy) == contents(whole[0])


def test_a_run_goes_on_under_other_versions_with_a_note(copy, monkeypatch):
    monkeypatch.setattr(npstn, "__version__", "9.9")
    said = npstn_("train", "--resume", copy)
    assert said.status == 0
    note, *_ = said.out.splitlines()
    said = r"note: the run was started with npstn \S+, not 9\.9: it will end with other weights than there"
    assert re.fullmatch(said, note)


# What is wrong with --resume


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--task", "rotated"),
        ("--data", "drawn"),
        ("--transformer", "rotation"),
        ("--angle", "30"),
        ("--recipe", "fast"),
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


def test_resume_with_a_folder_of_files_that_its_digits_do_not_have(copy):
    message = "argument --data-dir: expected no folder of files for drawn digits, got x: leave --data-dir out"
    assert refusal(2, "train", "--resume", copy, "--data-dir", "x") == message


def test_resume_of_what_is_no_run(tmp_path):
    said = {"": ", with no config.json in it", "none": ": there is no such folder"}
    for name, what in said.items():
        assert refusal(1, "train", "--resume", tmp_path / name) == f"expected a run folder, got {tmp_path / name}{what}"
    assert list(tmp_path.iterdir()) == []


def test_resume_without_a_checkpoint(copy):
    (copy / "checkpoint.safetensors").unlink()
    before = snapshot(copy)
    assert refusal(1, "train", "--resume", copy).startswith(f"expected a checkpoint in {copy}, got none; ")
    assert snapshot(copy) == before


def test_resume_with_other_digits(copy, monkeypatch):
    monkeypatch.setattr("npstn.data.sources.draw_digits", lambda count, seed: few_digits(count, seed + 5))
    before = snapshot(copy)
    message = f"expected the images that the run in {copy} was started with, got others (SHA-256)"
    assert refusal(1, "train", "--resume", copy) == message
    assert snapshot(copy) == before


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("recipe.lr", 0.01),
        ("recipe.dropout", 0.5),
        ("task.angle", 45.0),
        ("model.transformer", "rotation"),
        ("seed", 4),
    ],
)
def test_resume_with_the_config_of_another_run(copy, path, value):
    change_config(copy, path, value)
    path = copy / "checkpoint.safetensors"
    message = f"cannot go on from the checkpoint {path}: it belongs to a run with another config.json"
    assert refusal(1, "train", "--resume", copy) == message


def rewritten(change=lambda notes, arrays: None):
    """The checkpoint as someone would write it who meant harm: with the right hash."""

    def spoil(path):
        notes, arrays = storage.read_notes(path), storage.read(path)
        del notes["sha256"]
        change(notes, arrays)
        storage.write(arrays, path, notes)

    return spoil


def with_state(**entries):
    return rewritten(lambda notes, arrays: notes["state"].update(entries))


def with_arrays(**entries):
    return rewritten(lambda notes, arrays: arrays.update(entries))


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)


NOT_A_NUMBER = np.full(10, np.nan, np.float32)
SPOILT = {
    "cut": (cut, "expected a safetensors file"),
    "a bit": (flip, "its content is not what was written"),
    "empty": (lambda path: path.write_bytes(b""), "its 0 bytes begin with"),
    "pickle": (lambda path: path.write_bytes(b"\x80\x04}."), "a pickle, which is never read"),
    "weights": (lambda path: npstn.save(models.ClsNet().state_dict(), path), "expected a checkpoint of format 2"),
    "no state": (rewritten(lambda notes, arrays: notes.pop("state")), "expected a checkpoint of format 2"),
    "another format": (rewritten(lambda notes, arrays: notes["config"].update(format=1)), "another config.json"),
    "no array": (rewritten(lambda notes, arrays: arrays.pop("net.cnn.fc2.bias")), "'net.cnn.fc2.bias'"),
    "one array more": (with_arrays(more=np.ones(1)), "'more'"),
    "shape": (with_arrays(**{"optimizer.t": np.ones(3, np.int64)}), "(3,)"),
    "dtype": (with_arrays(**{"optimizer.t": np.ones(8)}), "float64"),
    "not finite": (with_arrays(**{"net.cnn.fc2.bias": NOT_A_NUMBER}), "expected finite numbers"),
    "no number": (rewritten(lambda notes, arrays: notes["state"].pop("loss")), "expected numbers to have the entries "),
    "no numbers": (rewritten(lambda notes, arrays: notes.update(state=[])), "expected numbers to have the entries "),
    "steps": (with_state(steps=-1), "expected steps to be an integer of at least 0, got -1"),
    "random": (with_state(random={"at_start": {}, "now": {}}), "expected the state of a PCG64 random generator"),
    "epochs": (with_state(epochs=10**9), "expected epochs to be a list of rows"),
    "columns": (with_state(epochs=[{"epoch": 1}]), "its epochs are not those of such a run"),
    "too many epochs": (
        rewritten(lambda notes, arrays: notes["state"]["epochs"].append({**notes["state"]["epochs"][0], "epoch": 3})),
        "its epochs are not those of such a run",
    ),
}


@pytest.mark.parametrize(("spoil", "says"), SPOILT.values(), ids=SPOILT)
def test_resume_of_a_damaged_or_foreign_checkpoint(copy, spoil, says):
    spoil(copy / "checkpoint.safetensors")
    before = snapshot(copy)
    message = refusal(1, "train", "--resume", copy)
    assert message.startswith(f"cannot go on from the checkpoint {copy / 'checkpoint.safetensors'}: ")
    assert says in message
    assert snapshot(copy) == before
