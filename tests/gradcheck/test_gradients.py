"""The comparison of gradients with slopes: what never passes, many entries, the curve."""

import numpy as np
import pytest
from small_operations import operation, report_on, square

import npstn.functional as F
from npstn.autograd import Function
from npstn.gradcheck import gradcheck


pytestmark = pytest.mark.usefixtures("one_thread")


# --- what must never pass


@pytest.mark.parametrize("x", [np.array([1.0, np.nan]), np.array([1.0, np.inf]), np.array([-1.0, 1])])
def test_nan_never_passes(x):
    with np.errstate(all="ignore"):
        assert not report_on(operation(np.sqrt, lambda x, dy: dy / (2 * np.sqrt(x))), x)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_in_the_gradient_never_passes(value):
    assert not report_on(operation(lambda x: 1 * x, lambda x, dy: np.where(x == 2, value, dy)), np.array([1.0, 2, 3]))


def test_noise_is_seen():
    def single_sin(x):
        return np.sin(x.astype(np.float32)).astype(x.dtype)

    single = operation(single_sin, lambda x, dy: np.cos(x) * dy)
    assert report_on(single, np.linspace(0.5, 1, 8)).worst.noise > 1e-7
    single_and_wrong = operation(single_sin, lambda x, dy: 1.001 * np.cos(x) * dy)
    assert not report_on(single_and_wrong, np.linspace(0.5, 1, 8))
    rng = np.random.default_rng(0)
    drowned = report_on(operation(lambda x: x + rng.normal(size=x.shape), lambda x, dy: dy), np.ones(4))
    assert any("other numbers in a second call" in fault for fault in drowned.faults)


def test_a_gradient_that_is_not_given():
    class Half(Function):
        @staticmethod
        def forward(ctx, a, b):
            return a * b

        @staticmethod
        def backward(ctx, dy):
            return None, None

    assert not report_on(Half.apply, (np.ones(2), np.ones(2)))


@pytest.mark.parametrize("wrong", [lambda x, dy: dy[:1], lambda x, dy: dy.astype(np.float32), lambda x, dy: dy[0, 0]])
def test_a_gradient_of_another_shape_or_dtype(wrong):
    report = report_on(operation(lambda x: 1 * x, wrong), np.ones(3))
    assert report.faults[0].startswith("raises")


def test_nothing_to_check():
    assert not report_on(square, np.ones((0, 3)))


# --- many entries


def test_large_inputs_along_directions():
    x = np.random.default_rng(0).normal(size=(40, 50))
    report = gradcheck(operation(lambda x: (x * x).sum(), lambda x, dy: 2 * x * dy), x, max_entries=1000)
    assert report.entries == 16 and report.worst.index is None


def test_the_one_wrong_entry_of_many_is_named():
    def one_off(x, dy):
        dx = 2 * x * dy
        dx[17, 23] *= 1.001
        return dx

    x = np.random.default_rng(0).normal(size=(40, 50))
    report = report_on(operation(lambda x: (x * x).sum(), one_off), x, max_entries=1000)
    assert "of 16 directions" in report.faults[0]
    assert report.worst.name == "∂output / ∂x[17, 23]"


@pytest.mark.parametrize("weight", [1e5, 1e12])
def test_a_large_entry_of_many_hides_no_small_ones(weight):
    w = np.ones(2000)
    w[0] = weight
    x = np.random.default_rng(0).normal(size=2000)
    assert gradcheck(operation(lambda x: (w * x).sum(), lambda x, dy: w * dy), x, max_entries=1000)
    assert not report_on(
        operation(lambda x: (w * x).sum(), lambda x, dy: np.where(w == 1, 1.001, w) * dy), x, max_entries=1000
    )


def test_a_tie_in_a_large_input():
    """Max pooling with a window of zeros: each of its four entries gets the whole gradient."""

    def everyone(x, dy):
        return (x == x.max(axis=1, keepdims=True)) * dy[:, None]

    windows = 0.1 + abs(np.random.default_rng(0).normal(size=(300, 4)))
    windows[3] = 0
    report = report_on(operation(lambda x: x.max(axis=1), everyone), windows, max_entries=1000)
    assert "a tie may be counted twice" in report.faults[0]


def test_the_same_seed_repeats_it():
    x = np.random.default_rng(0).normal(size=(40, 50))
    one, two, other = (report_on(lambda x: F.tanh(x).sum(), x, seed=seed, max_entries=1000).worst for seed in (3, 3, 4))
    assert one == two != other


def test_the_curve_is_a_v():
    report = gradcheck(F.tanh, np.array([0.3, 0.7]), curve=True)
    curve = report.gradients[0].curve
    lowest = np.argmin(curve.extrapolated)
    assert curve.extrapolated[lowest] < 1e-11 and 0 < lowest < len(curve.steps) - 1
    assert curve.extrapolated[0] > 1e-6 and curve.extrapolated[-1] > 1e-4
    assert min(curve.central) > curve.extrapolated[lowest]
    assert gradcheck(F.tanh, np.ones(2)).gradients[0].curve is None
