"""docs/paper.md: its tables are made of docs/paper.csv, and what is measured of a run is right."""

import csv

import numpy as np
import pytest
from command import small_world

from benchmarks import paper, paper_runs
from npstn import runs


def lines():
    return paper.Lines(csv.DictReader(paper.LINES.read_text().splitlines()))


def test_the_page_has_the_tables_that_its_lines_give():
    page = paper.PAGE.read_text(encoding="utf-8")
    assert paper.written(page, lines()) == page
    assert all(f"<!-- {name}: written by" in page for name in paper.BLOCKS)


def test_the_runs_of_a_cell_are_alike_but_for_the_seed():
    names = [name for name in paper_runs.KEYS if name not in ("epochs", "seed")]
    epochs = {}
    for line in lines().lines:
        epochs.setdefault(tuple(line[name] for name in names), set()).add(line["epochs"])
    assert all(len(counts) == 1 for counts in epochs.values())


def test_a_cell_has_the_mean_the_spread_and_the_number_of_the_paper():
    of = paper.Lines({"error": error} for error in ("1.0", "1.2", "1.4"))
    assert paper.cell(of, 0.7) == "1.20 ± 0.20 (0.7)"
    assert paper.cell(paper.Lines([]), 0.7) == "not run (0.7)"


def test_what_is_measured_of_a_run(trained):
    folder, _ = trained
    with small_world():
        run = paper_runs.read(folder)
        line, wrong = paper_runs.measured(run, folder, alone={0, 1})
    metrics = runs.read_metrics(folder)
    assert line["error"] == pytest.approx(100 - metrics["test_accuracy"][-1])
    assert line["seconds"] == pytest.approx(metrics["seconds"].sum())
    assert sum(map(int, line["class_errors"].split())) == len(wrong)
    assert line["lost"] - line["gained"] == len(wrong) - 2
    assert run.upright.shape == run.test.images.shape and 0 < line["alike_given"] < 1
    # The slope is the correlation in units of the spreads.
    assert np.sign(line["angle_undone"]) == -np.sign(metrics["angle_correlation"][-1])
    assert [line[name] for name in paper_runs.KEYS] == ["rotated", "30", "blog", "rotation", "", 1, "fast", 2, 3]


def test_how_much_is_undone():
    true = np.array([-30.0, 0, 10, 40])
    assert paper_runs.undone(-1.25 * true + 20, true) == pytest.approx(1.25)  # it over-rotates, and turns all by 20
    assert paper_runs.undone(np.array([30.0, 0, -10, np.inf]), true) == pytest.approx(1)


def test_alike_is_the_share_of_the_energy_in_the_mean_of_a_class():
    same = np.tile(np.arange(4.0).reshape(1, 1, 2, 2), (4, 1, 1, 1))
    labels = np.array([0, 0, 1, 1])
    assert paper_runs.alike(same, labels) == pytest.approx(1)
    assert paper_runs.alike(5 * np.eye(4).reshape(4, 1, 2, 2), labels) == pytest.approx(0.5)
