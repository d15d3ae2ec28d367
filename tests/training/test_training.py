"""The training loop on a few hundred drawn digits, and each measure of a network against its naive formula."""

import csv
import dataclasses
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import npstn
import npstn.functional as F
from npstn import Tensor, models, nn, optim, runtime, training
from npstn.data import Rotated, batches, draw_digits, rotate
from npstn.training import RECIPES, Epoch, Recipe, Score, TrainingError

COLUMNS = [
    "epoch",
    "seconds",
    "train_loss",
    "test_loss",
    "test_accuracy",
    "angle_correlation",
    "residual_std_deg",
    "input_std_deg",
]
ADAM = Recipe("adamw", lr=4e-3, batch_size=32, epochs=2, dropout=0.0)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def digits():
    return draw_digits(400, seed=0)


@pytest.fixture(scope="module")
def test_set():
    return training.fixed_test_set(*draw_digits(100, seed=1), 45, seed=0)


def seeing_net(seed=0):
    """A transformer whose localiser answers to what it sees: its last layer does not start at zero."""
    npstn.manual_seed(seed)
    net = models.STNClsNet(dropout=0.5)
    net.loc_net.cnn.fc2.weight.data[...] = generator().normal(0, 1, (1, 50))
    return net


def run(path, digits, test_set, recipe=ADAM, model="stn", seed=0, angle=45.0, net=None):
    """Train; give the net, the score and what after_epoch was called with."""
    npstn.manual_seed(seed)
    net = net or training.build(model, recipe.dropout)
    calls = []
    score = training.train(net, digits, test_set, angle, recipe, path, lambda *call: calls.append(call))
    return net, score, calls


def without_seconds(path):
    """The lines of a metrics.csv, word for word, but for the seconds."""
    with open(path, newline="") as file:
        rows = list(csv.reader(file))
    column = rows[0].index("seconds")
    return [row[:column] + row[column + 1 :] for row in rows]


# Recipes and networks


def test_the_recipe_blog_is_that_of_the_post():
    assert RECIPES["blog"] == Recipe(optimizer="sgd", lr=1e-3, batch_size=10, epochs=5, dropout=0.5)


def test_build():
    npstn.manual_seed(3)
    built = [training.build("stn", 0.25), training.build("cnn", 0.25), training.build("stn")]
    assert [type(net) for net in built] == [models.STNClsNet, models.ClsNet, models.STNClsNet]
    rates = [{m.p for m in net.modules() if isinstance(m, (nn.Dropout, nn.Dropout2d))} for net in built]
    assert rates == [{0.25}, {0.25}, {0.0}]


# The test set


def test_fixed_test_set_follows_from_the_seed_alone():
    images, labels = draw_digits(60, seed=1)
    npstn.manual_seed(1)
    first = training.fixed_test_set(images, labels, 30, seed=5)
    npstn.manual_seed(2)
    generator().random(100)
    second = training.fixed_test_set(images, labels, 30, seed=5)
    for a, b in zip(first, second, strict=True):
        assert_array_equal(a, b)
    other = training.fixed_test_set(images, labels, 30, seed=6)
    assert not np.isin(other.degrees, first.degrees).any()


def test_fixed_test_set_does_not_use_up_the_librarys_random_numbers():
    images, labels = draw_digits(10, seed=1)
    npstn.manual_seed(1)
    wanted = generator().random(4)
    npstn.manual_seed(1)
    training.fixed_test_set(images, labels, 30, seed=1)
    assert_array_equal(generator().random(4), wanted)


def test_fixed_test_set_is_turned_by_its_degrees_and_in_order():
    images, labels = draw_digits(500, seed=1)
    kept = images.copy()
    test = training.fixed_test_set(images, labels, 30, seed=5)
    assert_array_equal(test.labels, labels)
    assert_array_equal(test.images, rotate(images, test.degrees))
    assert test.degrees.dtype == np.float32
    assert 29 < np.abs(test.degrees).max() <= 30
    assert test.degrees.min() < -29 and test.degrees.max() > 29
    assert_array_equal(images, kept)


# Measures of the angles


def test_spread_within_class_against_the_formula(rng):
    degrees, labels = rng.normal(0, 20, 60), rng.choice([0, 2, 7], 60)
    spreads = []
    for label in (0, 2, 7):  # classes that are not there do not count
        of_class = [float(d) for d, k in zip(degrees, labels, strict=True) if k == label]
        mean = sum(of_class) / len(of_class)
        spreads.append(math.sqrt(sum((d - mean) ** 2 for d in of_class) / len(of_class)))
    assert training.spread_within_class(degrees, labels) == pytest.approx(sum(spreads) / 3, rel=1e-12)


