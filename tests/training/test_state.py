"""State: a training goes on from each of its states to the same end; a state that no training has is refused."""

import copy
import dataclasses
import functools
import itertools
import json

import numpy as np
import pytest
from command import few_digits
from numpy.testing import assert_allclose, assert_array_equal

import npstn
from npstn import models
from npstn.backend.random import generator
from npstn.data import Source
from npstn.tasks import Rotated
from npstn.training import Recipe, State, Step, TrainingError, evaluate, train

pytestmark = pytest.mark.usefixtures("one_thread")

FAST = Recipe("adamw", lr=4e-3, batch_size=16, epochs=3, dropout=0.0)
BLOG = Recipe("sgd", lr=0.05, batch_size=16, epochs=3, dropout=0.5)  # its dropout draws random numbers in each step
AVERAGED = dataclasses.replace(FAST, average=0.3, label_smoothing=0.1)
GROWING = dataclasses.replace(FAST, curriculum=0.7)
STEPS = 7  # of an epoch of 100 images


@pytest.fixture(scope="module")
def task():
    source = Source("few", "few", lambda train: few_digits(10_000, 0 if train else 1), (28, 28), tuple("0123456789"))
    return Rotated(source, seed=0)


def start(transformer, recipe, seed=3):
    npstn.manual_seed(seed)
    net = models.build(transformer, (1, 28, 28), 10, recipe.dropout)
    return net, State(net, recipe, 100)


def saved(state):
    """The state as a checkpoint holds it: arrays, and text that JSON makes of the numbers."""
    return state.arrays(), json.dumps(state.numbers(), allow_nan=False)


def load(state, arrays, text):
    state.load(arrays, json.loads(text))


def to_the_last_bit(arrays):
    return {name: (array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()}


def rows(state):
    """The rows of the epochs as text, so that NaN equals NaN, without the seconds."""
    return [str({name: value for name, value in row.items() if name != "seconds"}) for row in state.epochs]


@pytest.fixture(scope="module")
def uninterrupted(task):
    """The weights and the epochs of a training, and its states: at the start, after each step and after each epoch."""

    @functools.cache
    def trained(transformer, recipe):
        net, state = start(transformer, recipe)
        states = [saved(state)]
        for _ in train(net, task, recipe, state):
            states.append(saved(state))
        return (net.state_dict(), state.evaluated.state_dict()), rows(state), states

    return trained


@pytest.mark.parametrize("recipe", [FAST, BLOG, AVERAGED, GROWING], ids=["adamw", "dropout", "averaged", "curriculum"])
@pytest.mark.parametrize("transformer", ["rotation", "none"])
def test_training_goes_on_from_each_of_its_states_to_the_same_end(task, uninterrupted, transformer, recipe):
    weights, epochs, states = uninterrupted(transformer, recipe)
    assert len(states) == 1 + 3 * (STEPS + 1)
    # The start; the first step; the middle of an epoch; its last step; its end; the first step of the next; the end.
    for number in (0, 1, 4, STEPS, STEPS + 1, STEPS + 2, 2 * STEPS, len(states) - 1):
        net, state = start(transformer, recipe, seed=number)
        generator().random(number)
        load(state, *states[number])
        for _ in train(net, task, recipe, state):
            pass
        assert rows(state) == epochs, number
        for now, wanted in zip((net, state.evaluated), weights, strict=True):
            for name, array in now.state_dict().items():
                assert array.tobytes() == wanted[name].tobytes(), (number, name)


def test_a_state_comes_back_as_it_was(uninterrupted):
    for recipe, number in itertools.product((BLOG, AVERAGED), range(0, 3 * (STEPS + 1), 5)):
        arrays, text = uninterrupted("rotation", recipe)[2][number]
        _, state = start("rotation", recipe, seed=9)
        load(state, arrays, text)
        again, numbers = saved(state)
        assert numbers == text
        assert to_the_last_bit(again) == to_the_last_bit(arrays)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.1, 1e-300])
def test_measures_that_are_not_finite_are_kept(value):
    """A loss on the test images can be infinite although all weights are finite."""
    _, state = start("none", FAST)
    state.end_epoch({"epoch": 1, "test_loss": value})
    again = start("none", FAST)[1]
    load(again, *saved(state))
    (row,) = again.epochs
    assert_array_equal(row["test_loss"], value)
    assert row["epoch"] == 1


