"""The transformer's quantities against the truth: every image is a point, in the colour of its class."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pictures import check_texts, is_png

from npstn.figures.parameters import parameters
from npstn.tasks import Batch

DIGITS = tuple("0123456789")


def batch(truth, labels):
    return Batch(np.zeros((len(labels), 1, 2, 2), np.float32), np.asarray(labels), truth)


def test_every_image_is_a_point(rng, tmp_path):
    true = rng.uniform(-45, 45, 50)
    found, labels = -true + rng.normal(0, 5, 50), rng.integers(0, 10, 50)
    figure = parameters(batch({"angle_deg": true}, labels), {"angle_deg": found}, DIGITS)
    axes, bar = figure.axes
    (points,) = axes.collections
    assert_array_equal(points.get_offsets(), np.c_[true, found])
    assert_array_equal(points.get_array(), labels)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("angle of the distortion (°)", "angle of the transformer (°)")
    assert axes.get_title() == "50 test images"
    assert bar.get_ylabel() == "class"
    check_texts(figure)
    assert is_png(figure, tmp_path / "x.png")


@pytest.mark.parametrize("count", [1, 3, 10, 26, 100])
def test_each_class_has_its_colour_and_the_bar_tells_which(count, tmp_path):
    names = tuple(f"class {k}" for k in range(count))
    labels = np.arange(count).repeat(2)
    true = np.linspace(-10, 10, 2 * count)
    figure = parameters(batch({"angle_deg": true}, labels), {"angle_deg": true}, names)
    figure.draw_without_rendering()
    axes, bar = figure.axes
    (points,) = axes.collections
    assert len({points.cmap(points.norm(label)) for label in range(count)}) == count
    # The bar has as many colours as there are classes, and the names stand at their own.
    assert bar.get_ylim() == (-0.5, count - 0.5)
    ticks, texts = bar.get_yticks(), [text.get_text() for text in bar.get_yticklabels()]
    assert 0 < len(ticks) <= 20
    assert texts == [names[int(tick)] for tick in ticks]
    if count <= 20:
        assert len(ticks) == count
    check_texts(figure)
    assert is_png(figure, tmp_path / "x.png")


def test_a_panel_for_each_quantity_that_both_name(rng):
    truth = {"shift_x_px": rng.random(9), "angle_deg": rng.random(9), "noise": rng.random(9)}
    found = {"angle_deg": rng.random(9), "scale": rng.random(9), "shift_x_px": rng.random(9)}
    figure = parameters(batch(truth, np.arange(9) % 3), found, ("a", "b", "c"))
    labels = [(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes if axes.get_xlabel()]
    assert labels == [
        ("shift x of the distortion (px)", "shift x of the transformer (px)"),
        ("angle of the distortion (°)", "angle of the transformer (°)"),
    ]
    check_texts(figure)


def test_no_picture_without_a_quantity_that_both_name(rng):
    assert parameters(batch({"angle_deg": rng.random(3)}, [0, 1, 2]), {}, DIGITS) is None
    assert parameters(batch({}, [0, 1, 2]), {"angle_deg": rng.random(3)}, DIGITS) is None


def test_the_line_on_which_an_angle_is_undone_exactly():
    true = {"angle_deg": np.array([-30.0, 10.0, 20.0])}
    axes = parameters(batch(true, [0, 1, 2]), true, DIGITS).axes[0]
    (line,) = axes.lines
    assert_array_equal(line.get_xydata()[[0, -1]], [[-30, 30], [20, -20]])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["undone exactly"]


def test_a_scale_is_undone_by_its_inverse():
    true = {"scale": np.array([0.5, 1.0, 2.0])}
    (line,) = parameters(batch(true, [0, 1, 2]), true, DIGITS).axes[0].lines
    assert_allclose(line.get_xydata().prod(axis=1), 1)
    assert_array_equal(line.get_xdata()[[0, -1]], [0.5, 2])


def test_another_quantity_has_no_such_line():
    true = {"bending": np.array([0.5, 1.0, 2.0])}
    assert len(parameters(batch(true, [0, 1, 2]), true, DIGITS).axes[0].lines) == 0


def test_each_of_several_transformers_has_a_row(rng, tmp_path):
    truth = {"angle_deg": rng.random(9), "scale": rng.random(9) + 1}
    found = {"1.angle_deg": rng.random(9), "2.angle_deg": rng.random(9), "2.scale": rng.random(9)}
    figure = parameters(batch(truth, np.arange(9) % 3), found, ("a", "b", "c"))
    shown = {axes.get_ylabel(): axes for axes in figure.axes if axes.get_xlabel()}
    assert list(shown) == ["angle of transformer 1 (°)", "angle of transformer 2 (°)", "scale of transformer 2"]
    for name, axes in zip(found, shown.values(), strict=True):
        assert_array_equal(axes.collections[0].get_offsets()[:, 1], found[name])
    check_texts(figure)
    assert is_png(figure, tmp_path / "x.png")


@pytest.mark.parametrize("found", [0.0, np.nan], ids=["zero", "not a number"])
def test_images_that_were_not_distorted(tmp_path, found):
    figure = parameters(batch({"angle_deg": np.zeros(3)}, [4, 4, 4]), {"angle_deg": np.full(3, found)}, DIGITS)
    assert is_png(figure, tmp_path / "x.png")
