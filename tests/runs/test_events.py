"""The event files for TensorBoard: every number of the tables is there once, also where a run was stopped."""

import collections
import csv
import struct
import sys

import numpy as np
import pytest
from command import QUICK, names, npstn_, refusal

pytestmark = pytest.mark.usefixtures("small_world")

TRAIN = [*QUICK, "--transformer", "none", "--seed", "3", "--log-steps", "7", "--tensorboard"]


def test_without_the_package_nothing_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr("npstn.runs.events.available", lambda: False)
    message = 'argument --tensorboard: needs a package: pip install "npstn[tensorboard]"'
    assert refusal(2, "train", *TRAIN, "--out", tmp_path / "run") == message
    assert list(tmp_path.iterdir()) == []


def points(folder):
    """What TensorBoard makes of a run's event files: {tag: {step: value}}; no step may come twice.

    A file is records: length, checksum, event, checksum. An event that begins a session takes back what is there from
    its step on.
    """
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    found = collections.defaultdict(dict)
    for path in sorted((folder / "tensorboard").iterdir()):
        content = path.read_bytes()
        while content:
            length = struct.unpack("<Q", content[:8])[0]
            event = event_pb2.Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]
            if event.session_log.status == event_pb2.SessionLog.START:
                for values in found.values():
                    assert not [step for step in values if step < event.step]
                found.clear()
            for value in event.summary.value:
                assert event.step not in found[value.tag], (value.tag, event.step)
                found[value.tag][event.step] = value.simple_value
    return found


def wanted(folder):
    """The finite numbers of metrics.csv and steps.csv, as float32."""
    found = collections.defaultdict(dict)
    for against, name in (("epoch", "metrics.csv"), ("step", "steps.csv")):
        with open(folder / name, newline="") as file:
            for row in csv.DictReader(file):
                for column in row.keys() - {"epoch", "step"}:
                    if np.isfinite(float(row[column])):
                        found[f"{against}/{column}"][int(row[against])] = np.float32(row[column])
    return found


def test_they_hold_the_tables(tmp_path):
    folder = tmp_path / "run"
    assert npstn_("train", *TRAIN, "--out", folder).status == 0
    found = points(folder)
    assert found == wanted(folder)
    assert {"epoch/train_loss", "epoch/test_accuracy", "epoch/lr", "step/loss"} <= found.keys()
    assert "epoch/angle_correlation" not in found  # there is no transformer: it is not a number
    assert [*found["epoch/lr"], *found["step/loss"]] == [1, 2, 7, 14, 21, 28, 35]


def test_they_can_be_read_while_the_run_is_trained(tmp_path):
    folder, seen = tmp_path / "run", []

    def look(line):
        if line.startswith("epoch"):
            seen.append(list(points(folder)["epoch/test_loss"]))

    npstn_("train", *TRAIN, "--out", folder, after_line=look)
    assert seen == [[1], [1, 2]]


def test_no_point_is_doubled_where_a_run_goes_on(tmp_path):
    folder = tmp_path / "run"

    def stop(line):
        if line.startswith("epoch 2/2"):
            raise KeyboardInterrupt  # before the checkpoint: the epoch is trained again

    npstn_("train", *TRAIN, "--out", folder, after_line=stop)
    assert list(points(folder)["epoch/lr"]) == [1, 2]
    assert npstn_("train", "--resume", folder, "--log-steps", "7", "--tensorboard").status == 0
    assert points(folder) == wanted(folder)
    assert npstn_("train", "--resume", folder, "--epochs", "3", "--log-steps", "7", "--tensorboard").status == 0
    found = points(folder)
    assert found == wanted(folder) and list(found["epoch/lr"]) == [1, 2, 3]
    assert len(names(folder / "tensorboard")) == 1


def test_tensorboard_without_steps(tmp_path):
    folder = tmp_path / "run"
    assert npstn_("train", *QUICK, "--transformer", "none", "--tensorboard", "--out", folder).status == 0
    assert all(tag.startswith("epoch/") for tag in points(folder))


def test_a_run_without_the_option_does_not_import_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)  # an import would fail
    assert npstn_("train", *QUICK, "--transformer", "none", "--out", tmp_path / "run").status == 0
    assert not (tmp_path / "run" / "tensorboard").exists()
