"""Images before and after the transformer: what is shown is what was given, in rows, at any size."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pictures import check_texts, is_png

from npstn.figures.before_after import before_after


def test_the_images_are_shown_row_by_row(rng, tmp_path):
    before, after = rng.random((2, 6, 28, 28))
    given = [images[:, None].astype(np.float32) for images in (before, after)]
    kept = [images.copy() for images in given]
    figure = before_after(*given)
    upper, lower = figure.axes
    for axes, images in ((upper, before), (lower, after)):
        (shown,) = axes.get_images()
        wanted = np.block([[images[0], images[1]], [images[2], images[3]], [images[4], images[5]]])
        assert_array_equal(shown.get_array(), wanted.astype(np.float32))
        assert shown.get_cmap().name == "gray"
        assert shown.get_clim() == (0, 1)  # the same grey for the same ink, in both
        assert not axes.axison
    assert upper.get_position().y0 > lower.get_position().y0
    assert check_texts(figure) == ["what the transformer is given", "what it hands on"]
    assert_array_equal(given, kept)
    assert is_png(figure, tmp_path / "x.png")


@pytest.mark.parametrize(("columns", "image"), [(1, (1, 24, 40)), (3, (2, 40, 24)), (26, (3, 16, 16))])
def test_any_number_of_classes_and_any_size(rng, tmp_path, columns, image):
    C, H, W = image
    before, after = rng.random((3 * columns, C, H, W), np.float32), rng.random((3 * columns, C, 9, 14), np.float32)
    figure = before_after(before, after)
    upper, lower = (axes.get_images()[0].get_array() for axes in figure.axes)
    assert upper.shape[:2] == (3 * H, columns * W) and lower.shape[:2] == (27, columns * 14)
    last = before[-1]
    wanted = {1: last[0], 2: np.dstack([last[0], last[-1], last[-1]]), 3: last.transpose(1, 2, 0)}  # two: red and cyan
    assert_allclose(upper[-H:, -W:], wanted[C])
    assert is_png(figure, tmp_path / "x.png")


def test_a_colour_that_rounding_left_above_1_is_no_reason_to_warn(tmp_path, caplog):
    images = np.full((3, 3, 16, 16), 1 + 1e-6, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert is_png(before_after(images, images), tmp_path / "x.png")
    assert not caplog.records  # matplotlib logs what it clips


def test_each_of_several_transformers_has_its_panel(rng, tmp_path):
    before, first, second = rng.random((3, 6, 2, 20, 20), np.float32)
    figure = before_after(before, np.concatenate([first, second]))
    assert check_texts(figure) == [
        "what the transformers are given (red and cyan: the first and the second channel)",
        "what transformer 1 hands on",
        "what transformer 2 hands on",
    ]
    for axes, images in zip(figure.axes, (before, first, second), strict=True):
        shown = axes.get_images()[0].get_array()
        assert_array_equal(shown[:20, :20, 0], images[0, 0])  # the first channel is red
        assert_array_equal(shown[-20:, -20:, 1], images[-1, 1])
    assert is_png(figure, tmp_path / "x.png")
