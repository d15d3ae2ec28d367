"""The seams: a transformer and a task of another size, two channels, three classes and two parameters go all the way.

From the network to the pictures, and through the command: nothing above the seams knows 28, ten or an angle.
"""

import contextlib
import io

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from pictures import check_texts, is_png
from trial import Shift, Shifted, bars_source

import npstn
import npstn.functional as F
from npstn import Tensor, models, nn
from npstn.data import SOURCES
from npstn.figures import film
from npstn.figures.before_after import before_after
from npstn.figures.parameters import parameters
from npstn.figures.single_images import draw
from npstn.figures.views import view
from npstn.runs import read_metrics
from npstn.runs.frames import Moment
from npstn.tasks import TASKS
from npstn.training import Epoch, Recipe, State, evaluate, look, train
from npstn.transformers import TRANSFORMERS

pytestmark = pytest.mark.usefixtures("one_thread")

RECIPE = Recipe("adamw", lr=3e-3, batch_size=16, epochs=2, dropout=0.0)


@pytest.fixture
def known(monkeypatch):
    """A row in each of the three dicts: all that it takes for the command to know them."""
    monkeypatch.setitem(TRANSFORMERS, "shift", Shift)
    monkeypatch.setitem(TASKS, "shifted", Shifted)
    monkeypatch.setitem(SOURCES, "bars", bars_source)


class Several(nn.Module):
    """Two shifts, in a row or side by side, in front of a classifier."""

    def __init__(self, in_a_row):
        C, H, W = image = Shifted.image
        self.first, self.second = (
            models.SpatialTransformer(models.LocNet(0.0, image, Shift.identity), Shift()) for _ in range(2)
        )
        self.cls_net = models.ClsNet(0.0, image, 3)
        self.in_a_row = in_a_row

    def forward(self, U):
        V = self.second(self.first(U)) if self.in_a_row else (self.first(U) + self.second(U)) / 2
        return self.cls_net(V)


def trained(task, net):
    for event in train(net, task, RECIPE, State(net, RECIPE, len(task))):
        last = event
    assert isinstance(last, Epoch)
    return last


@pytest.fixture(scope="module")
def task():
    return Shifted(bars_source(), reach=3)


@pytest.fixture(scope="module")
def nets(task):
    """One shift, two in a row, two side by side; each with what its training ended with."""
    npstn.set_num_threads(1)
    npstn.manual_seed(0)
    nets = models.STNClsNet(0.0, Shift(), task.image, 3), Several(in_a_row=True), Several(in_a_row=False)
    return [(net, trained(task, net)) for net in nets]


def test_training_and_evaluating(task, nets):
    (net, (row, score)), *_ = nets
    assert list(row)[-1] == "rest_px"
    assert list(score.found) == ["shift_x_px", "shift_y_px"]
    assert all(values.shape == (36,) and values.std() > 0 for values in score.found.values())
    assert row["test_loss"] < np.log(3) and row["test_accuracy"] > 100 / 3 + 10  # better than guessing
    again = evaluate(net, task.test())
    assert (again.loss, again.accuracy) == (score.loss, score.accuracy)
    assert row["rest_px"] == task.measures(task.test(), again.found)["rest_px"]


def test_both_parameters_have_a_gradient(task, nets):
    (net, _), *_ = nets
    test = task.test()

    def loss(bias):
        """Of the network with this bias of the localiser's last layer."""
        parameters = net.loc_net(Tensor(test.images[:6].astype(np.float64))) + bias
        grid = Shift().grid(parameters, (24, 40))
        V = F.grid_sample(Tensor(test.images[:6].astype(np.float64)), grid, align_corners=True)
        return F.nll_loss(net.cls_net(V), test.labels[:6])

    net.double().eval()
    try:
        assert npstn.gradcheck(loss, (np.array([0.0113, -0.0217]),), rtol=1e-6, eps=1e-5)
    finally:
        net.float()


