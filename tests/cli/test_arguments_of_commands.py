"""What several commands have in common: --best, and paths."""

import shutil

import pytest
from command import few_digits, npstn_, refusal
from PIL import Image

import npstn

pytestmark = pytest.mark.usefixtures("small_world")

COMMANDS = {
    "eval": ["eval", "{}", "--confusion"],
    "predict": ["predict", "{}", "{place}/digit.png", "--json"],
    "show": ["show", "{}", "--out", "{place}/x.png"],
    "export": ["export", "{}", "{place}/x.onnx"],
}


@pytest.fixture
def said(tmp_path):
    """A function that gives what a command says and writes, given a run."""
    Image.fromarray(255 - few_digits(5_000, 2)[0][0]).resize((90, 90)).save(tmp_path / "digit.png")

    def run(command, folder, *options):
        if command == "export":
            pytest.importorskip("onnx.helper")
        said = npstn_(*[word.format(folder, place=tmp_path) for word in COMMANDS[command]], *options)
        assert said.status == 0, said.err
        return said.out, [path.read_bytes() for path in tmp_path.glob("x.*")]

    return run


@pytest.fixture
def with_other_best(copy):
    """A run whose best weights answer otherwise than its last."""
    weights = npstn.load(copy / "weights.safetensors")
    weights["cls_net.cnn.fc2.bias"] = weights["cls_net.cnn.fc2.bias"][::-1] + 3
    npstn.save(weights, copy / "best.safetensors")
    return copy


@pytest.mark.parametrize("command", COMMANDS)
def test_best_takes_the_weights_of_the_best_epoch(with_other_best, said, tmp_path, command):
    other = shutil.copytree(with_other_best, tmp_path / "other")
    (other / "best.safetensors").replace(other / "weights.safetensors")
    last, best, wanted = said(command, with_other_best), said(command, with_other_best, "--best"), said(command, other)
    assert best == wanted != last


@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_of_an_older_npstn_has_no_best_weights(copy, tmp_path, command):
    (copy / "best.safetensors").unlink()
    (tmp_path / "digit.png").write_bytes(b"")
    words = [word.format(copy, place=tmp_path) for word in COMMANDS[command]]
    assert refusal(1, *words, "--best") == (
        f"expected best.safetensors in {copy}, got none: an older npstn did not keep the best epoch's weights; leave "
        f"--best out for those of the last"
    )
    (copy / "weights.safetensors").unlink()
    message = f"expected weights in {copy}, got none: is the run still in its first epoch?"
    assert refusal(1, *words, "--best") == message


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--data", "drawn", "--out", ""],
        ["train", "--resume", ""],
        ["train", "--task", ""],
        ["sweep", "--data", "drawn", "--out", ""],
        ["compare", ""],
        ["eval", ""],
        ["play", ""],
        ["data", "--data-dir", ""],
    ],
)
def test_an_empty_text_is_no_path(words, tmp_path, monkeypatch):
    """Of a variable of the shell that is not set: it would be the current folder."""
    monkeypatch.chdir(tmp_path)
    assert "expected a path, got an empty text" in refusal(2, *words)
    assert not list(tmp_path.iterdir())
