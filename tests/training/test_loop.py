"""The training loop on a few hundred drawn digits: its events, its rows, and the same weights from the same seed."""

import dataclasses
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import npstn
import npstn.functional as F
from npstn import Tensor, models
from npstn.backend.random import generator
from npstn.data import Source, draw_digits
from npstn.tasks import Batch, Rotated, rotate
from npstn.training import COLUMNS, RECIPES, Epoch, Recipe, State, Step, TrainingError, evaluate, train

ADAM = Recipe("adamw", lr=4e-3, batch_size=32, epochs=2, dropout=0.0)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def digits():
    return draw_digits(400, seed=0)


TEST_DIGITS = draw_digits(100, seed=1)


def task_of(images, labels, angle=45.0):
    """The task of turning these digits back; its test set are 100 others."""
    sets = {True: (images, labels), False: TEST_DIGITS}
    return Rotated(Source("few", "digits", sets.__getitem__, (28, 28), tuple("0123456789")), seed=0, angle=angle)


def run(task, recipe=ADAM, kind="rotation", seed=0, net=None):
    """Train; give the network and the events."""
    npstn.manual_seed(seed)
    net = net or models.build(kind, task.image, len(task.classes), recipe.dropout)
    return net, list(train(net, task, recipe, State(net, recipe, len(task))))


def rows(events, without=("seconds",)):
    """The rows of metrics.csv, but for the seconds."""
    epochs = [event.row for event in events if isinstance(event, Epoch)]
    return [{name: value for name, value in row.items() if name not in without} for row in epochs]


def seeing_net(seed=0):
    """A transformer whose localiser answers to what it sees: its last layer does not start at zero."""
    npstn.manual_seed(seed)
    net = models.STNClsNet(dropout=0.5)
    net.loc_net.cnn.fc2.weight.data[...] = generator().normal(0, 1, (1, 50))
    return net


def same_bits(a, b):
    return {name: array.tobytes() == b[name].tobytes() for name, array in a.items()}


# Events


def test_every_step_and_every_epoch_is_an_event(digits):
    task = task_of(digits[0][:77], digits[1][:77])
    _, events = run(task)
    assert [type(event) for event in events] == [Step, Step, Step, Epoch] * 2
    assert [event.images for event in events if isinstance(event, Step)] == [32, 32, 13] * 2
    for k, row in enumerate(rows(events)):
        steps = events[4 * k : 4 * k + 3]
        assert row["epoch"] == k + 1
        assert row["train_loss"] == pytest.approx(sum(step.loss * step.images for step in steps) / 77, rel=1e-12)


def test_training_lowers_the_loss_and_tells_it_in_rows(digits):
    task = task_of(*digits)
    test = task.test()
    npstn.manual_seed(0)
    at_first = evaluate(models.build("rotation", task.image, 10), test)
    net, events = run(task, dataclasses.replace(ADAM, batch_size=8, epochs=3))
    epochs = [event for event in events if isinstance(event, Epoch)]
    one, two, three = (epoch.row for epoch in epochs)
    assert three["train_loss"] < two["train_loss"] < one["train_loss"]
    assert three["test_loss"] < two["test_loss"] < one["test_loss"] < at_first.loss
    assert three["test_accuracy"] > at_first.accuracy + 30
    for row, score in epochs:
        assert tuple(row) == (*COLUMNS, *task.measured)
        assert row["seconds"] >= 0
        assert (row["test_loss"], row["test_accuracy"]) == (score.loss, score.accuracy)
        for name, value in task.measures(test, score.found).items():
            assert_array_equal(row[name], value)  # may be NaN
    again = evaluate(net, test)
    assert (epochs[-1].score.loss, epochs[-1].score.accuracy) == (again.loss, again.accuracy)


def test_an_event_finds_the_training_where_it_says(digits):
    """What is saved between two events is what was done before."""
    task = task_of(digits[0][:64], digits[1][:64])
    npstn.manual_seed(0)
    net = models.build("none", task.image, 10)
    state = State(net, ADAM, len(task))
    places = [(type(event).__name__, state.place()) for event in train(net, task, ADAM, state)]
    assert places == [
        ("Step", "in epoch 1, after 1 step"),
        ("Step", "in epoch 1, after 2 steps"),
        ("Epoch", "after epoch 1"),
        ("Step", "in epoch 2, after 1 step"),
        ("Step", "in epoch 2, after 2 steps"),
        ("Epoch", "after epoch 2"),
    ]
    assert list(train(net, task, ADAM, state)) == []  # nothing is left to do


