"""The inputs of a check: constants, other arguments, and inputs that cannot be checked."""

import numpy as np
import pytest
from small_operations import square

import npstn.functional as F
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
