"""log_softmax against math, finite differences and PyTorch; huge and infinite scores."""

import numpy as np
import oracles
import pytest
from assertions import assert_close, assert_parity, dtypes, normal, refuses, seeds
from finite_differences import assert_gradients, differentiate
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

import npstn.functional as F
from npstn import Tensor

shapes = array_shapes(min_dims=1, max_dims=3, max_side=4)


def draw_dim(data, shape):
    return data.draw(st.integers(-len(shape), len(shape) - 1))


@given(shapes, st.data(), seeds, dtypes)
def test_forward_is_the_formula(shape, data, seed, dtype):
    dim = draw_dim(data, shape)
    (x,) = normal(seed, shape, dtype=dtype)
    y = F.log_softmax(Tensor(x), dim)
    assert y.dtype == dtype
    assert_close(y.data, oracles.log_softmax(x.astype(np.float64), dim), {np.float32: 1e-6, np.float64: 1e-14}[dtype])


@given(shapes, st.data(), seeds)
def test_gradients_by_finite_differences(shape, data, seed):
    dim = draw_dim(data, shape)
    assert_gradients(lambda x: F.log_softmax(x, dim), *normal(seed, shape), tolerance=1e-9)


@given(shapes, st.data(), seeds, dtypes)
def test_parity_with_pytorch(torch, shape, data, seed, dtype):
    dim = draw_dim(data, shape)
    ours, theirs = (lambda x: F.log_softmax(x, dim)), (lambda x: torch.log_softmax(x, dim))
    assert_parity(torch, ours, theirs, *normal(seed, shape, dtype=dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shift", [1e4, -1e4, 2.0**20])
def test_a_common_shift_changes_nothing_and_nothing_overflows(dtype, shift):
    x = np.array([[0.0, 0.5, -2.0]], dtype)  # the shifts keep these numbers as they are, even in float32
    expected, (expected_dx,), cotangent = differentiate(lambda x: F.log_softmax(x, dim=1), x)
    y, (dx,), _ = differentiate(lambda x: F.log_softmax(x, dim=1), x + dtype(shift), cotangent=cotangent)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(dx, expected_dx)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0, -np.inf], [0, -np.inf]),
        ([1e30, 0], [0, -1e30]),
        ([-np.inf, -np.inf], [np.nan, np.nan]),
        ([np.inf, 0], [np.nan, np.nan]),
        ([np.nan, 0], [np.nan, np.nan]),
    ],
)
def test_scores_that_are_not_finite(scores, expected):
    y = F.log_softmax(Tensor(np.array(scores, float)), dim=0)
    np.testing.assert_array_equal(y.data, expected)


def test_an_impossible_class_gets_no_share_of_the_gradient():
    x = np.array([0.0, -np.inf, 0.0])
    _, (dx,), _ = differentiate(lambda x: F.log_softmax(x, dim=0), x, cotangent=np.array([1.0, 0, 0]))
    assert_close(dx, [0.5, 0, -0.5], 1e-15)


@pytest.mark.parametrize(
    ("shape", "dim", "expected"),
    [
        ((2, 3), 2, "dim from -2 to 1, got 2"),
        ((2, 3), -3, "dim from -2 to 1, got -3"),
        ((2,), 1, "dim from -1 to 0, got 1"),
    ],
)
def test_an_axis_that_is_not_there_is_refused(shape, dim, expected):
    with refuses(ValueError, f"log_softmax: expected {expected}"):
        F.log_softmax(Tensor(np.zeros(shape)), dim)


@pytest.mark.parametrize("dim", [None, 1.0, "1"])
def test_an_axis_that_is_no_integer_is_refused(dim):
    with pytest.raises((TypeError, ValueError), match=r"^log_softmax: expected dim .*got "):
        F.log_softmax(Tensor(np.zeros((2, 3))), dim)
