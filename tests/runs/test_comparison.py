"""Several runs: which belong together, what a group is called, its numbers, and its curves."""

import copy
import json
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.testing import assert_allclose, assert_array_equal
from pictures import check_texts

from npstn import figures, runs
from npstn.figures import curves
from npstn.runs import comparison
from npstn.training import RECIPES

CONFIG = {
    "format": 2,
    "task": {"name": "rotated", "source": "mnist", "angle": 45.0},
    "model": {"transformer": "rotation", "image": [1, 28, 28], "classes": 10, "network": "blog", "parallel": 1},
    "recipe": vars(RECIPES["fast"]),
    "recipe_name": "fast",
    "seed": 0,
    "data_folder": None,
    "data_sha256": "a" * 64,
    "versions": {"npstn": "0.1.0"},
}
MEASURES = ["angle_correlation", "residual_std_deg", "input_std_deg"]
COLUMNS = ["epoch", "seconds", "train_loss", "test_loss", "test_accuracy", "lr", *MEASURES]


@pytest.fixture
def run(tmp_path):
    """A function that writes a run and gives its folder. `accuracies` has a number for each epoch.

    An entry of the config is changed by its name; one of its task, model or recipe by its own.
    """

    def write(name, accuracies=(90.0, 97.0), correlation=-0.8, **changes):
        folder = tmp_path / name
        folder.mkdir()
        config = copy.deepcopy(CONFIG)
        for entry, value in {"epochs": len(accuracies), **changes}.items():
            part = next((config[p] for p in ("task", "model", "recipe") if entry in config[p]), config)
            part[entry] = value
        (folder / "config.json").write_text(json.dumps(config))
        lines = [",".join(COLUMNS)]
        angles = f"{correlation},{-10 * correlation},{26 + 0 * correlation}"
        for epoch, accuracy in enumerate(accuracies, start=1):
            loss = (100 - accuracy) / 100
            lines.append(f"{epoch},10.5,{2 * loss},{loss},{accuracy},0.001,{angles}")
        (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
        return folder

    return write


def cells(text):
    """The table: its rows, cut where columns are."""
    return [re.split(r"  +", line) for line in text.splitlines()]


# Which belong together


def test_runs_alike_but_for_the_seed_are_a_group(run):
    folders = [
        run("a", [90, 97], seed=0),
        run("b", [80, 95], transformer="none", correlation=float("nan"), seed=0),
        run("c", [92, 99], seed=1, versions={"npstn": "0.2.0"}, data_folder="../mnist"),
    ]
    turning, alone = comparison.read(folders)
    assert (turning.name, turning.seeds, turning.planned, turning.epochs) == ("rotation", [0, 1], 2, 2)
    assert (alone.name, alone.seeds, alone.planned, alone.epochs) == ("no transformer", [0], 2, 2)
    assert_array_equal(turning.metrics["test_accuracy"], [[90, 97], [92, 99]])
    assert_array_equal(alone.metrics["test_accuracy"], [[80, 95]])
    assert np.isnan(alone.metrics["angle_correlation"]).all()


SPLINE = {**CONFIG["model"], "transformer": "tps", "grid_size": 4, "span": 0.9, "bounded": 0}
BLOG = {"recipe_name": "blog", "recipe": {**vars(RECIPES["blog"])}}


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ([{}, {"transformer": "none"}], ["rotation", "no transformer"]),
        # Without a transformer no localisation network learns at its rate.
        ([{"localiser_factor": 0.1}, {"transformer": "none"}], ["rotation", "no transformer"]),
        (
            [{"angle": 45.0}, {"angle": 90.0}, {"angle": 22.5}],
            ["rotation, angle 45", "rotation, angle 90", "rotation, angle 22.5"],
        ),
        ([{"lr": 0.003}, {"lr": 0.01}], ["rotation, lr 0.003", "rotation, lr 0.01"]),
        ([{"batch_size": 32}, {"batch_size": 64}], ["rotation, batch size 32", "rotation, batch size 64"]),
        # The name of a recipe stands for all of its numbers, and for no others.
        ([{"epochs": 9}, BLOG], ["rotation, recipe fast", "rotation, recipe blog"]),
        (
            [{"epochs": 9}, {"recipe_name": "blog", "recipe": {**BLOG["recipe"], "lr": 0.01}}],
            ["rotation, recipe fast, lr 0.006", "rotation, recipe blog, lr 0.01"],
        ),
        # Two sources are two hashes anyway.
        (
            [{}, {"source": "drawn", "data_sha256": "b" * 64}],
            ["rotation, source mnist", "rotation, source drawn"],
        ),
        ([{}, {"data_sha256": "b" * 64}], ["rotation, data aaaaaaaa", "rotation, data bbbbbbbb"]),
        ([{}, {"epochs": 3}], ["rotation, epochs 2", "rotation, epochs 3"]),
        ([{}, {"patience": 3}], ["rotation, patience none", "rotation, patience 3"]),
        (
            [{}, {"network": "cnn"}, {"network": "cnn", "parallel": 2}],
            [f"rotation, network {name}, parallel {n}" for name, n in (("blog", 1), ("cnn", 1), ("cnn", 2))],
        ),
        # What only one kind of transformer or task has sets it apart from its own kind alone.
        ([{}, {"model": SPLINE}], ["rotation", "tps"]),
        (
            [{"model": SPLINE}, {"model": {**SPLINE, "span": 0.5}}, {}],
            ["tps, span 0.9", "tps, span 0.5", "rotation"],
        ),
        (
            [{}, {"task": {"name": "R", "source": "mnist", "angle": 45.0}}],
            ["rotation, task rotated", "rotation, task R"],
        ),
    ],
)
def test_a_group_is_called_by_what_sets_it_apart(run, changes, names):
    groups = comparison.read([run(str(i), **change) for i, change in enumerate(changes)])
    assert [group.name for group in groups] == names


