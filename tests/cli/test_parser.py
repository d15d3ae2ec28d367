"""The command as a whole: its help, its version, and the one line with which it answers a wrong argument."""

import os
import re
import subprocess
import warnings

import numba
import pytest
from command import npstn_, program, refusal

import npstn
from npstn.backend.parallel import get_num_threads
from npstn.training import RECIPES

pytestmark = pytest.mark.usefixtures("small_world")

COMMANDS = "train eval show compare gradcheck data".split()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--angle", "-5"], "argument --angle: expected a number from 0 to 180, got -5"),
        (["--angle", "180.5"], "argument --angle: expected a number from 0 to 180, got 180.5"),
        (["--angle", "nan"], "argument --angle: expected a number from 0 to 180, got nan"),
        (["--angle", "inf"], "argument --angle: expected a number from 0 to 180, got inf"),
        (["--angle", "steep"], "argument --angle: expected a number from 0 to 180, got steep"),
        (["--epochs", "0"], "argument --epochs: expected a whole number of at least 1, got 0"),
        (["--epochs", "-3"], "argument --epochs: expected a whole number of at least 1, got -3"),
        (["--epochs", "1.5"], "argument --epochs: expected a whole number of at least 1, got 1.5"),
        (["--patience", "0"], "argument --patience: expected a whole number of at least 1, got 0"),
        (["--log-steps", "0"], "argument --log-steps: expected a whole number of at least 1, got 0"),
        (["--batch-size", "0"], "argument --batch-size: expected a whole number of at least 1, got 0"),
        (["--batch-size", "many"], "argument --batch-size: expected a whole number of at least 1, got many"),
        (["--lr", "0"], "argument --lr: expected a learning rate above 0 and at most 1000, got 0"),
        (["--lr", "-0.1"], "argument --lr: expected a learning rate above 0 and at most 1000, got -0.1"),
        (["--lr", "nan"], "argument --lr: expected a learning rate above 0 and at most 1000, got nan"),
        (["--lr", "inf"], "argument --lr: expected a learning rate above 0 and at most 1000, got inf"),
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
        (["tps"], "unrecognized arguments: tps; did you mean --transformer tps?"),
        (["RTS"], "unrecognized arguments: RTS; did you mean --task RTS?"),
        (["-epochs", "3"], "unrecognized arguments: -epochs 3; did you mean --epochs?"),
        (
            ["--model=cnn"],
            "unrecognized arguments: --model=cnn; --transformer takes its place: rotation for stn, none for cnn",
        ),
        (["--angle"], "argument --angle: expected one argument"),
        (
            ["--data", "drawn", "--data-dir", "x"],
            "argument --data-dir: goes with --data mnist or auto, not with drawn",
        ),
    ],
    ids=" ".join,
)
def test_wrong_arguments_of_train(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    threads = get_num_threads()
    assert refusal(2, "train", "--out", "run", *arguments) == message
    assert list(tmp_path.iterdir()) == []
    assert get_num_threads() == threads


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("--data", "cifar"),
        ("--data", "digits"),
        ("--data", ""),
        ("--transformer", "stn"),
        ("--recipe", "slow"),
    ],
)
def test_wrong_choices(tmp_path, option, given):
    message = refusal(2, "train", option, given, "--out", tmp_path / "run")
    assert message.startswith(f"argument {option}: invalid choice: {given!r} (choose from ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["fly"], ["eval"], ["train", "--verison"], ["--colour"]], ids=" ".join)
def test_wrong_commands(arguments):
    assert refusal(2, *arguments)


def test_a_run_folder_or_pictures_without_their_option(copy, tmp_path):
    assert refusal(2, "train", copy) == f"unrecognized arguments: {copy}; did you mean --resume {copy}?"
    (tmp_path / "mine").mkdir()
    mine = tmp_path / "mine"
    assert refusal(2, "train", mine) == f"unrecognized arguments: {mine}; did you mean --task {mine}?"


def test_without_a_command_there_is_help():
    said = npstn_()
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith("usage: npstn ") and all(command in said.out for command in COMMANDS)


def test_help_is_printed_by_every_command():
    assert all(command in npstn_("--help").out for command in COMMANDS)
    for command in COMMANDS:
        said = npstn_(command, "--help")
        assert (said.status, said.err) == (0, "")
        assert said.out.startswith(f"usage: npstn {command} ")


# As a program


def test_version(tmp_path):
    done = program("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"npstn {npstn.__version__}\n", "")


def test_help_names_every_option_and_its_default(tmp_path):
    done = program("train", "-h", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    options = "--task --data --data-dir --transformer --angle --recipe --epochs --batch-size --lr --seed --threads"
    for option in [*options.split(), "--out", "--force", "--resume", "--checkpoint-minutes"]:
        assert re.search(rf"^  {option}\b", done.stdout, re.MULTILINE), option
    blog = RECIPES["blog"]
    for name, value in (("--epochs", blog.epochs), ("--batch-size", blog.batch_size), ("--lr", f"{blog.lr:g}")):
        assert re.search(rf"^  {name} .*\b{value} \(blog\)", done.stdout, re.MULTILINE), name


def test_an_error_has_no_traceback_and_leaves_nothing_behind(tmp_path):
    done = program("train", "--data", "drawn", "--angle", "-5", cwd=tmp_path)
    wanted = "npstn: error: argument --angle: expected a number from 0 to 180, got -5\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", wanted)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_who_has_had_enough(tmp_path):
    """As in `npstn gradcheck sub | head -0`."""
    read, write = os.pipe()
    os.close(read)
    done = program("gradcheck", "sub", cwd=tmp_path, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


# What goes wrong while it runs


@pytest.fixture
def unwarned():
    """No warning goes to standard error, where it would add two lines that help nobody."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    assert [str(warning.message) for warning in caught] == []


def test_a_loss_that_is_no_number(tmp_path, unwarned):
    options = ["--data", "drawn", "--recipe", "blog", "--lr", "1000", "--epochs", "3"]
    message = refusal(1, "train", *options, "--out", tmp_path / "run")
    last = re.escape(str(tmp_path / "run" / "checkpoint.safetensors"))
    assert re.fullmatch(
        r"the loss became (nan|inf) in epoch 1, step \d+, at a learning rate of 1e\+03; try an --lr below 1000; "
        rf"the last good checkpoint, saved at the start, is {last}",
        message,
    )
