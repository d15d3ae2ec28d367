"""What a page shows: against the network read by hand, against differences, and against what a page has room for."""

import gzip

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import npstn
import npstn.functional as F
from npstn import Tensor, models
from npstn.figures.images import shown
from npstn.pages import states
from npstn.tasks import Batch
from npstn.transformers import TRANSFORMERS

pytestmark = pytest.mark.usefixtures("one_thread")


def network(transformer, image=(1, 28, 28), **options):
    """A network whose transformers choose parameters a little off the identity, different for each image."""
    npstn.manual_seed(0)
    few = {"grid_size": 2} if transformer == "tps" else {}  # 16 points would take a while
    net = models.build(transformer, image, 10, **(few | options)).eval()
    for localiser in models.localisers(net):
        weight = localiser.cnn.fc2.weight
        weight.data[...] = np.random.default_rng(0).normal(0, 0.05, weight.shape)
    return net


def some_images(image=(1, 28, 28)):
    """Smooth ones, so that most slopes are not 0."""
    y, x = np.mgrid[: image[1], : image[2]]
    waves = [np.sin(0.3 * x + c) * np.cos(0.4 * y - n) / 2 + 0.5 for n in range(3) for c in range(image[0])]
    return Batch(np.array(waves, np.float32).reshape(3, *image), np.array([3, 1, 4]), {})


