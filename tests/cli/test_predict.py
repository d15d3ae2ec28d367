"""`npstn predict`: what a run says about pictures, as a table and as JSON, and what it answers to bad ones."""

import io
import json
import shutil
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from command import names, npstn_, refusal
from numpy.testing import assert_allclose
from PIL import Image

from npstn import Tensor, no_grad, runs
from npstn.data import draw_digits, load_images
from npstn.data.photograph import find_digit, read_grey

pytestmark = pytest.mark.usefixtures("small_world")

IMAGES, LABELS = draw_digits(30, seed=5)


def save(image, path, side=90):
    """A digit, dark on white paper."""
    Image.fromarray(255 - image).resize((side, side)).save(path)
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Three pictures of digits, and what lies next to them."""
    folder = tmp_path_factory.mktemp("photographs")
    for number, name in enumerate(["a.png", "b.JPG", "c.jpeg"]):
        save(IMAGES[number], folder / name)
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "notes.txt").write_text("three digits")
    return folder


def by_hand(run, image):
    """The probabilities that a run's network gives an image, uint8 (C, H, W)."""
    net = runs.load_net(run, runs.read_config(run)).eval()
    with no_grad():
        return np.exp(net(Tensor(np.float32(image[None]) / np.float32(255))).data[0])


def test_json_has_what_the_network_says(trained, pictures):
    said = npstn_("predict", trained[0], pictures, "--json")
    assert (said.status, said.err) == (0, "")
    entries = json.loads(said.out)
    assert [entry["file"] for entry in entries] == [str(pictures / name) for name in ("a.png", "b.JPG", "c.jpeg")]
    for entry in entries:
        assert entry.keys() == {"file", "class", "probability", "probabilities"}
        digit = find_digit(read_grey(Path(entry["file"]), "x")).digit
        wanted = by_hand(trained[0], digit[None])
        assert list(entry["probabilities"]) == list("0123456789")
        assert_allclose(list(entry["probabilities"].values()), wanted, atol=1e-6)
        assert entry["class"] == str(wanted.argmax())
        assert entry["probability"] == entry["probabilities"][entry["class"]]


def test_the_table_has_a_line_for_each_picture(trained, pictures):
    said = npstn_("predict", trained[0], pictures / "c.jpeg", pictures / "a.png")
    assert (said.status, said.err) == (0, "")
    head, *lines = said.out.splitlines()
    assert head.split() == ["file", "class", "probability", "others"]
    entries = json.loads(npstn_("predict", trained[0], pictures / "c.jpeg", pictures / "a.png", "--json").out)
    for line, entry in zip(lines, entries, strict=True):
        assert line.split()[:4] == [entry["file"], entry["class"], f"{100 * entry['probability']:.1f}", "%"]
        shares = sorted((p for p in entry["probabilities"].values() if p >= 0.0005), reverse=True)
        assert line.count("%") == len(shares)
        assert f"{100 * shares[-1]:.1f} %" in line


def test_a_picture_from_standard_input(trained, pictures, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((pictures / "a.png").read_bytes())))
    (entry,) = json.loads(npstn_("predict", trained[0], "-", "--json").out)
    (same,) = json.loads(npstn_("predict", trained[0], pictures / "a.png", "--json").out)
    assert entry == {**same, "file": "standard input"}


