"""A digit among patches of others: where it is, what the patches are, and how many."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from undoing import likeness, read_at, source

from npstn.tasks import Cluttered
from npstn.tasks.rts import similar
from npstn.transformers import Attention


def test_the_digit_is_where_the_truth_says():
    task = Cluttered(source(), distractors=0)
    test = task.test()
    assert test.images.shape == (60, 1, 60, 60)
    y, x = np.indices((60, 60)) - 29.5
    for image, digit, right, down in zip(
        test.images[:, 0], task.source.test[0] / 255, test.truth["shift_x_px"], test.truth["shift_y_px"], strict=True
    ):
        n, m = np.indices((28, 28)) - 13.5
        assert (x * image).sum() / image.sum() == pytest.approx((m * digit).sum() / digit.sum() + right, abs=0.05)
        assert (y * image).sum() / image.sum() == pytest.approx((n * digit).sum() / digit.sum() + down, abs=0.05)
    for values in test.truth.values():
        assert np.abs(values).max() <= 16 and np.ptp(values) > 25  # it always lies within the image


def test_attention_brings_it_back():
    """The digit's 28 pixels, enlarged to 60: the scale of the grid is 27 / 59."""
    task = Cluttered(source(), seed=1)
    test = task.test()
    shift = np.stack([test.truth["shift_x_px"], test.truth["shift_y_px"]], axis=1)
    parameters = np.c_[np.full(60, 27 / 59), shift / 29.5]
    undone = read_at(Attention(), parameters, test.images, (28, 28))
    assert np.median(likeness(undone, task.source.test[0][:, None] / 255)) > 0.8
    found = Attention().describe(parameters, (60, 60))
    for name in ("shift_x_px", "shift_y_px"):
        assert_allclose(found[name], -test.truth[name], atol=1e-4)


def test_patches_come_from_all_over_the_set():
    """Each image has a grey of its own, the digit is black: a pixel tells from which image it comes."""
    greys = np.arange(100, dtype=np.uint8)
    images = np.broadcast_to(greys[:, None, None], (100, 28, 28)).copy()
    task = Cluttered(source(images, np.zeros(100, int)))
    seen = task.distort(images, np.zeros(100, int), np.zeros(40, int), np.random.default_rng(0), 1.0)
    found = np.rint(255 * seen.images[:, 0]).astype(int)
    assert_allclose(255 * seen.images[:, 0], found, atol=1e-4)
    assert len(np.unique(found)) > 90
    for picture in found:
        sources, counts = np.unique(picture[picture > 0], return_counts=True)
        assert 5 < len(sources) <= 16
        assert (counts == 36).any()  # a patch that nothing covers is 6 x 6 pixels
    assert (found > 0).mean() == pytest.approx(16 * 36 / 3600, rel=0.25)


def test_the_brighter_pixel_is_seen():
    with_patches, without = (Cluttered(source(), seed=3, distractors=n) for n in (50, 0))
    rng = np.random.default_rng(0)
    images, labels = source().test
    seen = with_patches.distort(images, labels, np.arange(9), rng, 1.0)
    digits = similar(images[:9], seen.truth, (60, 60))
    assert (seen.images >= digits).all() and (seen.images > digits + 0.5).any()
    assert_array_equal(seen.labels, labels[:9])
    assert without.image == with_patches.image == (1, 60, 60)


def test_its_summary():
    said = Cluttered(source(), distractors=3).summary(60)
    assert said == "60 digits, each among 3 patches of others in 60 x 60 pixels"
