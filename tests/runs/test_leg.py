"""A leg of a run, in this process."""

import argparse

import pytest
from kills import contents, place_of

from npstn.cli import grid, run_options
from npstn.data import shared
from npstn.runs import RunError
from npstn.runs import leg as legs
from npstn.runs.config import versions, write_config
from npstn.runs.leg import NotReady, OtherVersions, leg

pytest.importorskip("distributed")
pytestmark = pytest.mark.usefixtures("small_world")


def no_pictures(folder, net, task, score):
    (folder / "curves.png").write_bytes(f"{score.accuracy:.2f}".encode())


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A function that takes a run through a leg, from files to files, without a cluster."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(legs, "_sources", {})
    monkeypatch.setattr(legs, "_compile", lambda config: None)
    chosen = {"task": ["R"], "transformer": ["affine"], "data": ["drawn"], "epochs": [2], "seeds": None}
    options = argparse.Namespace(**{**dict.fromkeys(run_options.NAMES), **chosen})
    (config,), ((sha256, source),) = (found.items() for found in grid.configurations([options]))
    about = {sha256: shared.about(source)}
    assert legs.missing(versions(), about) == [sha256]
    shared.keep(shared.pack(source), sha256)
    (shared.folder() / sha256 / "test_labels.npy").write_bytes(b"damaged")
    assert legs.missing(versions(), about) == [sha256]
    legs.receive({sha256: shared.pack(source)})
    assert legs.missing(versions(), about) == []
    write_config(tmp_path, config[1])
    first = {"config.json": (tmp_path / "config.json").read_bytes()}

    def go(files, minutes=60.0, wanted=None):
        given = {**first, **files}
        return {**given, **leg(given, "SWEEP/run", wanted or versions(), minutes, no_pictures)}

    return go


def epochs_and_steps(files, folder):
    (folder / "checkpoint.safetensors").write_bytes(files["checkpoint.safetensors"])
    return place_of(folder)


def test_a_leg_is_an_epoch_or_some_minutes_of_it(run, tmp_path):
    files, places = run({}, minutes=0), []
    while "curves.png" not in files:
        places.append(epochs_and_steps(files, tmp_path))
        files = run(files, minutes=0 if len(places) < 4 else 60)
    assert places[:4] == [(0, 1), (0, 2), (0, 3), (0, 4)]
    assert places[4:] == [(1, 0)]

    def as_folder(files, name):
        (tmp_path / name).mkdir()
        for file, content in files.items():
            (tmp_path / name / file).write_bytes(content)
        return contents(tmp_path / name)

    assert as_folder(files, "in pieces") == as_folder(run(run({})), "in two")


def test_a_leg_of_a_run_that_is_done_makes_what_may_be_missing(run):
    whole = run(run({}))
    missing = {name: whole[name] for name in ("config.json", "checkpoint.safetensors", "frames.safetensors")}
    again = run(missing)
    assert all(again[name] == whole[name] for name in ("metrics.csv", "weights.safetensors", "curves.png"))


def test_a_process_that_is_not_ready_says_so(run, monkeypatch):
    others = {**versions(), "npstn": "0.0.1", "python": "2.7"}
    with pytest.raises(OtherVersions, match=r"^npstn .*, not 0\.0\.1; python .*, not 2\.7$"):
        run({}, wanted=others)
    assert run({}, minutes=0, wanted={**versions(), "python": "2.7"})
    monkeypatch.setattr(legs, "_sources", {})
    monkeypatch.setattr(legs, "_task", {})
    with pytest.raises(NotReady, match="expected the images"):
        run({})


def test_an_error_names_the_folder_of_the_sweep(run):
    with pytest.raises(RunError, match=r"^cannot go on from the checkpoint SWEEP/run/checkpoint\.safetensors: "):
        run({"checkpoint.safetensors": b"cut off"})