def test_spread_within_class_does_not_see_what_differs_between_classes():
    labels = np.array([0, 1, 0, 1])
    assert training.spread_within_class(np.array([5.0, -40.0, 5.0, -40.0]), labels) == 0
    assert training.spread_within_class(np.array([3.0, -40.0, 7.0, -40.0]), labels) == 1
    assert math.isnan(training.spread_within_class(np.full(4, np.nan), labels))


def test_angle_correlation_against_the_formula(rng):
    true = rng.uniform(-45, 45, 40)
    predicted = -0.6 * true + rng.normal(0, 10, 40)
    t, p = true - true.mean(), predicted - predicted.mean()
    wanted = (t * p).sum() / math.sqrt((t**2).sum() * (p**2).sum())
    assert -0.95 < wanted < -0.7
    assert Score(0.0, 0.0, predicted).angle_correlation(true) == pytest.approx(wanted, rel=1e-12)


def test_angle_correlation_at_its_ends():
    true = np.array([-20.0, 5.0, 30.0])
    assert Score(0.0, 0.0, -0.5 * true + 3).angle_correlation(true) == pytest.approx(-1)
    assert Score(0.0, 0.0, 0.5 * true + 3).angle_correlation(true) == pytest.approx(1)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("predicted", "true"),
    [([3, 3, 3], [1, 2, 3]), ([1, 2, 3], [0, 0, 0]), ([np.nan] * 3, [1, 2, 3])],
    ids=["predicted without spread", "true without spread", "no transformer"],
)
def test_angle_correlation_is_nan_where_there_is_none(predicted, true):
    assert math.isnan(Score(0.0, 0.0, np.array(predicted, float)).angle_correlation(np.array(true, float)))


# collapsed


@pytest.mark.parametrize("bias", [0.0, 0.3])
def test_a_constant_localiser_has_collapsed(test_set, bias):
    net = models.STNClsNet()
    net.loc_net.cnn.fc2.bias.data[...] = bias
    score = training.evaluate(net, test_set)
    assert_allclose(score.predicted, np.rad2deg(bias), rtol=1e-6)
    assert training.collapsed(score, test_set) is True


@pytest.mark.parametrize(("follows", "wanted"), [(-1.0, False), (-0.3, False), (0.5, False), (-0.01, True), (0, True)])
def test_a_localiser_that_follows_has_not_collapsed(test_set, rng, follows, wanted):
    predicted = 20 + follows * test_set.degrees + rng.normal(0, 0.1, len(test_set.degrees))
    assert training.collapsed(Score(0.0, 0.0, predicted), test_set) is wanted


def test_a_localiser_that_sees_has_not_collapsed(test_set):
    assert training.collapsed(training.evaluate(seeing_net(), test_set), test_set) is False


def test_a_network_without_a_localiser_has_not_collapsed(test_set):
    assert training.collapsed(training.evaluate(models.ClsNet(), test_set), test_set) is False


# evaluate


class Linear(nn.Module):
    """A classifier that NumPy can repeat."""

    def __init__(self, weight):
        self.weight = nn.Parameter(weight)
        self.modes, self.sizes = [], []

    def forward(self, x):
        self.modes.append(self.training)
        self.sizes.append(len(x))
        return F.log_softmax(x.reshape(len(x), 784) @ self.weight, dim=1)


@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(1000, [100]), (100, [100]), (30, [30, 30, 30, 10]), (99, [99, 1])]
)
def test_evaluate_against_the_formula(test_set, rng, batch_size, sizes):
    net = Linear(rng.normal(0, 0.05, (784, 10)).astype(np.float32))
    score = training.evaluate(net, test_set, batch_size)
    z = test_set.images.reshape(100, 784).astype(float) @ net.weight.data.astype(float)
    log_probabilities = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    losses = [-log_probabilities[i, label] for i, label in enumerate(test_set.labels)]
    right = sum(int(np.argmax(z[i])) == label for i, label in enumerate(test_set.labels))
    assert 0 < right < 100
    assert score.loss == pytest.approx(sum(losses) / 100, rel=1e-5)
    assert score.accuracy == right  # of 100: percent
    assert score.predicted.shape == (100,) and np.isnan(score.predicted).all()
    assert net.sizes == sizes
    assert not any(net.modes)


