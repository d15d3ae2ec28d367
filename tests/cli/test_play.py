"""`npstn play`: where the page is written, and what is refused."""

import sys

import pytest
from command import change_config, npstn_, refusal, snapshot

from npstn.pages import states

pytestmark = pytest.mark.usefixtures("small_world")

ELSEWHERE = "choose another place with --out"


def test_play_writes_its_page_into_the_run(copy):
    said = npstn_("play", copy)
    *readings, last = said.out.splitlines()
    assert (said.status, said.err) == (0, "")
    assert readings == [f"reading test image {k} at 181 positions of each slider ({k + 1} of 3)" for k in range(3)]
    assert last == f"{copy / 'play.html'}: open it in a browser"
    assert (copy / "play.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_play_writes_where_it_is_told_and_nothing_else(trained, tmp_path):
    before = snapshot(trained[0])
    assert npstn_("play", trained[0], "--digit", "9", "--out", tmp_path / "x.html").status == 0
    assert "9: " in (tmp_path / "x.html").read_text(encoding="utf-8")
    assert snapshot(trained[0]) == before


def test_without_a_run_it_is_the_page_of_one_point(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert npstn_("play") == (0, "play.html: open it in a browser\n", "")
    assert "One point between four pixels" in (tmp_path / "play.html").read_text(encoding="utf-8")


def test_a_page_belongs_to_its_run(copy):
    npstn_("play", copy)
    assert npstn_("train", "--data", "drawn", "--epochs", "1", "--out", copy, "--force").status == 0
    assert not (copy / "play.html").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--digit", "100"], 1, "expected test images from 0 to 99, got 100"),
        (["--digit", "-1"], 2, "argument --digit: expected a whole number of at least 0, got -1"),
        (["--out", "x.png"], 2, "argument --out: expected a file that ends in .html, got x.png"),
        (["--out", "none/x.html"], 1, f"cannot write none/x.html: there is no such folder; {ELSEWHERE}"),
        (["--digits", "3"], 2, "unrecognized arguments: --digits 3; did you mean --digit?"),
    ],
)
def test_what_is_refused(trained, arguments, status, message):
    assert refusal(status, "play", trained[0], *arguments) == message


@pytest.mark.parametrize("options", [["--digit", "3"], ["--data-dir", "3"], ["--best"]])
def test_what_goes_with_a_run(options):
    assert refusal(2, "play", *options) == f"argument {options[0]}: goes with a RUN, and there is none"


def test_the_weights_of_the_best_epoch(copy, tmp_path):
    assert npstn_("play", copy, "--digit", "3", "--best", "--out", tmp_path / "best.html").status == 0
    (copy / "best.safetensors").unlink()
    assert "leave --best out" in refusal(1, "play", copy, "--best")


def test_no_run_and_no_transformer(copy, tmp_path):
    assert refusal(1, "play", tmp_path / "none").startswith(f"expected a run folder, got {tmp_path / 'none'}")
    change_config(copy, "model.transformer", "none")
    assert "do not fit" in refusal(1, "play", copy)


def test_a_run_without_a_transformer(tmp_path):
    run = tmp_path / "run"
    assert npstn_("train", "--data", "drawn", "--transformer", "none", "--epochs", "1", "--out", run).status == 0
    assert refusal(1, "play", run) == f"expected a run with a transformer, got {run}, which has none"


def test_more_images_than_a_page_holds(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(states, "ROOM", 250_000)
    said = refusal(1, "play", trained[0], "--digit", *map(str, range(50)))
    most = int(said.removeprefix("expected at most ").split()[0])
    assert said == f"expected at most {most} test images for a page of less than 5 MB, got 50, read at many parameters"
    assert 1 <= most < 50
    assert npstn_("play", trained[0], "--digit", *map(str, range(most)), "--out", tmp_path / "x.html").status == 0


def test_the_same_image_twice_is_once_on_the_page(trained, tmp_path):
    said = npstn_("play", trained[0], "--digit", "5", "3", "5", "--out", tmp_path / "x.html")
    assert [line.split()[3] for line in said.out.splitlines()[:-1]] == ["5", "3"]


def test_without_bokeh(trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "bokeh", None)
    message = 'npstn play: expected the package bokeh, got none; pip install "npstn[play]"'
    assert refusal(1, "play", trained[0]) == message
    assert refusal(1, "play") == message
