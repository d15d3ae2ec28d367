"""max against Python's own, finite differences and PyTorch; ties and NaN."""

import itertools

import numpy as np
import pytest
from assertions import assert_parity, dtypes, normal, refuses, seeds
from finite_differences import assert_gradients, differentiate
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from npstn import Tensor

shapes = array_shapes(min_dims=1, max_dims=3, max_side=4)


def draw_dim(data, shape):
    return data.draw(st.integers(-len(shape), len(shape) - 1))


def along(dim, keepdim=False):
    """For our Tensors and PyTorch's."""
    return lambda x: x.max(dim, keepdim)[0]


@given(shapes, seeds, dtypes)
def test_the_largest_of_all(shape, seed, dtype):
    (x,) = normal(seed, shape, dtype=dtype)
    y = Tensor(x).max()
    assert y.shape == () and y.dtype == dtype
    assert y.item() == max(x.ravel().tolist())


@given(shapes, st.data(), st.booleans(), seeds, dtypes)
def test_the_largest_along_an_axis_and_where_it_stands(shape, data, keepdim, seed, dtype):
    dim = draw_dim(data, shape)
    x = np.random.default_rng(seed).integers(0, 3, shape).astype(dtype)  # with ties
    values, indices = Tensor(x).max(dim, keepdim)
    assert values.dtype == dtype and indices.dtype == np.int64
    lines = np.moveaxis(x, dim, -1)
    kept = np.expand_dims(lines[..., 0], dim if dim >= 0 else dim) if keepdim else lines[..., 0]
    assert values.shape == indices.shape == kept.shape
    numbers = zip(values.data.ravel(), indices.ravel(), lines.reshape(-1, shape[dim]).tolist(), strict=True)
    for value, index, line in numbers:
        assert value == max(line) and index == line.index(max(line))


@given(shapes, st.data(), st.booleans(), seeds)
def test_gradients_by_finite_differences(shape, data, keepdim, seed):
    dim = draw_dim(data, shape)
    x = np.random.default_rng(seed).permutation(np.prod(shape)).reshape(shape).astype(float)  # no ties within the step
    assert_gradients(lambda x: x.max(), x, step=0.01, tolerance=1e-12)
    assert_gradients(along(dim, keepdim), x, step=0.01, tolerance=1e-12)


@given(shapes, st.data(), st.booleans(), seeds, dtypes)
def test_parity_with_pytorch_also_at_ties(torch, shape, data, keepdim, seed, dtype):
    dim = draw_dim(data, shape)
    x = np.random.default_rng(seed).integers(0, 3, shape).astype(dtype)
    assert_parity(torch, lambda x: x.max(), lambda x: x.max(), x)
    assert_parity(torch, along(dim, keepdim), along(dim, keepdim), x)


def test_ties_share_the_gradient_of_all_and_the_first_has_that_of_an_axis():
    x = np.array([[1.0, 3], [3, 3]])
    _, (dx,), _ = differentiate(lambda x: x.max(), x, cotangent=np.array(6.0))
    np.testing.assert_array_equal(dx, [[0, 2], [2, 2]])
    _, (dx,), _ = differentiate(along(0), x, cotangent=np.array([1.0, 2]))
    np.testing.assert_array_equal(dx, [[0, 2], [1, 0]])


@pytest.mark.parametrize("numbers", list(itertools.permutations([np.nan, 1.0, np.inf])))
def test_nan_is_the_largest(torch, numbers):
    x = np.array(numbers)
    values, indices = Tensor(x).max(0)
    assert np.isnan(Tensor(x).max().item()) and np.isnan(values.item()) and np.isnan(x[indices])
    assert indices == torch.tensor(x).max(0).indices.item()
    for of in (lambda x: x.max(), along(0)):
        _, (dx,), _ = differentiate(of, x, cotangent=np.array(5.0))
        np.testing.assert_array_equal(dx, np.where(np.isnan(x), 5.0, 0))


@pytest.mark.parametrize("dim", [2, -3, 1.0, "1", True, (0, 1), 10**30])
def test_an_axis_that_is_not_there_is_refused(dim):
    with refuses(ValueError, f"max: expected dim from -2 to 1, got {dim!r}"):
        Tensor(np.zeros((2, 3))).max(dim)


def test_nothing_has_no_largest():
    x = Tensor(np.zeros((2, 0)))
    with refuses(ValueError, "max: expected at least one element, got input of shape (2, 0)"):
        x.max()
    with refuses(ValueError, "max: expected at least one element along dim 1, got input of shape (2, 0)"):
        x.max(1)
    assert x.max(0).values.shape == (0,)