def test_every_step_is_drawn(trained, pictures, tmp_path):
    said = npstn_("predict", trained[0], pictures, "--draw", tmp_path / "steps.svg", "--json")
    assert said.status == 0 and len(json.loads(said.out)) == 3
    assert said.err == f"{tmp_path / 'steps.svg'}\n"
    drawn = (tmp_path / "steps.svg").read_text()
    assert all(f"<!-- {text} -->" in drawn for text in ("a.png", "b.JPG", "without ruled lines", "hands on"))
    assert names(tmp_path) == ["steps.svg"]


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    """Pictures that cannot be answered, and what is said of each."""
    folder = tmp_path_factory.mktemp("bad")
    save(IMAGES[0], folder / "cut.png")
    whole = (folder / "cut.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    head = whole[12:16] + (20_000).to_bytes(4, "big") * 2 + whole[24:29]  # IHDR, width, height
    (folder / "huge.png").write_bytes(whole[:12] + head + zlib.crc32(head).to_bytes(4, "big") + whole[33:])
    (folder / "none.jpg").write_text("no picture")
    Image.new("L", (1, 1), 255).save(folder / "one.png")
    Image.new("L", (300, 200), 255).save(folder / "white.png")
    (folder / "empty").mkdir()
    return folder


SAID = {
    "cut.png": "expected an image in {}, got one that cannot be read (",
    "huge.png": "expected at most 89,478,485 pixels in {}, got more: scale the image down",
    "none.jpg": "expected an image in {}, got one that cannot be read (cannot identify image file",
    "one.png": "expected a digit in {}, got a picture of one lightness, without ink",
    "white.png": "expected a digit in {}, got a picture of one lightness, without ink",
    "empty": "expected PNG or JPEG files in {}, got none",
    "nothing.png": "cannot read {}: No such file or directory",
}


@pytest.mark.parametrize("name", SAID)
def test_a_bad_picture_is_a_line(trained, bad, name):
    message = refusal(1, "predict", trained[0], bad / name)
    assert message.startswith(SAID[name].format(bad / name)) and str(bad / name) in message


def test_a_folder_of_folders_says_how_to_read_them(trained, tmp_path):
    for name in ("one", "two", ".hidden"):
        (tmp_path / name).mkdir()
    assert refusal(1, "predict", trained[0], tmp_path) == (
        f"expected PNG or JPEG files in {tmp_path}, got folders: give one of them, such as {tmp_path / 'one'}, or "
        f"score all of them with npstn eval {trained[0]} --data {tmp_path}"
    )


def test_a_bad_picture_does_not_stop_the_rest(trained, bad, pictures):
    said = npstn_("predict", trained[0], bad / "white.png", pictures / "a.png", bad / "no.png", pictures / "c.jpeg")
    assert said.status == 1
    assert [line.split()[0] for line in said.out.splitlines()[1:]] == [str(pictures / n) for n in ("a.png", "c.jpeg")]
    assert [line.startswith("npstn: error: ") for line in said.err.splitlines()] == [True, True]
    said = npstn_("predict", trained[0], bad / "white.png", "--json", "--draw", bad / "x.png")
    assert (said.status, json.loads(said.out)) == (1, [])
    assert not (bad / "x.png").exists()


def test_wrong_arguments(trained, pictures, copy):
    assert refusal(2, "predict", trained[0]) == "the following arguments are required: PICTURE"
    assert refusal(1, "predict", "no", pictures) == "expected a run folder, got no: there is no such folder"
    wrong = "argument --draw: expected a file that ends in .png, .pdf or .svg, got x.doc"
    assert refusal(2, "predict", trained[0], pictures, "--draw", "x.doc") == wrong
    (copy / "weights.safetensors").unlink()
    message = f"expected weights in {copy}, got none: is the run still in its first epoch?"
    assert refusal(1, "predict", copy, pictures) == message


def test_a_run_on_larger_images_sees_the_digit_in_their_middle(tmp_path, pictures):
    run = tmp_path / "run"
    few = "--data", "drawn", "--epochs", 1, "--transformer", "none", "--network", "fcn", "--out", run
    assert npstn_("train", "--task", "RTS", *few).status == 0
    (entry,) = json.loads(npstn_("predict", run, pictures / "a.png", "--json").out)
    image = np.zeros((1, 42, 42), np.uint8)
    image[0, 7:35, 7:35] = find_digit(read_grey(pictures / "a.png", "x")).digit
    assert_allclose(list(entry["probabilities"].values()), by_hand(run, image), atol=1e-6)

    assert npstn_("train", "--task", "addition", *few, "--force").status == 0
    message = "expected a run that reads one digit or pictures, got one of the task addition"
    assert refusal(1, "predict", run, pictures / "a.png") == message


# Pictures of other classes, in colours, of another shape


@pytest.fixture(scope="module")
def of_pictures(tmp_path_factory):
    """A run on pictures in colour of 20 x 26 pixels, of three classes, which are gone; and a folder of others."""
    root = tmp_path_factory.mktemp("of_pictures")
    for part, images in (("train", IMAGES[:24]), ("others", IMAGES[24:])):
        for number, image in enumerate(images):
            colours = np.stack([image, image.T, 0 * image], axis=2)[4:24, 1:27]
            file = root / part / ("left", "middle", "right")[number % 3] / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(colours).resize((52, 60) if part == "others" else (26, 20)).save(file)
    quick = "--epochs", 1, "--batch-size", 8, "--transformer", "affine"
    assert npstn_("train", "--task", root / "train", *quick, "--out", root / "run").status == 0
    shutil.rmtree(root / "train")
    return root


def test_a_run_of_pictures_reads_them_as_it_was_trained(of_pictures, tmp_path):
    run, folder = of_pictures / "run", of_pictures / "others"
    said = npstn_("predict", run, *(folder / name for name in ("left", "middle", "right")), "--json")
    assert (said.status, said.err) == (0, "")
    entries = json.loads(said.out)
    images = load_images(folder, (20, 26), grey=False).images
    assert len(entries) == len(images) == 6
    for entry, image in zip(entries, images, strict=True):
        assert list(entry["probabilities"]) == ["left", "middle", "right"]
        wanted = by_hand(run, image.transpose(2, 0, 1))
        assert_allclose(list(entry["probabilities"].values()), wanted, atol=1e-6)
    assert npstn_("predict", run, folder / "left", "--draw", tmp_path / "x.png").status == 0
    assert Image.open(tmp_path / "x.png").size[0] > 300


def test_eval_scores_a_run_on_other_pictures(of_pictures, tmp_path):
    run, folder = of_pictures / "run", of_pictures / "others"
    parts = (folder / name for name in ("left", "middle", "right"))
    entries = json.loads(npstn_("predict", run, *parts, "--json").out)
    right = sum(entry["class"] in entry["file"].rsplit("/", 2)[-2] for entry in entries)
    said = npstn_("eval", run, "--data", folder)
    assert (said.status, said.out) == (0, f"{100 * right / 6:.2f} %\n")
    assert said.err.startswith("6 pictures of others (seed 0)")

    shutil.copytree(folder, tmp_path / "set" / "test")
    (tmp_path / "set" / "train" / "left").mkdir(parents=True)
    assert npstn_("eval", run, "--data", tmp_path / "set").out == said.out

    (tmp_path / "set" / "test" / "left").rename(tmp_path / "set" / "test" / "centre")
    message = f"expected the classes of the run (left, middle, right) in {tmp_path / 'set'}, got 'centre'"
    assert refusal(1, "eval", run, "--data", tmp_path / "set") == message


def test_eval_scores_a_run_on_photographs_of_digits(trained, tmp_path):
    for number in range(10):
        folder = tmp_path / "set" / str(LABELS[number])
        folder.mkdir(parents=True, exist_ok=True)
        save(IMAGES[number], folder / f"{number}.png")
    entries = json.loads(npstn_("predict", trained[0], *sorted((tmp_path / "set").iterdir()), "--json").out)
    right = sum(entry["class"] == entry["file"].rsplit("/", 2)[-2] for entry in entries)
    assert len(entries) == 10 and right >= 5
    said = npstn_("eval", trained[0], "--data", tmp_path / "set", "--angle", 0)
    assert (said.status, said.out) == (0, f"{10 * right:.2f} %\n")
    assert said.err.startswith("10 photographs in set, upright (seed 3)")

    np.savez(tmp_path / "set.npz", images=IMAGES[:10], labels=LABELS[:10])
    said = npstn_("eval", trained[0], "--data", tmp_path / "set.npz", "--angle", 0)
    assert said.status == 0 and said.err.startswith("10 photographs in set.npz")

    (tmp_path / "set" / "0").mkdir(exist_ok=True)
    blank = tmp_path / "set" / "0" / "blank.png"
    Image.new("L", (50, 50), 255).save(blank)
    said = npstn_("eval", trained[0], "--data", tmp_path / "set", "--angle", 0)
    assert (said.status, said.out) == (0, f"{100 * right / 11:.2f} %\n")
    assert said.err.splitlines()[1:] == [f"nothing looks like a digit in {blank}: counted as wrong"]

    (tmp_path / "set" / "10").mkdir()
    save(IMAGES[0], tmp_path / "set" / "10" / "x.png")
    assert refusal(1, "eval", trained[0], "--data", tmp_path / "set").endswith(f"in {tmp_path / 'set'}, got '10'")


def test_eval_names_what_it_takes(trained, tmp_path):
    known = "auto, mnist, drawn, a folder of pictures or an .npz"
    wrong = f"argument --data: expected {known}; got 'mnst'; did you mean mnist?"
    assert refusal(2, "eval", trained[0], "--data", "mnst") == wrong
    (tmp_path / "train" / "1").mkdir(parents=True)  # without test, train is a label like any other
    message = f"expected a subfolder of PNG or JPEG files for each label in {tmp_path}, got none in ['train']"
    assert refusal(1, "eval", trained[0], "--data", tmp_path) == message