@pytest.mark.parametrize("which", [1, 2], ids=["in a row", "side by side"])
def test_several_transformers_are_described_by_number(task, nets, which):
    net, (row, score) = nets[which]
    assert list(score.found) == ["1.shift_x_px", "1.shift_y_px", "2.shift_x_px", "2.shift_y_px"]
    assert np.isnan(row["rest_px"])
    looks = look(net, task.few())
    assert len(looks) == 2
    for number, (transformer, seen) in enumerate(looks, start=1):
        assert transformer.name == "shift"
        described = transformer.describe(seen.parameters.data, (24, 40))
        everything = look(net, task.test().images)[number - 1][1].parameters.data
        assert_allclose(score.found[f"{number}.shift_x_px"], -everything[:, 0] * 39 / 2, atol=1e-4)
        assert described["shift_y_px"].shape == (9,)


def test_the_identity_shifts_nothing(task):
    net = models.STNClsNet(0.0, Shift(), task.image, 3)
    ((_, seen),) = look(net, task.few())
    assert_allclose(seen.V.data, seen.U.data, atol=1e-5)


@pytest.mark.parametrize("which", range(3), ids=["one", "in a row", "side by side"])
def test_the_pictures(task, nets, tmp_path, which):
    net, (row, score) = nets[which]
    test = task.test()
    looks = look(net, task.few())
    before, after = looks[0][1].U.data, np.concatenate([seen.V.data for _, seen in looks])
    figures = [
        draw(view(net, test, [0, 1, 5]), task),
        before_after(before, after),
        film.picture(before, after, "after epoch 2: 50.0 % of the test images are read right"),
        parameters(test, score.found, task.classes),
    ]
    assert [len(figure.axes) for figure in figures] == [
        3 * len(looks) * 4,  # images, panels in a column
        1 + len(looks),
        1 + len(looks),
        len(looks) * 2 * 2,  # two quantities, each with a bar of colours
    ]
    for figure in figures:
        check_texts(figure)
        assert is_png(figure, tmp_path / "x.png")
    titles = [axes.get_title() for axes in figures[0].axes]
    assert titles[0].startswith("test image 0, class upright,\nshift x ")
    film.write(tmp_path / "x.gif", before, {Moment(0): np.uint8(255 * after.clip(0, 1))}, 19, {})
    assert Image.open(tmp_path / "x.gif").format == "GIF"


# Through the command


def command(*arguments):
    """Its exit status, and what it prints on standard output and standard error."""
    from npstn.cli.parser import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(argument) for argument in arguments])
    return status, out.getvalue(), err.getvalue()


def test_the_command_takes_them_all_the_way(known, tmp_path):
    run, alone = tmp_path / "run", tmp_path / "alone"
    common = "train", "--task", "shifted", "--data", "bars", "--reach", 3, "--epochs", 2, "--batch-size", 16
    status, said, wrong = command(*common, "--transformer", "shift", "--out", run)
    assert (status, wrong) == (0, "")
    assert "a classifier behind a shift transformer on 120 bars" in said
    assert "distance left " in said and " px (" in said
    for name in ("curves.png", "before_after.png", "parameters.png", "training.gif"):
        assert Image.open(run / name).size[0] > 300, name
    metrics = read_metrics(run)
    assert list(metrics)[-1] == "rest_px"
    assert metrics["epoch"].tolist() == [1, 2]

    status, said, described = command("eval", run)
    assert (status, said) == (0, f"{metrics['test_accuracy'][-1]:.2f} %\n")
    assert described.startswith("36 bars (seed 0); distance left ")
    assert command("eval", run, "--reach", 0)[0] == 0

    assert command("show", run, "--digit", 0, 7)[0] == 0
    assert Image.open(run / "show.png").size[0] > 300
    assert command("show", run, "--parameter", "parameter_2", -0.5, 0.5)[0] == 0

    assert command(*common, "--transformer", "none", "--out", alone)[0] == 0
    status, table, _ = command("compare", run, alone, "--out", tmp_path / "compare.png")
    assert status == 0
    assert "distance left" in table and "shift" in table and "no transformer" in table

    weights = npstn.load(run / "weights.safetensors")
    assert command("train", "--resume", run)[0] == 0  # it is trained to its end, and says so again
    for name, array in npstn.load(run / "weights.safetensors").items():
        assert_array_equal(array, weights[name])


def test_a_setting_of_another_task_is_refused(known, tmp_path):
    status, _, wrong = command("train", "--task", "shifted", "--data", "bars", "--angle", 3, "--out", tmp_path / "run")
    assert status == 2
    assert wrong.startswith("npstn: error: argument --angle: ") and wrong.count("\n") == 1
