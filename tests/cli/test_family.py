"""The command for tasks and transformers together: train, with its pictures, eval, show, compare."""

import re

import numpy as np
import pytest
from command import npstn_, refusal
from family import ONCE, size, trained_and_shown

from npstn import runs
from npstn.figures.before_after import before_after
from npstn.runs.folder import load_net
from npstn.tasks import TASKS
from npstn.training import look
from npstn.transformers import TRANSFORMERS

pytestmark = pytest.mark.usefixtures("small_world")


@pytest.fixture
def undrawn(monkeypatch):
    """No pictures at the end of a training: they take longer than the rest."""
    monkeypatch.setattr("npstn.figures.run.draw_run", lambda *given: [])


# Each task and each transformer in one pair; tests/long has all pairs.
PAIRS = [
    ("rotated", "tps"),
    ("R", "similarity"),
    ("RTS", "affine"),
    ("P", "projective"),
    ("E", "tps"),
    ("cluttered", "attention"),
    ("addition", "rotation"),
]


@pytest.mark.filterwarnings("error::RuntimeWarning", "error::UserWarning")
@pytest.mark.parametrize(("task", "transformer"), PAIRS)
def test_a_task_with_a_transformer(tmp_path, task, transformer):
    said = trained_and_shown(tmp_path / "run", "--task", task, "--transformer", transformer)
    a = "an" if transformer in ("affine", "attention") else "a"
    assert f"training a classifier behind {a} {transformer} transformer on 600 " in said.out


def test_every_task_of_digits_and_every_transformer_is_in_a_pair():
    tasks, transformers = map(set, zip(*PAIRS, strict=True))
    assert tasks == TASKS.keys() - {"pictures"} and transformers == TRANSFORMERS.keys()


def test_two_transformers_side_by_side(tmp_path):
    run = tmp_path / "run"
    options = "--task", "addition", "--transformer", "tps", "--grid-size", 2, "--bounded", 1, "--parallel", 2
    said = trained_and_shown(run, *options, "--network", "cnn")
    assert "training a classifier behind 2 tps transformers on 600 pairs of drawn digits, turned within" in said.out
    config = runs.read_config(run)
    assert config.model == {
        "transformer": "tps",
        "image": (2, 42, 42),
        "classes": 19,
        "network": "cnn",
        "parallel": 2,
        "grid_size": 2,
        "span": 0.9,
        "bounded": 1,
    }
    task = config.open_task(run)
    looks = look(load_net(run, config), task.few())
    picture = before_after(looks[0][1].U.data, np.concatenate([seen.V.data for _, seen in looks]))
    assert len(picture.axes) == 3
    assert size(run / "before_after.png") == tuple(int(150 * inches) for inches in picture.get_size_inches())
    resumed = npstn_("train", "--resume", run)
    assert resumed.status == 0 and resumed.out.startswith("this run has been trained to its end:")


def test_a_localiser_that_rests_is_named_by_its_number(tmp_path, undrawn):
    options = "--task", "RTS", "--transformer", "affine", "--parallel", 2, "--lr", "1e-9"
    said = npstn_("train", *ONCE, *options, "--out", tmp_path / "run")
    (warning,) = (line for line in said.out.splitlines() if line.startswith("warning: local"))
    assert warning.startswith("warning: localisation networks 1, 2 answer nearly the same for every image. Their ")
    assert re.search(r"images by angle 2\d\.\d°, scale 0\.1\d+, shift x \d\.\d px, shift y \d\.\d px\. So", warning)
    assert "correlation" not in said.out  # neither of the two is bound to undo all of it


