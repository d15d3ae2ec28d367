"""Runs side by side: which belong together, what they are called, and the numbers of each group."""

import json
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.testing import assert_allclose, assert_array_equal
from pictures import check_texts

from npstn import compare, plots, runs
from npstn.training import RECIPES, Epoch

CONFIG = {
    "model": "stn",
    "data": "mnist",
    "digits_sha256": "a" * 64,
    "angle": 45.0,
    "seed": 0,
    "recipe": "fast",
    **vars(RECIPES["fast"]),
    "versions": {"npstn": "0.1.0"},
}


@pytest.fixture
def run(tmp_path):
    """A function that writes a run and gives its folder; `accuracies` has one for each epoch."""

    def write(name, accuracies=(90.0, 97.0), correlation=-0.8, **changes):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({**CONFIG, "epochs": len(accuracies), **changes}))
        lines = [",".join(Epoch._fields)]
        for epoch, accuracy in enumerate(accuracies, start=1):
            loss = (100 - accuracy) / 100
            lines.append(f"{epoch},10.5,{2 * loss},{loss},{accuracy},{correlation},{-10 * correlation},26.0")
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
        run("b", [80, 95], model="cnn", correlation=float("nan"), seed=0),
        run("c", [92, 99], seed=1, versions={"npstn": "0.2.0"}),
    ]
    stn, cnn = compare.read(folders)
    assert (stn.name, stn.seeds, stn.planned, stn.epochs) == ("stn", [0, 1], 2, 2)
    assert (cnn.name, cnn.seeds, cnn.planned, cnn.epochs) == ("cnn", [0], 2, 2)
    assert_array_equal(stn.metrics["test_accuracy"], [[90, 97], [92, 99]])
    assert_array_equal(cnn.metrics["test_accuracy"], [[80, 95]])
    assert np.isnan(cnn.metrics["angle_correlation"]).all()


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ([{}, {"model": "cnn"}], ["stn", "cnn"]),
        ([{"angle": 45.0}, {"angle": 90.0}, {"angle": 22.5}], ["stn, ±45°", "stn, ±90°", "stn, ±22.5°"]),
        ([{"lr": 0.003}, {"lr": 0.01}], ["stn, lr 0.003", "stn, lr 0.01"]),
        ([{"batch_size": 32}, {"batch_size": 64}], ["stn, batch size 32", "stn, batch size 64"]),
        # A recipe stands for all that it says, and for nothing else.
        (
            [{"epochs": 8}, {"recipe": "blog", **vars(RECIPES["blog"])}],
            ["stn, recipe fast", "stn, recipe blog"],
        ),
        (
            [{"epochs": 8}, {"recipe": "blog", **vars(RECIPES["blog"]), "lr": 0.01}],
            ["stn, recipe fast, lr 0.003", "stn, recipe blog, lr 0.01"],
        ),
        # Two kinds of data are two hashes anyway.
        ([{}, {"data": "digits", "digits_sha256": "b" * 64}], ["stn, MNIST digits", "stn, drawn digits"]),
        ([{}, {"digits_sha256": "b" * 64}], ["stn, digits aaaaaaaa", "stn, digits bbbbbbbb"]),
        ([{}, {"epochs": 3}], ["stn, epochs 2", "stn, epochs 3"]),
        ([{}, {"later": "x"}], ["stn, later -", "stn, later x"]),  # by a version to come
    ],
)
def test_a_group_is_called_by_what_sets_it_apart(run, changes, names):
    groups = compare.read([run(str(i), **change) for i, change in enumerate(changes)])
    assert [group.name for group in groups] == names


def test_a_group_goes_as_far_as_all_of_its_runs(run):
    (group,) = compare.read([run("a", [90, 95, 97], seed=0), run("b", [91, 96], seed=1, epochs=3)])
    assert (group.epochs, group.planned) == (2, 3)
    assert_array_equal(group.metrics["test_accuracy"], [[90, 95], [91, 96]])
    assert cells(compare.table([group]))[1][2] == "2 of 3"


# The table