def test_runs_without_the_learning_rate_stand_next_to_those_with_it(run):
    """An older npstn did not write it."""
    old, new, other = run("old", seed=0), run("new", seed=1), run("other", transformer="none")
    for folder in (old, other):
        lines = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
        (folder / "metrics.csv").write_text("\n".join(",".join(line[:5] + line[6:]) for line in lines) + "\n")
    for folders in ((old, new, other), (other, new, old)):
        group = next(group for group in comparison.read(folders) if group.name == "rotation")
        assert group.seeds == [[0, 1], [1, 0]][folders[0] is other]
        assert_array_equal(group.metrics["angle_correlation"], np.full((2, 2), -0.8))
        assert isinstance(curves.comparison(comparison.read(folders)), Figure)


def test_a_group_goes_as_far_as_all_of_its_runs(run):
    (group,) = comparison.read([run("a", [90, 95, 97], seed=0), run("b", [91, 96], seed=1, epochs=3)])
    assert (group.epochs, group.planned) == (2, 3)
    assert_array_equal(group.metrics["test_accuracy"], [[90, 95], [91, 96]])
    assert cells(comparison.table([group]))[1][2] == "2 of 3"


# The table


def test_the_table_has_mean_and_standard_deviation_of_the_last_epoch(run):
    last = [97.0, 98.0, 99.5]
    folders = [run(str(seed), [90, accuracy], seed=seed) for seed, accuracy in enumerate(last)]
    folders.append(run("alone", [80, 95.126], transformer="none", correlation=float("nan"), seed=7))
    header, turning, alone, note, _ = cells(comparison.table(comparison.read(folders)))
    measures = ["angle correlation", "spread within a class", "without the transformer"]
    assert header == ["run", "seeds", "epochs", "test accuracy", "test loss", *measures, "time"]
    mean = sum(last) / 3
    deviation = (sum((value - mean) ** 2 for value in last) / 2) ** 0.5
    assert turning == [
        "rotation",
        "0 1 2",
        "2",
        f"{mean:.2f} ± {deviation:.2f} %",
        f"{1 - mean / 100:.4f} ± {deviation / 100:.4f}",
        "-0.80 ± 0.00",
        "8.0 ± 0.0°",
        "26.0 ± 0.0°",
        "21 s",
    ]
    assert alone == ["no transformer", "7", "2", "95.13 %", "0.0487", "-", "-", "-", "21 s"]
    assert note == ["mean ± standard deviation over the seeds"]


