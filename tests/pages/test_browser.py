"""The pages in a real browser: they show npstn's numbers, complain of nothing, and fit on a screen and a telephone."""

import json

import numpy as np
import pytest
from browser import Page
from command import npstn_, small_world
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

import npstn.functional as F
from npstn import Tensor, pages, runs

pytestmark = pytest.mark.usefixtures("small_world")

SCREENS = pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
RIGHT = "\ue014"  # the key


@pytest.fixture(scope="module")
def spline(tmp_path_factory):
    """A run with a spline of 3 x 3 points."""
    folder = tmp_path_factory.mktemp("spline") / "run"
    options = "--transformer", "tps", "--grid-size", "3", "--data", "drawn", "--epochs", "1", "--out", folder
    with small_world():
        assert npstn_("train", *options).status == 0
    return folder


def read_at(folder, number, parameters):
    """The loss, its gradient by the parameters, V and the probabilities of one test image, read at parameters (P,)."""
    config = runs.read_config(folder)
    net = runs.load_net(folder, config).double().eval()
    test = config.open_task(folder).test()
    U = Tensor(test.images[number : number + 1].astype(np.float64))
    p = Tensor(parameters[None], requires_grad=True)
    grid = net.transformer.grid(p, (28, 28))
    V = F.grid_sample(U, grid, align_corners=True)
    log_p = net.cls_net(V)
    loss = F.nll_loss(log_p, test.labels[number : number + 1])
    loss.backward()
    return loss.item(), p.grad[0], V.data[0, 0], np.exp(log_p.data[0])


def chosen(folder, number):
    """The parameters (P,) that the localisation network chooses for a test image."""
    config = runs.read_config(folder)
    net = runs.load_net(folder, config).double().eval()
    U = Tensor(config.open_task(folder).test().images[number : number + 1].astype(np.float64))
    return net.loc_net(U).data[0]


def looks_like(picture, image):
    """How alike a screenshot of a figure and an image are: 1 for equal ones."""
    seen = np.asarray(Image.fromarray(picture).convert("L").resize(image.shape[::-1], Image.Resampling.BOX))
    return np.corrcoef(seen.ravel(), image.ravel())[0, 1]


@pytest.fixture(scope="module", params=["rotation", "spline", "pixel"])
def played(request, trained, spline, tmp_path_factory):
    """The page that `npstn play` writes, of a run or of the point between four pixels."""
    path = tmp_path_factory.mktemp("played") / "page.html"
    run = {"rotation": trained[0], "spline": spline}.get(request.param)
    assert npstn_("play", *([run] if run else []), "--out", path).status == 0
    return path


@SCREENS
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_page_fits_and_complains_of_nothing(driver, played, width, height, dark):
    page = Page(driver, played, width, height, dark)
    assert page.complaints() == page.loaded() == []
    assert page.run("return document.documentElement.scrollWidth") == width
    shown = page.run("return [...document.querySelectorAll('figure')].map(f => [f.clientWidth, f.clientHeight])")
    assert len(shown) >= 3 and all(w > 150 and h > 100 for w, h in shown)
    if width == 1280:
        assert page.run("return document.documentElement.scrollHeight") <= 860  # on one screen, but for the last line
    ground = np.asarray(page.run("return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"))
    assert (ground.max() < 60) == dark


