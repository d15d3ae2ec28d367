"""Tensor.retain_grad: the gradient of an intermediate result is that of a leaf in its place."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import npstn.functional as F
from npstn import Tensor, no_grad


def values(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0.5, 2, shape)


@pytest.mark.parametrize(
    "further",
    [
        lambda y: (y * 3).sum(),
        lambda y: (y * y + y.exp()).sum(),  # used three times
        lambda y: (y[0] * y[1]).sum() + y.mean(),
        lambda y: F.relu(y.reshape(6) - 1).sum(),
    ],
    ids=["once", "several times", "its parts", "reshaped"],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_is_that_of_a_leaf_in_its_place(further, dtype):
    x = Tensor(values(2, 3).astype(dtype), requires_grad=True)
    y = x * x
    y.retain_grad()
    further(y).backward()
    leaf = Tensor(y.data, requires_grad=True)
    further(leaf).backward()
    assert y.grad.dtype == dtype
    assert_array_equal(y.grad, leaf.grad)
    assert_array_equal(x.grad, 2 * x.data * leaf.grad)  # and the walk goes on behind it


def test_it_is_that_of_finite_differences():
    y = Tensor(values(4), requires_grad=True).tanh()
    y.retain_grad()
    (y * y * y.sin()).sum().backward()

    def loss(y):
        return (y * y * np.sin(y)).sum()

    for i in range(4):
        step = np.eye(4)[i] * 1e-6
        assert y.grad[i] == pytest.approx((loss(y.data + step) - loss(y.data - step)) / 2e-6, rel=1e-8)


def test_without_it_an_intermediate_result_has_none():
    x = Tensor([2.0], requires_grad=True)
    y = x * x
    (y * y).backward()
    assert y.grad is None


def test_two_results_in_a_row_and_the_last_one():
    x = Tensor([2.0], requires_grad=True)
    y = x * x
    z = y * 3
    for tensor in (y, z):
        tensor.retain_grad()
    z.backward(np.float32([10]))
    assert (z.grad.item(), y.grad.item(), x.grad.item()) == (10, 30, 120)


def test_it_is_a_copy_that_no_one_else_holds():
    x = Tensor([2.0, 3.0], requires_grad=True)
    y = x + 0.0
    y.retain_grad()
    upstream = np.float32([1, 1])
    y.backward(upstream)
    y.grad[...] = 7
    assert_array_equal(upstream, [1, 1])
    assert_array_equal(x.grad, [1, 1])


def test_a_result_that_the_loss_does_not_use_has_none():
    x = Tensor([2.0], requires_grad=True)
    unused = x * 5
    unused.retain_grad()
    (x * x).backward()
    assert unused.grad is None


def test_a_freed_graph_is_refused_and_leaves_the_gradient_alone():
    x = Tensor([2.0], requires_grad=True)
    y = x * x
    z = y * 3
    for tensor in (y, z):
        tensor.retain_grad()
    z.backward(np.float32([1]))
    with pytest.raises(RuntimeError, match="^backward: the graph was freed by an earlier backward"):
        z.backward(np.float32([100]))
    assert (z.grad.item(), y.grad.item(), x.grad.item()) == (1, 3, 12)


def test_a_leaf_keeps_adding_up():
    x = Tensor([2.0], requires_grad=True)
    x.retain_grad()
    (x * 3).backward()
    (x * 3).backward()
    assert x.grad.item() == 6


def test_without_a_tape_it_does_nothing():
    with no_grad():
        y = Tensor([2.0], requires_grad=True) * 3
    y.retain_grad()
    assert y.grad is None and not y.requires_grad
