"""The score of a network against its naive formula, and what is said of its transformers."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import npstn
import npstn.functional as F
from npstn import Tensor, models, nn
from npstn.backend.random import generator
from npstn.data import Source, draw_digits
from npstn.models import SpatialTransformer
from npstn.tasks import Batch, Rotated, rotate
from npstn.training import evaluate, look
from npstn.training.metrics import describe
from npstn.transformers import Rotation

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def task():
    return Rotated(Source("few", "digits", lambda train: draw_digits(100, 1), (28, 28), tuple("0123456789")))


@pytest.fixture(scope="module")
def test_set(task):
    return task.test()


def seeing_net(seed=0):
    """A transformer whose localiser answers to what it sees: its last layer does not start at zero."""
    npstn.manual_seed(seed)
    net = models.STNClsNet(dropout=0.5)
    net.loc_net.cnn.fc2.weight.data[...] = generator().normal(0, 1, (1, 50))
    return net


class Linear(nn.Module):
    """A classifier that NumPy can repeat."""

    def __init__(self, weight):
        self.weight = nn.Parameter(weight)
        self.modes, self.sizes = [], []

    def forward(self, x):
        self.modes.append(self.training)
        self.sizes.append(len(x))
        return F.log_softmax(x.reshape(len(x), 784) @ self.weight, dim=1)


# evaluate


@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(1000, [100]), (100, [100]), (30, [30, 30, 30, 10]), (99, [99, 1])]
)
def test_evaluate_against_the_formula(test_set, rng, batch_size, sizes):
    net = Linear(rng.normal(0, 0.05, (784, 10)).astype(np.float32))
    score = evaluate(net, test_set, batch_size)
    z = test_set.images.reshape(100, 784).astype(float) @ net.weight.data.astype(float)
    log_probabilities = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    losses = [-log_probabilities[i, label] for i, label in enumerate(test_set.labels)]
    right = sum(int(np.argmax(z[i])) == label for i, label in enumerate(test_set.labels))
    assert 0 < right < 100
    assert score.loss == pytest.approx(sum(losses) / 100, rel=1e-5)
    assert score.accuracy == right  # of 100: percent
    assert score.found == {}
    assert net.sizes == sizes
    assert not any(net.modes)


@pytest.mark.parametrize("mode", [True, False])
def test_evaluate_restores_the_mode_and_leaves_no_trace(test_set, mode):
    net = seeing_net()
    net.train(mode)
    before = net.state_dict()
    first, second = evaluate(net, test_set), evaluate(net, test_set)
    assert {module.training for module in net.modules()} == {mode}
    assert (first.loss, first.accuracy) == (second.loss, second.accuracy)  # no dropout
    assert_array_equal(first.found["angle_deg"], second.found["angle_deg"])
    assert all(parameter.grad is None for parameter in net.parameters())
    for name, array in net.state_dict().items():
        assert_array_equal(array, before[name])


def test_evaluate_gives_the_angle_of_each_image_in_degrees(test_set):
    net = seeing_net().eval()
    score = evaluate(net, test_set, batch_size=33)
    assert list(score.found) == ["angle_deg"]
    angles = net.loc_net(Tensor(test_set.images)).data[:, 0] * 180 / np.pi
    assert_allclose(score.found["angle_deg"], angles, rtol=1e-4, atol=1e-3)
    assert np.std(angles) > 5
    log_probabilities = net(Tensor(test_set.images)).data
    assert score.accuracy == 100 * np.mean(log_probabilities.argmax(axis=1) == test_set.labels)
    losses = -log_probabilities[np.arange(100), test_set.labels].astype(float)
    assert score.loss == pytest.approx(losses.mean(), rel=1e-5)


def test_angles_of_the_transformer_turn_as_those_of_the_task_do():
    images, labels = draw_digits(10, seed=1)
    net = models.STNClsNet()
    net.loc_net.cnn.fc2.bias.data[...] = 0.5
    upright = Batch(rotate(images, np.zeros(10)), labels, {})
    wanted = rotate(images, evaluate(net, upright).found["angle_deg"])
    ((_, seen),) = look(net, upright.images)
    assert_allclose(seen.V.data, wanted, rtol=0, atol=2e-5)
    assert np.abs(wanted - upright.images).max() > 0.9


@pytest.mark.parametrize(("bias", "alarmed"), [(0.0, True), (0.3, True), (None, False)])
def test_a_localiser_that_answers_one_angle_raises_the_alarm(task, test_set, bias, alarmed):
    net = seeing_net()
    if bias is not None:
        net = models.STNClsNet()
        net.loc_net.cnn.fc2.bias.data[...] = bias
    score = evaluate(net, test_set)
    if bias is not None:
        assert_allclose(score.found["angle_deg"], np.rad2deg(bias), rtol=1e-6)
    assert bool(task.alarm(test_set, score.found)) is alarmed


def test_a_network_without_a_localiser_raises_no_alarm(task, test_set):
    score = evaluate(models.ClsNet(), test_set)
    assert task.alarm(test_set, score.found) == ""
    assert np.isnan(list(task.measures(test_set, score.found).values())).all()


# look


def test_look_gives_what_the_classifier_is_shown(test_set):
    net = seeing_net().eval()
    ((transformer, seen),) = look(net, test_set.images)
    assert transformer is net.transformer
    assert seen.V.shape == (100, 1, 28, 28) and not seen.V.requires_grad
    assert_array_equal(net.cls_net(seen.V).data, net(Tensor(test_set.images)).data)


@pytest.mark.parametrize("mode", [True, False])
def test_look_is_without_dropout_and_restores_the_mode(test_set, mode):
    net = seeing_net()
    wanted = look(net.eval(), test_set.images)[0][1].V.data
    net.train(mode)
    assert_array_equal(look(net, test_set.images)[0][1].V.data, wanted)
    assert {module.training for module in net.modules()} == {mode}


def test_a_network_without_a_transformer_has_no_looks(test_set):
    assert look(models.ClsNet(), test_set.images) == []


# describe: several transformers


class Pair(nn.Module):
    """Two transformers and a classifier of what both hand on: in a row, or side by side and averaged."""

    def __init__(self, in_a_row, angles=(0.2, -0.5)):
        self.first, self.second = (SpatialTransformer(models.LocNet(0.0), Rotation()) for _ in angles)
        for part, angle in zip((self.first, self.second), angles, strict=True):
            part.loc_net.cnn.fc2.bias.data[...] = angle
        self.cls_net = models.ClsNet(0.0)
        self.in_a_row = in_a_row

    def forward(self, U):
        V = self.second(self.first(U)) if self.in_a_row else (self.first(U) + self.second(U)) / 2
        return self.cls_net(V)


@pytest.mark.parametrize("in_a_row", [True, False], ids=["in a row", "side by side"])
def test_two_transformers_are_told_apart_by_their_numbers(task, test_set, in_a_row):
    net = Pair(in_a_row)
    score = evaluate(net, test_set, batch_size=33)
    assert list(score.found) == ["1.angle_deg", "2.angle_deg"]
    assert_allclose(score.found["1.angle_deg"], np.full(100, np.rad2deg(0.2)), rtol=1e-6)
    assert_allclose(score.found["2.angle_deg"], np.full(100, np.rad2deg(-0.5)), rtol=1e-6)
    assert np.isnan(list(task.measures(test_set, score.found).values())).all()  # the task does not know which to ask
    (_, first), (_, second) = look(net, test_set.images)
    assert second.U is first.V if in_a_row else second.U is first.U


def test_describe_hands_a_transformer_the_size_of_its_output():
    sizes = []

    class Noting(Rotation):
        def describe(self, parameters, size):
            sizes.append(size)
            return super().describe(parameters, size)

    part = SpatialTransformer(models.LocNet(0.0), Noting(), size=(9, 14))
    with models.watch(part) as looks:
        part(Tensor(np.zeros((2, 1, 28, 28), np.float32)))
    assert describe(looks)["angle_deg"].shape == (2,)
    assert sizes == [(9, 14)]
    assert describe([]) == {}
