"""Long float32 sums, over any axis: against math.fsum and float64."""

import math

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import npstn.functional as F
from npstn import Tensor
from npstn.ops.summation import total

MANY = 20_000_000  # beyond 2^24 = 16,777,216 a float32 does not count on by ones


def test_the_mean_of_many_ones_is_one():
    for shape in [(MANY, 2), (2, MANY, 1)]:
        ones = Tensor._wrap(np.broadcast_to(np.float32(1), shape))
        dim = int(np.argmax(shape))
        assert_array_equal(ones.mean(dim=dim), np.ones(np.delete(shape, dim), np.float32))


def test_the_gradients_of_a_bias_and_of_a_broadcast_operand():
    dy = np.random.default_rng(0).random((300_000, 2), np.float32)
    x = Tensor(np.ones((len(dy), 1), np.float32))
    weight, bias, factor = (Tensor(np.ones(shape, np.float32), requires_grad=True) for shape in ((2, 1), 2, 2))
    (F.linear(x, weight, bias) * factor).backward(dy)
    wanted = [math.fsum(column) for column in dy.T.tolist()]
    assert_allclose(bias.grad, wanted, rtol=3e-7)
    assert_allclose(factor.grad, np.multiply(wanted, 2), rtol=3e-7)


TENTHS = np.full(MANY, 0.1, np.float32)  # a float32 counts on by 0.1 with an error: BLAS and plain loops lose 4e-4
WANTED = MANY * float(np.float32(0.1))


def test_a_linear_layer_of_many_rows_or_features():
    weight = Tensor(np.ones((1, 1), np.float32), requires_grad=True)
    F.linear(Tensor._wrap(TENTHS[:, None]), weight).sum().backward()
    assert_allclose(weight.grad, [[WANTED]], rtol=6e-5)
    ones = Tensor._wrap(np.broadcast_to(np.float32(1), (1, MANY)))
    assert_allclose(F.linear(Tensor._wrap(TENTHS[None]), ones, Tensor([5.0])), [[WANTED + 5]], rtol=6e-5)


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="plain Python takes minutes")
def test_the_gradient_of_a_filter_over_many_pixels():
    filters = Tensor(np.ones((1, 1, 1, 1), np.float32), requires_grad=True)
    F.conv2d(Tensor._wrap(TENTHS.reshape(20, 1, 1000, 1000)), filters).sum().backward()
    assert_allclose(filters.grad.item(), WANTED, rtol=6e-5)


@pytest.mark.parametrize("function", [F.softmax, F.log_softmax])
def test_softmax_over_many(function):
    x = np.full((300_000, 2), np.log(0.1), np.float32)
    x[0] = 0  # the largest: the others have an exp of 0.1, and a float32 counts on by 0.1 with an error of its own
    dy = np.full(x.shape, 0.1, np.float32)
    single, double = Tensor(x, requires_grad=True), Tensor(x.astype(np.float64), requires_grad=True)
    y, wanted = function(single, dim=0), function(double, dim=0)
    y.backward(dy)
    wanted.backward(dy.astype(np.float64))
    assert_allclose(y, wanted, rtol=1e-5)  # 128 equal numbers in a row lose at most 128 roundings, 8e-6
    assert_allclose(single.grad, double.grad, rtol=0, atol=1e-5)


def test_a_window_of_many_pixels():
    ones = Tensor._wrap(np.broadcast_to(np.float32(1), (1, 1, 5000, 4000)))
    assert F.avg_pool2d(ones, (5000, 4000)).item() == 1


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_shape_axes_and_layout(data):
    shape = tuple(data.draw(st.sampled_from([0, 1, 2, 3, 130, 513, 1100])) for _ in range(data.draw(st.integers(0, 2))))
    shape = (*shape, data.draw(st.sampled_from([1, 2, 300])))
    x = np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)
    x = data.draw(st.sampled_from([x, np.asfortranarray(x), x[..., ::-1], np.repeat(x, 2, axis=0)[::2]]))
    axes = tuple(a for a in range(x.ndim) if data.draw(st.booleans()))
    axis = data.draw(st.sampled_from([axes, None, *axes, *(a - x.ndim for a in axes)]))
    keepdims = data.draw(st.booleans())
    found, wanted = total(x, axis, keepdims), x.astype(np.float64).sum(axis=axis, keepdims=keepdims)
    assert np.shape(found) == np.shape(wanted) and found.dtype == np.float32
    size = abs(x.astype(np.float64)).sum(axis=axis, keepdims=keepdims)
    assert (abs(found - wanted) <= 2e-6 * size).all()


def test_sums_lose_next_to_nothing():
    x = np.random.default_rng(0).random((300_000, 3), np.float32)
    exact = [math.fsum(column) for column in x.T.tolist()]
    assert_allclose(total(x, 0), exact, rtol=3e-7)
