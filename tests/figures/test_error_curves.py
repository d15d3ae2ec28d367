"""The picture of a gradient check."""

import numpy as np

import npstn.functional as F
from npstn.figures.error_curves import plot
from npstn.gradcheck import gradcheck


def test_two_curves_for_each_input_and_a_line(one_thread):
    arrays = np.array([[0.3, 0.7]]), np.array([[0.2, -0.4], [0.1, 0.8]])
    report = gradcheck(F.linear, arrays, curve=True)
    (axes,) = plot([report]).axes
    assert axes.get_title() == "linear" and axes.get_xscale() == axes.get_yscale() == "log"
    curves = [line for line in axes.lines if len(line.get_xdata()) > 2]
    assert len(curves) == 4
    np.testing.assert_array_equal(curves[0].get_ydata(), report.gradients[0].curve.central)
    assert [text.get_text() for text in axes.get_legend().get_texts()][-1] == "allowed"
