"""softmax against math, finite differences and PyTorch; huge and infinite scores."""

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
    p = F.softmax(Tensor(x), dim)
    assert p.dtype == dtype
    assert_close(p.data, oracles.softmax(x.astype(np.float64), dim), {np.float32: 1e-6, np.float64: 1e-14}[dtype])


@given(shapes, st.data(), seeds)
def test_gradients_by_finite_differences(shape, data, seed):
    dim = draw_dim(data, shape)
    assert_gradients(lambda x: F.softmax(x, dim), *normal(seed, shape), tolerance=1e-9)


@given(shapes, st.data(), seeds, dtypes)
def test_parity_with_pytorch(torch, shape, data, seed, dtype):
    dim = draw_dim(data, shape)
    ours, theirs = (lambda x: F.softmax(x, dim)), (lambda x: torch.softmax(x, dim))
    assert_parity(torch, ours, theirs, *normal(seed, shape, dtype=dtype))


@given(seeds)
def test_it_is_the_exponential_of_log_softmax(seed):
    (x,) = normal(seed, (3, 4))
    assert_close(F.softmax(Tensor(x), 1).data, np.exp(F.log_softmax(Tensor(x), 1).data), 1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shift", [1e4, -1e4, 2.0**20])
def test_a_common_shift_changes_nothing_and_nothing_overflows(dtype, shift):
    x = np.array([[0.0, 0.5, -2.0]], dtype)  # the shifts keep these numbers as they are, even in float32
    expected, (expected_dx,), cotangent = differentiate(lambda x: F.softmax(x, dim=1), x)
    p, (dx,), _ = differentiate(lambda x: F.softmax(x, dim=1), x + dtype(shift), cotangent=cotangent)
    np.testing.assert_array_equal(p, expected)
    np.testing.assert_array_equal(dx, expected_dx)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0, -np.inf], [1, 0]),
        ([1e30, 0], [1, 0]),
        ([-np.inf, -np.inf], [np.nan, np.nan]),
        ([np.inf, 0], [np.nan, np.nan]),
        ([np.nan, 0], [np.nan, np.nan]),
    ],
)
def test_scores_that_are_not_finite(torch, scores, expected):
    x = np.array(scores, float)
    np.testing.assert_array_equal(F.softmax(Tensor(x), dim=0).data, expected)
    np.testing.assert_array_equal(torch.softmax(torch.tensor(x), 0).numpy(), expected)


@pytest.mark.parametrize(
    ("shape", "dim", "expected"),
    [
        ((2, 3), 2, "dim from -2 to 1, got 2"),
        ((2, 3), -3, "dim from -2 to 1, got -3"),
        ((2, 3), None, "dim from -2 to 1, got None"),
        ((2, 3), 1.0, "dim from -2 to 1, got 1.0"),
        ((2, 3), True, "dim from -2 to 1, got True"),
        ((), 0, "dim of an input with axes, got 0"),
    ],
)
def test_an_axis_that_is_not_there_is_refused(shape, dim, expected):
    with refuses(ValueError, f"softmax: expected {expected}"):
        F.softmax(Tensor(np.zeros(shape)), dim)
