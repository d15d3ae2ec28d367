"""rotate against np.rot90, SciPy and hand-made images; batches: every image once, its label with it, fresh angles."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage, stats

from npstn.data import batches, draw_digits, rotate


@pytest.fixture(scope="module")
def digits():
    return draw_digits(40, seed=11)


# rotate


def test_no_turn_gives_the_images_to_float32_rounding(rng):
    images = rng.integers(0, 256, (6, 28, 28), dtype=np.uint8)
    # A pixel coordinate, up to 27, is off by some 2e-6 in x and in y, and each grey by as much of a step to the next.
    assert_allclose(rotate(images, np.zeros(6))[:, 0], images / 255, rtol=0, atol=2 * 2e-6)


@pytest.mark.parametrize(("degrees", "quarters"), [(90, 1), (-90, -1), (180, 2), (270, 3)])
def test_quarter_turns_are_those_of_rot90(rng, degrees, quarters):
    images = rng.integers(0, 256, (5, 28, 28), dtype=np.uint8)
    wanted = np.rot90(images / 255, quarters, axes=(1, 2))
    assert_allclose(rotate(images, np.full(5, degrees))[:, 0], wanted, rtol=0, atol=1e-5)


def test_a_small_turn_is_counter_clockwise_on_the_screen():
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 13:15, 22:26] = 255  # right of the centre
    turned = rotate(image, np.array([20.0]))[0, 0]
    rows, columns = np.nonzero(turned > 0.5)
    assert rows.mean() < 13.5 - 2  # so it goes up
    assert columns.mean() > 13.5 + 5
    assert_allclose(np.rad2deg(np.arctan2(13.5 - rows.mean(), columns.mean() - 13.5)), 20, atol=3)


def test_each_image_is_turned_by_its_own_angle_as_scipy_turns_it(rng, digits):
    images, _ = digits
    degrees = rng.uniform(-180, 180, len(images))
    turned = rotate(images, degrees)
    for image, angle, got in zip(images, degrees, turned, strict=True):
        wanted = ndimage.rotate(image / 255, angle, reshape=False, order=1, mode="grid-constant", cval=0.0)
        assert_allclose(got[0], wanted, rtol=0, atol=2e-5)


def test_what_comes_in_at_the_corners_is_black():
    turned = rotate(np.full((1, 28, 28), 255, np.uint8), np.array([45.0]))[0, 0]
    for corner in (turned[:4, :4], turned[:4, -4:], turned[-4:, :4], turned[-4:, -4:]):
        assert not corner.any()
    assert_allclose(turned[10:18, 10:18], 1, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_shape_and_dtype_and_nothing_is_changed(digits, dtype):
    images = digits[0].copy()
    degrees = np.arange(len(images)).astype(dtype)
    turned = rotate(images, degrees)
    assert turned.shape == (40, 1, 28, 28)
    assert turned.dtype == np.float32
    assert not np.shares_memory(turned, images)
    assert_array_equal(images, digits[0])
    assert_array_equal(degrees, np.arange(40))


def test_no_images():
    turned = rotate(np.zeros((0, 28, 28), np.uint8), np.zeros(0))
    assert turned.shape == (0, 1, 28, 28)
    assert turned.dtype == np.float32


# batches


def test_every_image_once_with_its_label(rng):
    images = rng.integers(0, 256, (23, 28, 28), dtype=np.uint8)
    labels = np.arange(23) * 3  # so that a label names its image
    epoch = list(batches(images, labels, 0, 5, rng))
    assert [len(batch.labels) for batch in epoch] == [5, 5, 5, 5, 3]
    seen = np.concatenate([batch.labels for batch in epoch])
    assert sorted(seen) == labels.tolist()
    assert seen.tolist() != labels.tolist()  # shuffled
    assert_array_equal(np.concatenate([batch.images for batch in epoch]), rotate(images[seen // 3], np.zeros(23)))


def test_images_are_turned_by_the_angles_that_are_given_with_them(rng, digits):
    images, labels = digits
    for batch in batches(images, np.arange(len(images)), 60, 16, rng):
        assert batch.images.dtype == np.float32 and batch.degrees.dtype == np.float32
        assert batch.images.shape == (len(batch.labels), 1, 28, 28)
        assert_array_equal(batch.images, rotate(images[batch.labels], batch.degrees))


def test_labels_keep_their_dtype_and_the_arrays_are_not_changed(rng, digits):
    images, labels = digits[0].copy(), digits[1].copy()
    for batch in batches(images, labels, 30, 16, rng):
        assert batch.labels.dtype == np.int64
    assert_array_equal(images, digits[0])
    assert_array_equal(labels, digits[1])


@pytest.mark.parametrize("angle", [0.5, 45, 180])
def test_angles_are_uniform_within_the_bounds(rng, angle):
    images = np.zeros((3000, 2, 2), np.uint8)
    degrees = np.concatenate([batch.degrees for batch in batches(images, np.zeros(3000), angle, 700, rng)])
    assert len(degrees) == 3000
    assert np.abs(degrees).max() <= angle
    assert stats.kstest(degrees, stats.uniform(-angle, 2 * angle).cdf).pvalue > 0.01


def test_each_epoch_has_a_new_order_and_new_angles(rng, digits):
    images, _ = digits
    names = np.arange(len(images))
    first, second = (next(batches(images, names, 45, len(images), rng)) for _ in range(2))
    assert first.labels.tolist() != second.labels.tolist()
    of_first, of_second = (epoch.degrees[np.argsort(epoch.labels)] for epoch in (first, second))
    assert (of_first != of_second).all()
    assert len(np.unique(of_first)) == len(images)


def test_the_generator_decides_all(digits):
    images, labels = digits
    one, same, other = (list(batches(images, labels, 45, 16, np.random.default_rng(seed))) for seed in (4, 4, 5))
    for a, b in zip(one, same, strict=True):
        for of_a, of_b in zip(a, b, strict=True):
            assert_array_equal(of_a, of_b)
    assert not any(np.array_equal(a.degrees, b.degrees) for a, b in zip(one, other, strict=True))
    assert not any(np.array_equal(a.labels, b.labels) for a, b in zip(one, other, strict=True))


def test_a_batch_larger_than_the_set_and_an_empty_set(rng, digits):
    images, labels = digits
    (batch,) = batches(images, labels, 45, 10**9, rng)
    assert sorted(batch.labels) == sorted(labels)
    assert list(batches(images[:0], labels[:0], 45, 4, rng)) == []


@pytest.mark.parametrize(
    ("error", "images", "degrees", "message"),
    [
        (TypeError, np.ones((2, 3, 3)), np.ones(2), "images of uint8 and degrees of numbers, got float64, float64"),
        (TypeError, None, np.ones(2), "images of uint8 and degrees of numbers, got object, float64"),
        (TypeError, np.ones((1, 3, 3), np.uint8), "a", "images of uint8 and degrees of numbers, got uint8, <U1"),
        (ValueError, np.ones((3, 3), np.uint8), np.ones(3), "images of shape (N, S, S), got (3, 3)"),
        (ValueError, np.ones((2, 3, 4), np.uint8), np.ones(2), "images of shape (N, 3, 3), got (2, 3, 4)"),
        (ValueError, np.ones((2, 3, 3), np.uint8), np.ones(3), "degrees of shape (2,), got (3,)"),
    ],
)
def test_other_arrays_are_refused(error, images, degrees, message):
    with pytest.raises(error) as caught:
        rotate(images, degrees)
    assert str(caught.value) == f"rotate: expected {message}"
