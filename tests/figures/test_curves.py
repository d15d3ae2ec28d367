"""The pictures: made from small arrays, they show those arrays, and they name what they show."""

import os
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.testing import assert_array_equal

from npstn import plots

METRICS = {
    "epoch": np.array([1.0, 2.0, 3.0]),
    "train_loss": np.array([2.0, 1.0, 0.5]),
    "test_loss": np.array([1.5, 0.75, 0.25]),
    "test_accuracy": np.array([50.0, 80.0, 95.5]),
}


def saved(figure, path):
    """The figure goes onto disk as a PNG."""
    assert isinstance(figure, Figure)
    figure.savefig(path, dpi=50)
    return path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


# before_after


def test_before_after_shows_the_images_row_by_row(rng, tmp_path):
    before, after = rng.random((2, 6, 28, 28))
    given = [images[:, None].astype(np.float32) for images in (before, after)]
    kept = [images.copy() for images in given]
    figure = plots.before_after(*given, rows=2)
    upper, lower = figure.axes
    for axes, images in ((upper, before), (lower, after)):
        (shown,) = axes.get_images()
        wanted = np.block([[images[0], images[1], images[2]], [images[3], images[4], images[5]]])
        assert_array_equal(shown.get_array(), wanted.astype(np.float32))
        assert shown.get_cmap().name == "gray"
        assert shown.get_clim() == (0, 1)  # the same grey for the same ink, in both
        assert not axes.axison
    assert upper.get_position().y0 > lower.get_position().y0  # originals above, as in the post
    assert "shown" in upper.get_title() and "transformer" in lower.get_title()
    assert_array_equal(given, kept)
    assert saved(figure, tmp_path / "x.png")


def test_before_after_has_three_rows_by_default(rng):
    images = rng.random((12, 1, 28, 28), np.float32)
    for axes in plots.before_after(images, images).axes:
        assert axes.get_images()[0].get_array().shape == (3 * 28, 4 * 28)


# curves


def test_curves_draw_every_epoch(tmp_path):
    figure = plots.curves(METRICS)
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
    assert saved(figure, tmp_path / "x.png")


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_curves_have_whole_epochs_on_their_axis(epochs):
    figure = plots.curves({name: column[:epochs] for name, column in METRICS.items()})
    figure.draw_without_rendering()
    for axes in figure.axes:
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert ticks == list(range(1, epochs + 1))


# angles


def test_angles_draw_every_digit(rng, tmp_path):
    true = rng.uniform(-45, 45, 50)
    predicted, labels = -true + rng.normal(0, 5, 50), rng.integers(0, 10, 50)
    figure = plots.angles(true, predicted, labels)
    axes, bar = figure.axes
    (points,) = axes.collections
    assert_array_equal(points.get_offsets(), np.c_[true, predicted])
    assert_array_equal(points.get_array(), labels)
    # One colour for each digit, and the bar tells which.
    assert len({points.cmap(points.norm(digit)) for digit in range(10)}) == 10
    assert bar.get_yticks().tolist() == list(range(10))
    assert bar.get_ylabel() == "digit"
    assert "degrees" in axes.get_xlabel() and "turned" in axes.get_xlabel()
    assert "transformer" in axes.get_ylabel()
    assert axes.get_title() == "50 test digits"
    assert saved(figure, tmp_path / "x.png")


def test_angles_have_the_line_on_which_everything_is_turned_back_exactly():
    true = np.array([-30.0, 10.0, 20.0])
    axes = plots.angles(true, true, np.array([0, 1, 2])).axes[0]
    (line,) = axes.lines
    assert_array_equal(line.get_xydata(), [[-30, 30], [20, -20]])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [line.get_label()]


def test_angles_of_digits_that_were_not_turned(tmp_path):
    assert saved(plots.angles(np.zeros(3), np.zeros(3), np.arange(3)), tmp_path / "x.png")


# metrics.csv


def test_read_metrics(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,test_loss,angle_correlation\n1,0.125,nan\n2,6.103515625e-05,-0.5\n")
    metrics = plots.read_metrics(path)
    assert list(metrics) == ["epoch", "test_loss", "angle_correlation"]
    assert all(column.dtype == np.float64 for column in metrics.values())
    assert_array_equal(metrics["epoch"], [1, 2])
    assert_array_equal(metrics["test_loss"], [0.125, 2.0**-14])
    assert_array_equal(metrics["angle_correlation"], [np.nan, -0.5])


# No window


def test_no_window_is_ever_near(tmp_path):
    code = """
import pathlib, sys, numpy as np
from npstn import cli, compare, film, plots, show
seen = show.Look(0, 0, 0.0, np.zeros((28, 28)), 0.0, np.ones((28, 28, 2)), np.zeros((28, 28)), np.ones(10), 1.0,
    np.ones((28, 28, 2)))
columns = {name: np.ones((2, 1)) for name in ("epoch", "test_accuracy", "test_loss", "angle_correlation")}
figures = [
    plots.before_after(np.zeros((3, 1, 28, 28)), np.zeros((3, 1, 28, 28))),
    plots.curves({name: np.ones(1) for name in ("epoch", "train_loss", "test_loss", "test_accuracy")}),
    plots.angles(np.zeros(3), np.zeros(3), np.arange(3)),
    plots.transformer([seen]),
    plots.comparison([compare.Group("stn", [0, 1], 1, columns)]),
]
film.write(pathlib.Path("x.gif"), np.zeros((3, 1, 28, 28)), {0: np.zeros((3, 28, 28), np.uint8)}, {})
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
