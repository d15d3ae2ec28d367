"""The adjoint test of linear functions."""

import numpy as np
import pytest
from small_operations import operation, report_on, square

from npstn.gradcheck import check_op

pytestmark = pytest.mark.usefixtures("one_thread")
X = np.random.default_rng(0).normal(size=(3, 4))


def test_the_adjoint():
    report = check_op(lambda x: x * 3.0 + 1.0, X, linear=(0,))
    assert report.adjoints["x"] <= 1e-12


def test_a_wrong_adjoint():
    doubled = operation(lambda x: 3.0 * x, lambda x, dy: 3.000001 * dy)
    report = report_on(doubled, X, check_op, linear=(0,))
    assert "backward is not the adjoint of forward in x: <A x, y> and <x, A^T y> differ by" in report.faults[-1]


def test_a_false_claim_is_told_from_a_wrong_adjoint():
    report = report_on(square, X, check_op, linear=0)
    assert report.faults[-1].startswith("is not linear in x, though linear= says so: A(x + 2 z) and A x + 2 A z differ")
    assert not any("adjoint" in fault for fault in report.faults)


@pytest.mark.parametrize("seed", range(5))
def test_a_constant_or_a_sum_that_cancels_is_allowed(seed):
    x = np.random.default_rng(seed).normal(size=(20, 20))
    for fn in (lambda x: x + 1e6, lambda x: x.mean(), lambda x: x - x.mean()):
        assert check_op(fn, x - x.mean(), linear=(0,), max_entries=0, directions=1, rtol=1e-4).adjoints["x"] <= 1e-12
