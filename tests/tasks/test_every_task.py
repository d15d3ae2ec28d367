"""What holds for every task: shapes and ranges, and what follows from the seed alone."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from undoing import source

import npstn
from npstn.data import Source
from npstn.tasks import TASKS
from npstn.tasks.rts import similar
from npstn.transformers import TRANSFORMERS

every_task = pytest.mark.parametrize("name", TASKS)
every_distortion = pytest.mark.parametrize("name", [name for name in TASKS if name != "pictures"])


def same(a, b):
    return a.images.shape == b.images.shape and (a.images == b.images).all() and (a.labels == b.labels).all()


@every_task
@pytest.mark.parametrize("size", [(28, 28), (24, 40)])
def test_it_keeps_its_promises(name, size):
    kind, rng = TASKS[name], np.random.default_rng(0)
    assert kind.name == name
    images, labels = rng.integers(0, 256, (30, *size), dtype=np.uint8), np.arange(30) % 10
    task = kind(Source("any", "images", lambda train: (images, labels), size, tuple("0123456789")))
    for setting in kind.settings.values():
        assert setting.least <= setting.default <= setting.most
    for batch in (next(task.batches(8, rng)), task.test()):
        count = len(batch.labels)
        assert batch.images.shape == (count, *task.image) and batch.images.dtype == np.float32
        assert np.isfinite(batch.images).all() and batch.images.min() >= 0 and batch.images.max() <= 1 + 1e-5
        assert batch.labels.dtype == np.int64
        assert batch.labels.min() >= 0 and batch.labels.max() < len(task.classes)
        for values in batch.truth.values():
            assert values.shape == (count,) and values.dtype == np.float32 and np.isfinite(values).all()
    assert list(task.measures(task.test(), task.test().truth)) == list(task.measured)
    assert list(task.measures(task.test(), {})) == list(task.measured)
    assert task.summary(30).startswith("30 ") and "\n" not in task.summary(30)


@every_distortion
def test_its_images_follow_from_the_seed(name):
    one, again, other = (TASKS[name](source(), seed) for seed in (5, 5, 6))
    assert same(one.test(), again.test()) and not same(one.test(), other.test())
    first, second, third = (next(one.batches(16, np.random.default_rng(seed))) for seed in (1, 1, 2))
    assert same(first, second) and not same(first, third)


@every_task
def test_the_test_set_depends_on_nothing_else(name):
    """Not on when it is made, nor on the library's random numbers, nor on the training images that came before."""
    early, late = (TASKS[name](source(), seed=5) for _ in range(2))
    npstn.manual_seed(0)
    wanted = early.test()
    npstn.manual_seed(1)
    list(late.batches(7, np.random.default_rng(3)))
    assert same(late.test(), wanted)
    for quantity, values in wanted.truth.items():
        assert_array_equal(late.test().truth[quantity], values)


@every_distortion
def test_an_epoch_distorts_afresh(name):
    task, rng = TASKS[name](source()), np.random.default_rng(0)
    order = np.arange(60)
    first, second = (list(task.batches(60, rng, order))[0] for _ in range(2))
    assert not same(first, second)
    if name != "addition":  # its second digit is another each time
        assert_array_equal(first.labels, second.labels)


@every_task
def test_the_images_that_are_asked_for_are_given(name):
    task = TASKS[name](source())
    batches = list(task.batches(25, np.random.default_rng(0)))
    assert [len(batch.labels) for batch in batches] == [25, 25, 10]
    labels = source().train[1]
    given = np.concatenate([b.labels for b in task.batches(25, np.random.default_rng(0), np.arange(60)[::-1])])
    if name != "addition":
        assert_array_equal(given, labels[::-1])


@every_task
def test_a_batch_is_distorted_as_far_as_it_is_said(name):
    """With strength 0 an image is itself, with 1 what it is without any, in between what lies between."""
    task = TASKS[name](source(), **({"angle": 30.0} if name == "pictures" else {}))

    def batches(*strengths):
        rng, order = np.random.default_rng(0), np.arange(40)
        return list(task.batches(20, rng, order, strengths or None))

    for given, wanted in zip(batches(1.0, 1.0), batches(), strict=True):
        assert same(given, wanted)
    plain, whole = batches(0.0, 1.0)
    assert_allclose(plain.images[:, :1], similar(source().train[0][:20], {}, task.image[1:]), atol=1e-5)
    assert same(whole, batches(0.3, 1.0)[1]) or name in ("P", "cluttered")  # there more numbers may be drawn
    half = batches(0.5, 0.5)[0]
    for quantity, values in batches()[0].truth.items():
        nothing = 1 if quantity == "scale" else 0
        assert np.std(plain.truth[quantity]) < 1e-6 and np.abs(plain.truth[quantity] - nothing).max() < 1e-5
        assert 0.3 < np.std(half.truth[quantity]) / np.std(values) < 0.7
        if name not in ("P", "E"):  # their angle and scale follow from all that was drawn
            assert_allclose(half.truth[quantity] - nothing, (values - nothing) / 2, atol=1e-5)


@every_distortion
def test_the_truth_is_named_as_transformers_name_it(name):
    known = {
        quantity
        for kind in TRANSFORMERS.values()
        for quantity in kind().describe(kind().identity[None].astype(float), (5, 5))
    }
    task = TASKS[name](source())
    assert task.test().truth.keys() <= known
    assert set(task.compared) <= task.test().truth.keys()


@pytest.mark.parametrize("name", ["R", "RTS", "cluttered"])
def test_what_undoes_it_exactly_has_a_correlation_of_minus_1(name):
    task = TASKS[name](source())
    truth = task.test().truth
    undone = {quantity: 1 / values if quantity == "scale" else -values for quantity, values in truth.items()}
    measures = task.measures(task.test(), undone)
    for quantity, value in measures.items():
        if quantity.endswith("_correlation"):
            assert value == pytest.approx(-1, abs=0.03 if quantity == "scale_correlation" else 1e-6)


@every_distortion
def test_the_alarm_names_the_transformer_that_does_nothing(name):
    task = TASKS[name](source())
    test, needed = task.test(), task.spreads(task.test())
    assert needed and all(spread > 0 for spread in needed.values())
    rng = np.random.default_rng(0)
    idle = {quantity: np.full(60, 3.0) for quantity in needed}
    busy = {quantity: rng.normal(0, spread, 60) for quantity, spread in needed.items()}
    assert task.alarm(test, busy) == ""
    said = task.alarm(test, idle)
    assert said.startswith("the localisation network answers nearly the same for every image. Its answers spread by ")
    assert "So the transformer does nothing." in said

    def several(*found):
        return {f"{k}.{name}": values for k, one in enumerate(found, start=1) for name, values in one.items()}

    assert task.alarm(test, several(busy, busy)) == ""
    said = task.alarm(test, several(busy, idle))
    assert said.startswith("localisation network 2 answers ") and "So transformer 2 does nothing." in said
    said = task.alarm(test, several(idle, busy, idle))
    assert said.startswith("localisation networks 1, 3 answer ") and "So transformers 1, 3 do nothing." in said
    assert task.alarm(test, {"unheard_of": np.zeros(60)}) == task.alarm(test, {}) == ""


@pytest.mark.filterwarnings("error")
@every_task
def test_answers_that_are_no_numbers_raise_no_alarm(name):
    task = TASKS[name](source())
    for wrong in (np.nan, np.inf):
        found = {quantity: np.r_[wrong, np.ones(59)] for quantity in task.spreads(task.test())}
        assert task.alarm(task.test(), found) == ""
        assert all(np.isnan(value) for value in task.measures(task.test(), found).values() if value != value)