@pytest.mark.parametrize("recipe", [ADAM, dataclasses.replace(RECIPES["blog"], epochs=2, batch_size=32)])
def test_each_event_has_the_rate_of_its_step(digits, recipe):
    """An epoch has that of its last step, and the optimiser already that of the next."""
    task = task_of(digits[0][:77], digits[1][:77])
    npstn.manual_seed(0)
    net = models.build("none", task.image, 10)
    state = State(net, recipe, len(task))
    schedule = Recipe.optimizer_for(recipe, models.ClsNet(), 77)[1]
    wanted = [schedule.at(step) if schedule else recipe.lr for step in range(6)]
    steps, epochs, before = [], [], state.optimizer.lr
    for event in train(net, task, recipe, state):
        if isinstance(event, Step):
            assert event.lr == before
            before = state.optimizer.lr
            steps.append(event.lr)
        else:
            epochs.append(event.row["lr"])
    assert steps == wanted and epochs == [wanted[2], wanted[5]]


def test_patience_ends_the_training(digits):
    """At this rate nothing changes, and no epoch is better than the first."""
    recipe = dataclasses.replace(ADAM, lr=1e-12, epochs=9, patience=2)
    _, events = run(task_of(digits[0][:64], digits[1][:64]), recipe, kind="none")
    assert [row["epoch"] for row in rows(events)] == [1, 2, 3]


@pytest.mark.parametrize("stop", [1, 3, 4, 5, 8])
def test_a_training_that_goes_on_ends_as_if_it_had_not_stopped(digits, stop):
    """After so many events, of 4 in each epoch; another network in another state of the random numbers goes on."""
    recipe = dataclasses.replace(ADAM, dropout=0.5)
    task = task_of(digits[0][:77], digits[1][:77])
    wanted, events = run(task, recipe, seed=4)

    npstn.manual_seed(4)
    net = models.build("rotation", task.image, 10, 0.5)
    state = State(net, recipe, 77)
    for _, event in zip(range(stop), train(net, task, recipe, state), strict=False):
        pass
    arrays, numbers = state.arrays(), state.numbers()

    npstn.manual_seed(99)
    net = models.build("rotation", task.image, 10, 0.5)
    state = State(net, recipe, 77)
    state.load(arrays, numbers)
    rest = list(train(net, task, recipe, state))
    assert rows(rest) == rows(events[stop:])
    assert all(same_bits(net.state_dict(), wanted.state_dict()).values())


def test_a_network_without_a_transformer_has_no_angles(digits):
    _, events = run(task_of(*digits), kind="none")
    for event in events:
        if isinstance(event, Epoch):
            assert event.score.found == {}
    for row in rows(events):
        assert all(math.isnan(row[name]) for name in Rotated.measured)
    assert rows(events)[1]["test_loss"] < rows(events)[0]["test_loss"]


# What it does to the images and the network


def test_the_arrays_that_are_given_are_not_changed(digits):
    given = [array.copy() for array in (*digits, *TEST_DIGITS)]
    run(task_of(*digits), dataclasses.replace(ADAM, epochs=1))
    for now, before in zip((*digits, *TEST_DIGITS), given, strict=True):
        assert_array_equal(now, before)


def test_train_loss_is_the_mean_over_the_images(digits):
    """Also where the last batch is smaller: at next to no learning rate, each image's loss is that of one network."""
    images, labels = digits[0][:100], digits[1][:100]
    still = Recipe("sgd", lr=1e-12, batch_size=64, epochs=1, dropout=0.0)
    net, events = run(task_of(images, labels, angle=0.0), still)
    upright = Batch(rotate(images, np.zeros(100)), labels, {})
    assert rows(events)[0]["train_loss"] == pytest.approx(evaluate(net, upright).loss, rel=1e-6)


def test_the_same_seed_gives_the_same_metrics_and_weights(digits):
    recipe = dataclasses.replace(ADAM, dropout=0.5)
    (one, events), (same, again), (other, others) = (run(task_of(*digits), recipe, seed=seed) for seed in (4, 4, 5))
    assert rows(events) == rows(again)
    assert rows(events) != rows(others)
    assert all(same_bits(one.state_dict(), same.state_dict()).values())
    assert not any(same_bits(one.state_dict(), other.state_dict()).values())


@pytest.mark.parametrize("recipe", ["fast", "blog"])
def test_the_metrics_do_not_depend_on_the_number_of_threads(digits, two_threads, recipe):
    recipe = dataclasses.replace(RECIPES[recipe], epochs=2)
    few = digits[0][:77], digits[1][:77]
    (one, events), (two, again) = two_threads(lambda: run(task_of(*few), recipe))
    assert_array_equal([list(row.values()) for row in rows(events)], [list(row.values()) for row in rows(again)])
    assert all(same_bits(one.state_dict(), two.state_dict()).values())


def test_the_recipe_blog_is_sgd_with_momentum_one_half(digits):
    """Against the same epoch written out, with momentum as in its formula."""
    task = task_of(digits[0][:35], digits[1][:35])
    recipe = dataclasses.replace(RECIPES["blog"], epochs=1)
    net, _ = run(task, recipe, seed=2, net=seeing_net())
    again = seeing_net()
    npstn.manual_seed(2)
    start = again.state_dict()
    momentum = {name: 0.0 for name in start}
    steps = 0
    for batch in task.batches(10, generator()):
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


