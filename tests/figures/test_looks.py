"""What is said of single digits: their way through the network, and the slopes of the loss where it reads."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.testing import assert_allclose, assert_array_equal
from pictures import check_texts

import npstn
import npstn.functional as F
from npstn import Tensor, data, models, nn, plots, runs, training
from npstn.show import Look, look, show

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def net():
    """A transformer that turns each digit by an angle of its own, in float64."""
    npstn.manual_seed(0)
    net = models.STNClsNet(dropout=0.5).double()
    net.loc_net.cnn.fc2.weight.data[...] = np.random.default_rng(0).normal(0, 1, (1, 50))
    return net


@pytest.fixture(scope="module")
def test_set():
    test = training.fixed_test_set(*data.draw_digits(30, seed=1), 45, seed=0)
    return test._replace(images=test.images.astype(np.float64))


def loss_at(net, image, label, points):
    """The loss of one digit that is read at these points, in pixels."""
    net.eval()
    with npstn.no_grad():
        read = F.grid_sample(Tensor(image[None, None]), Tensor(points[None] / 13.5 - 1), align_corners=True)
        return F.nll_loss(net.cls_net(read), [label]).item()


# look


def test_look_follows_the_digits_through_the_network(net, test_set):
    numbers = [4, 0, 29]
    looks = look(net, test_set, numbers)
    net.eval()
    x = Tensor(test_set.images[numbers])
    upright, angle = net.transform(x)
    probabilities = np.exp(net(x).data)
    for b, (number, seen) in enumerate(zip(numbers, looks, strict=True)):
        assert (seen.number, seen.label, seen.turned) == (number, test_set.labels[number], test_set.degrees[number])
        assert_array_equal(seen.image, test_set.images[number, 0])
        assert_allclose(seen.turns, np.degrees(angle.data[b]))
        assert_allclose(seen.output, upright.data[b, 0], atol=1e-12)
        assert_allclose(seen.probabilities, probabilities[b], rtol=1e-9)
        assert_allclose(seen.loss, -np.log(probabilities[b, seen.label]))
    assert len({round(seen.turns) for seen in looks}) == 3


def test_points_are_pixels_of_the_input(net, test_set):
    (seen,) = look(net, test_set, [0])
    a = np.radians(seen.turns)
    rows, columns = np.mgrid[:28, :28] - 13.5
    assert_allclose(seen.points[..., 0] - 13.5, columns * np.cos(a) - rows * np.sin(a), atol=1e-9)
    assert_allclose(seen.points[..., 1] - 13.5, columns * np.sin(a) + rows * np.cos(a), atol=1e-9)


def test_slopes_are_those_of_the_loss_when_a_point_moves(net, test_set, rng):
    (seen,) = look(net, test_set, [3])
    places = np.argwhere(np.abs(seen.slopes).max(axis=2) > 0.1 * np.abs(seen.slopes).max())
    assert len(places) > 20
    step = 1e-6
    for i, j in rng.choice(places, 10, replace=False):
        for axis in range(2):
            moved = np.zeros_like(seen.points)
            moved[i, j, axis] = step
            further, back = (loss_at(net, seen.image, seen.label, seen.points + sign * moved) for sign in (1, -1))
            assert_allclose(seen.slopes[i, j, axis], (further - back) / (2 * step), rtol=1e-4, atol=1e-9)


def test_slope_of_turn_is_that_of_the_loss_in_degrees(net, test_set):
    for seen in look(net, test_set, range(3)):

        def loss_turned(degrees, seen=seen):
            grid = net.rotate(Tensor(np.radians([degrees]))).data[0]
            return loss_at(net, seen.image, seen.label, (grid + 1) * 13.5)

        step = 1e-6
        slope = (loss_turned(seen.turns + step) - loss_turned(seen.turns - step)) / (2 * step)
        assert_allclose(seen.slope_of_turn, slope, rtol=1e-4)


def test_each_digit_stands_for_itself(net, test_set):
    together, alone = look(net, test_set, [7, 8, 9])[1], look(net, test_set, [8])[0]
    for a, b in zip(together, alone, strict=True):
        assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("mode", [True, False])
def test_look_leaves_the_network_as_it_was(net, test_set, mode):
    net.train(mode)
    net.zero_grad()
    before = net.state_dict()
    look(net, test_set, [0])
    assert {module.training for module in net.modules() if isinstance(module, nn.Dropout)} == {mode}
    for name, array in net.state_dict().items():
        assert_array_equal(array, before[name])


# show


@pytest.fixture(scope="module")
def run(tmp_path_factory, net):
    folder = tmp_path_factory.mktemp("show")
    (folder / "config.json").write_text(json.dumps({"model": "stn", "data": "digits", "angle": 45, "seed": 0}))
    state = {name: array.astype(np.float32) for name, array in net.state_dict().items()}
    npstn.save(state, folder / "weights.safetensors")
    return folder


@pytest.fixture
def few_digits(monkeypatch):
    draw = data.draw_digits
    monkeypatch.setattr(data, "draw_digits", lambda count, seed: draw(count // 100, seed))


def test_show_gives_the_figure_of_the_digits(run, few_digits):
    figure = show(run, digits=[5, 2])
    assert isinstance(figure, Figure)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[0].startswith("test digit 5: ") and titles[4].startswith("test digit 2: ")
    test = training.fixed_test_set(*data.draw_digits(10_000, seed=1), 45, seed=0)
    assert_array_equal(figure.axes[0].get_images()[0].get_array(), test.images[5, 0])


def test_show_takes_the_first_five_by_default(run, few_digits):
    titles = [axes.get_title() for axes in show(str(run)).axes[::4]]
    assert [title.split(":")[0] for title in titles] == [f"test digit {number}" for number in range(5)]


@pytest.mark.parametrize("number", [-1, 100])
def test_show_of_a_digit_that_is_not_there(run, few_digits, number):
    with pytest.raises(runs.RunError, match=f"expected test digits from 0 to 99, got {number}"):
        show(run, digits=[0, number])


def test_show_of_no_digits(run, few_digits):
    with pytest.raises(runs.RunError, match="expected a test digit at least, got none"):
        show(run, digits=[])


# The picture


def seen(net, test_set, **changes):
    return look(net, test_set, [3])[0]._replace(**changes)


def test_a_row_shows_the_digit_the_grid_the_output_and_the_arrows(net, test_set):
    of = seen(net, test_set)
    shown, grid, output, arrows = plots.transformer([of]).axes
    for axes, image in ((shown, of.image), (grid, of.image), (output, of.output), (arrows, of.image)):
        assert_array_equal(axes.get_images()[0].get_array(), image)
    *lines, edge = [line.get_xydata() for line in grid.lines]
    assert len(lines) == 20  # every third row and column
    assert_array_equal(lines[1], of.points[3])
    assert_array_equal(edge, of.points[0])
    assert len({line.get_color() for line in grid.lines}) == 2  # the edge has its own
    (quiver,) = arrows.collections
    steps = np.c_[quiver.U, quiver.V]
    assert_allclose(np.hypot(*steps.T).max(), 4)
    # Each arrow goes down the loss, at its own point.
    slopes = {tuple(of.points[i, j]): of.slopes[i, j] for i, j in np.ndindex(28, 28)}
    longest = np.hypot(of.slopes[..., 0], of.slopes[..., 1]).max()
    for point, step in zip(quiver.XY, steps, strict=True):
        assert_allclose(step, -4 * slopes[tuple(point)] / longest)


def test_a_row_says_what_is_seen(net, test_set):
    probabilities = np.full(10, 0.05)
    probabilities[2], probabilities[7] = 0.4, 0.2
    slopes = np.zeros((28, 28, 2))
    points = np.mgrid[:28, :28][::-1].transpose(1, 2, 0).astype(float)
    slopes[13, 27] = 0, 0.5  # pulls the right end up, 13.5 pixels from the middle: counter-clockwise turns are +
    of = Look(12, 7, 29.6, np.zeros((28, 28)), -20.4, points, np.zeros((28, 28)), probabilities, 1.609, slopes)
    shown, grid, output, arrows = plots.transformer([of]).axes
    assert shown.get_title() == "test digit 12: a 7, turned +30°"
    assert grid.get_title() == "turns the digit −20°"
    assert output.get_title() == "wrong: a 2: 40.0 % (a 7: 20.0 %)"
    assert output.title.get_color() == "red"
    assert arrows.get_title() == "the loss is 1.6"
    per_degree = 0.5 * 13.5 * np.pi / 180
    said = f"it falls by 0.5 a pixel\nalong the longest arrow,\nby {per_degree:.2g} if all turn −1° further"
    assert arrows.get_xlabel() == said
    right = plots.transformer([of._replace(label=2)]).axes[2]
    assert (right.get_title(), right.title.get_color()) == ("a 2: 40.0 %", "black")


def test_the_grid_turns_clockwise_where_the_digit_turns_counter_clockwise(net, test_set):
    """So the sign in the picture, and the degrees of the data, are the same: +, counter-clockwise on the screen."""
    of = max(look(net, test_set, range(30)), key=lambda of: of.turns)
    assert of.turns > 10
    right_end, left_end = of.points[0, -1], of.points[0, 0]
    assert right_end[1] > left_end[1]  # the upper edge falls to the right: y points down


def test_a_loss_without_slope_has_no_arrows(net, test_set, tmp_path):
    figure = plots.transformer([seen(net, test_set, slopes=np.zeros((28, 28, 2)))])
    figure.savefig(tmp_path / "x.png", dpi=50)
    (quiver,) = figure.axes[3].collections
    assert len(quiver.U) == 0


@pytest.mark.parametrize("count", [1, 4])
def test_no_text_is_cut_off_or_lies_on_another(net, test_set, count):
    """With texts as long as they get."""
    of = seen(net, test_set)
    slopes, probabilities = of.slopes * 1.23e-5 / np.abs(of.slopes).max(), np.eye(10)[8] * 0.5 + 0.05
    of = of._replace(number=9999, label=9, turned=-44, turns=-44)
    of = of._replace(slopes=slopes, loss=1.2e-5, probabilities=probabilities)
    assert len(check_texts(plots.transformer([of] * count))) == 5 * count + 4
