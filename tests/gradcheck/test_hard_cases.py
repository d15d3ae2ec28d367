"""Right gradients that are hard to check, and wrong ones that are hard to find, one for each kind."""

import numpy as np
import pytest
from seeds import CASES, checked
from small_operations import operation, report_on

import npstn.functional as F
from npstn.autograd import Function
from npstn.gradcheck import gradcheck

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore::RuntimeWarning")]

NORMALS = np.random.default_rng(3).normal(size=12)


def among(value, x=NORMALS):
    """Normals, and this value in the middle of them."""
    return np.concatenate([x[:6], [value], x[6:]])


RIGHT = {
    "a flat spot: x^5 at 0": (lambda x: x**5, lambda x: 5 * x**4, among(0.0)),
    "a flat spot: 1 - cos x near 0": (lambda x: 1 - np.cos(x), np.sin, among(1e-9)),
    "a flat spot on one side only": (lambda x: np.maximum(x, 0) ** 2, lambda x: 2 * np.maximum(x, 0), among(0.0)),
    "a slope that rounding swallows": (np.tanh, lambda x: 1 - np.tanh(x) ** 2, among(18.0)),
    "a small entry among large ones": (np.log, lambda x: 1 / x, abs(among(1e-8))),
    "a pole next to a small entry": (lambda x: 1 / x, lambda x: -1 / x**2, among(1e-7)),
    "a kink next to a small entry": (abs, np.sign, among(-1e-8)),
    "a jump nearby": (lambda x: np.floor(x) + x, np.ones_like, among(3 - 1e-7)),
    "a period far below the entry": (
        lambda x: np.sin(2 * np.pi * x), lambda x: 2 * np.pi * np.cos(2 * np.pi * x), 2020 + abs(NORMALS)),
    "a slope of 1e5": (lambda x: np.sin(1e5 * x), lambda x: 1e5 * np.cos(1e5 * x), NORMALS),
    "a huge scale": (lambda x: 2 * x, lambda x: 2 + 0 * x, 1e200 * NORMALS),
    "a tiny scale": (lambda x: 2 * x, lambda x: 2 + 0 * x, 1e-170 * NORMALS),
    "an offset": (lambda x: x + 1e6, np.ones_like, NORMALS),
    "an offset inside": (lambda x: (x + 1e8) - 1e8, np.ones_like, NORMALS),
    "the edge of a domain": (np.arccos, lambda x: -1 / np.sqrt((1 - x) * (1 + x)), np.array([0.3, -1 + 1e-12, 0.5])),
    "a narrow bump, odd around the entry": (
        lambda x: x * np.exp(-((x / 1e-6) ** 2)), lambda x: (1 - 2 * (x / 1e-6) ** 2) * np.exp(-((x / 1e-6) ** 2)),
        np.array([0.0, 1, 2])),
    "no axes": (np.exp, np.exp, np.array(0.5)),
}  # fmt: skip


@pytest.mark.parametrize("case", RIGHT)
def test_right_ones_pass(case):
    f, df, x = RIGHT[case]
    assert gradcheck(operation(f, lambda x, dy: df(x) * dy), x)


@pytest.mark.parametrize("case", [case for case in RIGHT if "swallows" not in case])
def test_a_thousandth_more_is_refused(case):
    f, df, x = RIGHT[case]
    assert not report_on(operation(f, lambda x, dy: 1.001 * df(x) * dy), x)


@pytest.mark.parametrize("seed", range(3))
def test_values_that_cancelled_carry_larger_errors(seed):
    """The residual of a solution is about 0, but its rounding errors are those of A x."""
    rng = np.random.default_rng(seed)
    A, x = rng.normal(size=(150, 150)), rng.normal(size=150)
    b = A @ x
    assert gradcheck(operation(lambda x: A @ x - b, lambda x, dy: A.T @ dy), x)
    assert not report_on(operation(lambda x: A @ x - b, lambda x, dy: 1.000001 * A.T @ dy), x)


def test_values_that_move_in_steps():
    """1 + exp(-30) has steps of 2e-16: a slope of 9e-14 is drowned, and neither right nor wrong."""
    softplus = operation(lambda x: np.log(1 + np.exp(x)), lambda x, dy: dy / (1 + np.exp(-x)))
    assert gradcheck(softplus, np.array([-30.0, -20.0, 1.0, 4.0]))


def test_close_neighbours_in_a_sorted_array():
    def back(x, dy):
        dx = np.empty_like(dy)
        dx[np.argsort(x)] = dy
        return dx

    assert gradcheck(operation(np.sort, back), np.random.default_rng(5).normal(size=200))


def test_an_argument_that_is_validated():
    def logit(p):
        if (p <= 0).any() or (p >= 1).any():
            raise ValueError("p must lie in (0, 1)")
        return np.log(p / (1 - p))

    assert gradcheck(operation(logit, lambda p, dy: dy / (p * (1 - p))), np.array([0.2, 0.5, 0.9999]))


def test_the_border_of_the_domain_is_said():
    report = report_on(operation(np.sqrt, lambda x, dy: dy / (2 * np.sqrt(x))), np.array([0.0, 1, 2]))
    assert len(report.faults) == 1 and "left the domain, the first at ∂output / ∂x[0]" in report.faults[0]


