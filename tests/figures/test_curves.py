"""Curves of one run and of several: made from small arrays, they show those arrays, and they name what they show."""

import os
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pictures import check_texts, is_png

from npstn.figures.curves import comparison, curves
from npstn.runs.comparison import Group
from npstn.tasks import Measure, Rotated

METRICS = {
    "epoch": np.array([1.0, 2.0, 3.0]),
    "train_loss": np.array([2.0, 1.0, 0.5]),
    "test_loss": np.array([1.5, 0.75, 0.25]),
    "test_accuracy": np.array([50.0, 80.0, 95.5]),
}


# One run


def test_curves_draw_every_epoch(tmp_path):
    figure = curves(METRICS)
    loss, accuracy = figure.axes
    assert (loss.get_title(), accuracy.get_title()) == ("loss", "test accuracy")
    assert loss.get_xlabel() == accuracy.get_xlabel() == "epoch"
    assert loss.get_ylabel() == "negative log-likelihood"
    assert "%" in accuracy.get_ylabel()
    assert {line.get_label() for line in loss.lines} == {"train", "test"}
    for line in loss.lines:
        assert_array_equal(line.get_xydata(), np.c_[METRICS["epoch"], METRICS[f"{line.get_label()}_loss"]])
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["train", "test"]
    (line,) = accuracy.lines
    assert_array_equal(line.get_xydata(), np.c_[METRICS["epoch"], METRICS["test_accuracy"]])
    check_texts(figure)
    assert is_png(figure, tmp_path / "x.png")


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_curves_have_whole_epochs_on_their_axis(epochs):
    figure = curves({name: column[:epochs] for name, column in METRICS.items()})
    figure.draw_without_rendering()
    for axes in figure.axes:
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert ticks == list(range(1, epochs + 1))


@pytest.mark.parametrize(("accuracies", "ends"), [([90, 99, 100], (None, 100)), ([0, 1, 4], (0, None)), ([50], ())])
def test_the_axis_of_the_accuracy_has_no_values_that_no_accuracy_has(accuracies, ends):
    count = len(accuracies)
    metrics = {name: column[:count] for name, column in METRICS.items()}
    metrics["test_accuracy"] = np.array(accuracies, float)
    low, high = curves(metrics).axes[1].get_ylim()
    assert 0 <= low < min(accuracies) + 1e-9 and max(accuracies) <= high <= 100
    assert all(end in (None, got) for end, got in zip(ends, (low, high)))


# Several runs


def group(name="rotation", runs=1, epochs=3, measured=None, accuracy=90.0, **columns):
    """A group of runs whose accuracy rises by 1 with the epoch and with the seed."""
    epoch = np.tile(np.arange(1.0, epochs + 1), (runs, 1))
    metrics = {"epoch": epoch, "test_accuracy": accuracy + epoch + np.arange(runs)[:, None], "test_loss": 1 / epoch}
    metrics |= {name: np.broadcast_to(np.asarray(value, float), epoch.shape) for name, value in columns.items()}
    return Group(name, list(range(runs)), epochs, Rotated.measured if measured is None else measured, metrics)


def titles(figure):
    return [axes.get_title() for axes in figure.axes]


def test_a_line_for_each_run_and_one_for_their_mean(tmp_path):
    figure = comparison([group(runs=2, angle_correlation=-0.8), group("none", angle_correlation=np.nan)])
    assert titles(figure) == ["misread test images", "loss on the test images", "angle correlation"]
    error, _, angles = figure.axes
    assert_allclose([line.get_ydata() for line in error.lines], [[9, 8, 7], [8, 7, 6], [8.5, 7.5, 6.5], [9, 8, 7]])
    assert [line.get_color() for line in error.lines] == ["C0"] * 3 + ["C1"]
    assert error.lines[2].get_linewidth() > 2 * error.lines[0].get_linewidth()
    assert_allclose([line.get_ydata() for line in angles.lines[:3]], np.full((3, 3), -0.8))
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["rotation (2 runs, and their mean)", "none"]
    assert is_png(figure, tmp_path / "x.png")