@pytest.fixture(scope="module")
def of_rotation(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("pages") / "rotation.html"
    pages.write_run_page(path, trained[0], [4, 7])
    return path


@pytest.fixture(scope="module")
def of_spline(spline, tmp_path_factory):
    path = tmp_path_factory.mktemp("pages") / "spline.html"
    pages.write_run_page(path, spline, [4, 7])
    return path


def test_the_slider_moves_and_every_number_is_npstns(driver, trained, of_rotation):
    page = Page(driver, of_rotation)
    page.click("#digits button:nth-of-type(2)")
    start = chosen(trained[0], 7)
    for steps in (0, 1, 40):
        page.press("#sliders input", RIGHT * steps)
        angle = float(page.text("position").removeprefix("angle ").removesuffix("\N{DEGREE SIGN}"))
        if steps == 0:
            assert angle == pytest.approx(np.rad2deg(start[0]), rel=1e-5)
        loss, gradient, V, p = read_at(trained[0], 7, np.deg2rad([angle]))
        # The page shows six digits, of the angle too; the slope changes quickly from one angle to the next.
        assert page.number("loss") == pytest.approx(loss, rel=1e-4)
        assert page.number("slope") == pytest.approx(np.deg2rad(gradient[0]), rel=0.02)
        assert page.number("quotient") == pytest.approx(page.number("slope"), rel=1e-4)
        assert page.text("words") == f"angle {angle:+.0f}\N{DEGREE SIGN}"
        assert_allclose(page.model("bars", "data.p"), p, atol=1e-5)
        assert_allclose(page.image("read")[..., 0] / 255, V, atol=0.5 / 255 + 1e-5)
        assert page.model("here", "data.x") == [pytest.approx(angle, rel=1e-5)]
    assert angle == pytest.approx(np.rad2deg(start[0]) + 41, abs=1e-3)  # steps of 1 degree


def test_the_angle_of_the_page_has_the_loss_of_the_page_to_the_last_digit(driver, trained, of_rotation):
    """At the angle that the tables hold, not the six digits of the text."""
    page = Page(driver, of_rotation)
    page.press("#sliders input", RIGHT * 9)
    (angle,) = page.model("here", "data.x")
    loss, gradient, _, _ = read_at(trained[0], 4, np.deg2rad([angle]))
    assert page.model("here", "data.loss") == [pytest.approx(loss, rel=1e-9)]
    assert page.model("here", "data.slope") == [pytest.approx(np.deg2rad(gradient[0]), rel=1e-6)]
    (x0, x1), (y0, y1) = page.model("tangent", "data.x"), page.model("tangent", "data.y")
    assert x0 < angle < x1 and (y1 - y0) / (x1 - x0) == pytest.approx(np.deg2rad(gradient[0]), rel=1e-6)
    assert (y0 + y1) / 2 == pytest.approx(loss, rel=1e-9)


def test_the_button_goes_back_to_what_the_network_chose(driver, of_rotation):
    page = Page(driver, of_rotation)
    before = page.text("position"), page.text("loss")
    page.press("#sliders input", RIGHT * 5)
    assert page.text("position") != before[0]
    page.click("#found")
    assert (page.text("position"), page.text("loss")) == before


def test_single_kinks_are_left_with_the_slider(driver, of_rotation):
    page = Page(driver, of_rotation)
    whole = page.model("loss", "x_range.start")
    page.click("#zoom")
    page.press("#sliders input", RIGHT)
    assert page.model("loss", "x_range.start") != whole
    page.press("#sliders input", RIGHT * 3)
    assert page.model("loss", "x_range.start") == whole


def test_a_slider_says_what_it_is(driver, of_rotation):
    page = Page(driver, of_rotation)
    label = page.run("return document.querySelector('#sliders input').labels[0].textContent")
    assert label.startswith("angle") and label.endswith("\N{DEGREE SIGN}")


def test_single_kinks_are_shown_and_hidden(driver, of_rotation):
    page = Page(driver, of_rotation)
    whole = page.model("slope", "x_range.start"), page.model("slope", "x_range.end")
    page.click("#zoom")
    near = page.model("slope", "x_range.start"), page.model("slope", "x_range.end")
    assert near[1] - near[0] == pytest.approx((whole[1] - whole[0]) / 50)
    x, slope = (np.array(page.model("curve", f"data.{name}")) for name in ("x", "slope"))
    shown = abs(np.diff(slope[(x > near[0]) & (x < near[1])]))
    assert len(shown) > 700 and shown.max() > 50 * np.median(shown)  # steps, with smooth pieces between
    page.click("#zoom")
    assert (page.model("slope", "x_range.start"), page.model("slope", "x_range.end")) == whole


@pytest.mark.parametrize("width", [1280, 390])
def test_the_pictures_are_the_right_way_round(driver, trained, of_rotation, width):
    """A screenshot of what the classifier sees is like the array, and not like the array upside down."""
    page = Page(driver, of_rotation, width, 1000)
    _, _, V, _ = read_at(trained[0], 4, chosen(trained[0], 4))
    picture = page.picture("output")
    assert looks_like(picture, V) > 0.97
    assert max(looks_like(picture, turned) for turned in (V[::-1], V[:, ::-1], V.T)) < 0.9


@pytest.mark.parametrize("width", [1280, 390])
def test_a_point_of_a_spline_is_dragged(driver, spline, of_spline, width):
    page = Page(driver, of_spline, width, 1000)
    p = chosen(spline, 4)
    places = (p.reshape(-1, 2) + 1) * 13.5
    page.drag("picture", places[4], places[4] + [2.1, -1.4])
    page.wait(lambda: page.text("position").startswith("point 5 at "))
    place = np.array([page.model("here", "data.x")[0], page.model("here", "data.y")[0]])
    moved = place - places[4]
    contents = json.loads(page.text("contents"))
    n = len(contents["digits"][0]["sliders"][4]["positions"][0])
    step = 0.3 * 13.5 / (n // 2)  # n places along x and along y, over 0.3 of half the image to both sides
    assert_allclose(moved, np.rint(np.array([2.1, -1.4]) / step) * step, atol=1e-5)
    left, right = (np.array(page.model("tiles", f"data.{edge}")) for edge in ("left", "right"))
    top, bottom = (np.array(page.model("tiles", f"data.{edge}")) for edge in ("top", "bottom"))
    (under,) = np.flatnonzero((left < place[0]) & (place[0] < right) & (top < place[1]) & (place[1] < bottom))
    assert page.model("tiles", "data.loss")[under] == pytest.approx(page.number("loss"), rel=1e-5)
    loss, gradient, V, probabilities = read_at(spline, 4, np.concatenate([p[:8], place / 13.5 - 1, p[10:]]))
    assert page.number("loss") == pytest.approx(loss, rel=1e-5)
    slopes = [float(word) for word in page.text("slope").removesuffix(" per pixel").split(", ")]
    assert_allclose(slopes, gradient[8:10] / 13.5, rtol=1e-4)
    assert_allclose(page.image("read")[..., 0] / 255, V, atol=0.5 / 255 + 1e-5)
    assert_allclose(page.model("bars", "data.p"), probabilities, atol=1e-5)
    assert_array_equal(np.array([page.model("handles", "data.x"), page.model("handles", "data.y")]).T[4], place)


@pytest.mark.parametrize("width", [1280, 390])
def test_the_point_between_four_pixels(driver, tmp_path, width):
    pages.write_pixel_page(tmp_path / "pixel.html")
    page = Page(driver, tmp_path / "pixel.html", width, 1000)
    page.drag("picture", (1.35, 1.55), (2.15, 0.7))
    page.wait(lambda: page.text("place") == "(2.15, 0.7)")
    page.press("#sliders label:nth-of-type(3) input", RIGHT)  # dV from 1 to 2
    U = np.array([[0.1, 0.3, 0.2, 0.0], [0.4, 1.0, 0.6, 0.1], [0.2, 0.8, 0.3, 0.5], [0.0, 0.2, 0.9, 0.4]])
    above, below = 0.85 * U[:2, 2] + 0.15 * U[:2, 3]  # V, by hand
    terms, value = page.text("value").split(" = ")
    assert float(value) == pytest.approx(0.3 * above + 0.7 * below, abs=1e-4)
    products = [term.split(" \N{MIDDLE DOT} ") for term in terms.split(" + ")]
    assert sum(float(w) * float(u) for w, u in products) == pytest.approx(0.3 * above + 0.7 * below, abs=1e-12)
    left, right = 0.3 * U[0, 2:] + 0.7 * U[1, 2:]
    assert page.number("along_x") == pytest.approx(2 * (right - left), abs=1e-4)
    assert page.number("along_y") == pytest.approx(2 * (below - above), abs=1e-4)
    gradient = [float(word) for word in page.text("gradient").strip("()").split(", ")]
    image, grid = Tensor(U[None, None]), Tensor(np.array([[[[2.15, 0.7]]]]) / 1.5 - 1, requires_grad=True)
    F.grid_sample(image, grid, align_corners=True).backward(np.full((1, 1, 1, 1), 2.0))
    assert_allclose(gradient, grid.grad.ravel(), atol=1e-4)
    weights = {(2, 0): 0.85 * 0.3, (3, 0): 0.15 * 0.3, (2, 1): 0.85 * 0.7, (3, 1): 0.15 * 0.7}
    back = dict(part.split(" at ") for part in page.text("pixels").split(", "))
    assert {place: float(value) for value, place in back.items()} == {
        f"({m},{n})": pytest.approx(2 * w, rel=1e-4) for (m, n), w in weights.items()
    }
    assert page.complaints() == []


@pytest.fixture(scope="module")
def of_two(tmp_path_factory):
    """The page of two bounded splines side by side."""
    folder = tmp_path_factory.mktemp("two")
    options = "--parallel", "2", "--transformer", "tps", "--grid-size", "2", "--bounded", "1"
    with small_world():
        assert npstn_("train", "--data", "drawn", "--epochs", "1", *options, "--out", folder / "run").status == 0
        pages.write_run_page(folder / "two.html", folder / "run", [4])
    return folder / "two.html"


def test_of_two_splines_one_has_its_points_on_the_picture(driver, of_two):
    page = Page(driver, of_two)
    for number in (1, 2):
        page.click(f"#transformers button:nth-of-type({number})")
        assert page.text("position").startswith(f"transformer {number}: point 1 at ")
        assert page.text("chosen") == page.text("words")
        assert len(page.model("handles", "data.x")) == 4
    xs, ys = page.model("handles", "data.x"), page.model("handles", "data.y")
    page.drag("picture", (xs[3], ys[3]), (xs[3] - 2, ys[3] - 1))
    page.wait(lambda: page.text("position").startswith("transformer 2: point 4 at "))
    assert page.text("chosen") != page.text("words")
    x, y = page.model("here", "data.x")[0], page.model("here", "data.y")[0]
    assert abs(x - xs[3] + 2) < 0.5 and abs(y - ys[3] + 1) < 0.5
    assert page.complaints() == []
