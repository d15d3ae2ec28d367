"""The run folder: where `npstn train` writes, what it never overwrites, what of it can be read."""

import re
from pathlib import Path

import pytest
from command import FILES, QUICK, names, npstn_, offline_mnist, refusal, snapshot, use_mnist

from npstn import runs, training

pytestmark = pytest.mark.usefixtures("small_world")

ALONE = [*QUICK, "--transformer", "none"]


@pytest.fixture
def no_training(monkeypatch):
    def train(*_):
        raise training.TrainingError("recorded")

    monkeypatch.setattr("npstn.runs.work.train", train)


@pytest.mark.usefixtures("no_training")
def test_by_default_a_run_is_named_after_the_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refusal(1, "train")
    (run,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", run.name)
    assert (run / "config.json").is_file()


@pytest.mark.usefixtures("no_training")
def test_an_empty_folder_is_as_good_as_none(tmp_path):
    assert refusal(1, "train", *ALONE, "--out", tmp_path).startswith("recorded; ")
    assert (tmp_path / "config.json").is_file()


def test_force_replaces_the_run_and_nothing_else(copy):
    (copy / "notes.txt").write_text("mine")
    (copy / "steps.csv").write_text("epoch,step,seconds,lr,loss\n")
    (copy / "tensorboard").mkdir()
    (copy / "tensorboard" / "events.out.tfevents.1").write_bytes(b"points")
    (copy / "tensorboard" / "mine.txt").write_text("mine")
    before = snapshot(copy)
    said = npstn_("train", *ALONE, "--epochs", "1", "--seed", "1", "--out", copy, "--force")
    assert (said.status, said.err) == (0, "")
    # Nothing of the old run is left: a network without a transformer has but one picture.
    assert names(copy) == sorted([*FILES, "curves.png", "notes.txt", "tensorboard"])
    assert names(copy / "tensorboard") == ["mine.txt"]
    after = snapshot(copy)
    assert after["notes.txt"] == before["notes.txt"]
    assert all(after[name] != before[name] for name in [*FILES, "curves.png"])


def test_a_run_that_exists_is_kept(copy):
    before = snapshot(copy)
    message = refusal(2, "train", "--data", "drawn", "--out", copy)
    assert message == f"argument --out: {copy} exists already; choose another, or replace it with --force"
    assert snapshot(copy) == before


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (None, "expected a run folder, got {}, with no config.json in it"),
        ('{"architectures": ["Thesis"]}', "expected what a run writes in {}/config.json, got something else"),
    ],
    ids=["without config.json", "of another program"],
)
def test_a_folder_that_is_no_run_is_kept_even_with_force(tmp_path, config, says):
    (tmp_path / "weights.safetensors").write_text("thesis")
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    before = snapshot(tmp_path)
    message = refusal(2, "train", "--data", "drawn", "--out", tmp_path, "--force")
    assert message == f"argument --force: {says.format(tmp_path)}"
    assert snapshot(tmp_path) == before


def test_a_wrong_argument_next_to_force_keeps_the_run(copy, tmp_path, monkeypatch):
    use_mnist(monkeypatch, offline_mnist)
    before = snapshot(copy)
    refusal(2, "train", "--data", "drawn", "--epochs", "0", "--out", copy, "--force")
    refusal(2, "train", "--data", "drawn", "--threads", "9999", "--out", copy, "--force")
    refusal(1, "train", "--data-dir", tmp_path, "--out", copy, "--force")
    assert snapshot(copy) == before


@pytest.mark.parametrize("below", ["file", "file/run", "file/runs/run"])
def test_an_out_that_cannot_be_written(tmp_path, below):
    (tmp_path / "file").write_text("mine")
    before = snapshot(tmp_path)
    message = refusal(1, "train", "--data", "drawn", "--out", tmp_path / below)
    assert message.startswith(f"cannot write the run folder {tmp_path / below}: ")
    assert snapshot(tmp_path) == before


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder in which nobody can make another")
def test_an_out_in_a_folder_where_nothing_can_be_made():
    message = refusal(1, "train", "--data", "drawn", "--out", "/proc/npstn/run")
    assert message.startswith("cannot write the run folder /proc/npstn/run: ")


def test_a_folder_with_nothing_but_what_a_killed_process_left_is_empty(tmp_path):
    (tmp_path / ".config.json.12.34").write_text("half")
    with runs.create(tmp_path, replace=False):
        assert names(tmp_path) == [".lock"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "expected an epoch at least in {}, got none: is the run still in its first?"),
        (b"", "expected an epoch at least in {}, got none: is the run still in its first?"),
        (b"epoch,test_loss\n", "expected an epoch at least in {}, got none: is the run still in its first?"),
        (b"epoch,test_loss\n1,many\n", "expected numbers in {}, got something else"),
        (b"epoch,test_loss\n1\n", "expected numbers in {}, got something else"),
        (b"epoch,test_loss\n1,0.5,7\n", "expected numbers in {}, got something else"),
        (b"epoch,test_loss\n1,0.5\n\0,\xff\n", "expected numbers in {}, got something else"),
    ],
    ids=["no file", "empty", "header", "a word", "short line", "long line", "bytes"],
)
def test_read_metrics_of_what_holds_none(tmp_path, content, says):
    path = tmp_path / "metrics.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(runs.RunError) as caught:
        runs.read_metrics(tmp_path)
    assert str(caught.value) == says.format(path)