WRONG = {
    "a jump, and a gradient that no side has": (
        lambda x: np.floor(x) + x, lambda x: np.where(x == 2, 99, 1), among(2.0)),
    "an unbounded slope": (
        lambda x: np.sqrt(abs(x)), lambda x: np.where(x == 0, 0, np.sign(x) / 2 / np.sqrt(abs(x))), among(0.0)),
    "an unbounded slope, the same on both sides": (
        np.cbrt, lambda x: np.where(x == 0, 5.0, 1 / (3 * np.cbrt(x) ** 2)), among(0.0)),
    "half the slope next to a kink": (
        lambda x: np.maximum(x, 0), lambda x: np.where(x == 1e-9, 0.5, x > 0), among(1e-9)),
    "zero for the slope of a flat spot": (
        lambda x: 1 - np.cos(x), lambda x: np.where(x == 1e-8, 0, np.sin(x)), among(1e-8)),
    "whole periods": (lambda x: np.sin(2 * np.pi * x), lambda x: 0 * x, np.array([2000.0, 2000.0])),
    "a comb": (lambda x: x + 0.01 * np.sin(4000 * np.pi * x), np.ones_like, np.ones(3)),
    "1e-9 in the divisor": (lambda x: x / (x * x + 1), lambda x: (1 - x * x) / (x * x + 1 + 1e-9) ** 2, NORMALS),
    "zero at a narrow bump": (
        lambda x: x * np.exp(-((x / 1e-6) ** 2)), lambda x: 0 * x, np.array([0.0, 1, 2])),
    "infinite outputs": (np.exp, lambda x: 0 * x, among(800.0)),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_ones_are_refused(case):
    f, df, x = WRONG[case]
    assert not report_on(operation(f, lambda x, dy: df(x) * dy), x)


@pytest.mark.parametrize("weight", [1e8, 1e10])
def test_a_small_weight_next_to_a_large_one(weight):
    w = np.array([weight, 1, 1, 1])
    assert gradcheck(operation(lambda x: (w * x).sum(), lambda x, dy: w * dy), NORMALS[:4])
    assert not report_on(operation(lambda x: (w * x).sum(), lambda x, dy: w * (w > 1) * dy), NORMALS[:4])


def test_a_small_output_next_to_a_large_one():
    assert not report_on(operation(lambda x: np.stack([1e9 * x, x]), lambda x, dy: 1e9 * dy[0]), NORMALS)


def test_terms_too_small_to_see_are_refused():
    """sum(exp) without its small terms: some of them show with a step of the size of x."""
    x = np.linspace(-20, 20, 21)
    assert not report_on(operation(lambda x: np.exp(x).sum(), lambda x, dy: np.where(x < -10, 0, np.exp(x)) * dy), x)


class Maximum(Function):
    """Both get the whole gradient where they are equal."""

    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return np.maximum(a, b)

    @staticmethod
    def backward(ctx, dy):
        a, b = ctx.saved
        return (a >= b) * dy, (b >= a) * dy


def test_a_tie_across_inputs():
    report = report_on(Maximum.apply, (among(0.5), among(0.5, -NORMALS)))
    assert "a tie may be counted twice" in report.faults[0] and "∂output[6] along a[6] and b[6]" in report.faults[0]


def test_a_window_of_zeros():
    def everyone(x, dy):
        return (x == x.max(axis=1, keepdims=True)) * dy[:, None]

    windows = abs(np.random.default_rng(0).normal(size=(15, 4)))
    windows[3] = 0
    assert not report_on(operation(lambda x: x.max(axis=1), everyone), windows)


@pytest.mark.parametrize("share", [1, 1 / 16])
def test_a_tie_of_many(share):
    """Each of twenty largest entries gets the same share, of which only a twentieth is right."""
    x = np.concatenate([np.full(20, 3.0), np.random.default_rng(0).uniform(size=380)])
    assert not report_on(operation(lambda x: np.asarray(x.max()), lambda x, dy: share * (x == x.max()) * dy), x)


def test_ties_that_cancel_in_their_sum():
    """At the first of two ties both inputs get all, at the second none: only the true pairs show it."""

    def gradients(a, b, dy):
        tied = a == b
        first = tied & (np.cumsum(tied) == 1)
        return ((a > b) | first) * dy, ((b > a) | first) * dy

    class Sum(Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return np.asarray(np.maximum(a, b).sum())

        @staticmethod
        def backward(ctx, dy):
            return gradients(*ctx.saved, dy)

    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 30))
    b[[4, 17]] = a[[4, 17]]
    assert not report_on(Sum.apply, (a, b))


def test_kinks_that_are_independent_may_differ():
    """relu(a) with the slope 0 at 0, minus relu(b) with the slope 1: each is allowed, and so are both."""
    def df(x, dy):
        return np.stack([x[0] > 0, -1.0 * (x[1] >= 0)]) * dy

    fn = operation(lambda x: np.maximum(x[0], 0) - np.maximum(x[1], 0), df)
    assert gradcheck(fn, np.stack([among(0.0), among(0.0, abs(NORMALS))]))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_common_functions_at_a_few_seeds(case):
    """`python -m tests.gradcheck.seeds` runs many, at larger sizes."""
    for seed in range(3):
        assert checked(case, 20, seed)
        assert not checked(case, 20, seed, 1.001)


@pytest.mark.parametrize("seeds", [range(20), range(20, 40)], ids=str)
def test_the_log_softmax_of_confident_scores(seeds):
    """The outputs near 0 move in steps of 2e-16, the error of a sum that is 1: often the same whole steps each time."""
    for seed in seeds:
        scores = 30 * np.random.default_rng(seed).standard_normal((4, 5))
        assert gradcheck(lambda x: F.log_softmax(x, dim=1), scores)
