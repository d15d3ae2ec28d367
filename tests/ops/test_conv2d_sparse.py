"""The convolution's backward pass that leaves zeros out: it gives what the other one gives."""

from unittest import mock

import numpy as np
import pytest
from assertions import assert_close, dtypes, geometries, normal, seeds
from finite_differences import differentiate
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import npstn
import npstn.functional as F
from npstn.ops import conv2d_fast, conv2d_sparse

CLOSE = {np.float32: 1e-5, np.float64: 1e-13}
channels = st.tuples(st.integers(1, 11), st.integers(1, 9), st.integers(1, 5))  # B, C, O
needs = st.tuples(st.booleans(), st.booleans(), st.booleans()).filter(any)


def mostly_zero(dV, seed, share=0.2):
    """The same array with zeros, of both signs, in place of most numbers."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(dV.shape) < share, dV, rng.choice([0.0, -0.0], dV.shape)).astype(dV.dtype)


def forward(geometry, channels, seed, dtype):
    """The layout and the arrays that are kept of a convolution, and a dV that is mostly zero."""
    (H, W), (K, L), stride, padding = geometry
    B, C, O = channels
    U, weight, bias = normal(seed, (B, C, H, W), (O, C, K, L), (O,), dtype=dtype)
    h, w = ((n + 2 * q - k) // s + 1 for n, q, k, s in zip((H, W), padding, (K, L), stride, strict=True))
    (dV,) = normal(seed + 1, (B, O, h, w), dtype=dtype)
    return *conv2d_fast.forward(U, weight, bias, stride, padding, np.empty_like(dV)), mostly_zero(dV, seed)


@given(geometries(), channels, seeds, dtypes, needs)
@example(((9, 8), (5, 5), (1, 1), (0, 0)), (9, 3, 4), 0, np.float32, (True, True, True))
@example(((7, 9), (3, 2), (2, 3), (1, 2)), (2, 2, 3), 0, np.float64, (True, True, True))
@example(((3, 2), (1, 2), (3, 3), (0, 0)), (2, 1, 2), 0, np.float64, (True, True, False))  # a stride beyond the image
def test_it_gives_the_same_gradients(geometry, channels, seed, dtype, needs):
    layout, kept, dV = forward(geometry, channels, seed, dtype)
    found = conv2d_sparse.backward(layout, kept, dV, needs)
    expected = conv2d_fast.backward(layout, kept, dV, needs)
    for dx, other in zip(found, expected, strict=True):
        if other is None:
            assert dx is None
        else:
            assert dx.dtype == dtype
            assert_close(dx, other, CLOSE[dtype])


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@given(geometries(), seeds, dtypes, st.sampled_from(["U", "weight", "dV"]), st.sampled_from([np.nan, np.inf]))
def test_a_zero_counts_where_it_meets_infinity_or_nan(geometry, seed, dtype, bad, number):
    (H, W), (K, L), stride, padding = geometry
    arrays = dict(zip(("U", "weight"), normal(seed, (9, 2, H, W), (3, 2, K, L), dtype=dtype), strict=True))
    convolution = lambda U, weight: F.conv2d(U, weight, None, stride, padding)  # noqa: E731
    arrays["dV"] = mostly_zero(np.ones(convolution(*map(npstn.Tensor, arrays.values())).shape, dtype), seed)
    arrays[bad].ravel()[np.random.default_rng(seed).integers(arrays[bad].size)] = number
    dV = arrays.pop("dV")
    with mock.patch.object(conv2d_sparse, "fits", return_value=True):
        _, gradients, _ = differentiate(convolution, *arrays.values(), cotangent=dV)
    with npstn.reference():
        _, expected, _ = differentiate(convolution, *arrays.values(), cotangent=dV)
    for found, other in zip(gradients, expected, strict=True):
        assert_close(found, other, CLOSE[dtype])


def test_it_is_taken_where_most_of_the_gradient_is_zero(monkeypatch):
    """Behind max pooling and relu it is; behind another convolution, and for outputs of few places, it is not."""
    called = []
    for module in (conv2d_sparse, conv2d_fast):
        backward = module.backward
        spy = lambda *a, f=backward, name=module.__name__: called.append(name.split(".")[-1]) or f(*a)  # noqa: E731
        monkeypatch.setattr(module, "backward", spy)
    arrays = normal(0, (3, 1, 20, 20), (4, 1, 3, 3), (8, 4, 3, 3))
    U, first, second = (npstn.Tensor(x, requires_grad=True) for x in arrays)
    F.relu(F.max_pool2d(F.conv2d(F.conv2d(U, first), second), 4)).sum().backward()
    F.relu(F.max_pool2d(F.conv2d(U[:, :, :6, :6], first), 4)).sum().backward()
    assert called == ["conv2d_sparse", "conv2d_fast", "conv2d_fast"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_number_of_threads_changes_no_bit(dtype, monkeypatch):
    layout, kept, dV = forward(((9, 8), (5, 5), (1, 1), (0, 0)), (21, 3, 4), 0, dtype)
    together = conv2d_sparse.backward(layout, kept, dV, (True, True, True))

    def one_by_one(loop, count, *arguments):
        for part in reversed(range(count)):
            loop(part, part + 1, *arguments)

    monkeypatch.setattr(conv2d_sparse, "share_out", one_by_one)
    for dx, first in zip(conv2d_sparse.backward(layout, kept, dV, (True, True, True)), together, strict=True):
        assert_array_equal(dx, first)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 40])
def test_find(rng, dtype, n):
    numbers = mostly_zero(rng.standard_normal(n).astype(dtype), n, share=0.5)
    if n:
        numbers[n // 2] = np.nan
    found = np.empty(n + 8, np.uint32)
    count = conv2d_sparse.find(numbers, found)
    assert_array_equal(found[:count], np.flatnonzero(numbers != 0))


def test_long_sums_lose_few_digits():
    """Added up one after the other in float32, these 15,625 numbers would be off by 1e-4."""
    U, weight = np.full((1, 16, 500, 500), 0.1, np.float32), np.ones((1, 16, 1, 1), np.float32)
    dV = np.zeros((1, 1, 500, 500), np.float32)
    dV[:, :, ::4, ::4] = 1
    layout, kept = conv2d_fast.forward(U, weight, None, (1, 1), (0, 0), np.empty_like(dV))
    assert conv2d_sparse.fits(layout, dV)
    _, dweight, dbias = conv2d_sparse.backward(layout, kept, dV, (False, True, True))
    np.testing.assert_allclose(dweight, 125**2 * np.float64(np.float32(0.1)), rtol=1e-5)
    assert dbias == 125**2


def test_no_output_channels_and_a_sum_too_long_for_float32():
    U = npstn.Tensor(np.ones((2, 1, 4, 4)), requires_grad=True)
    F.conv2d(U, npstn.Tensor(np.ones((0, 1, 3, 3)), requires_grad=True)).sum().backward()
    assert_array_equal(U.grad, np.zeros(U.shape))
    layout, _, dV = forward(((10, 10), (1, 1), (1, 1), (0, 0)), (1, 32, 1), 0, np.float32)
    many = np.broadcast_to(0 * dV, (conv2d_fast.FEW * conv2d_fast.RUNS + 1, 1, 10, 10))
    assert conv2d_sparse.fits(layout, many[1:]) and not conv2d_sparse.fits(layout, many)
