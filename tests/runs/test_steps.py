"""steps.csv: a line every N steps, and after a stop the lines of a run that was never stopped."""

import csv
import signal

import numpy as np
import pytest
from command import QUICK, npstn_
from numpy.testing import assert_allclose

from npstn import runs
from npstn.runs import work as command
from npstn.runs.steps import COLUMNS
from npstn.training import Step

pytestmark = pytest.mark.usefixtures("small_world")

TRAIN = [*QUICK, "--transformer", "none", "--seed", "3"]  # two epochs of 19 steps


@pytest.fixture
def steps(monkeypatch):
    """The steps of the trainings of a test, in a list that grows. A signal can be raised after one of them."""
    taken, train = Steps(), command.train

    def noting(*arguments):
        for event in train(*arguments):
            if isinstance(event, Step):
                taken.append(event)
                if len(taken) == taken.stop:
                    signal.raise_signal(signal.SIGINT)
            yield event

    monkeypatch.setattr(command, "train", noting)
    return taken


class Steps(list):
    stop = None  # after so many steps


def lines(folder, without=("seconds",)):
    with open(folder / "steps.csv", newline="") as file:
        return [{k: float(v) for k, v in row.items() if k not in without} for row in csv.DictReader(file)]


def test_a_line_is_the_mean_of_the_steps_since_the_line_before(tmp_path, steps):
    """Also where an epoch ends between the two."""
    said = npstn_("train", *TRAIN, "--log-steps", "7", "--out", tmp_path / "run")
    assert (said.status, said.err) == (0, "")
    found = lines(tmp_path / "run")
    assert [line["step"] for line in found] == [7, 14, 21, 28, 35]
    assert [line["epoch"] for line in found] == [1, 1, 2, 2, 2]
    means = [np.mean([step.loss for step in steps[k : k + 7]]) for k in range(0, 35, 7)]
    assert_allclose([line["loss"] for line in found], means)
    assert [line["lr"] for line in found] == [steps[k - 1].lr for k in (7, 14, 21, 28, 35)]
    seconds = [line["seconds"] for line in lines(tmp_path / "run", without=())]
    assert seconds[:2] == sorted(seconds[:2]) and seconds[2:] == sorted(seconds[2:])  # of each epoch


def test_every_line_is_whole_as_soon_as_it_is_there(tmp_path, steps, monkeypatch):
    """For `tail -f`, and for a program that reads the file while it grows."""
    path, texts, after_step = tmp_path / "run" / "steps.csv", [], runs.Saver.after_step

    def look(saver):
        after_step(saver)
        texts.append(path.read_text())

    monkeypatch.setattr(runs.Saver, "after_step", look)
    npstn_("train", *TRAIN, "--log-steps", "7", "--out", tmp_path / "run")
    assert len(texts) == len(steps) == 38
    for taken, text in enumerate(texts, start=1):
        header, *rows = text.splitlines()
        assert header == ",".join(COLUMNS) and text.endswith("\n")
        assert len(rows) == taken // 7 and all(len(row.split(",")) == 5 for row in rows)


@pytest.mark.parametrize("stop", [3, 7, 18, 19, 20, 36])
def test_the_lines_of_a_run_that_was_stopped_are_those_of_one_that_was_not(tmp_path, steps, stop):
    npstn_("train", *TRAIN, "--log-steps", "7", "--out", tmp_path / "whole")
    folder = tmp_path / "run"
    steps.stop = len(steps) + stop
    assert npstn_("train", *TRAIN, "--log-steps", "7", "--out", folder).status == 130
    with open(folder / "steps.csv", "a") as file:  # ahead of the checkpoint, as after a kill
        file.write("2,37,1.5,0.001,0.5\n2,38,1.")
    assert npstn_("train", "--resume", folder, "--log-steps", "7").status == 0
    assert lines(folder) == lines(tmp_path / "whole")


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        ([], ["--log-steps", "7"], [21, 28, 35]),  # of steps 15 and 16, part of the line of 21, nothing is known
        (["--log-steps", "7"], [], [7, 14]),
        (["--log-steps", "7"], ["--log-steps", "5"], [7, 14, 25, 30, 35]),
        (["--log-steps", "8"], ["--log-steps", "4"], [8, 16, 20, 24, 28, 32, 36]),
    ],
    ids=["later", "left out", "5 for 7", "4 for 8"],
)
def test_where_the_option_changes_no_line_is_a_mean_of_other_steps(tmp_path, steps, before, after, wanted):
    folder = tmp_path / "run"
    steps.stop = 16
    npstn_("train", *TRAIN, *before, "--out", folder)
    npstn_("train", "--resume", folder, *after)
    losses = [step.loss for step in steps]
    found = lines(folder)
    missing = 21 if before == [] else 20 if after == ["--log-steps", "5"] else None
    assert [line["step"] for line in found] == [step for step in wanted if step != missing]
    for line in found:
        every = int((before if line["step"] <= 16 else after)[1])
        assert line["loss"] == pytest.approx(np.mean(losses[int(line["step"]) - every : int(line["step"])]))


@pytest.mark.parametrize("content", [b"", b"\0\xff", b"epoch,step\n1,7\n", b"epoch,step,seconds,lr,loss\n1,seven,,,\n"])
def test_a_damaged_file_stops_no_run(tmp_path, steps, content):
    folder = tmp_path / "run"
    steps.stop = 16
    npstn_("train", *TRAIN, "--log-steps", "4", "--out", folder)
    (folder / "steps.csv").write_bytes(content)
    assert npstn_("train", "--resume", folder, "--log-steps", "4").status == 0
    assert [line["step"] for line in lines(folder)] == [20, 24, 28, 32, 36]