def test_a_measure_that_no_run_has_makes_no_panel(tmp_path):
    figure = comparison([group(angle_correlation=np.nan), group(measured={})])
    assert titles(figure) == ["misread test images", "loss on the test images"]
    assert is_png(figure, tmp_path / "x.png")


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_the_panel_is_of_a_measure_that_some_run_has(order):
    """Of two tasks, the runs of one have no transformer."""
    rest = {"rest_px": Measure("distance left", ".2f", " px")}
    groups = [group("rotated", angle_correlation=np.nan), group("shifted", measured=rest, rest_px=[3, 2, 1])]
    figure = comparison(groups[order])
    assert titles(figure)[2] == "distance left"
    assert figure.axes[2].get_ylabel() == "px"
    # The run that does not have it decides nothing about the axis, whether it comes first or last.
    assert figure.axes[2].get_yscale() == "log"
    assert [axes.get_yscale() for axes in figure.axes[:2]] == ["linear", "log"]  # from 9 to 7 %, from 1 to 1/3
    check_texts(figure)


@pytest.mark.parametrize(
    "rest", [[4.2, 4.1, 4.0], [4.4, 3, 2.1], [9.9, 4, 1.01], [25, 9, 3.9], [88, 4, 0.3], [7e-4, 6e-4, 2e-4]], ids=str
)
def test_an_axis_has_numbers_at_three_ticks_at_least(rest):
    measure = {"rest_px": Measure("distance left", ".2f", " px")}
    axes = comparison([group("shifted", measured=measure, rest_px=rest)]).axes[2]
    axes.figure.draw_without_rendering()
    low, high = axes.get_ylim()
    written = [tick.label1.get_text() for tick in axes.yaxis.get_major_ticks() if low <= tick.get_loc() <= high]
    assert 3 <= len(written) <= 10 and "" not in written and len(set(written)) == len(written)
    assert axes.get_yscale() == ("log" if rest[0] > 1.5 * rest[-1] else "linear")


@pytest.mark.filterwarnings("error")
def test_a_run_without_a_mistake_is_drawn_at_0(tmp_path):
    figure = comparison([group(accuracy=97.0, angle_correlation=-0.5), group(accuracy=90.0, angle_correlation=-0.5)])
    assert len(figure.axes) == 3  # one panel for the measure that both have
    assert figure.axes[0].lines[0].get_ydata().tolist() == [2, 1, 0]
    assert figure.axes[0].get_ylim()[0] < 0
    assert is_png(figure, tmp_path / "x.png")


@pytest.mark.parametrize(("count", "epochs"), [(1, 1), (2, 8), (5, 8)])
@pytest.mark.parametrize("transformer", [True, False])
def test_no_text_is_cut_off_or_lies_on_another(count, transformer, epochs):
    name = "rotation, angle 22.5, recipe blog, lr 0.0015, batch size 128, data 0123abcd"
    correlation = -np.linspace(0.2, 0.9, epochs) if transformer else np.nan
    groups = [group(name, 1 + i % 2, epochs, angle_correlation=correlation) for i in range(count)]
    assert "epoch" in check_texts(comparison(groups))


# No window


def test_no_window_is_ever_near(tmp_path):
    code = """
import pathlib, sys, numpy as np
from npstn.data import Source
from npstn.figures import before_after, curves, film, parameters, single_images, views
from npstn.runs.comparison import Group
from npstn.runs.frames import Moment
from npstn.tasks import Batch, Rotated
image, grid = np.zeros((1, 28, 28)), np.ones((28, 28, 2))
seen = views.View(0, 0, {}, image, {}, grid, image, np.ones(10), 1.0, grid, {}, 0.0)
task = Rotated(Source("x", "x", None, (28, 28), tuple("0123456789")))
columns = {name: np.ones((2, 1)) for name in ("epoch", "test_accuracy", "test_loss", "angle_correlation")}
truth = {"angle_deg": np.zeros(3)}
figures = [
    before_after.before_after(np.zeros((3, 1, 28, 28)), np.zeros((3, 1, 28, 28))),
    curves.curves({name: np.ones(1) for name in ("epoch", "train_loss", "test_loss", "test_accuracy")}),
    curves.comparison([Group("rotation", [0, 1], 1, Rotated.measured, columns)]),
    parameters.parameters(Batch(None, np.arange(3), truth), truth, task.classes),
    single_images.draw([seen], task),
]
film.write(pathlib.Path("x.gif"), np.zeros((3, 1, 28, 28)), {Moment(0): np.zeros((3, 1, 28, 28), np.uint8)}, 19, {})
for figure in figures:
    figure.savefig("x.png")
print("matplotlib.figure" in sys.modules, "matplotlib.pyplot" in sys.modules)
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "MPLBACKEND": "TkAgg"}  # a backend that opens windows
    env.pop("DISPLAY", None)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("True False\n", "", 0)