def test_the_table_has_mean_and_standard_deviation_of_the_last_epoch(run):
    last = [97.0, 98.0, 99.5]
    folders = [run(str(seed), [90, accuracy], seed=seed) for seed, accuracy in enumerate(last)]
    folders.append(run("cnn", [80, 95.126], model="cnn", correlation=float("nan"), seed=7))
    header, stn, cnn, note = cells(compare.table(compare.read(folders)))
    assert header[:4] == ["run", "seeds", "epochs", "test accuracy"]
    mean = sum(last) / 3
    deviation = (sum((value - mean) ** 2 for value in last) / 2) ** 0.5
    assert stn == [
        "stn",
        "0 1 2",
        "2",
        f"{mean:.2f} ± {deviation:.2f} %",
        f"{1 - mean / 100:.4f} ± {deviation / 100:.4f}",
        "-0.800 ± 0.000",
        "8.0 ± 0.0°",
        "21 s",
    ]
    assert cnn == ["cnn", "7", "2", "95.13 %", "0.0487", "-", "-", "21 s"]
    assert note == ["mean ± standard deviation over the seeds"]


def test_a_table_without_repeated_seeds_needs_no_note(run):
    assert len(compare.table(compare.read([run("a"), run("b", model="cnn")])).splitlines()) == 3


# What is wrong with a run


def refusal(*folders):
    with pytest.raises(runs.RunError) as caught:
        compare.read(folders)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_no_run(run, tmp_path):
    assert refusal(run("a"), tmp_path) == f"expected a run folder, got {tmp_path}, with no config.json in it"


@pytest.mark.parametrize("content", [None, "", ",".join(Epoch._fields) + "\n"])
def test_a_run_in_its_first_epoch(run, content):
    path = run("a") / "metrics.csv"
    path.unlink() if content is None else path.write_text(content)
    assert refusal(path.parent) == f"expected an epoch at least in {path}, got none: is the run still in its first?"


def test_other_columns(run):
    path = run("a") / "metrics.csv"
    path.write_text("epoch,test_loss\n1,0.5\n")
    wanted = f"expected the columns {', '.join(Epoch._fields)} in {path}, got epoch, test_loss"
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
    folders.append(run("cnn", [80, 95], model="cnn", correlation=float("nan")))
    figure = compare.compare(folders)
    assert isinstance(figure, Figure)
    error, loss, angles = figure.axes
    stn = [[10, 3], [9, 2], [8, 1], [9, 2]]  # then their mean
    assert_allclose([line.get_ydata() for line in error.lines], [*stn, [20, 5]])
    assert_allclose([line.get_ydata() for line in loss.lines], np.array([*stn, [20, 5]]) / 100)
    assert_allclose([line.get_ydata() for line in angles.lines[:4]], np.full((4, 2), -0.8))
    for axes in (error, loss, angles):
        assert [line.get_color() for line in axes.lines] == ["C0"] * 4 + ["C1"]
        assert axes.lines[3].get_linewidth() > 2 * axes.lines[0].get_linewidth()
        assert axes.lines[0].get_xdata().tolist() == [1, 2]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["stn (3 runs, and their mean)", "cnn"]


def test_without_a_transformer_there_are_no_angles(run):
    figure = compare.compare([run("a", model="cnn", correlation=float("nan"))])
    assert [axes.get_title() for axes in figure.axes] == ["misread test digits", "loss on the test digits"]


@pytest.mark.parametrize("count", [1, 2, 6])
def test_no_text_of_the_picture_is_cut_off_or_lies_on_another(run, count):
    accuracies = list(np.linspace(60, 99.2, 8))
    changes = [{"recipe": ("fast", "blog")[i % 2], "lr": 0.001 * (i + 1), "batch_size": 10 + i} for i in range(count)]
    groups = compare.read([run(str(i), accuracies, **change) for i, change in enumerate(changes)])
    assert "epoch" in check_texts(plots.comparison(groups))


@pytest.mark.filterwarnings("error")
def test_a_run_without_a_mistake_is_drawn_at_0(run, tmp_path):
    figure = compare.compare([run("a", [90.0, 100.0]), run("b", [80.0, 90.0], model="cnn")])
    figure.savefig(tmp_path / "x.png", dpi=50)
    assert figure.axes[0].lines[0].get_ydata().tolist() == [10, 0]
    assert figure.axes[0].get_ylim()[0] < 0
