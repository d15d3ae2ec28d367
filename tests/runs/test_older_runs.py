"""A run folder that npstn wrote before it had tasks and transformers: every command refuses it, its weights fit."""

import json

import pytest
from command import refusal, snapshot

import npstn
from npstn import models, runs

pytestmark = pytest.mark.usefixtures("small_world")

CONFIG = {
    "model": "stn",
    "data": "mnist",
    "digits_sha256": "a" * 64,
    "angle": 45.0,
    "seed": 0,
    "recipe": "fast",
    "optimizer": "adamw",
    "lr": 0.003,
    "batch_size": 32,
    "epochs": 1,
    "dropout": 0.0,
    "versions": {"npstn": "0.1.0", "numpy": "2.4.0", "python": "3.12.1"},
}
METRICS = """\
epoch,seconds,train_loss,test_loss,test_accuracy,angle_correlation,residual_std_deg,input_std_deg
1,9.1,0.5,0.25,92.5,-0.8,14.0,26.0
"""


@pytest.fixture
def older(tmp_path):
    """A function that writes such a folder."""

    def write(net, **changes):
        folder = tmp_path / "older"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}, indent=2) + "\n")
        (folder / "metrics.csv").write_text(METRICS)
        npstn.save(net.state_dict(), folder / "weights.safetensors")
        npstn.save(net.state_dict(), folder / "checkpoint.safetensors")
        (folder / "angles.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        return folder

    return write


@pytest.mark.parametrize(
    "command",
    [["eval", "{}"], ["eval", "{}", "--angle", "90"], ["show", "{}"], ["compare", "{}"], ["train", "--resume", "{}"]],
    ids=" ".join,
)
def test_every_command_refuses_it_and_says_what_to_do(older, command):
    folder = older(models.STNClsNet())
    before = snapshot(folder)
    assert refusal(1, *[word.format(folder) for word in command]) == (
        f"expected a run of this npstn, got {folder}, which an older npstn wrote: train it afresh in another folder, "
        f"or read its weights with npstn.load('{folder}/weights.safetensors'); they fit models.STNClsNet"
    )
    assert snapshot(folder) == before


def test_it_is_not_replaced(older):
    folder = older(models.ClsNet(), model="cnn", data="digits")
    before = snapshot(folder)
    message = refusal(2, "train", "--data", "drawn", "--out", folder, "--force")
    assert message.startswith(f"argument --force: expected a run of this npstn, got {folder}, which an older npstn ")
    assert message.endswith("they fit models.ClsNet")
    message = refusal(2, "train", "--data", "drawn", "--out", folder)
    assert message == f"argument --out: {folder} exists already; choose another, or replace it with --force"
    assert snapshot(folder) == before


@pytest.mark.parametrize("kind", [models.STNClsNet, models.ClsNet])
def test_its_weights_are_read_as_the_message_says(older, kind):
    trained = kind()
    folder = older(trained)
    net = kind()
    net.load_state_dict(npstn.load(folder / "weights.safetensors"))
    for name, array in trained.state_dict().items():
        assert net.state_dict()[name].tobytes() == array.tobytes(), name


def test_another_programs_config_is_not_taken_for_one(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model": "bert", "data": "wiki"}))
    with pytest.raises(runs.RunError, match="expected what a run writes"):
        runs.read_config(tmp_path)
