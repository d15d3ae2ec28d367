"""`npstn compare`: the table that it prints and the picture that it writes; for the numbers see test_comparison.py."""

import re

import pytest
from command import QUICK, last_accuracy, npstn_, refusal

pytestmark = pytest.mark.usefixtures("small_world")

NOWHERE = "cannot write none/x.png: No such file or directory; choose another place with --out"


def test_compare_prints_a_table_and_draws_the_curves(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    npstn_("train", *QUICK, "--transformer", "none", "--angle", "30", "--out", "without")
    (tmp_path / "table.csv").write_text("of a sweep")
    said = npstn_("compare", trained[0], "table.csv", "without")
    assert (said.status, said.err) == (0, "")
    header, with_, without, shared, path = said.out.splitlines()
    assert header.split()[:3] == ["run", "seeds", "epochs"]
    assert re.match(rf"rotation +3 +2 +{last_accuracy(trained[0]):.2f} % ", with_)
    assert re.match(rf"no transformer +0 +2 +{last_accuracy(tmp_path / 'without'):.2f} % ", without)
    assert shared.startswith("the same in all that have it: task rotated, source drawn, angle 30, ")
    assert path == "compare.png"
    assert (tmp_path / path).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert npstn_("compare", "without", "--out", "x.pdf").out.splitlines()[-1] == "x.pdf"
    assert (tmp_path / "x.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "the following arguments are required: RUN"),
        (["{run}", "{run}/."], 1, "expected each run once, got {run} twice"),
        (["{run}", "nothing"], 1, "expected a run folder, got nothing: there is no such folder"),
        (["{run}", "--out", "x"], 2, "argument --out: expected a file that ends in .png, .pdf or .svg, got x"),
        (["{run}", "--out", "x.doc"], 2, "argument --out: expected a file that ends in .png, .pdf or .svg, got x.doc"),
        (["{run}", "--out", "none/x.png"], 1, NOWHERE),
    ],
)
def test_wrong_arguments_of_compare(trained, tmp_path, monkeypatch, arguments, status, message):
    monkeypatch.chdir(tmp_path)
    given = [argument.format(run=trained[0]) for argument in arguments]
    assert refusal(status, "compare", *given).removeprefix(f"{tmp_path}/") == message.format(run=trained[0])
    assert list(tmp_path.iterdir()) == []
