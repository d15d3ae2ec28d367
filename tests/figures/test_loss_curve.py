"""The loss over one parameter: the curve, the mark, and the slope."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from pictures import check_texts, is_png

from npstn import models
from npstn.figures import loss_over, steering

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_curve_the_mark_and_the_slope(net, test_set, tmp_path):
    image, label = test_set.images[3], int(test_set.labels[3])
    figure = loss_over(net, image, label)
    (axes,) = figure.axes
    curve, slope, mark = (line.get_xydata() for line in axes.lines)
    found = np.degrees(steering.found(net, image)[0])
    assert_allclose(curve[:, 0], np.linspace(found - 90, found + 90, 361))
    assert_allclose(curve[:, 1], steering.read_at(net, image, label, np.radians(curve[:, :1])).losses)
    assert_allclose(mark, [[found, np.interp(found, *curve.T)]])
    (left, below), (right, above) = slope
    assert_allclose([(left + right) / 2, (below + above) / 2], mark[0])
    step = 1e-5
    low, high = steering.read_at(net, image, label, np.radians([[found - step], [found + step]])).losses
    assert_allclose((above - below) / (right - left), (high - low) / (2 * step), rtol=1e-4)
    assert axes.get_xlabel() == "angle of the transformer (°)"
    title = axes.get_title()
    assert title.startswith("the localisation network finds angle ") and title.endswith(" per degree")
    check_texts(figure)
    assert is_png(figure, tmp_path / "x.png")


def test_a_parameter_without_a_unit(trial):
    _, test, net = trial
    figure = loss_over(net, test.images[0], int(test.labels[0]), 1, [-1, 0, 0.5])
    (axes,) = figure.axes
    assert axes.lines[0].get_xdata().tolist() == [-1, 0, 0.5]
    assert axes.get_xlabel() == "parameter_2 of the transformer"
    assert axes.get_title().endswith(" per unit of parameter_2")
    found = steering.found(net, test.images[0])[1]
    across = loss_over(net, test.images[0], int(test.labels[0]), 1).axes[0].lines[0].get_xdata()
    assert_allclose(across[[0, -1]], [found - 1, found + 1])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"parameter": 1}, "loss_over: expected parameter to be one of angle_deg, or a number from 0 to 0, got 1"),
        ({"parameter": -1}, "loss_over: expected parameter to be one of angle_deg, or a number from 0 to 0, got -1"),
        ({"values": [3]}, "loss_over: expected at least two finite values, (N,), got array([3.])"),
        ({"values": [3, np.nan]}, "loss_over: expected at least two finite values, (N,), got array([ 3., nan])"),
        ({"number": 1}, "spatial_transformer: expected the number of one from 0 to 0, got 1"),
        ({"label": 10}, "nll_loss: expected classes from 0 to 9, got 10"),
        ({"label": -1}, "nll_loss: expected classes from 0 to 9, got -1"),
    ],
)
def test_what_is_refused(net, test_set, given, message):
    with pytest.raises(ValueError) as refused:
        loss_over(net, test_set.images[0], **{"label": 7, **given})
    assert str(refused.value) == message


def test_a_network_without_a_transformer(test_set):
    with pytest.raises(ValueError, match="of a network that has some, got 0$"):
        loss_over(models.ClsNet(), test_set.images[0], 7)