def test_runs_of_a_family_next_to_each_other(tmp_path, undrawn):
    names = {}
    for name, options in {
        "a": ["--task", "R", "--transformer", "affine"],
        "b": ["--task", "R", "--transformer", "tps", "--grid-size", "3"],
        "c": ["--task", "R", "--transformer", "tps", "--grid-size", "2", "--network", "fcn"],
    }.items():
        assert npstn_("train", *ONCE, *options, "--out", tmp_path / name).status == 0
        names[name] = tmp_path / name
    said = npstn_("compare", *names.values(), "--out", tmp_path / "x.png")
    assert said.status == 0
    rows = [re.split("  +", line)[0] for line in said.out.splitlines()[1:4]]
    assert rows == ["affine, network blog", "tps, network blog, grid size 3", "tps, network fcn, grid size 2"]


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--transformer", "affine", "--span", "0.5"], "argument --span: goes with tps, not with affine"),
        (
            ["--task", "cluttered", "--angle", "5"],
            "argument --angle: goes with rotated or R or RTS or addition or pictures, not with cluttered",
        ),
        (["--transformer", "none", "--parallel", "2"], "argument --parallel: goes with a transformer, not with none"),
        (["--parallel", "17"], "argument --parallel: expected a whole number from 1 to 16, got 17"),
        (["--grid-size", "1"], "argument --grid-size: expected a whole number from 2 to 16, got 1"),
        (["--grid-size", "2.5"], "argument --grid-size: expected a whole number from 2 to 16, got 2.5"),
        (["--transformer", "tps", "--span", "2"], "argument --span: expected a number from 0.1 to 1, got 2"),
        (["--transfomer", "affine"], "unrecognized arguments: --transfomer affine; did you mean --transformer?"),
        (["--netwrok=cnn"], "unrecognized arguments: --netwrok=cnn; did you mean --network?"),
    ],
)
def test_wrong_options(tmp_path, options, message):
    assert refusal(2, "train", *options, "--out", tmp_path / "run") == message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "given", "meant"),
    [
        ("--task", "rts", "RTS"),
        ("--task", "RST", "RTS"),
        ("--task", "clutered", "cluttered"),
        ("--transformer", "projectiv", "projective"),
        ("--transformer", "TPS", "tps"),
        ("--network", "CNN", "cnn"),
        ("--recipe", "blogs", "blog"),
        ("--data", "minst", "mnist"),
    ],
)
def test_a_name_that_is_nearly_right_is_suggested(tmp_path, option, given, meant):
    message = refusal(2, "train", option, given, "--out", tmp_path / "run")
    assert message.startswith(f"argument {option}: ") and repr(given) in message
    assert message.endswith(f"; did you mean {meant}?")
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_like_no_other_is_not():
    assert "did you mean" not in refusal(2, "train", "--task", "imagenet")
    assert "did you mean" not in refusal(2, "train", "--colour", "red")


def test_a_command_and_an_operation_are_suggested():
    assert refusal(2, "trian").endswith("; did you mean train?")
    assert refusal(2, "eval", "run", "--sede", "3").endswith("; did you mean --seed?")
    assert refusal(2, "gradcheck", "sofmax").endswith("got 'sofmax'; did you mean softmax?")


def test_images_that_are_too_small_for_a_network(tmp_path, monkeypatch, undrawn):
    from npstn.data import SOURCES, Source

    tiny = np.zeros((60, 20, 20), np.uint8), np.arange(60) % 10
    source = Source("tiny", "dots", lambda train: tiny, (20, 20), tuple("0123456789"))
    monkeypatch.setitem(SOURCES, "tiny", lambda folder=None: source)
    options = "--data", "tiny", "--transformer", "affine"
    message = refusal(2, "train", *options, "--network", "cnn", "--out", tmp_path / "run")
    assert message == (
        "argument --network: expected images of at least 28 x 28 pixels, got 20 x 20; "
        "--network fcn takes images of any size"
    )
    assert list(tmp_path.iterdir()) == []
    said = npstn_("train", *options, "--network", "fcn", "--epochs", 1, "--out", tmp_path / "run")
    assert said.status == 0


def test_pictures_that_are_not_there(tmp_path):
    expected = "argument --task: expected a folder of pictures or an .npz, got "
    none, text = tmp_path / "none", tmp_path / "a.txt"
    text.write_text("mine")
    assert refusal(2, "train", "--task", none) == f"{expected}'{none}', and there is nothing of that name"
    assert refusal(2, "train", "--task", text) == f"{expected}'{text}', which is neither"


def test_the_help_says_which_task_has_which_default():
    text = " ".join(npstn_("train", "--help").out.split())
    assert "within +-A degrees; by default 45 (rotated, RTS, addition), 90 (R), 0 (pictures)" in text
    assert "by a normal of C pixels; 5 by default" in text
