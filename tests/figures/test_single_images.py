"""What is said of single images: their way through the network, and the slopes of the loss where it reads."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.testing import assert_allclose, assert_array_equal
from pictures import check_texts
from trial import Shift, Shifted, bars_source

import npstn
import npstn.functional as F
from npstn import Tensor, data, models, nn, runs
from npstn.data import Source, draw_digits
from npstn.figures import show
from npstn.figures.single_images import View, draw, view
from npstn.runs import Config
from npstn.runs.folder import WEIGHTS
from npstn.tasks import Rotated
from npstn.training import RECIPES
from npstn.transformers import Rotation

pytestmark = pytest.mark.usefixtures("one_thread")


def in_float64(task):
    test = task.test()
    return test._replace(images=test.images.astype(np.float64))


def choosing(net):
    """The network in float64, its localiser answering to what it sees."""
    weight = net.double().loc_net.cnn.fc2.weight
    weight.data[...] = np.random.default_rng(0).normal(0, 1, weight.shape)
    return net


@pytest.fixture(scope="module")
def task():
    return Rotated(Source("few", "digits", lambda train: draw_digits(30, 1), (28, 28), tuple("0123456789")))


@pytest.fixture(scope="module")
def test_set(task):
    return in_float64(task)


@pytest.fixture(scope="module")
def net():
    """A transformer that turns each digit by an angle of its own."""
    npstn.manual_seed(0)
    return choosing(models.STNClsNet(dropout=0.5))


@pytest.fixture(scope="module")
def trial():
    """Of the other size, classes and quantities: a task, its test set and a network."""
    npstn.manual_seed(0)
    task = Shifted(bars_source(), reach=3)
    net = choosing(models.STNClsNet(0.0, Shift(), task.image, 3))
    net.loc_net.cnn.fc2.weight.data *= 0.1
    return task, in_float64(task), net


def loss_at(net, image, label, points):
    """The loss of one image that is read at these points, in pixels."""
    half = (np.array(image.shape[:0:-1]) - 1) / 2
    with npstn.no_grad():
        read = F.grid_sample(Tensor(image[None]), Tensor(points[None] / half - 1), align_corners=True)
        return F.nll_loss(net.eval().cls_net(read), [label]).item()


# view


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


# show


@pytest.fixture(scope="module")
def run(tmp_path_factory, net):
    folder = tmp_path_factory.mktemp("show")
    write_run(folder, net, "rotation")
    return folder


def write_run(folder, net, transformer):
    config = Config(
        task={"name": "rotated", "source": "drawn", "angle": 45},
        model={"transformer": transformer, "image": (1, 28, 28), "classes": 10, "network": "blog", "parallel": 1},
        recipe=RECIPES["fast"],
        recipe_name="fast",
        seed=0,
        data_folder=None,
        data_sha256="",
        versions={},
    )
    runs.write_config(folder, config)
    npstn.save({name: array.astype(np.float32) for name, array in net.state_dict().items()}, folder / WEIGHTS)


@pytest.fixture
def few_digits(monkeypatch):
    """A hundredth of the drawn digits."""
    draw = data.draw_digits
    monkeypatch.setattr("npstn.data.sources.draw_digits", lambda count, seed: draw(count // 100, seed))


def test_show_gives_the_figure_of_the_images(run, few_digits):
    figure = show(run, [5, 2])
    assert isinstance(figure, Figure)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[0].startswith("test image 5, ") and titles[4].startswith("test image 2, ")
    test = runs.read_config(run).open_task(run).test()
    assert_array_equal(figure.axes[0].get_images()[0].get_array(), test.images[5, 0])


def test_show_takes_the_first_five_by_default(run, few_digits):
    titles = [axes.get_title() for axes in show(str(run)).axes[::4]]
    assert [title.split(",")[0] for title in titles] == [f"test image {number}" for number in range(5)]


@pytest.mark.parametrize("number", [-1, 100])
def test_show_of_an_image_that_is_not_there(run, few_digits, number):
    with pytest.raises(runs.RunError, match=f"^expected test images from 0 to 99, got {number}$"):
        show(run, [0, number])


def test_show_of_no_images(run, few_digits):
    with pytest.raises(runs.RunError, match="^expected a test image at least, got none$"):
        show(run, [])


def test_show_of_a_run_without_a_transformer(tmp_path):
    write_run(tmp_path, models.ClsNet(), "none")
    with pytest.raises(runs.RunError, match="^expected a run with a transformer, got .*, which has none$"):
        show(tmp_path)


# The picture


def test_a_row_shows_the_image_the_grid_the_output_and_the_arrows(net, test_set, task):
    (seen,) = view(net, test_set, [3])
    shown, grid, output, arrows = draw([seen], task).axes
    for axes, image, white in (
        (shown, seen.image, 1),
        (grid, seen.image, 2),
        (output, seen.output, 1),
        (arrows, seen.image, 2),
    ):
        assert_array_equal(axes.get_images()[0].get_array(), image[0] / white)
    *lines, edge = [line.get_xydata() for line in grid.lines]
    assert len(lines) == 20  # every third row and column
    assert_array_equal(lines[1], seen.points[3])
    assert_array_equal(edge, seen.points[0])
    assert len({line.get_color() for line in grid.lines}) == 2  # the edge has its own
    (quiver,) = arrows.collections
    steps = np.c_[quiver.U, quiver.V]
    assert_allclose(np.hypot(*steps.T).max(), 4)
    # Each arrow goes down the loss, at its own point.
    slopes = {tuple(seen.points[i, j]): seen.slopes[i, j] for i, j in np.ndindex(28, 28)}
    longest = np.hypot(seen.slopes[..., 0], seen.slopes[..., 1]).max()
    for point, step in zip(quiver.XY, steps, strict=True):
        assert_allclose(step, -4 * slopes[tuple(point)] / longest)


def test_the_arrows_of_all_rows_have_one_scale(net, test_set, task):
    views = view(net, test_set, [3, 5])
    few = [views[0], views[1]._replace(slopes=views[0].slopes / 10)]
    long, short = (axes.collections[0] for axes in draw(few, task).axes[3::4])
    lengths = [np.hypot(quiver.U, quiver.V).max() for quiver in (long, short)]
    assert_allclose(lengths, [4, 0.4])
    assert 0 < len(short.U) < len(long.U)


def test_a_row_says_what_is_seen(task):
    probabilities = np.full(10, 0.05)
    probabilities[2], probabilities[7] = 0.4, 0.2
    slopes, image = np.zeros((28, 28, 2)), np.zeros((1, 28, 28))
    slopes[13, 27] = 0.3, 0.4
    points = np.mgrid[:28, :28][::-1].transpose(1, 2, 0).astype(float)
    seen = View(12, 7, {"angle_deg": 29.6}, image, {"angle_deg": -20.4}, points, image, probabilities, 1.609, slopes,
                {"angle_deg": -2.97}, 0.25)
    titles = [axes.get_title() for axes in draw([seen], task).axes]
    assert titles == [
        "test image 12, class 7, angle +30°",
        "the transformer: angle −20°",
        "wrong: 2 at 40.0 %, 7 at 20.0 %",
        "the loss is 1.6",
    ]
    _, _, output, arrows = draw([seen], task).axes
    assert output.title.get_color() == "red"
    said = "it falls by 0.5 at most per pixel that a point moves, and by 0.25 if the transformer changes: angle −3°"
    assert arrows.get_xlabel().replace("\n", " ") == said
    right = draw([seen._replace(label=2)], task).axes[2]
    assert (right.get_title(), right.title.get_color()) == ("right: 2 at 40.0 %", "black")


def test_the_headings_speak_of_angles_where_there_are_some(net, test_set, task, trial):
    headings = [text.get_text() for text in draw(view(net, test_set, [0]), task).texts]
    assert headings[0] == "What the transformer is given\n(angles counter-clockwise)"
    other, test, shifting = trial
    headings = [text.get_text() for text in draw(view(shifting, test, [0]), other).texts]
    assert headings[0] == "What the transformer is given"
    assert len(headings) == 4


def test_the_grid_turns_clockwise_where_the_image_turns_counter_clockwise(net, test_set):
    """So the sign in the picture and the degrees of the data are the same: +, counter-clockwise on the screen."""
    seen = max(view(net, test_set, range(30)), key=lambda seen: seen.found["angle_deg"])
    assert seen.found["angle_deg"] > 10
    right_end, left_end = seen.points[0, -1], seen.points[0, 0]
    assert right_end[1] > left_end[1]  # the upper edge falls to the right: y points down


def test_a_loss_without_slope_has_no_arrows(net, test_set, task, tmp_path):
    flat = view(net, test_set, [3])[0]._replace(slopes=np.zeros((28, 28, 2)), fall=0.0, downhill={"angle_deg": 0.0})
    figure = draw([flat], task)
    figure.savefig(tmp_path / "x.png", dpi=50)
    (quiver,) = figure.axes[3].collections
    assert len(quiver.U) == 0
    assert "it falls by 0 at most per" in figure.axes[3].get_xlabel()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_no_text_is_cut_off_or_lies_on_another(net, test_set, task, count):
    """With texts as long as they get."""
    (seen,) = view(net, test_set, [3])
    slopes, probabilities = seen.slopes * 1.23e-5 / np.abs(seen.slopes).max(), np.eye(10)[8] * 0.5 + 0.05
    seen = seen._replace(number=9999, label=9, truth={"angle_deg": -44.0}, found={"angle_deg": -44.0})
    seen = seen._replace(slopes=slopes, loss=1.2e-5, probabilities=probabilities, fall=1.23e-5)
    assert len(check_texts(draw([seen] * count, task))) == 5 * count + 4


@pytest.mark.parametrize(("size", "channels"), [((24, 40), 1), ((40, 24), 2), ((16, 90), 3)])
def test_images_of_any_shape_and_many_quantities_fit(size, channels):
    """An affine map's worth of quantities, names of classes that are words, and an output of another size."""
    rng = np.random.default_rng(0)
    quantities = {"angle_deg": -33.0, "scale_x": 0.8125, "scale_y": 1.25, "shift_x_px": -12.0, "shift_y_px": 3.0}
    H, W = size
    points, slopes = rng.uniform(0, min(size), (9, 14, 2)), rng.normal(0, 1, (9, 14, 2))
    image, output = rng.random((channels, H, W)), rng.random((channels, 9, 14)) * 1.0001
    seen = View(1234, 1, quantities, image, quantities, points, output, np.array([0.6, 0.3, 0.1]), 1.2, slopes,
                quantities, 0.123)
    source = Source("words", "signs", lambda train: None, size, ("roundabout", "no stopping here", "stop"))
    figure = draw([seen, seen], Shifted(source))
    texts = check_texts(figure)
    assert len(texts) == 5 * 2 + 4
    assert "test image 1234, class no stopping here, angle −33°," in " ".join(texts).replace("\n", " ")
