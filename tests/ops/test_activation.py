"""relu, tanh and sigmoid against math, finite differences and PyTorch; the kink of relu, the far ends."""

import math
import warnings

import numpy as np
import pytest
from assertions import assert_close, assert_parity, dtypes, normal, refuses, seeds
from finite_differences import assert_gradients, differentiate
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

import npstn.functional as F
from npstn import Tensor

FORMULAS = {
    "relu": lambda x: x if x > 0 else 0.0,
    "tanh": math.tanh,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
}
names = st.sampled_from(sorted(FORMULAS))
shapes = array_shapes(min_dims=0, max_dims=3, max_side=4)


def draw_array(shape, seed, dtype=np.float64):
    """Numbers from about -5 to 5, none nearer to relu's kink than 1/8."""
    (x,) = normal(seed, shape, dtype=dtype)
    return np.asarray(2 * x + np.copysign(0.125, x), dtype)


@given(names, shapes, seeds, dtypes)
def test_forward_is_the_formula(name, shape, seed, dtype):
    x = draw_array(shape, seed, dtype)
    y = getattr(F, name)(Tensor(x))
    assert y.dtype == dtype
    expected = np.vectorize(FORMULAS[name], otypes=[float])(x)
    np.testing.assert_allclose(y.data, expected, rtol={np.float32: 1e-6, np.float64: 1e-14}[dtype])


@given(names, shapes, seeds)
def test_gradients_by_finite_differences(name, shape, seed):
    piecewise_linear = name == "relu"
    assert_gradients(
        getattr(F, name),
        draw_array(shape, seed),
        step=1 / 64 if piecewise_linear else 1e-5,
        tolerance=1e-12 if piecewise_linear else 1e-9,
    )


@given(names, shapes, seeds, dtypes)
def test_parity_with_pytorch(torch, name, shape, seed, dtype):
    assert_parity(torch, getattr(F, name), getattr(torch, name), draw_array(shape, seed, dtype))


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_methods_of_tensor_are_the_functions(name):
    x = draw_array((2, 3), seed=0)
    np.testing.assert_array_equal(getattr(Tensor(x), name)().data, getattr(F, name)(Tensor(x)).data)


def test_slope_of_relu_at_its_kink_is_zero():
    x = np.array([0.0, -0.0, 5e-324, -5e-324, np.inf, -np.inf])
    y, (dx,), _ = differentiate(F.relu, x, cotangent=np.full(6, 3.0))
    np.testing.assert_array_equal(y, [0, 0, 5e-324, 0, np.inf, 0])
    np.testing.assert_array_equal(dx, [0, 0, 3, 0, 3, 0])


@pytest.mark.parametrize("name", sorted(FORMULAS))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_stays_nan(name, dtype):
    y = getattr(F, name)(Tensor(np.array([np.nan, 1], dtype))).data
    np.testing.assert_array_equal(np.isnan(y), [True, False])


@pytest.mark.parametrize(("name", "low"), [("tanh", -1.0), ("sigmoid", 0.0)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("far", [1e3, 1e30, np.inf])
def test_far_ends_are_flat_and_silent(name, low, dtype, far):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y, (dx,), _ = differentiate(getattr(F, name), np.array([-far, far], dtype))
    np.testing.assert_array_equal(y, [low, 1])
    np.testing.assert_array_equal(dx, [0, 0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_keeps_small_probabilities(dtype):
    x = np.array([-60.0, -20.0], dtype)
    y, (dx,), _ = differentiate(F.sigmoid, x, cotangent=np.ones(2, dtype))
    expected = np.exp(x.astype(np.float64))  # 1 / (1 + e^-x) and its slope there, to 1e-8
    assert_close(y / expected, [1, 1], 1e-6)
    assert_close(dx / expected, [1, 1], 1e-6)


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_a_plain_number_is_refused(name):
    with refuses(TypeError, f"{name}: expected input to be a Tensor, got float"):
        getattr(F, name)(1.5)
