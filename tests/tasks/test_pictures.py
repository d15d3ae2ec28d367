"""The task of the user's pictures, by itself and through the command: a folder or an .npz from training to pictures."""

import json
import shutil

import numpy as np
import pytest
from command import change_config, names, npstn_, refusal
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from scipy import ndimage

from npstn import runs
from npstn.data import Source, draw_digits
from npstn.tasks import Pictures

pytestmark = pytest.mark.usefixtures("small_world")

QUICK = ["--epochs", "1", "--batch-size", "16"]


def source(images, labels):
    return Source("any", "pictures", lambda train: (images, labels), images.shape[1:3], ("a", "b"), *images.shape[3:])


@pytest.mark.parametrize("channels", [(), (3,)], ids=["grey", "colours"])
def test_nothing_is_distorted(rng, channels):
    images, labels = rng.integers(0, 256, (9, 20, 33, *channels), dtype=np.uint8), np.arange(9) % 2
    task = Pictures(source(images, labels))
    C = 3 if channels else 1
    wanted = np.moveaxis(images.reshape(9, 20, 33, C), 3, 1) / np.float32(255)
    assert task.image == (C, 20, 33)
    for batch in (task.test(), next(task.batches(9, rng, np.arange(9)))):
        assert_array_equal(batch.images, wanted)
        assert batch.images.dtype == np.float32 and batch.images.flags.c_contiguous
        assert_array_equal(batch.labels, labels)
        assert batch.truth == {}
    assert np.isnan(task.measures(task.test(), {"angle_deg": np.arange(9.0)})["angle_correlation"])


def test_with_an_angle_all_colours_are_turned_as_scipy_turns_them(rng):
    images = rng.integers(0, 256, (5, 20, 33, 3), dtype=np.uint8)
    test = Pictures(source(images, np.zeros(5, int)), seed=1, angle=60).test()
    degrees = test.truth["angle_deg"]
    assert len(set(degrees)) == 5 and 20 < np.abs(degrees).max() <= 60
    for image, angle, got in zip(images, degrees, test.images, strict=True):
        for c in range(3):
            style = {"reshape": False, "order": 1, "mode": "grid-constant", "cval": 0.0}
            assert_allclose(got[c], ndimage.rotate(image[..., c] / 255, angle, **style), rtol=0, atol=2e-5)


# Through the command


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """72 pictures in colour, 20 x 26 pixels, of two classes; and things that other programs leave behind."""
    folder = tmp_path_factory.mktemp("pictures") / "mine"
    images, _ = draw_digits(72, seed=0)
    for number, image in enumerate(images[:, 4:24, 1:27]):
        of_class = folder / ("red" if number % 2 else "green")
        of_class.mkdir(parents=True, exist_ok=True)
        colours = [image, 0 * image, image // 3] if number % 2 else [0 * image, image, image // 3]
        Image.fromarray(np.stack(colours, axis=2)).save(of_class / f"{number}.png")
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / "red" / "._1.png").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def run(folder):
    """A run on them, next to the folder."""
    run = folder.parent / "run"
    said = npstn_("train", "--task", folder, "--transformer", "affine", *QUICK, "--out", run)
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith("training a classifier behind ")
    assert f"affine transformer on 60 pictures of mine; run: {run}\n" in said.out
    return run


def test_a_run_on_a_folder(run, folder):
    config = json.loads((run / "config.json").read_text())
    assert config["task"] == {"name": "pictures", "source": "folder", "angle": 0.0, "size": 0}
    assert (config["model"]["image"], config["model"]["classes"]) == ([3, 20, 26], 2)
    assert config["data_folder"] == "../mine"
    assert {"before_after.png", "curves.png", "training.gif"} <= set(names(run))
    assert "parameters.png" not in names(run)  # there is no truth to compare with


def test_eval_show_resume_and_compare(run, tmp_path):
    accuracy = runs.read_metrics(run)["test_accuracy"][-1]
    assert npstn_("eval", run) == (0, f"{accuracy:.2f} %\n", "12 pictures of mine (seed 0)\n")
    assert "turned within ±30°" in npstn_("eval", run, "--angle", 30).err
    assert npstn_("show", run, "--digit", "0", "11", "--out", tmp_path / "x.svg").status == 0
    assert "class green" in (tmp_path / "x.svg").read_text()
    assert npstn_("train", "--resume", run).status == 0
    assert npstn_("compare", run, "--out", tmp_path / "compare.png").status == 0


