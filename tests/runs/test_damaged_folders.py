"""Damaged run folders through every command: one line each, and no file half-written; see tests/damage.py."""

import random
import shutil
from pathlib import Path

import damage
import pytest
from command import Said, small_world


@pytest.fixture(scope="module")
def below(tmp_path_factory):
    """A folder with a run of each kind."""
    folder = tmp_path_factory.mktemp("runs")
    with small_world(), damage.unpainted():
        damage.make_runs(folder)
        yield folder


@pytest.mark.parametrize("number", range(8))
def test_a_damaged_folder(below, number):
    """`python -m tests.damage` tries more."""
    damage.damaged_folder(below, seed=0, number=number)


def test_a_run_of_the_format_before(below):
    outcomes = damage.try_commands(below / "older", "older", below / "rotated")
    assert {outcome.status for outcome in outcomes} == {1, 2}
    assert all("older npstn" in outcome.said or "exists already" in outcome.said for outcome in outcomes)


@pytest.mark.parametrize("text", ["9" * 200_000, "epoch\n\0"], ids=["a number too long", "a byte of 0"])
def test_what_the_csv_reader_itself_refuses(below, tmp_path, text):
    """Which of these it refuses depends on the Python."""
    run = Path(shutil.copytree(below / "rotated", tmp_path / "run"))
    (run / damage.METRICS).write_text(text)
    said = {outcome.command: outcome for outcome in damage.try_commands(run, text[:9], below / "rotated")}
    assert said["compare"].status == 1


@pytest.mark.parametrize("do", damage.DAMAGES)
def test_each_damage_changes_its_file(below, tmp_path, do):
    rng = random.Random(1)
    path = tmp_path / "rotated" / damage.WEIGHTS
    path.parent.mkdir()
    for name in damage.DAMAGED:
        path.with_name(name).write_bytes((below / "rotated" / name).read_bytes())
    do(rng, path, below)
    assert not path.is_file() or path.read_bytes() != (below / "rotated" / damage.WEIGHTS).read_bytes()


def test_the_judge_sees_a_file_that_is_half_written(below, monkeypatch):
    def command(_, run):
        Path(run, "metrics.csv").write_text("epoch,seconds\n1")
        return Said(0, "", "")

    monkeypatch.setattr(damage, "COMMANDS", {"some": ["some", "{run}"]})
    monkeypatch.setattr(damage, "npstn_", command)
    with pytest.raises(AssertionError, match="metrics.csv"):
        damage.try_commands(below / "rotated", "nothing", below / "rotated")


@pytest.mark.parametrize(
    "said", [Said(1, "", "Traceback\n"), Said(1, "", "npstn: error: a\nb\n"), Said(3, "", "npstn: error: a\n")]
)
def test_the_judge_reads_what_is_said(below, monkeypatch, said):
    monkeypatch.setattr(damage, "npstn_", lambda *words: said)
    with pytest.raises(AssertionError):
        damage.try_commands(below / "rotated", "nothing", below / "rotated")