@pytest.mark.parametrize("kind", TRANSFORMERS)
def test_each_state_is_the_network_read_there(kind):
    net, test = network(kind).double(), some_images()
    U = Tensor(test.images[1:2].astype(np.float64))
    chosen = net.loc_net(U).data[0]
    played = states.play(net, test, 1, 5)
    assert (played.number, played.label, played.truth) == (1, 1, "")
    assert_array_equal(played.image, test.images[1, 0])
    points = net.transformer.handles(chosen[None]).shape[1]
    assert len(played.sliders) == (points or len(chosen))
    moved = 0
    for number, slider in enumerate(played.sliders):
        which = [2 * number, 2 * number + 1] if points else [number]
        assert len(slider.states.losses) == 5 ** len(which) == len(slider.states.words)
        for n in (0, len(slider.states.losses) // 2, len(slider.states.losses) - 2):
            p = chosen.copy()
            for axis, j in enumerate(which):
                value = slider.values[axis][n // 5**axis % 5]
                p[j] = value / 13.5 - 1 if points else np.deg2rad(value) if slider.unit else value
            grid = net.transformer.grid(Tensor(p[None]), (28, 28))
            V = F.grid_sample(U, grid, align_corners=True)
            y = net.cls_net(V)
            of = slider.states
            assert_allclose(of.losses[n], -y.data[0, 1], rtol=1e-9, atol=1e-12)
            assert_allclose(of.probabilities[n], np.exp(y.data[0]), rtol=1e-8, atol=1e-12)
            assert_allclose(of.outputs[n], V.data[0, 0], atol=1e-9)
            assert_allclose(of.grids[n, 0, 0], (grid.data[0, 0, 0] + 1) * 13.5, atol=1e-9)
            assert_allclose(of.grids[n, -1, -1], (grid.data[0, -1, -1] + 1) * 13.5, atol=1e-9)
            moved += of.losses[n] != of.losses[len(of.losses) // 2]
        assert_allclose(slider.values[0][2], ((chosen[which[0]] + 1) * 13.5 if points else
                                              np.rad2deg(chosen[number]) if slider.unit else chosen[number]))
    assert moved > len(played.sliders)


@pytest.mark.parametrize("kind", TRANSFORMERS)
def test_slopes_are_differences(kind):
    """Of the loss, between neighbouring positions of the fine part of a curve; and those of the page itself."""
    played = states.play(network(kind), some_images(), 0, 5)
    for slider in played.sliders:
        quotients, slopes = slider.states.quotients, slider.states.slopes
        close = abs(quotients - slopes) <= 1e-5 * abs(slopes).max()
        assert close.mean() > 0.9  # a kink may lie between the two ends of a difference
        for axis, kinks in enumerate(slider.kinks):
            assert abs(kinks.values).max() <= 0.5 + 1e-9 and kinks.values[200] == 0
            assert kinks.slopes[200] == pytest.approx(slopes[len(slopes) // 2, axis], rel=1e-6)
            rise = np.diff(kinks.losses) / np.diff(kinks.values)
            between = (kinks.slopes[1:] + kinks.slopes[:-1]) / 2
            assert np.median(abs(rise - between)) < 0.01 * np.median(abs(rise))
        if slider.curve is None:
            continue
        curve, middle = slider.curve, slider.values[0][2]
        fine = np.flatnonzero(abs(curve.values - middle) <= curve.close)
        assert len(fine) > 700
        rise = np.diff(curve.losses[fine]) / np.diff(curve.values[fine])
        between = (curve.slopes[fine][1:] + curve.slopes[fine][:-1]) / 2
        assert np.median(abs(rise - between)) < 0.01 * np.median(abs(rise))


def test_a_force_is_how_the_loss_falls_if_one_point_moves():
    net, test = network("affine").double(), some_images()
    U = Tensor(test.images[2:3].astype(np.float64))
    slider = states.play(net, test, 2, 5).sliders[3]
    rows = np.linspace(0, 27, 10).round().astype(int)
    p = net.loc_net(U).data[0].copy()
    p[3] = slider.values[0][4]
    grid = net.transformer.grid(Tensor(p[None]), (28, 28)).data

    def loss(i, j, axis, step):
        moved = grid.copy()
        moved[0, rows[i], rows[j], axis] += step / 13.5  # pixels
        return -net.cls_net(F.grid_sample(U, Tensor(moved), align_corners=True)).data[0, 4]

    forces = slider.states.forces[4]
    largest = np.linalg.norm(forces, axis=2).argsort(axis=None)[-5:]
    for i, j in zip(*np.unravel_index(largest, (10, 10)), strict=True):
        fall = [(loss(i, j, axis, -1e-6) - loss(i, j, axis, 1e-6)) / 2e-6 for axis in (0, 1)]
        assert_allclose(forces[i, j], fall, rtol=1e-4, atol=1e-9)
        assert np.abs(fall).max() > 1e-6


def test_a_bounded_spline_is_dragged_in_pixels():
    """Its points are tanh of its parameters: a slope is still per pixel."""
    net, test = network("tps", bounded=1), some_images()
    of = states.play(net, test, 0, 25).sliders[2]
    losses, (xs, ys) = of.states.losses.reshape(25, 25), of.values
    for places in (xs, ys):
        steps = np.diff(places)  # even to either side
        assert (steps > 0).all() and max(np.ptp(steps[:12]), np.ptp(steps[12:])) < 1e-3
    slopes = of.states.slopes.reshape(25, 25, 2)
    along_x, along_y = np.gradient(losses, ys, xs)[::-1]
    for found, rise in ((slopes[..., 0], along_x), (slopes[..., 1], along_y)):  # over a third of a pixel: roughly
        found, rise = found[1:-1, 1:-1].ravel(), rise[1:-1, 1:-1].ravel()
        assert np.corrcoef(found, rise)[0, 1] > 0.9
        assert 0.8 < np.linalg.norm(found) / np.linalg.norm(rise) < 1.25
    assert_allclose(of.states.quotients, of.states.slopes, rtol=1e-4, atol=1e-7)


def test_two_transformers_are_moved_one_at_a_time():
    net, test = network("attention", (2, 30, 34), parallel=2), some_images((2, 30, 34))
    sliders = states.play(net, test, 1, 5).sliders
    assert [s.name for s in sliders[::3]] == ["transformer 1: s", "transformer 2: s"]
    U = Tensor(test.images[1:2].astype(np.float64))
    first, second = (transformer(U).data for transformer in net.transformers)
    middle = len(sliders[0].states.losses) // 2
    assert_allclose(sliders[1].states.outputs[middle], shown(first[0]), atol=1e-9)
    assert_allclose(sliders[4].states.outputs[middle], shown(second[0]), atol=1e-9)
    assert_allclose(sliders[4].states.losses[middle], sliders[1].states.losses[middle])


def test_a_horizon_in_the_image_is_nowhere_and_does_no_harm():
    net = network("projective")
    net.loc_net.cnn.fc2.bias.data[6] = 0.6  # with a slider that goes on to 1 and more
    sliders = states.play(net, some_images(), 0, 9).sliders
    assert all(np.isfinite(s.values[0]).all() for s in sliders)
    assert np.isfinite(sliders[0].states.losses).all()


@pytest.mark.parametrize("kind", ["rotation", "projective", "tps"])
@pytest.mark.parametrize(
    ("image", "noise"),
    [((1, 28, 28), False), ((1, 28, 28), True), ((3, 60, 60), True)],
    ids=["smooth", "noise", "colour"],
)
def test_as_many_positions_as_there_is_room_for(kind, image, noise):
    test = some_images(image)
    if noise:
        rng = np.random.default_rng(0)
        test = test._replace(images=rng.random(test.images.shape, np.float32))
    net = network(kind, image)
    n = states.positions(net, test, [0])
    if not n:
        assert image[0] == 3 and kind != "rotation"
        return
    assert n % 2 == 1 and states.LEAST <= n <= states.MOST
    assert n <= states.MOST_PLACES or kind != "tps"
    played = states.play(net, test, 0, n)
    outputs = [np.rint(255 * s.states.outputs).clip(0, 255).astype(np.uint8) for s in played.sliders]
    assert sum(len(gzip.compress(o.tobytes())) for o in outputs) < states.ROOM


def test_more_images_leave_less_room():
    net, test = network("projective"), some_images()
    assert states.positions(net, test, [0, 1, 2]) < states.positions(net, test, [0])
    assert states.positions(net, test, [0] * 1000) == 0
