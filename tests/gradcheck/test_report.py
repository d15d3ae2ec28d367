"""The report of the checker: its text, and its values for JSON."""

import json

import numpy as np
import pytest
from small_operations import operation, report_on

import npstn.functional as F
from npstn.gradcheck import GradcheckError, gradcheck


pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_report_names_everything():
    def wrong(x, dy):
        dx = 2 * x * dy
        dx[1] *= -1
        return dx

    with pytest.raises(GradcheckError) as caught:
        gradcheck(operation(lambda x: x * x, wrong, "my_square"), np.array([[1.0, 2], [3, 4], [5, 6]]), seed=7)
    assert isinstance(caught.value, AssertionError)
    report = report_on(operation(lambda x: x * x, wrong, "my_square"), np.array([[1.0, 2], [3, 4], [5, 6]]), seed=7)
    assert not report and str(caught.value) == str(report)
    lines = str(report).splitlines()
    assert (
        lines[0]
        == "my_square: the gradient of x is wrong in 2 of 6 entries, at [1, :], -1 times the right value; the worst:"
    )
    assert lines[1] in ("  ∂output[1, 0] / ∂x[1, 0]", "  ∂output[1, 1] / ∂x[1, 1]")
    worst = report.worst
    assert worst.analytic == pytest.approx(-worst.numeric)
    assert worst.left == pytest.approx(worst.right, rel=1e-5) == pytest.approx(worst.numeric, rel=1e-5)
    assert lines[2].split() == ["analytic", f"{worst.analytic:.10g}"]
    assert "noise floor" in str(report) and lines[-1] == "seed 7, rtol 1e-09"


def test_a_good_report():
    report = gradcheck(F.linear, (np.ones((2, 3)), np.arange(12.0).reshape(4, 3) / 7), name="my layer")
    assert report and report.name == "my layer" and report.entries == 18
    assert [g.name for g in report.gradients] == ["input", "weight"]
    assert str(report).startswith(
        "my layer: all 18 slopes are right, 0 of them at a kink; the largest error:\n  ∂output["
    )
    json.dumps(report.as_dict())


def test_a_jump_is_listed():
    report = gradcheck(operation(np.floor, lambda x, dy: 0 * dy), np.append(2.0, np.linspace(0.1, 0.9, 12)))
    assert "jump: ∂output / ∂x[0]" in str(report)


def test_an_input_that_moves_nothing_is_noted():
    report = gradcheck(operation(lambda x: 0 * x, lambda x, dy: 0 * dy), np.ones(3))
    assert report.notes == ["x moves no output, and its gradient is 0"]
