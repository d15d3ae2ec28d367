"""exp, log, sqrt, sin, cos against math, finite differences and PyTorch; the edges of their domains."""

import math
import warnings

import numpy as np
import pytest
from assertions import assert_parity, dtypes, normal, seeds
from finite_differences import assert_gradients, differentiate
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from npstn import Tensor

NAMES = ["exp", "log", "sqrt", "sin", "cos"]
names = st.sampled_from(NAMES)
shapes = array_shapes(min_dims=0, max_dims=3, max_side=4)


def draw_array(name, shape, seed, dtype=np.float64):
    """Numbers well inside the domain: from 1/4 up for log and sqrt."""
    (x,) = normal(seed, shape, dtype=dtype)
    return np.asarray(np.abs(x) + 0.25 if name in ("log", "sqrt") else x, dtype)


def method(name):
    return lambda x: getattr(x, name)()


@given(names, shapes, seeds, dtypes)
def test_forward_is_the_function_of_math(name, shape, seed, dtype):
    x = draw_array(name, shape, seed, dtype)
    y = method(name)(Tensor(x))
    assert y.dtype == dtype
    expected = np.vectorize(getattr(math, name), otypes=[float])(x)
    tolerance = {np.float32: 1e-6, np.float64: 1e-15}[dtype]
    np.testing.assert_allclose(y.data, expected, rtol=tolerance, atol=tolerance)


@given(names, shapes, seeds)
def test_gradients_by_finite_differences(name, shape, seed):
    assert_gradients(method(name), draw_array(name, shape, seed), step=1e-5, tolerance=1e-9)


@given(names, shapes, seeds, dtypes)
def test_parity_with_pytorch(torch, name, shape, seed, dtype):
    assert_parity(torch, method(name), getattr(torch, name), draw_array(name, shape, seed, dtype))


@pytest.mark.parametrize(
    ("name", "x", "y", "dx"),
    [
        ("log", 0.0, -np.inf, np.inf),
        ("log", -1.0, np.nan, -1.0),
        ("log", np.inf, np.inf, 0.0),
        ("sqrt", 0.0, 0.0, np.inf),
        ("sqrt", -1.0, np.nan, np.nan),
        ("sqrt", np.inf, np.inf, 0.0),
        ("exp", -np.inf, 0.0, 0.0),
        ("exp", np.inf, np.inf, np.inf),
        *((name, np.nan, np.nan, np.nan) for name in NAMES),
    ],
)
def test_edges_of_the_domain_are_silent(name, x, y, dx):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value, (gradient,), _ = differentiate(method(name), np.array([x]), cotangent=np.array([1.0]))
    np.testing.assert_array_equal(value, [y])
    np.testing.assert_array_equal(gradient, [dx])