def test_the_schedule_takes_a_step_with_each_step(digits):
    """The rate of each step, up to `lr` and down again; what it is in between is the recipe's affair."""
    task = task_of(digits[0][:90], digits[1][:90])
    recipe = Recipe("adamw", lr=0.01, batch_size=8, epochs=3, dropout=0.0)
    npstn.manual_seed(0)
    net = models.build("none", task.image, 10)
    state, rates = State(net, recipe, 90), [0.01 / 25]
    for event in train(net, task, recipe, state):
        if isinstance(event, Step):
            rates.append(state.optimizer.lr)
    assert len(rates) == 1 + 3 * 12  # the last batch of an epoch has 2 images
    top = int(np.argmax(rates))
    assert 0 < top < 18
    assert rates[top] == pytest.approx(0.01, rel=0.01) and max(rates) <= 0.01
    assert (np.diff(rates[: top + 1]) > 0).all() and (np.diff(rates[top:-1]) < 0).all()


class Noting(Rotated):
    """The task, and the batches that it gave."""

    def __init__(self, source, seed=0, **settings):
        super().__init__(source, seed, **settings)
        self.given = []

    def batches(self, *arguments):
        for batch in super().batches(*arguments):
            self.given.append(batch)
            yield batch


def test_images_are_turned_afresh_in_each_epoch(digits):
    task = Noting(task_of(*digits).source, angle=20.0)
    run(task)
    degrees = np.concatenate([batch.truth["angle_deg"] for batch in task.given])
    assert len(degrees) == 2 * 400
    assert len(np.unique(degrees)) > 790
    assert 19 < np.abs(degrees).max() <= 20


def test_a_curriculum_turns_images_further_from_step_to_step(digits):
    """Over half of 26 steps, in two epochs; from there on wholly."""
    task = Noting(task_of(*digits).source, angle=20.0)
    run(task, dataclasses.replace(ADAM, curriculum=0.5))
    furthest = np.array([np.abs(batch.truth["angle_deg"]).max() for batch in task.given])
    bound = 20 * np.minimum(np.arange(26) / 13, 1)
    assert (furthest <= bound + 1e-5).all() and (furthest >= 0.6 * bound).all()


class NotingNet(models.ClsNet):
    """A classifier, and the mode of each of its passes."""

    def __init__(self):
        super().__init__(dropout=0.5)
        self.modes = []

    def forward(self, x):
        self.modes.append(self.training)
        return super().forward(x)


def test_dropout_is_on_in_every_epoch(digits):
    """Although evaluating switches it off in between; also for a network that comes in eval mode."""
    net = NotingNet().eval()
    run(task_of(*digits), Recipe("sgd", lr=0.01, batch_size=200, epochs=2, dropout=0.5), net=net)
    assert net.modes == [True, True, False] * 2


# When it fails


@pytest.mark.parametrize("epoch", [1, 2])
@pytest.mark.parametrize(("optimizer", "lr"), [("adamw", 0.004), ("sgd", 0.5)])
def test_a_loss_that_is_no_number_stops_training(digits, epoch, optimizer, lr):
    net, done = models.build("none", (1, 28, 28), 10), []
    task = task_of(*digits)

    def break_it():
        net.cnn.fc2.weight.data[...] = np.nan

    if epoch == 1:
        break_it()
    recipe = Recipe(optimizer, lr=lr, batch_size=100, epochs=3, dropout=0.0)
    with pytest.raises(TrainingError) as caught:
        for event in train(net, task, recipe, State(net, recipe, len(task))):
            if isinstance(event, Epoch):
                done.append(event.row["epoch"])
                if event.row["epoch"] == epoch - 1:
                    break_it()
    # The fifth of 12 steps, whose peak is at step 0.2 x 12 - 1, lies this far down the cycle; the first at 1 / 25.
    down = 0.5 + 0.5 * math.cos(math.pi * (4 - 1.4) / (11 - 1.4))
    rate = lr if optimizer == "sgd" else lr / 25 if epoch == 1 else lr * down
    assert str(caught.value) == f"the loss became nan in epoch {epoch}, step 1, at a learning rate of {rate:.3g}"
    assert done == list(range(1, epoch))


@pytest.mark.filterwarnings("error")
def test_a_weight_that_is_no_number_at_the_end_of_an_epoch_stops_training(digits):
    """The last step's loss was finite; what it did to the weights was not."""
    task = task_of(digits[0][:20], digits[1][:20])
    net = models.build("none", (1, 28, 28), 10)
    recipe = Recipe("sgd", lr=0.1, batch_size=20, epochs=1, dropout=0.0)
    with pytest.raises(TrainingError, match="^net.cnn.fc1.bias became NaN or infinite in epoch 1, after 1 step, at a "):
        for event in train(net, task, recipe, State(net, recipe, len(task))):
            assert isinstance(event, Step)
            net.cnn.fc1.bias.data[3] = np.inf