def test_a_window_is_the_steps_since_it_was_begun(task):
    """The last step of an epoch has fewer images; each step counts the same."""
    net, state = start("none", BLOG)
    losses, sums = [], []
    for event in train(net, task, BLOG, state):
        if isinstance(event, Step):
            losses.append(event.loss)
            if state.steps_since_start() % 5 == 0:
                sums.append((state.window_steps, state.window_loss))
                state.begin_window()
    assert state.steps_since_start() == len(losses) == 3 * STEPS
    assert sums == [(5, sum(losses[k : k + 5])) for k in (0, 5, 10, 15)]
    assert (state.window_steps, state.window_loss) == (1, losses[-1])


def test_an_early_checkpoint_has_no_window(uninterrupted):
    arrays, text = uninterrupted("none", FAST)[2][4]
    numbers = json.loads(text)
    del numbers["window_steps"], numbers["window_loss"]
    net, state = start("none", FAST)
    state.load(arrays, numbers)
    assert (state.steps, state.window_steps, state.window_loss) == (4, 0, 0.0)


def test_what_is_evaluated_is_the_average_and_the_network_goes_on_without_it(task):
    net, state = start("none", AVERAGED)
    assert state.evaluated is not net
    wanted, rows = {}, []
    for event in train(net, task, AVERAGED, state):
        if isinstance(event, Step):
            reach = 0.3 * (state.steps_since_start() - 1)
            for name, array in net.state_dict().items():
                before = wanted.get(name, 0)
                wanted[name] = before + (array.astype(np.float64) - before) / (1 + reach)
        else:
            rows.append((event.score.accuracy, evaluate(state.evaluated, task.test()).accuracy))
    assert all(told == again for told, again in rows)
    for name, array in state.evaluated.state_dict().items():
        assert_allclose(array, wanted[name], rtol=1e-4, atol=1e-6, err_msg=name)
    plain, other = start("none", dataclasses.replace(AVERAGED, average=None))
    for _ in train(plain, task, dataclasses.replace(AVERAGED, average=None), other):
        pass
    assert other.evaluated is plain
    for name, array in plain.state_dict().items():
        assert array.tobytes() == net.state_dict()[name].tobytes() != state.evaluated.state_dict()[name].tobytes()


def test_a_checkpoint_without_the_average_is_that_of_another_training(uninterrupted):
    arrays, text = uninterrupted("none", FAST)[2][4]
    state = start("none", AVERAGED)[1]
    with pytest.raises(ValueError, match=r"^State\.load: expected parts to have the entries .*average\.updates"):
        load(state, arrays, text)


def test_an_epoch_that_was_begun_is_ended(uninterrupted):
    """Also where the patience, or the number of epochs, has been lowered since."""
    def after(number):
        _, state = start("none", FAST)
        load(state, *uninterrupted("none", FAST)[2][number])
        return state

    at_an_end, within = after(2 * (STEPS + 1)), after(2 * (STEPS + 1) + 3)
    for recipe, over in ((FAST, False), (dataclasses.replace(FAST, epochs=2), True)):
        assert (at_an_end.over(recipe), within.over(recipe)) == (over, False)
    for state in (at_an_end, within):
        state.epochs[1]["test_accuracy"] = state.epochs[0]["test_accuracy"]
    impatient = dataclasses.replace(FAST, patience=1)
    assert at_an_end.over(impatient) and not within.over(impatient)
    assert (at_an_end.epochs_begun(), within.epochs_begun()) == (2, 3)


def test_half_of_a_random_number_is_not_lost():
    """PCG64 draws 64 bits and keeps the half that 32-bit numbers leave over."""
    _, state = start("none", BLOG, seed=1)
    generator().random(3, np.float32)
    kept = saved(state)
    assert state.numbers()["random"]["now"]["has_uint32"] == 1
    wanted = generator().random(5, np.float32)
    npstn.manual_seed(2)
    load(state, *kept)
    assert_array_equal(generator().random(5, np.float32), wanted)


def test_the_arrays_of_a_state_are_copies(task):
    net, state = start("none", FAST)
    arrays = state.arrays()
    before = {name: array.copy() for name, array in arrays.items()}
    next(train(net, task, FAST, state))
    for name, array in arrays.items():
        assert_array_equal(array, before[name], err_msg=name)
    assert (state.arrays()["net.cnn.fc1.bias"] != before["net.cnn.fc1.bias"]).any()


# What no training has

