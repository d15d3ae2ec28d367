"""What the tests of pictures of single images are given: small networks, with their tasks and test sets."""

import numpy as np
import pytest
from trial import Shift, Shifted, bars_source

import npstn
from npstn import models
from npstn.data import Source, draw_digits
from npstn.tasks import Rotated


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
