"""Two digits and their sum."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from undoing import source

from npstn.tasks import RTS, Addition


def test_nineteen_sums_of_two_digits():
    task = Addition(source())
    assert task.image == (2, 42, 42)
    assert task.classes == tuple(map(str, range(19)))
    assert task.test().truth == {} == task.measured
    assert task.summary(60).startswith("60 pairs of digits, turned within ")


def test_the_label_is_the_sum_of_both_channels():
    """Each digit is painted in a grey that tells its number."""
    labels = np.arange(200) % 10
    images = np.broadcast_to((20 * (labels + 1)).astype(np.uint8)[:, None, None], (200, 28, 28)).copy()
    test = Addition(source(images, labels)).test()
    greys = 255 * test.images.max(axis=(2, 3)) / 20 - 1  # (N, 2)
    digits = np.rint(greys).astype(int)
    assert np.abs(greys - digits).max() < 0.02
    assert_array_equal(digits.sum(axis=1), test.labels)
    assert_array_equal(digits[:, 0], labels)  # the first is the one that was chosen
    assert len(np.unique(digits[:, 1])) == 10
    assert np.unique(test.labels).tolist() == list(range(19))


def test_each_digit_is_distorted_by_itself():
    images = np.broadcast_to(source().test[0][3], (50, 28, 28)).copy()  # all the same
    test = Addition(source(images, np.full(50, 3))).test()
    assert (np.abs(test.images[:, 0] - test.images[:, 1]).max(axis=(1, 2)) > 0.3).all()
    first, second = (np.abs(np.diff(test.images[:, k], axis=0)).max(axis=(1, 2)) for k in (0, 1))
    assert (first > 0.3).all() and (second > 0.3).all()


def test_what_its_distortions_need():
    """As much as those of RTS, whose truth is known."""
    images = np.zeros((3000, 28, 28), np.uint8)
    known = RTS(source(images, np.zeros(3000, int)))
    wanted, task = known.spreads(known.test()), Addition(source())
    for name, spread in task.spreads(task.test()).items():
        assert spread == pytest.approx(wanted[name], rel=0.05)