@pytest.mark.parametrize("mode", [True, False])
def test_evaluate_restores_the_mode_and_leaves_no_trace(test_set, mode):
    net = seeing_net()
    net.train(mode)
    before = net.state_dict()
    first, second = training.evaluate(net, test_set), training.evaluate(net, test_set)
    assert {module.training for module in net.modules()} == {mode}
    assert (first.loss, first.accuracy) == (second.loss, second.accuracy)  # no dropout
    assert_array_equal(first.predicted, second.predicted)
    assert all(parameter.grad is None for parameter in net.parameters())
    for name, array in net.state_dict().items():
        assert_array_equal(array, before[name])


def test_evaluate_gives_the_angle_of_each_image_in_degrees(test_set):
    net = seeing_net().eval()
    score = training.evaluate(net, test_set, batch_size=33)
    assert_allclose(score.predicted, net.loc_net(Tensor(test_set.images)).data * 180 / np.pi, rtol=1e-4, atol=1e-3)
    assert np.std(score.predicted) > 5
    log_probabilities = net(Tensor(test_set.images)).data
    assert score.accuracy == 100 * np.mean(log_probabilities.argmax(axis=1) == test_set.labels)
    losses = -log_probabilities[np.arange(100), test_set.labels].astype(float)
    assert score.loss == pytest.approx(losses.mean(), rel=1e-5)


def test_predicted_angles_turn_as_true_angles_do():
    images, labels = draw_digits(10, seed=1)
    net = models.STNClsNet()
    net.loc_net.cnn.fc2.bias.data[...] = 0.5
    upright = Rotated(rotate(images, np.zeros(10)), labels, np.zeros(10, np.float32))
    score = training.evaluate(net, upright)
    wanted = rotate(images, score.predicted)
    assert_allclose(training.turned(net, upright.images), wanted, rtol=0, atol=2e-5)
    assert np.abs(wanted - upright.images).max() > 0.9


def test_turned_is_what_the_classifier_is_shown(test_set):
    net = seeing_net().eval()
    upright = training.turned(net, test_set.images)
    assert upright.shape == (100, 1, 28, 28) and isinstance(upright, np.ndarray)
    assert_array_equal(net.cls_net(Tensor(upright)).data, net(Tensor(test_set.images)).data)


def test_turned_is_without_dropout(test_set):
    net = seeing_net()
    wanted = training.turned(net, test_set.images)
    net.train()
    assert_array_equal(training.turned(net, test_set.images), wanted)


# train


def test_training_lowers_the_loss_and_writes_the_metrics(tmp_path, digits, test_set):
    npstn.manual_seed(0)
    at_first = training.evaluate(training.build("stn"), test_set)
    path = tmp_path / "metrics.csv"
    net, score, calls = run(path, digits, test_set, dataclasses.replace(ADAM, batch_size=8, epochs=3))
    lines = [line for line, _ in calls]
    assert [line.epoch for line in lines] == [1, 2, 3]
    assert lines[2].train_loss < lines[1].train_loss < lines[0].train_loss
    assert lines[2].test_loss < lines[1].test_loss < lines[0].test_loss < at_first.loss
    assert score.accuracy > at_first.accuracy + 30
    assert score is calls[-1][1]
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == COLUMNS == list(Epoch._fields)
    for row, (line, at_epoch) in zip(rows, calls, strict=True):
        assert_array_equal([float(row[name]) for name in COLUMNS], line)  # to the last digit
        assert row["epoch"] == str(line.epoch)
        assert line.seconds >= 0
        assert (line.test_loss, line.test_accuracy) == (at_epoch.loss, at_epoch.accuracy)
        assert_array_equal(line.angle_correlation, at_epoch.angle_correlation(test_set.degrees))  # may be NaN
        left_over = test_set.degrees + at_epoch.predicted
        assert line.residual_std_deg == training.spread_within_class(left_over, test_set.labels)
        assert line.input_std_deg == training.spread_within_class(test_set.degrees, test_set.labels)
    again = training.evaluate(net, test_set)
    assert (score.loss, score.accuracy) == (again.loss, again.accuracy)


def test_metrics_can_be_read_after_each_epoch(tmp_path, digits, test_set):
    path, seen = tmp_path / "metrics.csv", []

    def after_epoch(line, score):
        rows = path.read_text().splitlines()
        seen.append((len(rows) - 1, rows[-1].split(",")[0]))

    recipe = dataclasses.replace(ADAM, epochs=3)
    training.train(training.build("cnn"), digits, test_set, 45, recipe, path, after_epoch)
    assert seen == [(1, "1"), (2, "2"), (3, "3")]