def test_a_table_says_what_is_the_same_in_all_runs(run):
    """Of a recipe, what is not as usual; in a table without repeated seeds there is no other note."""
    groups = comparison.read([run("a"), run("b", transformer="none", dropout=0.25), run("c", dropout=0.25)])
    *rows, note = comparison.table(groups).splitlines()
    assert len(rows) == 4
    shared = "task rotated, source mnist, angle 45, network blog, parallel 1, recipe fast"
    assert note == f"the same in all that have it: {shared}"
    both = comparison.read([run("d", dropout=0.25), run("e", transformer="none", dropout=0.25)])
    assert comparison.markdown(both).endswith(f"\n\nthe same in all that have it: {shared}, dropout 0.25\n")


# What is wrong with a run


def refusal(*folders):
    with pytest.raises(runs.RunError) as caught:
        comparison.read(folders)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_no_run(run, tmp_path):
    assert refusal(run("a"), tmp_path) == f"expected a run folder, got {tmp_path}, with no config.json in it"


@pytest.mark.parametrize("content", [None, "", ",".join(COLUMNS) + "\n"])
def test_a_run_in_its_first_epoch(run, content):
    path = run("a") / "metrics.csv"
    path.unlink() if content is None else path.write_text(content)
    assert refusal(path.parent) == f"expected an epoch at least in {path}, got none: is the run still in its first?"


def test_other_columns(run):
    path = run("a") / "metrics.csv"
    path.write_text("epoch,test_loss\n1,0.5\n")
    wanted = f"expected the columns {', '.join(COLUMNS)} in {path}, got epoch, test_loss"
    assert refusal(run("b"), path.parent) == wanted


@pytest.mark.parametrize(
    "damage",
    [lambda text: text.replace("97", "many"), lambda text: text[:-20], lambda text: "\0\xff"],
    ids=["a word", "cut", "bytes"],
)
def test_damaged_numbers(run, damage):
    path = run("a") / "metrics.csv"
    path.write_text(damage(path.read_text()), encoding="latin-1")
    assert refusal(path.parent) == f"expected numbers in {path}, got something else"


# The picture


def test_the_picture_has_a_line_for_each_run_and_one_for_their_mean(run):
    folders = [run(str(seed), [90 + seed, 97 + seed], seed=seed) for seed in range(3)]
    folders.append(run("alone", [80, 95], transformer="none", correlation=float("nan")))
    figure = figures.compare(folders)
    assert isinstance(figure, Figure)
    error, loss, angles = figure.axes
    turning = [[10, 3], [9, 2], [8, 1], [9, 2]]  # then their mean
    assert_allclose([line.get_ydata() for line in error.lines], [*turning, [20, 5]])
    assert_allclose([line.get_ydata() for line in loss.lines], np.array([*turning, [20, 5]]) / 100)
    assert_allclose([line.get_ydata() for line in angles.lines[:4]], np.full((4, 2), -0.8))
    for axes in (error, loss, angles):
        assert [line.get_color() for line in axes.lines] == ["C0"] * 4 + ["C1"]
        assert axes.lines[3].get_linewidth() > 2 * axes.lines[0].get_linewidth()
        assert axes.lines[0].get_xdata().tolist() == [1, 2]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "rotation (3 runs, and their mean)",
        "no transformer",
    ]


def test_without_a_transformer_there_are_no_angles(run):
    figure = figures.compare([run("a", transformer="none", correlation=float("nan"))])
    assert [axes.get_title() for axes in figure.axes] == ["misread test images", "loss on the test images"]


@pytest.mark.parametrize("count", [1, 2, 6])
def test_no_text_of_the_picture_is_cut_off_or_lies_on_another(run, count):
    accuracies = list(np.linspace(60, 99.2, 8))
    names = ["fast", "blog"] * 3
    changes = [{"recipe_name": names[i], "lr": 0.001 * (i + 1), "batch_size": 10 + i} for i in range(count)]
    groups = comparison.read([run(str(i), accuracies, **change) for i, change in enumerate(changes)])
    assert "epoch" in check_texts(curves.comparison(groups))


@pytest.mark.filterwarnings("error")
def test_a_run_without_a_mistake_is_drawn_at_0(run, tmp_path):
    figure = figures.compare([run("a", [90.0, 100.0]), run("b", [80.0, 90.0], transformer="none")])
    figure.savefig(tmp_path / "x.png", dpi=50)
    assert figure.axes[0].lines[0].get_ydata().tolist() == [10, 0]
    assert figure.axes[0].get_ylim()[0] < 0
