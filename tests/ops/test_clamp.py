"""abs and clamp against Python's own, finite differences and PyTorch; kinks and NaN."""

import numpy as np
import pytest
from assertions import assert_parity, dtypes, normal, refuses, seeds
from finite_differences import assert_gradients, differentiate
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from npstn import Tensor

shapes = array_shapes(min_dims=0, max_dims=3, max_side=4)
limits = st.sampled_from([(None, 0.5), (-0.5, None), (-0.5, 0.5), (0, 1), (1, -1), (0.25, 0.25), (-np.inf, np.inf)])


def clamping(low, high):
    """For our Tensors and PyTorch's."""
    return lambda x: x.clamp(low, high)


@given(shapes, seeds, dtypes)
def test_abs_is_pythons_for_each_element(torch, shape, seed, dtype):
    (x,) = normal(seed, shape, dtype=dtype)
    y = Tensor(x).abs()
    assert y.dtype == dtype and y.shape == shape
    assert y.data.ravel().tolist() == [abs(number) for number in x.ravel().tolist()]
    assert_parity(torch, abs, abs, x)


@given(shapes, limits, seeds, dtypes)
def test_clamp_is_min_of_max_for_each_element(torch, shape, limits, seed, dtype):
    (x,) = normal(seed, shape, dtype=dtype)
    low, high = limits
    y = Tensor(x).clamp(low, high)
    assert y.dtype == dtype and y.shape == shape
    for number, clamped in zip(x.ravel().tolist(), y.data.ravel().tolist(), strict=True):
        expected = number if low is None else max(number, low)
        assert clamped == (expected if high is None else min(expected, high))
    assert_parity(torch, clamping(low, high), clamping(low, high), x)


@given(shapes, limits, seeds)
def test_gradients_by_finite_differences(shape, limits, seed):
    x = np.random.default_rng(seed).integers(-12, 12, shape) / 8 + 1 / 16  # away from the kinks
    assert_gradients(abs, x, step=1 / 64, tolerance=1e-12)
    assert_gradients(clamping(*limits), x, step=1 / 64, tolerance=1e-12)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, None), (None, 1), (0, 0), (1, 0)])
def test_at_the_kinks_and_for_nan_as_in_pytorch(torch, low, high):
    x = np.array([-1, -0.0, 0, 0.5, 1, 2, np.nan, np.inf, -np.inf])
    assert_parity(torch, clamping(low, high), clamping(low, high), x)


def test_the_slopes_at_the_kinks():
    x = np.array([0.0, -0.0, 1, 2])
    _, (dx,), _ = differentiate(clamping(0, 1), x, cotangent=np.ones(4))
    np.testing.assert_array_equal(dx, [1, 1, 1, 0])
    _, (dx,), _ = differentiate(abs, x, cotangent=np.ones(4))
    np.testing.assert_array_equal(dx, [0, 0, 1, 1])
    _, (dx,), _ = differentiate(abs, np.array([np.nan, -np.inf]), cotangent=np.ones(2))
    np.testing.assert_array_equal(dx, [np.nan, -1])


def test_the_result_is_a_new_array_also_where_nothing_is_clamped():
    x = Tensor(np.zeros(3))
    assert not np.shares_memory(x.clamp(-1, 1).data, x.data) and not np.shares_memory(x.clamp(max=1).data, x.data)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("limit", [1, 1.0, np.float32(1), np.float64(1), np.int8(1), 1e300, float("inf")])
def test_limits_are_numbers_of_any_type(dtype, limit):
    y = Tensor(np.array([0.5, 2], dtype)).clamp(max=limit)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y.data, [0.5, min(2, float(limit))])


def test_without_a_limit_there_is_nothing_to_do():
    with refuses(ValueError, "clamp: expected min or max or both, got neither"):
        Tensor([1.0]).clamp()


@pytest.mark.parametrize(
    ("limit", "got"), [("1", "str"), ([0], "list"), (1j, "complex"), (np.zeros(2), "ndarray"), (10**400, "int")]
)
def test_what_is_no_limit_is_refused(limit, got):
    for name in ("min", "max"):
        with refuses(TypeError, f"clamp: expected min and max to be numbers that a float can hold, got {got}"):
            Tensor([1.0]).clamp(**{name: limit})