def test_a_network_without_a_transformer_has_no_angles(tmp_path, digits, test_set):
    _, score, calls = run(tmp_path / "metrics.csv", digits, test_set, model="cnn")
    assert np.isnan(score.predicted).all()
    for line, _ in calls:
        assert math.isnan(line.angle_correlation)
        assert math.isnan(line.residual_std_deg)
        assert math.isnan(line.input_std_deg)
        assert "angle" not in line.line(2) and "spread" not in line.line(2)
    assert calls[1][0].test_loss < calls[0][0].test_loss


def test_the_line_of_an_epoch():
    epoch = Epoch(3, 12.0, 0.5, 0.25, 97.125, -0.8125, 14.46, 26.12)
    assert epoch.line(8) == (
        "epoch 3/8: test accuracy 97.12 %, angle correlation -0.81, "
        "spread within a class 26.1° before, 14.5° after (12 s)"
    )
    nan = float("nan")
    assert Epoch(1, 2.0, 0.5, 0.25, 90.0, nan, nan, nan).line(1) == "epoch 1/1: test accuracy 90.00 % (2 s)"
    # A localiser that answers one angle has a spread, and no correlation.
    assert "spread within a class 26.1° before, 26.1° after" in Epoch(1, 2.0, 1.0, 1.0, 50.0, nan, 26.1, 26.1).line(1)


def test_the_arrays_that_are_given_are_not_changed(tmp_path, digits, test_set):
    given = [array.copy() for array in (*digits, *test_set)]
    run(tmp_path / "metrics.csv", digits, test_set, dataclasses.replace(ADAM, epochs=1))
    for now, before in zip((*digits, *test_set), given, strict=True):
        assert_array_equal(now, before)


def test_train_loss_is_the_mean_over_the_images(tmp_path, digits, test_set):
    """Also where the last batch is smaller: at a learning rate of nothing, each image's loss is that of one network."""
    images, labels = digits[0][:100], digits[1][:100]
    still = Recipe("sgd", lr=0.0, batch_size=64, epochs=1, dropout=0.0)
    net, _, calls = run(tmp_path / "metrics.csv", (images, labels), test_set, still, angle=0.0)
    upright = Rotated(rotate(images, np.zeros(100)), labels, np.zeros(100, np.float32))
    assert calls[0][0].train_loss == pytest.approx(training.evaluate(net, upright).loss, rel=1e-6)


def test_the_same_seed_gives_the_same_metrics_and_weights(tmp_path, digits, test_set):
    recipe = dataclasses.replace(ADAM, dropout=0.5)
    one, _, _ = run(tmp_path / "one.csv", digits, test_set, recipe, seed=4)
    same, _, _ = run(tmp_path / "same.csv", digits, test_set, recipe, seed=4)
    other, _, _ = run(tmp_path / "other.csv", digits, test_set, recipe, seed=5)
    assert without_seconds(tmp_path / "one.csv") == without_seconds(tmp_path / "same.csv")
    assert without_seconds(tmp_path / "one.csv") != without_seconds(tmp_path / "other.csv")
    for name, array in one.state_dict().items():
        assert array.tobytes() == same.state_dict()[name].tobytes(), name
        assert array.tobytes() != other.state_dict()[name].tobytes(), name


@pytest.mark.parametrize("recipe", ["fast", "blog"])
def test_the_metrics_do_not_depend_on_the_number_of_threads(tmp_path, digits, test_set, two_threads, recipe):
    recipe = dataclasses.replace(RECIPES[recipe], epochs=2)
    few = digits[0][:77], digits[1][:77]
    paths = iter([tmp_path / "one.csv", tmp_path / "two.csv"])
    one, two = two_threads(lambda: run(next(paths), few, test_set, recipe)[0].state_dict())
    assert without_seconds(tmp_path / "one.csv") == without_seconds(tmp_path / "two.csv")
    for name, array in one.items():
        assert array.tobytes() == two[name].tobytes(), name


