"""What is said of single images: their way through the network, and the slopes of the loss where it reads."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import npstn
import npstn.functional as F
from npstn import Tensor, nn
from npstn.figures.views import View, view
from npstn.transformers import Rotation

pytestmark = pytest.mark.usefixtures("one_thread")


def loss_at(net, image, label, points):
    """The loss of one image that is read at these points, in pixels."""
    half = (np.array(image.shape[:0:-1]) - 1) / 2
    with npstn.no_grad():
        read = F.grid_sample(Tensor(image[None]), Tensor(points[None] / half - 1), align_corners=True)
        return F.nll_loss(net.eval().cls_net(read), [label]).item()


def test_view_follows_the_images_through_the_network(net, test_set):
    numbers = [4, 0, 29]
    views = view(net, test_set, numbers)
    net.eval()
    look = net.look(Tensor(test_set.images[numbers]))
    probabilities = np.exp(net.cls_net(look.V).data)
    for b, (number, seen) in enumerate(zip(numbers, views, strict=True)):
        assert (seen.number, seen.label) == (number, test_set.labels[number])
        assert seen.truth == {"angle_deg": test_set.truth["angle_deg"][number]}
        assert_array_equal(seen.image, test_set.images[number])
        assert seen.found == pytest.approx({"angle_deg": np.degrees(look.parameters.data[b, 0])})
        assert_allclose(seen.output, look.V.data[b], atol=1e-12)
        assert_allclose(seen.probabilities, probabilities[b], rtol=1e-9)
        assert_allclose(seen.loss, -np.log(probabilities[b, seen.label]))
    assert len({round(seen.found["angle_deg"]) for seen in views}) == 3


def test_points_are_pixels_of_the_input(net, test_set, trial):
    (seen,) = view(net, test_set, [0])
    a = np.radians(seen.found["angle_deg"])
    rows, columns = np.mgrid[:28, :28] - 13.5
    assert_allclose(seen.points[..., 0] - 13.5, columns * np.cos(a) - rows * np.sin(a), atol=1e-9)
    assert_allclose(seen.points[..., 1] - 13.5, columns * np.sin(a) + rows * np.cos(a), atol=1e-9)
    _, test, shifting = trial
    (seen,) = view(shifting, test, [0])
    rows, columns = np.mgrid[:24, :40]
    assert_allclose(seen.points[..., 0], columns - seen.found["shift_x_px"], atol=1e-9)
    assert_allclose(seen.points[..., 1], rows - seen.found["shift_y_px"], atol=1e-9)


@pytest.mark.parametrize("which", ["rotation", "trial"])
def test_slopes_are_those_of_the_loss_when_a_point_moves(net, test_set, trial, rng, which):
    net, test = (net, test_set) if which == "rotation" else (trial[2], trial[1])
    (seen,) = view(net, test, [3])
    places = np.argwhere(np.abs(seen.slopes).max(axis=2) > 0.1 * np.abs(seen.slopes).max())
    assert len(places) > 10
    step = 1e-6
    for i, j in rng.choice(places, 10, replace=False):
        for axis in range(2):
            moved = np.zeros_like(seen.points)
            moved[i, j, axis] = step
            further, back = (loss_at(net, seen.image, seen.label, seen.points + sign * moved) for sign in (1, -1))
            assert_allclose(seen.slopes[i, j, axis], (further - back) / (2 * step), rtol=1e-4, atol=1e-9)


def test_downhill_is_a_turn_that_moves_the_corners_by_a_pixel(net, test_set):
    for seen in view(net, test_set, range(3)):
        corner = 13.5 * np.sqrt(2)  # pixels from the centre
        assert abs(seen.downhill["angle_deg"]) == pytest.approx(np.degrees(1 / corner), rel=1e-3)


def test_the_fall_is_that_of_the_loss_along_downhill(net, test_set):
    for seen in view(net, test_set, range(3)):

        def loss_turned(degrees, seen=seen):
            grid = Rotation().grid(Tensor(np.radians([[degrees]])), (28, 28)).data[0]
            return loss_at(net, seen.image, seen.label, (grid + 1) * 13.5)

        angle, step = seen.found["angle_deg"], 1e-6
        slope = (loss_turned(angle + step) - loss_turned(angle - step)) / (2 * step)
        assert seen.fall > 0
        assert_allclose(seen.fall, -slope * seen.downhill["angle_deg"], rtol=1e-4)


def test_downhill_with_two_parameters_is_the_steepest_way(trial):
    """A shift moves all points alike: by one pixel, though the parameters have other units along x and y."""
    _, test, net = trial
    for seen in view(net, test, range(3)):
        x, y = seen.downhill["shift_x_px"], seen.downhill["shift_y_px"]
        assert np.hypot(x, y) == pytest.approx(1, rel=1e-3)
        slope_x, slope_y = -seen.slopes.sum(axis=(0, 1))  # of the loss, by shifts of the picture: against the points'
        assert_allclose(seen.fall, -(slope_x * x + slope_y * y), rtol=1e-6)
        # Down the gradient in the parameters, one of which is 19.5 pixels, the other 11.5.
        assert_allclose(x * slope_y * 11.5**2, y * slope_x * 19.5**2, rtol=1e-6)


def test_each_image_stands_for_itself(net, test_set):
    together, alone = view(net, test_set, [7, 8, 9])[1], view(net, test_set, [8])[0]
    for name, a, b in zip(View._fields, together, alone, strict=True):
        a, b = (list(value.values()) if isinstance(value, dict) else value for value in (a, b))
        if isinstance(a, str):
            assert a == b
            continue
        assert_allclose(a, b, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("mode", [True, False])
def test_view_leaves_the_network_as_it_was(net, test_set, mode):
    net.train(mode)
    before = net.state_dict()
    view(net, test_set, [0])
    assert {module.training for module in net.modules() if isinstance(module, nn.Dropout)} == {mode}
    assert all(parameter.grad is None for parameter in net.parameters())
    for name, array in net.state_dict().items():
        assert_array_equal(array, before[name])


def test_a_view_where_the_transformer_is_steered(net, test_set):
    """It reads there; the slopes and the way downhill belong to that place."""
    degrees = [-60.0, 25.0]
    for seen, angle in zip(view(net, test_set, [3, 3], np.radians(degrees)[:, None]), degrees, strict=True):

        def loss_turned(degrees, seen=seen):
            grid = Rotation().grid(Tensor(np.radians([[degrees]])), (28, 28)).data[0]
            return loss_at(net, seen.image, seen.label, (grid + 1) * 13.5)

        assert seen.found == pytest.approx({"angle_deg": angle})
        assert seen.loss == pytest.approx(loss_turned(angle), rel=1e-9)
        slope = (loss_turned(angle + 1e-6) - loss_turned(angle - 1e-6)) / 2e-6
        assert_allclose(seen.fall, -slope * seen.downhill["angle_deg"], rtol=1e-4)
    (again,) = view(net, test_set, [3])
    assert again.found["angle_deg"] not in degrees
