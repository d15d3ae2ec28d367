"""rotate against np.rot90, SciPy and hand-made images; the task: what it gives, and each measure by its formula."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage, stats

import npstn
from npstn.backend.random import generator
from npstn.data import Source, draw_digits
from npstn.tasks import Batch, R, Rotated, rotate


@pytest.fixture(scope="module")
def digits():
    return draw_digits(40, seed=11)


def task_of(images, labels, seed=0, **settings):
    """The task on these images, for training and for testing."""
    source = Source("some", "digits", lambda train: (images, labels), images.shape[1:], tuple("0123456789"))
    return Rotated(source, seed, **settings)


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


@pytest.mark.parametrize("size", [(20, 33), (33, 20)])
def test_an_image_that_is_not_square_is_turned_and_not_sheared(rng, size):
    images = rng.integers(0, 256, (4, *size), dtype=np.uint8)
    degrees = np.array([-100.0, -30.0, 10.0, 60.0])
    for image, angle, got in zip(images, degrees, rotate(images, degrees), strict=True):
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

# The task: what it asks


def test_what_the_task_is(digits):
    task = task_of(*digits, angle=30)
    assert (task.name, task.image, task.classes, len(task)) == ("rotated", (1, 28, 28), tuple("0123456789"), 40)
    assert task.chosen == {"angle": 30}
    assert task_of(*digits).chosen == {"angle": 45}
    assert task.summary(1234) == "1,234 digits, turned within ±30°"


def test_every_image_once_with_its_label(rng):
    images = rng.integers(0, 256, (23, 28, 28), dtype=np.uint8)
    labels = np.arange(23) * 3  # so that a label names its image
    epoch = list(task_of(images, labels, angle=0).batches(5, rng))
    assert [len(batch.labels) for batch in epoch] == [5, 5, 5, 5, 3]
    seen = np.concatenate([batch.labels for batch in epoch])
    assert sorted(seen) == labels.tolist()
    assert seen.tolist() != labels.tolist()  # shuffled
    assert_array_equal(np.concatenate([batch.images for batch in epoch]), rotate(images[seen // 3], np.zeros(23)))


def test_images_come_in_the_order_that_is_given(rng, digits):
    task = task_of(digits[0], np.arange(40), angle=60)
    order = np.array([7, 3, 3, 39, 0])
    batches = list(task.batches(2, rng, order))
    assert [batch.labels.tolist() for batch in batches] == [[7, 3], [3, 39], [0]]


def test_images_are_turned_by_the_angles_that_are_given_with_them(rng, digits):
    images, _ = digits
    for batch in task_of(images, np.arange(len(images)), angle=60).batches(16, rng):
        degrees = batch.truth["angle_deg"]
        assert batch.images.dtype == np.float32 and degrees.dtype == np.float32
        assert batch.images.shape == (len(batch.labels), 1, 28, 28)
        assert_array_equal(batch.images, rotate(images[batch.labels], degrees))


def test_the_angles_are_drawn_after_the_order_one_batch_after_the_other(digits):
    """The draws in words: a run that is gone on with counts on them."""
    images, _ = digits
    random = np.random.default_rng(3)
    order = random.permutation(40)
    angles = [random.uniform(-60, 60, count).astype(np.float32) for count in (16, 16, 8)]
    batches = list(task_of(images, np.arange(40), angle=60).batches(16, np.random.default_rng(3)))
    assert_array_equal(np.concatenate([batch.labels for batch in batches]), order)
    assert_array_equal(np.concatenate([batch.truth["angle_deg"] for batch in batches]), np.concatenate(angles))


def test_labels_keep_their_dtype_and_the_arrays_are_not_changed(rng, digits):
    images, labels = digits[0].copy(), digits[1].copy()
    task = task_of(images, labels, angle=30)
    for batch in (*task.batches(16, rng), task.test()):
        assert batch.labels.dtype == np.int64
    assert_array_equal(images, digits[0])
    assert_array_equal(labels, digits[1])


@pytest.mark.parametrize("angle", [0.5, 45, 180])
def test_angles_are_uniform_within_the_bounds(rng, angle):
    task = task_of(np.zeros((3000, 2, 2), np.uint8), np.zeros(3000, np.int64), angle=angle)
    degrees = np.concatenate([batch.truth["angle_deg"] for batch in task.batches(700, rng)])
    assert len(degrees) == 3000
    assert np.abs(degrees).max() <= angle
    assert stats.kstest(degrees, stats.uniform(-angle, 2 * angle).cdf).pvalue > 0.01


def test_each_epoch_has_a_new_order_and_new_angles(rng, digits):
    images, _ = digits
    task = task_of(images, np.arange(len(images)))
    first, second = (next(task.batches(len(images), rng)) for _ in range(2))
    assert first.labels.tolist() != second.labels.tolist()
    of_first, of_second = (epoch.truth["angle_deg"][np.argsort(epoch.labels)] for epoch in (first, second))
    assert (of_first != of_second).all()
    assert len(np.unique(of_first)) == len(images)


def test_the_generator_decides_all(digits):
    one, same, other = (list(task_of(*digits).batches(16, np.random.default_rng(seed))) for seed in (4, 4, 5))
    for a, b in zip(one, same, strict=True):
        assert_same_batches(a, b)
    assert not any(np.array_equal(a.truth["angle_deg"], b.truth["angle_deg"]) for a, b in zip(one, other, strict=True))
    assert not any(np.array_equal(a.labels, b.labels) for a, b in zip(one, other, strict=True))


def test_a_batch_larger_than_the_set_and_an_empty_set(rng, digits):
    images, labels = digits
    (batch,) = task_of(images, labels).batches(10**9, rng)
    assert sorted(batch.labels) == sorted(labels)
    assert list(task_of(images[:0], labels[:0]).batches(4, rng)) == []


# The test set


def assert_same_batches(a, b):
    assert_array_equal(a.images, b.images)
    assert_array_equal(a.labels, b.labels)
    assert a.truth.keys() == b.truth.keys()
    for name in a.truth:
        assert_array_equal(a.truth[name], b.truth[name])


def test_the_test_set_follows_from_the_seed_alone(digits):
    npstn.manual_seed(1)
    first = task_of(*digits, seed=5, angle=30).test()
    npstn.manual_seed(2)
    generator().random(100)
    again = task_of(*digits, seed=5, angle=30)
    next(again.batches(10, generator()))
    assert_same_batches(again.test(), first)
    assert_same_batches(again.test(), first)
    other = task_of(*digits, seed=6, angle=30).test()
    assert not np.isin(other.truth["angle_deg"], first.truth["angle_deg"]).any()


def test_the_test_set_does_not_use_up_the_librarys_random_numbers(digits):
    npstn.manual_seed(1)
    wanted = generator().random(4)
    npstn.manual_seed(1)
    task_of(*digits, seed=1).test()
    assert_array_equal(generator().random(4), wanted)


def test_the_test_set_is_turned_by_its_degrees_and_in_order():
    images, labels = draw_digits(500, seed=1)
    test = task_of(images, labels, seed=5, angle=30).test()
    degrees = test.truth["angle_deg"]
    assert_array_equal(degrees, np.random.default_rng(5).uniform(-30, 30, 500).astype(np.float32))
    assert_array_equal(test.labels, labels)
    assert_array_equal(test.images, rotate(images, degrees))


# Measures


def batch_of(degrees, labels=None):
    labels = np.zeros(len(degrees), int) if labels is None else labels
    return Batch(np.zeros((len(degrees), 1, 2, 2), np.float32), labels, {"angle_deg": np.asarray(degrees, float)})


def measures(true, turned, labels=None):
    task = task_of(np.zeros((1, 2, 2), np.uint8), np.zeros(1, int))
    found = {} if turned is None else {"angle_deg": np.asarray(turned, float)}
    return task.measures(batch_of(true, labels), found)


def spread(values, labels):
    """The standard deviation within each class, averaged over the classes that are there: written out."""
    spreads = []
    for label in set(labels):
        of_class = [float(value) for value, k in zip(values, labels, strict=True) if k == label]
        mean = sum(of_class) / len(of_class)
        spreads.append(math.sqrt(sum((value - mean) ** 2 for value in of_class) / len(of_class)))
    return sum(spreads) / len(spreads)


def test_measures_against_their_formulas(rng):
    true, labels = rng.uniform(-45, 45, 60), rng.choice([0, 2, 7], 60)  # classes that are not there do not count
    turned = -0.6 * true + rng.normal(0, 10, 60)
    t, p = true - true.mean(), turned - turned.mean()
    correlation = (t * p).sum() / math.sqrt((t**2).sum() * (p**2).sum())
    assert -0.95 < correlation < -0.7
    wanted = {
        "angle_correlation": correlation,
        "residual_std_deg": spread(true + turned, labels),
        "input_std_deg": spread(true, labels),
    }
    found = measures(true, turned, labels)
    assert list(found) == list(wanted) == list(Rotated.measured)
    assert found == pytest.approx(wanted, rel=1e-12)


def test_what_differs_between_classes_is_no_spread():
    labels = np.array([0, 1, 0, 1])
    found = measures([10.0, -20.0, 12.0, -20.0], [-5.0, -20.0, -7.0, -20.0], labels)
    assert (found["residual_std_deg"], found["input_std_deg"]) == (0, 0.5)


def test_angle_correlation_at_its_ends():
    true = np.array([-20.0, 5.0, 30.0])
    assert measures(true, -0.5 * true + 3)["angle_correlation"] == pytest.approx(-1)
    assert measures(true, 0.5 * true + 3)["angle_correlation"] == pytest.approx(1)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("turned", "true"),
    [([3, 3, 3], [1, 2, 3]), ([1, 2, 3], [0, 0, 0]), ([np.nan] * 3, [1, 2, 3])],
    ids=["no spread in the transformer's", "no spread in the true ones", "not a number"],
)
def test_angle_correlation_is_nan_where_there_is_none(turned, true):
    assert math.isnan(measures(true, turned)["angle_correlation"])


def test_all_measures_are_nan_without_a_transformer_that_turns():
    found = measures([1, 2, 3], None)
    assert list(found) == list(Rotated.measured)
    assert all(math.isnan(value) for value in found.values())


# The alarm


def alarm(true, found):
    return task_of(np.zeros((1, 2, 2), np.uint8), np.zeros(1, int)).alarm(batch_of(true), found)


@pytest.mark.parametrize(("follows", "calm"), [(-1.0, True), (-0.3, True), (0.5, True), (-0.01, False), (0, False)])
def test_the_alarm_is_given_where_the_angles_do_not_follow(rng, follows, calm):
    true = rng.uniform(-45, 45, 100)
    said = alarm(true, {"angle_deg": 20 + follows * true + rng.normal(0, 0.1, 100)})
    assert (said == "") is calm


def test_the_alarm_says_how_far_the_angles_spread(rng):
    true = rng.uniform(-45, 45, 100)
    said = alarm(true, {"angle_deg": np.full(100, 3.0)})
    assert f"Its answers spread by angle 0.0°, the images by angle {np.std(true):.1f}°" in said
    assert "--lr" in said and "\n" not in said


def test_no_alarm_without_a_transformer_that_turns():
    assert alarm([1, 2, 3], {}) == ""


# What is refused


@pytest.mark.parametrize(
    ("error", "images", "degrees", "message"),
    [
        (TypeError, np.ones((2, 3, 3)), np.ones(2), "images of uint8 and degrees of numbers, got float64, float64"),
        (TypeError, None, np.ones(2), "images of uint8 and degrees of numbers, got object, float64"),
        (TypeError, np.ones((1, 3, 3), np.uint8), "a", "images of uint8 and degrees of numbers, got uint8, <U1"),
        (ValueError, np.ones((3, 3), np.uint8), np.ones(3), "images of shape (N, H, W), got (3, 3)"),
        (ValueError, np.ones((2, 3, 3), np.uint8), np.ones(3), "degrees of shape (2,), got (3,)"),
    ],
)
def test_other_arrays_are_refused(error, images, degrees, message):
    with pytest.raises(error) as caught:
        rotate(images, degrees)
    assert str(caught.value) == f"rotate: expected {message}"


# The paper's R


def test_r_is_the_same_with_larger_angles(digits):
    images, labels = digits
    source = task_of(images, labels).source
    assert R(source).summary(40) == "40 digits, turned within ±90°"
    wide, narrow = R(source, seed=3).test(), Rotated(source, seed=3).test()
    assert_allclose(wide.truth["angle_deg"], 2 * narrow.truth["angle_deg"], rtol=1e-6)
    assert_array_equal(wide.images, rotate(images, wide.truth["angle_deg"]))