def test_the_run_and_its_pictures_can_be_moved_together(run, folder, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    for command in ("eval", "show"):
        message = refusal(1, command, tmp_path / "run")
        there = f"in {tmp_path / 'mine'}, got nothing there; say where they are with --data-dir"
        assert message == f"expected the pictures of the run in {tmp_path / 'run'} {there}"
    assert npstn_("eval", tmp_path / "run", "--data-dir", folder).status == 0
    shutil.copytree(folder, tmp_path / "mine")
    assert npstn_("eval", tmp_path / "run").status == 0


def test_pictures_that_have_changed_are_refused(run, folder, tmp_path):
    """With one picture more the sets are divided in another way: the network would be tested on what it has learnt."""
    shutil.copytree(run, tmp_path / "run")
    shutil.copytree(folder, tmp_path / "mine")
    shutil.copy(folder / "red" / "1.png", tmp_path / "mine" / "red" / "again.png")
    for command in (["eval"], ["show"], ["train", "--resume"]):
        message = refusal(1, *command, tmp_path / "run")
        started = f"the pictures that the run in {tmp_path / 'run'} was started with"
        assert message == f"expected {started} in {tmp_path / 'mine'}, got others"


def test_a_class_that_was_renamed_is_named(run, folder, tmp_path):
    """The images and the order of their classes are the same: the network would answer "red" for blue ones."""
    shutil.copytree(run, tmp_path / "run")
    shutil.copytree(folder, tmp_path / "mine")
    (tmp_path / "mine" / "green").rename(tmp_path / "mine" / "blue")
    for command in (["eval"], ["show"], ["train", "--resume"]):
        expected = f"expected a class 'green' in {tmp_path / 'mine'}, as the run in {tmp_path / 'run'} has, got none"
        assert refusal(1, *command, tmp_path / "run") == expected


def test_an_npz_with_a_size_and_an_angle(tmp_path, rng):
    np.savez(tmp_path / "mine.npz", images=rng.integers(0, 256, (24, 40, 30), np.uint8), labels=np.arange(24) % 3)
    given = "--size", 20, "--angle", 10, *QUICK, "--out", tmp_path / "run"
    said = npstn_("train", "--task", tmp_path / "mine.npz", *given)
    assert "on 18 pictures of mine.npz, turned within ±10°" in said.out
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["model"]["image"] == [1, 20, 20]
    assert config["data_folder"] == "../mine.npz"
    assert npstn_("eval", tmp_path / "run").status == 0
    assert npstn_("show", tmp_path / "run", "--digit", 0).status == 0


@pytest.mark.parametrize(
    ("given", "hint"),
    [("rts", "; did you mean RTS?"), ("rotatd", "; did you mean rotated?"), ("pictures", ""), ("x", "")],
)
def test_a_typing_error_is_not_taken_for_a_folder(tmp_path, monkeypatch, given, hint):
    monkeypatch.chdir(tmp_path)
    known = "rotated, R, RTS, P, E, cluttered, addition, a folder of pictures or an .npz"
    assert refusal(2, "train", "--task", given) == f"argument --task: expected {known}; got {given!r}{hint}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--data", "drawn"], 2, "argument --data: goes with tasks of digits; the pictures come from {}"),
        (
            ["--curriculum", "0.5"],
            2,
            "argument --curriculum: goes with distortions; your pictures have none without --angle",
        ),
        (["--data-dir", "x"], 2, "argument --data-dir: goes with tasks of digits; the pictures come from {}"),
        (["--distractors", "3"], 2, "argument --distractors: goes with cluttered, not with pictures"),
        (["--size", "1001"], 2, "argument --size: expected a whole number from 0 to 1000, got 1001"),
        (
            ["--size", "12"],
            2,
            "argument --network: expected images of at least 16 x 16 pixels, got 12 x 12; "
            "--network fcn takes images of any size",
        ),
    ],
)
def test_wrong_arguments(folder, tmp_path, arguments, status, message):
    given = "train", "--task", folder, *arguments, "--out", tmp_path / "run"
    assert refusal(status, *given) == message.format(folder)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "none.npz"
    message = refusal(1, "train", "--task", path, "--out", tmp_path / "run")
    assert message == f"cannot read {path}: No such file or directory"


def test_eval_takes_neither_digits_nor_another_size(run):
    message = "argument --data: expected a folder or an .npz for a run of pictures, got drawn"
    assert refusal(2, "eval", run, "--data", "drawn") == message
    assert refusal(2, "eval", run, "--size", "20").startswith("argument --size: the network takes pictures of one size")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("task.source", "drawn"),
        ("task.name", "rotated"),
        ("task.size", -1),
        ("data_folder", None),
        ("model.image", [2, 20, 26]),
        ("model.image", [3, 20, 10**6]),
        ("model.image", [3, 20, "26"]),
        ("model.image", [3, 20]),
        ("model.classes", 1),
        ("model.classes", 10**9),
        ("model.classes", 2.5),
        ("classes", ["one"]),
        ("classes", [1, 2]),
        ("classes", 2),
    ],
)
def test_a_damaged_config_is_refused(run, tmp_path, path, value):
    shutil.copytree(run, tmp_path / "run")
    change_config(tmp_path / "run", path, value)
    assert refusal(1, "eval", tmp_path / "run").startswith("expected what a run writes in ")
