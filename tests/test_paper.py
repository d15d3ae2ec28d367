"""docs/paper.md: its tables are made of docs/paper.csv, and what is measured of a run is right."""

import csv
import dataclasses

import numpy as np
import pytest
from command import npstn_, small_world

from benchmarks import paper, paper_pictures, paper_runs
from npstn import runs
from npstn.training import RECIPES, evaluate


def read_toml(path):
    tomllib = pytest.importorskip("tomllib")  # from Python 3.11 on
    return tomllib.loads(path.read_text())


def lines():
    return paper.Lines(csv.DictReader(paper.LINES.read_text().splitlines()))


def test_the_page_has_the_tables_that_its_lines_give():
    page = paper.PAGE.read_text(encoding="utf-8")
    assert paper.written(page, lines()) == page
    assert all(f"<!-- {name}: written by" in page for name in paper.BLOCKS)


def test_the_runs_of_a_cell_are_alike_but_for_the_seed():
    cells = {}
    for line in lines().lines:
        shown = "task", "strength", "network", "transformer", "of_transformer", "parallel", "recipe", "lr"
        cells.setdefault(tuple(line[name] for name in shown), []).append(line)
    for of in cells.values():
        assert len({line["epochs"] for line in of}) == 1
        assert len({line["seed"] for line in of}) == len(of)


def test_a_cell_has_the_mean_the_spread_and_the_number_of_the_paper():
    of = paper.Lines({"error": error} for error in ("1.0", "1.2", "1.4"))
    assert paper.cell(of, 0.7) == "1.20 ± 0.20 (0.7)"
    assert paper.cell(paper.Lines(of.lines[:2]), 2) == "1.10 ± 0.14 (2.0), 2 of 3 seeds"
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
    found = evaluate(run.net, run.test).found["angle_deg"]
    slope = metrics["angle_correlation"][-1] * found.std() / run.test.truth["angle_deg"].std()
    assert line["angle_undone"] == pytest.approx(-slope, rel=1e-3)
    keys = ["rotated", "30", "blog", "rotation", "", 1, "fast", "0.006", 2, 3]
    assert [line[name] for name in paper_runs.KEYS] == keys


@pytest.mark.parametrize(("option", "reason"), [
    ({"lr": 0.003}, ""),
    ({"localiser_factor": 0.3}, "it is not trained as its recipe says"),
    ({"curriculum": 0.6}, "it is not trained as its recipe says"),
    ({"batch_size": 32}, "it is not trained as its recipe says"),
])  # fmt: skip
def test_a_run_with_options_that_its_line_does_not_name_has_no_place(trained, monkeypatch, option, reason):
    config = runs.read_config(trained[0])
    usual = dataclasses.replace(RECIPES["fast"], epochs=config.recipe.epochs)
    recipe, task = dataclasses.replace(usual, **option), {**config.task, "source": "mnist"}
    found = dataclasses.replace(config, recipe=recipe, task=task)
    monkeypatch.setattr(runs, "read_config", lambda folder: found)
    assert paper_runs.why_not(trained[0]) == reason


@pytest.mark.parametrize("name", ["table1", "cluttered", "addition"])
def test_what_the_examples_train_has_a_place_in_the_tables(name):
    entries = read_toml(paper.DOCS.parent / "examples" / "paper" / f"{name}.toml")
    for entry in entries.pop("grid", [{}]):
        options = {option.replace("-", "_"): value for option, value in {**entries, **entry}.items()}
        task = options["task"]
        changed = {option: options[option] for option in vars(RECIPES["fast"]) if option in options}
        assert f"{changed.pop('lr', RECIPES['fast'].lr):g}" == paper.rate_of(task)
        assert str(changed.pop("epochs")) == paper.EPOCHS[task]
        assert changed == paper_runs.CHANGED.get(task, {})


