"""The list of samples: every gradient of the library is right, and the list is what it says."""

import functools

import pytest

from npstn.gradcheck.samples import samples

SAMPLES = samples()
OPERATIONS = list(dict.fromkeys(sample.operation for sample in SAMPLES))

check = functools.cache(lambda sample: sample.check())

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_gradient_of_the_library(name):
    """At the promised tolerances, with one seed and no second try."""
    for sample in SAMPLES:
        if sample.operation == name:
            assert sample.rtol <= (1e-8 if name in ("softmax", "log_softmax", "cross_entropy", "stn") else 1e-9)
            report = check(sample)
            assert report, str(report)


def test_some_samples_lie_on_kinks():
    kinked = ("relu", "max_pool2d", "grid_sample")
    for name in (*kinked, "conv2d", "linear"):
        kinks = [kink for sample in SAMPLES if sample.operation == name for kink in check(sample).kinks]
        assert bool(kinks) == (name in kinked)


def test_the_samples_are_the_same_each_time():
    for one, other in zip(samples(network=False), samples(network=False), strict=True):
        assert str(one) == str(other)
        assert all((x == other.arrays[k]).all() for k, x in one.arrays.items())


def test_an_option_may_follow_from_the_inputs():
    sample = next(sample for sample in SAMPLES if sample.operation == "affine_grid")
    assert sample.options_for(sample.inputs[0][:1])["size"] == (1, 1, 3, 4)