WRONG = {
    "steps": [-1, 1.5, "3", None, True, [1]],
    "loss": ["nan", None, 10**400, [0.5]],
    "seconds": [-1.0, "inf", None],
    "window_steps": [-1, 1.5, "3", None],
    "window_loss": ["nan", None],
    "epochs": [None, 2, "ab", {}, [1], [[]], [{}]],
    "epochs.0": [{"epoch": 2}, {"test_loss": 0.5}],
    "epochs.0.epoch": [2, 0, "1", None, "nan"],
    "epochs.1.test_loss": ["low", None, [0.5], True, 10**400],
    "parts": [None, [], {}],
    "parts.schedule.taken": [-1, 1.5, "3", None],
    "parts.optimizer.lr": [-0.1, "fast", None],
    "parts.net.cnn.fc2.bias": [[0.0] * 10],  # an array among the numbers
    "random": [None, {}, []],
    "random.at_start": [None, {}, "PCG64"],
    "random.now": [None, {}, "PCG64"],
    "random.now.bit_generator": ["MT19937", None],
    "random.now.state": [None, {"state": 1}, {"state": -1, "inc": 1}, {"state": 2**128, "inc": 1}],
    "random.now.uinteger": [2**32, -1, 1.5],
    "random.now.has_uint32": [2, -1, 0.5],
    "later": [1],
}


def change(numbers, path, value):
    """Change an entry; the names of the parts have dots themselves."""
    first, *rest = path.split(".", 1 if path.startswith("parts") else -1)
    where = numbers
    for name in [first, *rest][:-1]:
        where = where[int(name) if isinstance(where, list) else name]
    last = [first, *rest][-1]
    where[int(last) if isinstance(where, list) else last] = value


@pytest.mark.parametrize(("path", "value"), [(path, v) for path, values in WRONG.items() for v in values], ids=repr)
def test_a_state_that_no_training_has_is_refused(uninterrupted, path, value):
    arrays, text = uninterrupted("none", FAST)[2][2 * (STEPS + 1) + 3]
    net, state = start("none", FAST)
    load(state, arrays, text)
    numbers, weights, random = json.loads(text), net.state_dict(), copy.deepcopy(generator().bit_generator.state)
    change(numbers, path, value)
    with pytest.raises(ValueError, match=r"^State\.load: expected [^\n]*$"):
        state.load(arrays, numbers)
    assert saved(state)[1] == text and generator().bit_generator.state == random
    for name, array in net.state_dict().items():
        assert_array_equal(array, weights[name])


def test_each_missing_number_is_refused(uninterrupted):
    arrays, text = uninterrupted("none", FAST)[2][2 * (STEPS + 1) + 3]
    _, state = start("none", FAST)
    for part in (None, "parts", "random"):
        for name in json.loads(text)[part] if part else json.loads(text):
            numbers = json.loads(text)
            del (numbers[part] if part else numbers)[name]
            with pytest.raises(ValueError, match=r"^State\.load: expected .* to have the entries "):
                state.load(arrays, numbers)


def test_arrays_of_another_training_are_refused(uninterrupted):
    arrays, text = uninterrupted("none", FAST)[2][3]
    _, state = start("none", FAST)
    bias = arrays["net.cnn.fc2.bias"]
    without = {name: array for name, array in arrays.items() if name != "net.cnn.fc2.bias"}
    for wrong in (without, {**arrays, "net.more": bias}, {**arrays, "net.cnn.fc2.bias": bias[:5]}):
        with pytest.raises((KeyError, ValueError), match="load_state_dict: expected"):
            load(state, wrong, text)
    with pytest.raises(ValueError, match=r"'t' of at least 0, got -1"):
        load(state, {**arrays, "optimizer.t": -np.ones_like(arrays["optimizer.t"])}, text)


# What is not finite


@pytest.mark.parametrize("part", ["weight", "optimiser"])
def test_what_is_not_finite_is_noticed(part):
    net, state = start("none", FAST)
    state.check()
    state.steps = 2
    name = "net.cnn.fc1.bias" if part == "weight" else "optimizer.m.5"
    if part == "weight":
        net.cnn.fc1.bias.data[3] = -np.inf
    else:
        kept = state.optimizer.state_dict()
        kept["m.5"][3] = np.nan
        state.optimizer.load_state_dict(kept)
    message = rf"^{name} became NaN or infinite in epoch 1, after 2 steps, at a learning rate of 0\.00016$"
    with pytest.raises(TrainingError, match=message):
        state.check()


def test_an_epoch_that_ends_in_infinite_weights_is_no_epoch(task):
    """Even where no loss shows it: a class that is infinitely unlikely costs nothing while it does not come."""
    net, state = start("none", FAST)
    events = train(net, task, FAST, state)
    for _ in range(STEPS):
        next(events)
    net.cnn.fc2.bias.data[7] = -np.inf
    with pytest.raises(TrainingError, match=r"^net\.cnn\.fc2\.bias became NaN or infinite in epoch 1, after 7 steps"):
        next(events)
    assert state.epochs == []