def test_runs_are_put_into_the_page(tmp_path, monkeypatch, capsys):
    """With less of a page, digits that the program drew, and one transformer for all."""
    page = "<!-- doings: written by python -m benchmarks.paper -->\n\nold\n\n<!-- until here -->\n"
    (tmp_path / "paper.md").write_text(page)
    for name, path in {"PAGE": "paper.md", "LINES": "paper.csv", "PICTURES": ""}.items():
        monkeypatch.setattr(paper, name, tmp_path / path)
    monkeypatch.setattr(paper, "KINDS", ("affine",))
    monkeypatch.setitem(paper.EPOCHS, "R", "1")
    with small_world():
        for kind in ("none", "affine"):
            words = ["--task", "R", "--network", "cnn", "--transformer", kind, "--epochs", 1, "--data", "drawn"]
            assert npstn_("train", *words, "--out", tmp_path / kind).status == 0
        with pytest.raises(SystemExit):
            paper.main([str(tmp_path / "none"), str(tmp_path / "paper.md")])
        said = capsys.readouterr()
        assert said.out == f"left out: {tmp_path / 'none'}: its images are not MNIST\n"
        assert "expected run folders, such as runs/table1/*, got none" in said.err
        monkeypatch.setattr(paper_runs, "why_not", lambda folder: "")
        paper.main([str(tmp_path / "affine"), str(tmp_path / "none")])
        (alone, behind) = lines().of(transformer="none").lines + lines().of(transformer="affine").lines
        misread = [sum(map(int, line["class_errors"].split())) for line in (alone, behind)]
        assert int(behind["lost"]) - int(behind["gained"]) == misread[1] - misread[0]
        assert f"| R | affine | {float(behind['angle_undone']):.2f} |" in paper.PAGE.read_text()
        assert "old" not in paper.PAGE.read_text()
        assert [path.name for path in sorted(tmp_path.glob("*.png"))] == ["paper_R.png", "paper_R_hurt.png"]
        before = paper.LINES.read_bytes()
        paper.main([str(tmp_path / "affine")])  # the classifier alone was named before
        assert paper.LINES.read_bytes() == before
        capsys.readouterr()
        monkeypatch.setitem(paper.EPOCHS, "R", "24")
        paper.main([str(tmp_path / "affine")])
        assert f"only a line in paper.csv: {tmp_path / 'affine'}: expected 24 epochs, got 1" in capsys.readouterr().out
        assert "| R | affine |" not in paper.PAGE.read_text()


def test_two_transformers_are_drawn_side_by_side(tmp_path, monkeypatch):
    monkeypatch.setattr(paper, "PICTURES", tmp_path)
    monkeypatch.setitem(paper.EPOCHS, "addition", "1")
    words = ["--task", "addition", "--network", "cnn", "--transformer", "affine", "--parallel", 2, "--lr", "0.003"]
    with small_world():
        assert npstn_("train", *words, "--epochs", 1, "--data", "drawn", "--out", tmp_path / "run").status == 0
        paper.draw([tmp_path / "run"], None)
        figure = paper_pictures.side_by_side(paper_runs.read(tmp_path / "run"))
    assert [path.name for path in sorted(tmp_path.glob("*.png"))] == ["paper_addition.png"]
    assert [axes.get_ylabel() for axes in figure.axes[::2]] == ["given", "transformer 1", "transformer 2"]
    shown = [axes.images[0].get_array() for axes in figure.axes]
    assert [image.shape for image in shown] == 3 * [(44, 6 * 86), (44, 86)]
    assert len({image.tobytes() for image in shown}) == 6


def test_how_much_is_undone():
    true = np.array([-30.0, 0, 10, 40])
    assert paper_runs.undone(-1.25 * true + 20, true) == pytest.approx(1.25)  # it over-rotates, and turns all by 20
    assert paper_runs.undone(np.array([30.0, 0, -10, np.inf]), true) == pytest.approx(1)
    assert np.isnan(paper_runs.undone(true, np.zeros(4)))
    turned = (-0.75 * true + 170 + 180) % 360 - 180  # some of them beyond 180 degrees
    assert paper_runs.angle_undone(turned, true) == pytest.approx(0.75)


def test_alike_is_the_share_of_the_energy_in_the_mean_of_a_class():
    same = np.tile(np.arange(4.0).reshape(1, 1, 2, 2), (4, 1, 1, 1))
    labels = np.array([0, 0, 1, 1])
    assert paper_runs.alike(same, labels) == pytest.approx(1)
    assert paper_runs.alike(5 * np.eye(4).reshape(4, 1, 2, 2), labels) == pytest.approx(0.5)


def test_the_slant_is_what_a_shear_adds():
    y, x = np.indices((41, 41)) - 20
    leaning = [np.exp(-(((x - s * y) / 2) ** 2 + (y / 6) ** 2)) for s in (0.0, 0.3, -0.5)]
    np.testing.assert_allclose(paper_runs.slants(np.stack(leaning)[:, None]), [0, 0.3, -0.5], atol=1e-3)
