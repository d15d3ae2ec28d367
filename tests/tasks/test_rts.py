"""Digits turned, scaled and placed: against a formula, and undone by a similarity."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage
from undoing import likeness, read_at, source

from npstn.tasks import RTS
from npstn.tasks.rts import similar
from npstn.transformers import Affine, Similarity


@pytest.mark.parametrize("size", [(42, 42), (30, 50)])
def test_an_image_is_moved_as_scipy_moves_it(rng, size):
    images = rng.integers(0, 256, (4, 20, 24), dtype=np.uint8)
    q = {
        "angle_deg": np.array([0.0, 30, -100, 75]),
        "scale": np.array([1.0, 0.7, 1.2, 1]),
        "shift_x_px": np.array([0.0, 5, -3.5, 2]),
        "shift_y_px": np.array([0.0, -2, 4.25, 1]),
    }
    placed = similar(images, q, size)
    assert placed.shape == (4, 1, *size) and placed.dtype == np.float32
    for b, image in enumerate(images / 255):
        a, s = np.deg2rad(q["angle_deg"][b]), q["scale"][b]
        # From (row, column) of the large image to those of the small one, both from the centre.
        back = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) / s
        middle = (np.array(size) - 1) / 2 + [q["shift_y_px"][b], q["shift_x_px"][b]]
        offset = (np.array(image.shape) - 1) / 2 - back @ middle
        wanted = ndimage.affine_transform(image, back, offset, size, order=1, mode="grid-constant", cval=0.0)
        assert_allclose(placed[b, 0], wanted, rtol=0, atol=2e-4)


def test_black_lies_around_the_image():
    white = np.full((1, 28, 28), 255, np.uint8)
    placed = similar(white, {"shift_x_px": np.array([7.0]), "shift_y_px": np.array([-7.0])}, (42, 42))[0, 0]
    assert_allclose(placed[:28, 14:], 1, atol=1e-4)
    assert_allclose(placed[28:], 0, atol=1e-4)
    assert_allclose(placed[:, :14], 0, atol=1e-4)


def test_the_truth_has_its_ranges():
    task = RTS(source(np.zeros((2000, 28, 28), np.uint8), np.zeros(2000, int)))
    ranges = {"angle_deg": (-45, 45), "scale": (0.7, 1.2), "shift_x_px": (-7, 7), "shift_y_px": (-7, 7)}
    truth = task.test().truth
    assert list(truth) == list(ranges)
    for name, (low, high) in ranges.items():
        assert low <= truth[name].min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < truth[name].max() <= high
        assert np.std(truth[name]) == pytest.approx(task.spreads(task.test())[name])
    assert np.abs(RTS(source(), angle=0).test().truth["angle_deg"]).max() == 0


@pytest.mark.parametrize("kind", ["similarity", "affine"])
def test_what_undoes_it_says_the_opposite(kind):
    """The right parameters bring each digit back upright, and are described by the opposite of the truth."""
    task = RTS(source(), seed=2)
    test = task.test()
    a, s = np.deg2rad(test.truth["angle_deg"]), test.truth["scale"]
    shift = np.stack([test.truth["shift_x_px"], test.truth["shift_y_px"]], axis=1) / 20.5
    if kind == "similarity":
        transformer, parameters = Similarity(), np.c_[-a, s, shift]
    else:
        transformer = Affine()
        parameters = np.c_[s * np.cos(a), s * np.sin(a), shift[:, 0], -s * np.sin(a), s * np.cos(a), shift[:, 1]]
    undone = read_at(transformer, parameters, test.images, (42, 42))
    upright = similar(task.source.test[0], {}, (42, 42))
    assert likeness(undone, upright).min() > 0.9 > np.median(likeness(test.images, upright))
    found = transformer.describe(parameters, (42, 42))
    assert_allclose(found["angle_deg"], -test.truth["angle_deg"], atol=1e-4)
    assert_allclose(found["scale"], 1 / test.truth["scale"], rtol=1e-5)
    for name in ("shift_x_px", "shift_y_px"):
        assert_allclose(found[name], -test.truth[name], atol=1e-4)


def test_labels_stay():
    assert_array_equal(RTS(source()).test().labels, source().test[1])
    assert RTS(source()).image == (1, 42, 42)
    assert RTS(source(), angle=20).summary(60) == "60 digits, turned within ±20°, scaled and placed in 42 x 42 pixels"
