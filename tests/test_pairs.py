"""The table of all tasks with all transformers: through the command, and without doing anything twice."""

import pytest
from command import few_digits, use_mnist

from benchmarks import pairs
from npstn.data import SOURCES
from npstn.tasks import TASKS, Pictures
from npstn.transformers import TRANSFORMERS

pytestmark = pytest.mark.usefixtures("small_world")


def test_every_task_of_digits_and_every_transformer_has_its_place():
    assert {row.task for row in pairs.ROWS.values()} == TASKS.keys() - {Pictures.name}
    assert set(pairs.ALL) == {*TRANSFORMERS, "none"}
    assert all(row.transformers[0] == "none" and set(row.transformers) <= set(pairs.ALL) for row in pairs.ROWS.values())


def test_a_task_is_run_once_and_the_page_has_its_numbers(tmp_path, monkeypatch):
    use_mnist(monkeypatch, lambda folder=None, train=True: few_digits(4_000, 8 + train))
    monkeypatch.setitem(SOURCES, "mnist", SOURCES["mnist"])  # put back afterwards
    monkeypatch.setitem(pairs.ROWS, "R", pairs.Row("R", ("none", "tps"), "blog", parallel=2, epochs=2))
    given = ["--images", "35", "--only", "R", "--out", str(tmp_path / "runs"), "--page", str(tmp_path / "page.md")]
    pairs.main(given)
    page = (tmp_path / "page.md").read_text()
    assert "trained on 35 MNIST digits" in page and "This is a trial" in page
    assert "2 of " in page and "commit: " in page and "cores: " in page
    accuracies, *_ = (line for line in page.splitlines() if line.startswith("| R, 2 side by side | blog | fast, 2 |"))
    cells = accuracies.split("|")[4:-1]
    assert [cell.strip() != "" for cell in cells] == [kind in ("none", "tps") for kind in pairs.ALL]

    monkeypatch.setattr(pairs, "npstn", lambda arguments: pytest.fail("a finished pair was run again"))
    pairs.main(given)
    assert (tmp_path / "page.md").read_text() == page
    with pytest.raises(SystemExit):
        pairs.main([*given, "--images", "36"])


def test_a_pair_that_was_stopped_goes_on(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(pairs, "npstn", lambda arguments: asked.append(arguments) or 130)
    (tmp_path / "R_tps").mkdir()
    (tmp_path / "R_tps" / "checkpoint.safetensors").write_bytes(b"")
    with pytest.raises(SystemExit) as end:
        pairs.train("R", "tps", tmp_path, None)
    assert end.value.code == 130
    assert asked == [["train", "--resume", str(tmp_path / "R_tps")]]
    assert not (tmp_path / "R_tps" / pairs.ABOUT).exists()