def test_the_recipe_blog_is_sgd_with_momentum_one_half(tmp_path, digits, test_set):
    """Against the same epoch written out, with momentum as in its formula."""
    images, labels = digits[0][:35], digits[1][:35]
    recipe = dataclasses.replace(RECIPES["blog"], epochs=1)
    net, _, _ = run(tmp_path / "metrics.csv", (images, labels), test_set, recipe, seed=2, net=seeing_net())
    again = seeing_net()
    npstn.manual_seed(2)
    start = again.state_dict()
    momentum = {name: 0.0 for name in start}
    steps = 0
    for batch in batches(images, labels, 45.0, 10, generator()):
        again.zero_grad()
        F.nll_loss(again(Tensor(batch.images)), batch.labels).backward()
        for name, parameter in again.named_parameters():
            momentum[name] = 0.5 * momentum[name] + parameter.grad
            parameter.data[...] -= 1e-3 * momentum[name]
        steps += 1
    assert steps == 4
    for name, array in net.state_dict().items():
        moved = np.abs(again.state_dict()[name] - start[name]).max()
        assert moved > 0, name
        assert_allclose(array, again.state_dict()[name], rtol=0, atol=1e-6 + 1e-3 * moved, err_msg=name)


def test_adam_takes_one_cycle_up_to_the_learning_rate_over_all_epochs(tmp_path, digits, test_set, monkeypatch):
    rates, step = [], optim.Adam.step
    monkeypatch.setattr(optim.Adam, "step", lambda self: (rates.append(self.lr), step(self)))
    images, labels = digits[0][:90], digits[1][:90]
    recipe = Recipe("adamw", lr=0.01, batch_size=8, epochs=3, dropout=0.0)
    run(tmp_path / "metrics.csv", (images, labels), test_set, recipe)
    assert len(rates) == 3 * 12  # the last batch of an epoch has 2 images
    top = int(np.argmax(rates))
    assert 0 < top < 18
    assert rates[0] < rates[top] / 20 and rates[-1] < rates[0]
    assert rates[top] == pytest.approx(0.01, rel=0.01) and max(rates) <= 0.01
    assert (np.diff(rates[: top + 1]) > 0).all() and (np.diff(rates[top:]) < 0).all()


def test_images_are_turned_afresh_in_each_epoch(tmp_path, digits, test_set, monkeypatch):
    turned = []

    def spy(*arguments):
        for batch in batches(*arguments):
            turned.append(batch.degrees)
            yield batch

    monkeypatch.setattr(training, "batches", spy)
    run(tmp_path / "metrics.csv", digits, test_set, angle=20.0)
    degrees = np.concatenate(turned)
    assert len(degrees) == 2 * 400
    assert len(np.unique(degrees)) > 790
    assert 19 < np.abs(degrees).max() <= 20


def test_dropout_is_on_in_every_epoch(tmp_path, digits, test_set, monkeypatch):
    """Although evaluating switches it off in between; also for a network that comes in eval mode."""
    modes, forward = [], models.ClsNet.forward
    monkeypatch.setattr(models.ClsNet, "forward", lambda self, x: (modes.append(self.training), forward(self, x))[1])
    net = training.build("cnn", 0.5).eval()
    recipe = Recipe("sgd", lr=0.01, batch_size=200, epochs=2, dropout=0.5)
    run(tmp_path / "metrics.csv", digits, test_set, recipe, net=net)
    assert modes == [True, True, False] * 2


@pytest.mark.parametrize("epoch", [1, 2])
@pytest.mark.parametrize(("optimizer", "lr"), [("adamw", 0.004), ("sgd", 0.5)])
def test_a_loss_that_is_no_number_stops_training(tmp_path, digits, test_set, epoch, optimizer, lr):
    path, net, done = tmp_path / "metrics.csv", training.build("cnn"), []

    def break_it():
        net.cnn.fc2.weight.data[...] = np.nan

    def after_epoch(line, score):
        done.append(line.epoch)
        if line.epoch == epoch - 1:
            break_it()

    if epoch == 1:
        break_it()
    recipe = Recipe(optimizer, lr=lr, batch_size=100, epochs=3, dropout=0.0)
    with pytest.raises(TrainingError) as caught:
        training.train(net, digits, test_set, 45, recipe, path, after_epoch)
    # The fifth of 12 steps, whose peak is at step 0.2 x 12 - 1, lies this far down the cycle; the first at 1 / 25.
    down = 0.5 + 0.5 * math.cos(math.pi * (4 - 1.4) / (11 - 1.4))
    rate = lr if optimizer == "sgd" else lr / 25 if epoch == 1 else lr * down
    assert str(caught.value) == f"the loss became nan in epoch {epoch}, step 1, at a learning rate of {rate:.3g}"
    assert done == list(range(1, epoch))
    assert [row[0] for row in without_seconds(path)] == ["epoch", *map(str, done)]  # what was done is not lost
