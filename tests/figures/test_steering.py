"""One image read at other parameters: what is found, what is set, and what comes back from the loss."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import npstn.functional as F
from npstn import Tensor, models, nn
from npstn.figures import steering
from npstn.transformers import Rotation

pytestmark = pytest.mark.usefixtures("one_thread")


def test_what_is_found_is_what_the_localisation_network_says(net, test_set):
    image = test_set.images[3]
    assert_array_equal(steering.found(net, image), net.eval().loc_net(Tensor(image[None])).data[0])


def test_one_parameter_is_set_in_the_units_of_a_person(net, test_set, trial):
    assert_allclose(steering.setting(net, test_set.images[3], 0, [-60, 90]), np.radians([[-60], [90]]))
    _, test, shifting = trial
    x, y = steering.found(shifting, test.images[0])
    assert_array_equal(steering.setting(shifting, test.images[0], 1, [0.5, -1]), [[x, 0.5], [x, -1]])
    assert y != 0.5


def test_losses_and_slopes_at_more_places_than_are_read_at_once(net, test_set):
    """Each place stands for itself; a slope is that of the loss, by a difference."""
    image, label, step = test_set.images[3], int(test_set.labels[3]), 1e-7
    angles = np.linspace(-1, 1, steering.AT_ONCE + 7)[:, None]
    reading = steering.read_at(net, image, label, angles)
    assert reading.outputs.shape == (len(angles), 1, 28, 28)
    for k in (0, 50, steering.AT_ONCE - 1, steering.AT_ONCE, len(angles) - 1):

        def read(angle):
            grid = Rotation().grid(Tensor(angle[None]), (28, 28))
            return F.grid_sample(Tensor(image[None]), grid, align_corners=True)

        def loss(angle, read=read):
            return -net.eval().cls_net(read(angle)).data[0, label]

        assert_allclose(reading.outputs[k], read(angles[k]).data[0], atol=1e-12)
        assert_allclose(reading.losses[k], loss(angles[k]))
        slope = (loss(angles[k] + step) - loss(angles[k] - step)) / (2 * step)
        assert_allclose(reading.slopes[k, 0], slope, rtol=1e-4, atol=1e-6)


def test_the_second_of_two_transformers(test_set):
    """It alone is set, though both share what kind they are."""
    kind = Rotation()
    readers = [models.SpatialTransformer(models.LocNet(0.0, (1, 28, 28), kind.identity), kind) for _ in range(2)]
    net = models.SideBySide(readers, models.ClsNet(0.0, (2, 28, 28), 10)).double()
    readers[0].loc_net.cnn.fc2.bias.data[...] = 0.2
    readers[1].loc_net.cnn.fc2.bias.data[...] = 0.4
    image = test_set.images[0]
    assert [steering.found(net, image, number)[0] for number in (0, 1)] == [0.2, 0.4]
    (output,) = steering.read_at(net, image, 7, np.array([[0.0]]), 1).outputs
    assert_allclose(output, image, atol=1e-12)


def test_the_network_is_left_as_it_was(net, test_set):
    net.train()
    steering.read_at(net, test_set.images[0], 7, np.array([[0.1]]))
    assert {module.training for module in net.modules() if isinstance(module, nn.Dropout)} == {True}
    assert all(parameter.grad is None for parameter in net.parameters())
