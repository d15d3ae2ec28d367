"""What every task has from its base: settings with limits, images for the pictures, a size and classes of its own."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from trial import Shifted, bars_source

from npstn.data import Source
from npstn.tasks import Batch, Measure, Task
from npstn.tasks.base import FEW
from npstn.transformers import Setting


class Plain(Task):
    """Images as they are."""

    name = "plain"
    settings = {"size": Setting(2.0, 1, 5, "how large"), "count": Setting(7, 0, 9, "how many")}

    def distort(self, images, labels, chosen, rng, strength):
        return Batch(np.float32(images[chosen, None]) / np.float32(255), labels[chosen], {})


def source(labels=(0, 1, 2), classes=("a", "b", "c")):
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None] + np.zeros((4, 6), np.uint8)
    return Source("few", "pictures", lambda train: (images, np.array(labels)), (4, 6), classes)


def test_size_and_classes_are_those_of_the_source():
    task = Plain(source())
    assert (task.image, task.classes, len(task), task.summary(3)) == ((1, 4, 6), ("a", "b", "c"), 3, "3 pictures")


def test_a_task_may_have_its_own_size_and_classes():
    class Own(Plain):
        image = (3, 8, 9)
        classes = ("odd", "even")

    assert (Own(source()).image, Own(source()).classes) == ((3, 8, 9), ("odd", "even"))
    assert Shifted(bars_source()).image == (2, 24, 40)


def test_settings_have_defaults_and_can_be_chosen():
    assert Plain(source()).chosen == {"size": 2.0, "count": 7}
    assert Plain(source(), count=0).chosen == {"size": 2.0, "count": 0}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 0.9}, "plain: expected size to be from 1 to 5, got 0.9"),
        ({"size": float("nan")}, "plain: expected size to be from 1 to 5, got nan"),
        ({"size": "3"}, "plain: expected size to be from 1 to 5, got '3'"),
        ({"size": True}, "plain: expected size to be from 1 to 5, got True"),
        ({"count": 2.0}, "plain: expected count to be an integer from 0 to 9, got 2.0"),
        ({"angle": 3}, "plain: expected settings among size, count; got 'angle'"),
    ],
)
def test_other_settings_are_refused(settings, message):
    with pytest.raises(ValueError) as caught:
        Plain(source(), **settings)
    assert str(caught.value) == message


def test_a_few_images_for_the_pictures_are_in_rows_of_all_classes():
    labels = [2, 2, 0, 1, 0, 1, 0, 1, 2, 0]
    task = Plain(source(labels))
    shown = (task.few()[:, 0, 0, 0] * 255).round().astype(int)
    assert_array_equal(shown.reshape(FEW, 3), [[2, 3, 0], [4, 5, 1], [6, 7, 8]])


def test_a_class_of_few_images_shows_them_again_and_one_without_is_left_out():
    shown = (Plain(source([2, 0, 2])).few()[:, 0, 0, 0] * 255).round().astype(int)
    assert_array_equal(shown.reshape(FEW, 2), [[1, 0], [1, 2], [1, 0]])


def test_a_task_without_measures_or_distortion():
    task = Plain(source())
    assert task.measures(task.test(), {}) == {} == task.measured
    assert task.alarm(task.test(), {}) == ""
    with pytest.raises(TypeError, match="^Task: expected a subclass that defines distort, got one without$"):
        Task(source()).test()


def test_a_measure_is_written_with_its_unit():
    assert Measure("spread", ".1f", "°").written(14.46) == "14.5°"
    assert Measure("correlation", ".2f").written(-0.8125) == "-0.81"


def test_a_large_seed_is_taken():
    assert Plain(source(), seed=2**62).test().images.shape == (3, 1, 4, 6)


@pytest.mark.parametrize("seed", [-1, 1.5, None])
def test_another_seed_is_refused(seed):
    with pytest.raises(ValueError, match="^Plain: expected seed to be an integer of at least 0, got "):
        Plain(source(), seed=seed)


def test_rounding_is_no_spread():
    """Neither has a correlation with the other, and a transformer that stays where it is raises no alarm."""

    class Turned(Plain):
        compared = ("angle_deg",)

    rng = np.random.default_rng(0)
    noise, angles = 1e-12 * rng.standard_normal((2, 300)), 30 * rng.standard_normal(300)
    for truth, found in [(noise[0], noise[1]), (noise[0], angles), (angles, noise[0])]:
        test = Batch(np.zeros((300, 1, 4, 6)), np.zeros(300, int), {"angle_deg": truth})
        assert np.isnan(Turned(source()).measures(test, {"angle_deg": found})["angle_correlation"])
        assert bool(Turned(source()).alarm(test, {"angle_deg": noise[1]})) == (truth is angles)
