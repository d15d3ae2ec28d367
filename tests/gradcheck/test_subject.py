"""The inputs of a check: constants, other arguments, and inputs that cannot be checked."""

import numpy as np
import pytest
from small_operations import operation, report_on, square

import npstn
import npstn.functional as F
from npstn import nn
from npstn.autograd import Tensor
from npstn.gradcheck import gradcheck

pytestmark = pytest.mark.usefixtures("one_thread")


def test_constants_and_other_arguments():
    """Tensors that need no gradient, labels and options are passed on; names come from the function."""
    weight = Tensor(np.ones((2, 3)))
    report = gradcheck(F.linear, (np.ones((1, 3)), weight))
    assert [g.name for g in report.gradients] == ["input"]
    assert gradcheck(F.cross_entropy, (np.eye(3), np.array([0, 2, 1])))
    assert gradcheck(lambda x, dim: F.log_softmax(x, dim), (np.eye(3), 1))
    assert gradcheck(lambda *xs: xs[0] * xs[1], (np.ones(2), np.ones(2))).gradients[1].name == "xs[1]"


@pytest.mark.parametrize("inputs, message", [
    (np.ones(3, np.float32), "gradcheck: expected x of float64, got float32"),
    (np.arange(3), "gradcheck: expected a float64 array, or a Tensor that requires grad, among the inputs"),
    (Tensor(np.ones(3)), "gradcheck: expected a float64 array, or a Tensor that requires grad, among the inputs"),
])  # fmt: skip
def test_inputs_that_cannot_be_checked(inputs, message):
    with pytest.raises(TypeError) as caught:
        gradcheck(square, inputs)
    assert str(caught.value) == message


def test_what_fn_raises_itself_is_not_swallowed():
    with pytest.raises(ValueError, match="linear: expected input"):
        gradcheck(F.linear, (np.ones((2, 3)), np.ones((4, 2))))
    with pytest.raises(TypeError, match="to return a Tensor, got ndarray"):
        gradcheck(lambda x: x.data, np.ones(3))


class Net(nn.Module):
    """Two layers; the bias of the second one is used twice."""

    def __init__(self):
        self.conv1 = nn.Conv2d(1, 2, kernel_size=2)
        self.fc = nn.Linear(8, 3)
        self.scale = self.fc.bias  # one parameter in two places

    def forward(self, image):
        return self.fc(self.conv1(image).tanh().reshape(len(image), 8)) * self.scale


def test_a_module_and_its_parameters_in_place():
    npstn.manual_seed(0)
    net, image = Net().double(), np.random.default_rng(0).normal(size=(2, 1, 3, 3))
    before = [(id(p), p.data.copy()) for p in net.parameters()]
    report = npstn.check_op(net, image, batch=(0,))
    assert [g.name for g in report.gradients] == ["image", "conv1.weight", "conv1.bias", "fc.weight", "fc.bias"]
    assert report.name == "Net"
    for (identity, data), p in zip(before, net.parameters(), strict=True):
        assert identity == id(p) and (p.data == data).all() and p.grad is None
    assert net.scale is net.fc.bias


def test_a_wrong_gradient_of_a_parameter_is_named():
    twice = operation(lambda w: w, lambda w, dy: 2 * dy)

    class Wrong(nn.Module):
        def __init__(self):
            self.fc = nn.Linear(2, 3)

        def forward(self, x):
            return F.linear(x, twice(self.fc.weight), self.fc.bias)

    report = report_on(Wrong().double(), np.ones((4, 2)))
    assert len(report.faults) == 1
    assert report.faults[0].startswith("the gradient of fc.weight is wrong in 6 of 6 entries")


def test_a_module_that_does_not_use_a_parameter_or_is_not_float64():
    net = nn.Linear(2, 3)
    with pytest.raises(TypeError) as caught:
        gradcheck(net, np.ones((4, 2)))
    said = "gradcheck: expected weight of float64, got float32; call double() on the module first"
    assert str(caught.value) == said
    net.spare = nn.Parameter(np.ones(2))
    (fault,) = report_on(net.double(), np.ones((4, 2))).faults
    assert fault.startswith("no gradient comes to spare")
    (*faults,) = report_on(lambda *p: net(Tensor(np.ones((4, 2)))), tuple(net.parameters())).faults
    assert len(faults) == 3 and all("no gradient comes to p[" in fault for fault in faults)


def test_the_parameters_are_put_back_after_an_error():
    net = nn.Linear(2, 3).double()
    weight = net.weight
    with pytest.raises(ValueError, match="linear: expected input"):
        gradcheck(net, np.ones((4, 5)))
    assert net.weight is weight


def test_a_forward_that_returns_a_tuple():
    both = operation(lambda x: (x, x), lambda x, dy: dy, "both")
    with pytest.raises(TypeError) as caught:
        gradcheck(both, np.ones(3))
    assert str(caught.value) == "both: expected forward to return one array, got a tuple of 2"
