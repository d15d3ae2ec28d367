"""Slopes by finite differences: scales, steps, kinks, ties and jumps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_operations import absolute, operation, report_on, square

import npstn.functional as F
from npstn.gradcheck import gradcheck


pytestmark = pytest.mark.usefixtures("one_thread")


@given(st.floats(-3, 3), st.floats(0.1, 30), st.integers(-8, 8))
def test_smooth_functions_of_any_scale(x, frequency, exponent):
    """sin(frequency x), with x and y in units from 1e-8 to 1e8; and a slope that is off by a millionth."""
    unit = 10.0**exponent
    xs = unit * np.array([x, x + 1, 1.0])

    def f(x):
        return unit * np.sin(frequency * x / unit)

    def df(x, dy):
        return frequency * np.cos(frequency * x / unit) * dy

    assert gradcheck(operation(f, df), xs)
    assert not report_on(operation(f, lambda x, dy: (1 + 1e-6) * df(x, dy)), xs)


def test_the_step_is_the_one_represented():
    """At 1e8 a relative step of 1e-9 is 0.1 give or take 1e-8: taken for 0.1, it would spoil the eighth digit."""
    assert gradcheck(operation(lambda x: 3 * x, lambda x, dy: 3 * dy), 1e8 + np.arange(3.0) / 7, eps=1e-9, rtol=1e-11)


def test_small_entries_among_large_ones():
    x = np.array([1e-2, 1.0, 1e2])
    assert gradcheck(operation(np.log, lambda x, dy: dy / x), x)


@pytest.mark.parametrize("x", [np.zeros(3), np.array(2.0), np.ones((1, 1, 1))])
def test_shapes_and_zeros(x):
    assert gradcheck(square, x)


# --- kinks


def test_a_kink_is_not_a_wrong_gradient():
    report = gradcheck(absolute, np.array([[1.0, 0.0, -2.0]]), max_kinks=0.5)
    assert report.kinks == ["∂output / ∂x[0, 1]"]
    assert "kink: ∂output / ∂x[0, 1]" in str(report)


@pytest.mark.parametrize("slope", [-1.0, -0.3, 1.0])
def test_any_slope_between_the_two(slope):
    assert gradcheck(
        operation(abs, lambda x, dy: np.where(x == 0, slope, np.sign(x)) * dy), np.array([0.0, 1]), max_kinks=0.5
    )


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("slope", [-1.001, 1 + 1e-6, 2.0, np.nan, np.inf])
def test_no_other_slope(slope):
    wrong = operation(abs, lambda x, dy: np.where(x == 0, slope, np.sign(x)) * np.where(dy == 0, 0.0, dy))
    report = report_on(wrong, np.array([0.0, 1]), max_kinks=0.5)
    assert "in 1 of 2 entries, at [0]" in report.faults[0]
    assert report.worst.kink and (report.worst.left, report.worst.right) == (-1, 1)


@pytest.mark.parametrize("distance", [1e-5, 1e-4, 9e-4])
def test_a_kink_nearby_is_avoided(distance):
    """The kink is within reach of the largest step, but not of a smaller one, which gives full digits again."""
    xs = np.array([distance, -distance, 1])
    assert not gradcheck(absolute, xs, rtol=1e-9).kinks
    assert not report_on(operation(abs, lambda x, dy: (1 - 1e-6) * np.sign(x) * dy), xs)


def test_a_small_kink_with_curvature():
    """x^2 + 1e-6 |x - 1|: the step of 1e-3 sees 2e-3 of curvature, and 2e-6 of kink."""

    def f(x):
        return x * x + 1e-6 * abs(x - 1)

    right = operation(f, lambda x, dy: (2 * x + 1e-6 * np.sign(x - 1)) * dy)
    assert len(gradcheck(right, np.array([1.0, 3]), max_kinks=0.5).kinks) == 1
    wrong = operation(f, lambda x, dy: (2 * x + 2e-6 * (x >= 1)) * dy)
    assert not report_on(wrong, np.array([1.0, 3]), max_kinks=0.5)


def test_each_output_has_its_own_kinks():
    """|x| twice, with weights of two signs: the slope of one output must not hide in the width of another's kink."""
    fan = operation(lambda x: abs(x) * np.array([[1.0], [100.0], [0.0]]) + np.array([[0.0], [0.0], [1.0]]) * x,
                    lambda x, dy: (dy[0] + 100 * dy[1]) * 0.5 + dy[2])  # fmt: skip
    assert gradcheck(fan, np.zeros(1), max_kinks=1)


def test_too_many_kinks_prove_nothing():
    report = report_on(F.relu, np.zeros(20))
    assert report.faults == [
        "20 of 20 entries of input lie at a kink, but at most 10% may: "
        "choose inputs away from kinks, or raise max_kinks"
    ]


def test_a_tie_counted_twice():
    """The gradient is wrong for both entries together, but within bounds for each alone."""

    def both(x, dy):
        return dy * (x == x.max())

    maximum = operation(lambda x: np.asarray(x.max()), both)
    assert gradcheck(maximum, np.array([1.0, 3, 2]))
    report = report_on(maximum, np.array([3.0, 1, 3, 0]), max_kinks=0.5)
    assert "though along no entry alone" in report.faults[0]


def test_a_jump_is_no_kink():
    report = report_on(operation(lambda x: (x > 0) * 1.0, lambda x, dy: 0 * dy), np.array([0.0, 1, 2]))
    assert report.faults[0].startswith("1 of 3 entries of x lie at a jump, but at most 10% may")
