"""max_pool2d against a loop over windows, finite differences and PyTorch; ties, NaN, infinities."""

import numpy as np
import oracles
import pytest
from assertions import assert_close, assert_parity, dtypes, geometries, refuses, seeds
from finite_differences import assert_gradients, differentiate
from hypothesis import example, given

import npstn.functional as F
from npstn import Tensor

PIXEL_UNDER_LARGE_WINDOW = ((1, 1), (3, 3), (2, 2), (1, 1))


def pooling(geometry, pool=F.max_pool2d):
    _, kernel, stride, padding = geometry
    return lambda U: pool(U, kernel, stride, padding)


def distinct(size, seed, dtype=np.float64):
    """An image of two samples and two channels whose pixels all differ by 1/16 or more, half of them negative."""
    shape = (2, 2, *size)
    order = np.random.default_rng(seed).permutation(np.prod(shape))
    return ((order - order.size // 2) / 16).reshape(shape).astype(dtype)


@given(geometries(pooling=True), seeds, dtypes)
@example(PIXEL_UNDER_LARGE_WINDOW, 0, np.float32)
def test_largest_and_its_place_with_ties_and_nan(geometry, seed, dtype):
    rng = np.random.default_rng(seed)
    U = rng.integers(-2, 1, (2, 2, *geometry[0])).astype(dtype)
    U[rng.random(U.shape) < 0.2] = -np.inf
    U[rng.random(U.shape) < 0.2] = np.nan
    V, (dU,), dV = differentiate(pooling(geometry), U)
    expected, winners = oracles.max_pool2d(U, *geometry[1:])
    expected_dU = np.zeros(U.shape)
    for window, winner in winners.items():
        expected_dU[winner] += dV[window]
    assert V.dtype == dtype
    np.testing.assert_array_equal(V, expected)
    assert_close(dU, expected_dU, {np.float32: 1e-6, np.float64: 1e-15}[dtype])


@given(geometries(pooling=True), seeds)
@example(PIXEL_UNDER_LARGE_WINDOW, 0)
def test_gradients_by_finite_differences(geometry, seed):
    assert_gradients(pooling(geometry), distinct(geometry[0], seed), step=1 / 1024, tolerance=1e-12)


@given(geometries(pooling=True), seeds, dtypes)
def test_parity_with_pytorch(torch, geometry, seed, dtype):
    U = distinct(geometry[0], seed, dtype)
    assert_parity(torch, pooling(geometry), pooling(geometry, torch.nn.functional.max_pool2d), U)


@pytest.mark.parametrize(
    ("window", "first"),
    [
        ([[1, 1], [1, 1]], (0, 0)),
        ([[0, 1], [1, 1]], (0, 1)),
        ([[0, 0], [1, 1]], (1, 0)),
        ([[-0.0, 0.0], [-1, 0.0]], (0, 0)),
        ([[-np.inf, -np.inf], [-np.inf, -np.inf]], (0, 0)),
        ([[-np.inf, -1e30], [-np.inf, -1e30]], (0, 1)),
        ([[1, np.inf], [np.inf, np.inf]], (0, 1)),
        ([[1, np.nan], [np.nan, np.inf]], (0, 1)),
        ([[np.inf, 1], [1, np.nan]], (1, 1)),
    ],
)
def test_the_first_in_row_order_takes_a_tie_and_nan_wins(window, first):
    V, (dU,), _ = differentiate(
        lambda U: F.max_pool2d(U, 2), np.array([[window]], float), cotangent=np.full((1,) * 4, 5.0)
    )
    np.testing.assert_array_equal(V[0, 0, 0, 0], window[first[0]][first[1]])
    expected = np.zeros((2, 2))
    expected[first] = 5
    np.testing.assert_array_equal(dU[0, 0], expected)


def test_gradients_add_up_where_windows_overlap():
    U = np.array([[[[0.0, 3.0, 1.0]]]])
    _, (dU,), _ = differentiate(lambda U: F.max_pool2d(U, (1, 2), 1), U, cotangent=np.array([[[[2.0, 5.0]]]]))
    np.testing.assert_array_equal(dU, [[[[0, 7, 0]]]])


def test_padding_is_never_the_largest():
    V = F.max_pool2d(Tensor(np.full((1, 1, 2, 2), -7.0)), 2, stride=1, padding=1)
    np.testing.assert_array_equal(V.data, np.full((1, 1, 3, 3), -7.0))


def test_stride_is_the_kernel_unless_given_and_a_number_stands_for_both():
    U = Tensor(distinct((6, 6), seed=0))
    expected = F.max_pool2d(U, (2, 2), (2, 2), (0, 0)).data
    np.testing.assert_array_equal(F.max_pool2d(U, 2).data, expected)
    np.testing.assert_array_equal(F.max_pool2d(U, kernel_size=[2, 2], stride=2, padding=0).data, expected)


@pytest.mark.parametrize("size", [(0, 4), (4, 0)])
def test_an_image_without_pixels_is_refused(size):
    # Padded, it is large enough for the window; but no window holds a pixel, and reading one touches foreign memory.
    with pytest.raises(ValueError, match=r"^max_pool2d: expected .*got .*0"):
        F.max_pool2d(Tensor(np.zeros((1, 1, *size))), 2, padding=1)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((4, 4), {"kernel_size": 2}, "max_pool2d: expected input of shape (B, C, H, W), got (4, 4)"),
        (
            (1, 1, 2, 3),
            {"kernel_size": 3},
            "max_pool2d: expected a kernel no larger than the padded input (2, 3), got (3, 3)",
        ),
        (
            (1, 1, 4, 4),
            {"kernel_size": 3, "padding": 2},
            "max_pool2d: expected padding of at most half the kernel (3, 3), got (2, 2)",
        ),
        ((1, 1, 4, 4), {"kernel_size": 0}, "max_pool2d: expected kernel_size of at least 1, got 0"),
        ((1, 1, 4, 4), {"kernel_size": 2, "stride": 0}, "max_pool2d: expected stride of at least 1, got 0"),
        ((1, 1, 4, 4), {"kernel_size": 2, "padding": -1}, "max_pool2d: expected padding of at least 0, got -1"),
        (
            (1, 1, 4, 4),
            {"kernel_size": 2.0},
            "max_pool2d: expected kernel_size to be an integer or a pair of integers, got 2.0",
        ),
    ],
)
def test_ill_shaped_arguments_are_refused(shape, options, message):
    with refuses(ValueError, message):
        F.max_pool2d(Tensor(np.zeros(shape)), **options)


@pytest.mark.parametrize("option", ["kernel_size", "stride", "padding"])
def test_numbers_too_large_for_the_kernels_are_refused(option):
    with refuses(ValueError, f"max_pool2d: expected {option} below 2^31, got {10**30}"):
        F.max_pool2d(Tensor(np.ones((1, 1, 4, 4))), **{"kernel_size": 2, option: 10**30})
