"""The picture of single images: what it is drawn of, what it shows and says, and that all of it fits."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.testing import assert_allclose, assert_array_equal
from pictures import check_texts
from trial import Shifted

import npstn
from npstn import data, models, runs
from npstn.data import Source
from npstn.figures import show
from npstn.figures.single_images import draw, set_to
from npstn.figures.views import View, view
from npstn.runs import Config
from npstn.runs.folder import WEIGHTS
from npstn.training import RECIPES

pytestmark = pytest.mark.usefixtures("one_thread")


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
    titles = [axes.get_title().replace("\n", " ") for axes in show(str(run)).axes[::4]]
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


# A parameter that is set


def test_an_image_at_other_angles(run, few_digits):
    """Each column is the image as the transformer reads it there, and says that the angle was not found."""
    for named in ([], ["angle_deg"]):
        figure = show(run, [7], parameter=[*named, -60, 0, 12.5])
        titles = [axes.get_title().replace("\n", " ") for axes in figure.axes]
        assert titles[1::4] == ["set to: angle −60°", "set to: angle +0°", "set to: angle +12.5°"]
        assert all(title.startswith("test image 7,") for title in titles[::4])
        given, _, straight, _ = figure.axes[4:8]
        assert_allclose(straight.get_images()[0].get_array(), given.get_images()[0].get_array(), atol=1e-5)
        edges = [axes.lines[-1].get_xydata() for axes in figure.axes[1::4]]
        for edge, degrees in zip(edges, (-60, 0, 12.5), strict=True):
            (x, y), (across, down) = edge[0] - 13.5, edge[-1] - edge[0]
            assert np.degrees(np.arctan2(down, across)) == pytest.approx(degrees, abs=1e-3)
            assert np.hypot(x, y) == pytest.approx(13.5 * np.sqrt(2), rel=1e-5)


def test_the_first_image_at_another_angle(run, few_digits):
    title = show(run, parameter=[30]).axes[0].get_title()
    assert title.startswith("test image 0,")


def test_one_of_several_parameters_is_set_and_the_others_are_found(trial):
    task, test, net = trial
    (seen,), (found,) = set_to(net, test, 3, 1, [0.5]), view(net, test, [3])
    assert seen.found == pytest.approx({"shift_x_px": found.found["shift_x_px"], "shift_y_px": -0.5 * 11.5})
    titles = [axes.get_title().replace("\n", " ") for axes in draw([seen], task).axes]
    assert titles[1].startswith("set to: parameter_2 0.5; the transformer: shift x ")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"numbers": [1, 2], "parameter": [3]}, "expected one test image to draw with a parameter set, got 2"),
        ({"wrong": 1, "parameter": [3]}, "expected one test image to draw with a parameter set, got 1 misread ones"),
        ({"parameter": ["angle_deg"]}, "expected values of angle_deg after its name, got none"),
        ({"parameter": [1, float("inf")]}, "expected values of angle_deg from -1e6 to 1e6, got inf"),
        ({"parameter": [1, "2"]}, "expected values of angle_deg from -1e6 to 1e6, got 2"),
        ({"parameter": [float("nan")]}, "expected values of angle_deg from -1e6 to 1e6, got nan"),
        ({"parameter": range(51)}, "expected at most 50 values in a picture, got 51: draw several"),
        (
            {"parameter": ["t_x", 3]},
            "expected the name of a parameter of the transformer rotation (angle_deg), and then its values; got t_x",
        ),
    ],
)
def test_parameters_that_cannot_be_drawn(run, few_digits, given, message):
    with pytest.raises(runs.RunError) as refused:
        show(run, **given)
    assert str(refused.value) == message


# The picture


def test_a_column_shows_the_image_the_grid_the_output_and_the_arrows(net, test_set, task):
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


def test_the_arrows_of_all_images_have_one_scale(net, test_set, task):
    views = view(net, test_set, [3, 5])
    few = [views[0], views[1]._replace(slopes=views[0].slopes / 10)]
    long, short = (axes.collections[0] for axes in draw(few, task).axes[3::4])
    lengths = [np.hypot(quiver.U, quiver.V).max() for quiver in (long, short)]
    assert_allclose(lengths, [4, 0.4])
    assert 0 < len(short.U) < len(long.U)


def test_a_column_says_what_is_seen(task):
    probabilities = np.full(10, 0.05)
    probabilities[2], probabilities[7] = 0.4, 0.2
    slopes, image = np.zeros((28, 28, 2)), np.zeros((1, 28, 28))
    slopes[13, 27] = 0.3, 0.4
    points = np.mgrid[:28, :28][::-1].transpose(1, 2, 0).astype(float)
    seen = View(12, 7, {"angle_deg": 29.6}, image, {"angle_deg": -20.4}, points, image, probabilities, 1.609, slopes,
                {"angle_deg": -2.97}, 0.25)
    titles = [axes.get_title().replace("\n", " ") for axes in draw([seen], task).axes]
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
    said = "(angles counter-\nclockwise)"
    assert said in [text.get_text() for text in draw(view(net, test_set, [0]), task).texts]
    other, test, shifting = trial
    assert said not in [text.get_text() for text in draw(view(shifting, test, [0]), other).texts]


@pytest.mark.parametrize(("count", "blocks"), [(5, 1), (6, 2), (50, 10)])
def test_five_images_fit_on_a_screen_and_others_stand_below(net, test_set, task, count, blocks):
    (seen,) = view(net, test_set, [3])
    figure = draw([seen._replace(number=k) for k in range(count)], task)
    width, height = figure.get_size_inches()
    assert 1.5 < width / (height / blocks) < 1.8  # a screen is 1.6 or 1.78 times as wide as it is high
    panels = figure.axes[::4]
    left, bottom = np.round([(axes.get_position().x0, axes.get_position().y0) for axes in panels], 3).T
    assert len(set(left)) == 5 and len(set(bottom)) == blocks
    assert (np.diff(left[:5]) > 0).all() and (np.diff(bottom[::5]) < 0).all()
    assert sum(text.get_text() == "Where it reads:\nthe grid" for text in figure.texts) == blocks


@pytest.mark.parametrize(("transformers", "columns"), [(2, 4), (3, 3), (16, 5)])
def test_the_transformers_of_an_image_stand_side_by_side(net, test_set, task, transformers, columns):
    (seen,) = view(net, test_set, [3])
    of_each = [seen._replace(whose=f"transformer {k + 1}") for k in range(transformers)]
    panels = draw(of_each * 3, task).axes[::4]
    assert len({round(axes.get_position().x0, 3) for axes in panels}) == columns


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
    assert len(check_texts(draw([seen] * count, task))) == 5 * count + 7


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
    assert len(texts) == 5 * 2 + 7
    assert "test image 1234, class no stopping here, angle −33°," in " ".join(texts).replace("\n", " ")
