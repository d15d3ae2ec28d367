"""`npstn show`: the picture of single test images, and where it is written."""

import re

import numpy as np
import pytest
from command import change_config, npstn_, refusal, snapshot

import npstn
from npstn import Tensor, models, runs
from npstn.figures import single_images
from npstn.training import evaluate, misread

pytestmark = pytest.mark.usefixtures("small_world")

NOWHERE = "cannot write none/x.png: No such file or directory; choose another place with --out"


def test_show_writes_its_picture_into_the_run(copy):
    said = npstn_("show", copy)
    assert said == (0, f"{copy / 'show.png'}\n", "")
    first = (copy / "show.png").read_bytes()
    assert first.startswith(b"\x89PNG\r\n\x1a\n")
    npstn_("show", copy, "--digit", "99")
    assert (copy / "show.png").read_bytes() != first


def test_show_writes_where_it_is_told_and_nothing_else(trained, tmp_path):
    before = snapshot(trained[0])
    said = npstn_("show", trained[0], "--digit", "3", "7", "--out", tmp_path / "x.svg")
    assert said == (0, f"{tmp_path / 'x.svg'}\n", "")
    drawn = (tmp_path / "x.svg").read_text()
    assert "test image 3" in drawn and "test image 7" in drawn and "test image 0" not in drawn
    assert snapshot(trained[0]) == before


def test_show_draws_an_image_with_a_parameter_set(trained, tmp_path):
    path = tmp_path / "x.svg"
    said = npstn_("show", trained[0], "--digit", "7", "--parameter", "-60", "0", "3e1", "--out", path)
    assert said == (0, f"{path}\n", "")
    drawn = path.read_text()
    assert re.findall(r"set to: angle (\S+)°", drawn) == ["−60", "+0", "+30"]
    assert drawn.count("test image 7") == 3
    assert npstn_("show", trained[0], "--parameter", "angle_deg", "-60.5", "--out", path).status == 0
    drawn = path.read_text()
    assert "set to: angle −60.5°" in drawn and "test image 0" in drawn


def test_show_of_parameters_where_there_are_several(small_world, tmp_path):
    run, options = tmp_path / "run", ["--data", "drawn", "--epochs", "1", "--batch-size", "100", "--out"]
    assert npstn_("train", "--transformer", "attention", *options, run).status == 0
    known = "expected the name of a parameter of the transformer attention (s, t_x, t_y), and then its values; got "
    assert refusal(1, "show", run, "--parameter", "0.5", "1") == known + "0.5"
    assert refusal(1, "show", run, "--parameter", "tx", "1") == known + "tx"
    assert npstn_("show", run, "--parameter", "t_x", "-0.5", "0.5", "--out", tmp_path / "x.svg").status == 0
    assert re.findall(r"set to: t_x (\S+?);", (tmp_path / "x.svg").read_text()) == ["−0.5", "0.5"]
    several = tmp_path / "several"
    assert npstn_("train", "--parallel", "2", *options, several).status == 0
    two = "2 of them side by side: parameters can be set in a single one only"
    assert refusal(1, "show", several, "--parameter", "3") == f"expected a run with one transformer, got {two}"


def test_show_of_misread_images_has_the_worst_first(trained, tmp_path):
    """By the losses of all test images, one by one."""
    folder, _ = trained
    config = runs.read_config(folder)
    test, net = config.open_task(folder).test(), runs.load_net(folder, config).eval()
    log_p = np.stack([net(Tensor(image[None])).data[0] for image in test.images])
    losses = -log_p[np.arange(100), test.labels]
    worst = [k for k in np.argsort(-losses) if log_p[k].argmax() != test.labels[k]]
    assert len(worst) > 5 and misread(test.labels, evaluate(net, test)).tolist() == worst
    for count, options in ((5, []), (2, ["2"]), (min(len(worst), 50), ["50"])):
        path = tmp_path / "wrong.svg"
        assert npstn_("show", folder, "--wrong", *options, "--out", path).status == 0
        numbers = [int(number) for number in re.findall(r"test image (\d+)", path.read_text())]
        assert list(dict.fromkeys(numbers)) == worst[:count]


def test_show_of_misread_images_where_there_are_none(trained, monkeypatch):
    monkeypatch.setattr(single_images, "misread", lambda labels, score: np.array([], int))
    message = "expected a misread test image, got none among 100: all are read right"
    assert refusal(1, "show", trained[0], "--wrong") == message


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--digit", "-1"], 2, "argument --digit: expected a whole number of at least 0, got -1"),
        (["--digit", "x"], 2, "argument --digit: expected a whole number of at least 0, got x"),
        (["--digit", "100"], 1, "expected test images from 0 to 99, got 100"),
        (["--digit", *["7"] * 51], 1, "expected at most 50 test images in a picture, got 51: draw several"),
        (["--wrong", "--digit", "3"], 2, "argument --wrong: chooses the images itself; leave --digit out"),
        (["--parameter", "3", "x"], 2, "argument --parameter: expected numbers after the name, got x"),
        (["--parameter", "3", "nan"], 2, "argument --parameter: expected numbers after the name, got nan"),
        (["--parameter", "3", "--digit", "1", "2"], 2, "argument --parameter: goes with one --digit, got 2"),
        (["--parameter", "3", "--wrong"], 2, "argument --parameter: goes with one --digit, not with --wrong"),
        (["--wrong", "0"], 2, "argument --wrong: expected a whole number of at least 1, got 0"),
        (["--wrong", "51"], 1, "expected at most 50 test images in a picture, got 51: draw several"),
        (["--data-dir", "x"], 1, "expected no folder of files for drawn digits, got x: leave --data-dir out"),
        (["--out", "x.doc"], 2, "argument --out: expected a file that ends in .png, .pdf or .svg, got x.doc"),
        (["--out", "x"], 2, "argument --out: expected a file that ends in .png, .pdf or .svg, got x"),
        (["--out", "none/x.png"], 1, NOWHERE),
    ],
)
def test_wrong_arguments_of_show(trained, tmp_path, monkeypatch, arguments, status, message):
    monkeypatch.chdir(tmp_path)
    before = snapshot(trained[0])
    assert refusal(status, "show", trained[0], *arguments).removeprefix(f"{tmp_path}/") == message
    assert list(tmp_path.iterdir()) == []
    assert snapshot(trained[0]) == before


def test_show_of_what_is_no_run():
    assert refusal(2, "show") == "the following arguments are required: RUN"
    assert refusal(1, "show", "nothing") == "expected a run folder, got nothing: there is no such folder"


def test_show_of_a_run_without_a_transformer(copy):
    change_config(copy, "model.transformer", "none")
    npstn.save(models.ClsNet().state_dict(), copy / "weights.safetensors")
    assert refusal(1, "show", copy) == f"expected a run with a transformer, got {copy}, which has none"
