"""`npstn export`: the model of a run, and what cannot be exported."""

import sys

import numpy as np
import pytest
from command import npstn_, refusal, snapshot

import npstn
from npstn import runs

pytestmark = pytest.mark.usefixtures("small_world")
onnx = pytest.importorskip("onnx")


def test_the_model_of_a_run_gives_its_answers(trained, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    folder, _ = trained
    before, path = snapshot(folder), tmp_path / "model.onnx"
    said = npstn_("export", folder, path)
    line = f"{path}: images (batch, 1, 28, 28) -> log-probabilities (batch, 10), opset {npstn.onnx.OPSET}\n"
    assert said == (0, line, "")
    assert snapshot(folder) == before
    config = runs.read_config(folder)
    images = config.open_task(folder).test().images
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    wanted = runs.load_net(folder, config).eval()(npstn.Tensor(images)).data
    np.testing.assert_allclose(session.run(None, {"images": images})[0], wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "the following arguments are required: RUN, FILE"),
        (["run", "model.pt"], 2, "argument FILE: expected a file that ends in .onnx, got model.pt"),
        (["model.onnx", "run"], 2, "argument FILE: expected a file that ends in .onnx, got run"),
        (["nothing", "model.onnx"], 1, "expected a run folder, got nothing: there is no such folder"),
    ],
)
def test_wrong_arguments_of_export(tmp_path, monkeypatch, arguments, status, message):
    monkeypatch.chdir(tmp_path)
    assert refusal(status, "export", *arguments) == message
    assert list(tmp_path.iterdir()) == []


def test_a_model_in_a_missing_folder(trained, tmp_path):
    """The message names the file, and not the temporary one that would have become it."""
    path = tmp_path / "none" / "model.onnx"
    assert refusal(1, "export", trained[0], path) == f"{path.parent}: No such file or directory"
    assert list(tmp_path.iterdir()) == []


def test_a_model_in_place_of_a_folder(trained, tmp_path):
    path = tmp_path / "model.onnx"
    path.mkdir()
    assert refusal(1, "export", trained[0], path) == f"{path}: Is a directory"
    assert list(tmp_path.iterdir()) == [path]


def test_the_extra_is_missing(trained, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    message = "onnx.save: expected the package onnx, got none; pip install onnx"
    assert refusal(1, "export", trained[0], tmp_path / "model.onnx") == message
    assert list(tmp_path.iterdir()) == []
