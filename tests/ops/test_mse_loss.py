"""mse_loss against the sum of squares, finite differences and PyTorch."""

import math

import numpy as np
import pytest
from assertions import assert_close, assert_parity, dtypes, normal, refuses, seeds
from finite_differences import assert_gradients, differentiate
from hypothesis import given
from hypothesis.extra.numpy import array_shapes

import npstn.functional as F
from npstn import Tensor

shapes = array_shapes(min_dims=0, max_dims=3, max_side=4)


@given(shapes, seeds, dtypes)
def test_forward_is_the_mean_of_the_squares(shape, seed, dtype):
    x, t = normal(seed, shape, shape, dtype=dtype)
    loss = F.mse_loss(Tensor(x), Tensor(t))
    squares = [(float(a) - float(b)) ** 2 for a, b in zip(x.ravel(), t.ravel(), strict=True)]
    assert loss.shape == () and loss.dtype == dtype
    assert_close(loss.data, math.fsum(squares) / len(squares), {np.float32: 1e-6, np.float64: 1e-15}[dtype])


@given(shapes, seeds)
def test_gradients_by_finite_differences(shape, seed):
    assert_gradients(F.mse_loss, *normal(seed, shape, shape), step=0.5, tolerance=1e-12)  # exact for a parabola


@given(shapes, seeds, dtypes)
def test_parity_with_pytorch(torch, shape, seed, dtype):
    assert_parity(torch, F.mse_loss, torch.nn.functional.mse_loss, *normal(seed, shape, shape, dtype=dtype))


def test_an_array_is_a_constant_target():
    x, t = normal(0, (2, 3), (2, 3))
    _, (expected, _), _ = differentiate(F.mse_loss, x, t, cotangent=np.array(1.0))
    _, (dx,), _ = differentiate(lambda x: F.mse_loss(x, t), x, cotangent=np.array(1.0))
    np.testing.assert_array_equal(dx, expected)


@pytest.mark.parametrize("shape", [(0,), (0, 3)])
def test_no_elements_give_nan_and_no_gradient(torch, shape):
    x = np.zeros(shape)
    loss, (dx, dt), _ = differentiate(F.mse_loss, x, x)
    assert np.isnan(loss) and np.isnan(torch.nn.functional.mse_loss(*[torch.tensor(x)] * 2).item())
    assert dx.shape == dt.shape == shape


def test_a_long_sum_in_float32():
    x = np.full(10_000_000, 0.1, np.float32)
    loss = F.mse_loss(Tensor(x), Tensor(np.zeros_like(x))).item()
    assert abs(loss - 0.01) < 1e-8


@pytest.mark.parametrize("target", [(3, 2), (2, 1), (2,), (2, 3, 1)])
def test_another_shape_is_refused_also_where_it_would_broadcast(target):
    with refuses(ValueError, f"mse_loss: expected target of the input's shape (2, 3), got {target}"):
        F.mse_loss(Tensor(np.zeros((2, 3))), Tensor(np.zeros(target)))
