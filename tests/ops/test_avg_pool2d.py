"""avg_pool2d against a loop over windows, finite differences and PyTorch."""

import numpy as np
import oracles
import pytest
from assertions import assert_adjoint, assert_close, assert_parity, dtypes, geometries, normal, refuses, seeds
from finite_differences import assert_gradients
from hypothesis import example, given

import npstn.functional as F
from npstn import Tensor

PIXEL_UNDER_LARGE_WINDOW = ((1, 1), (3, 3), (2, 2), (1, 1))


def pooling(geometry, pool=F.avg_pool2d):
    _, kernel, stride, padding = geometry
    return lambda U: pool(U, kernel, stride, padding)


def image(geometry, seed, dtype=np.float64):
    (U,) = normal(seed, (2, 2, *geometry[0]), dtype=dtype)
    return U


@given(geometries(pooling=True), seeds, dtypes)
@example(PIXEL_UNDER_LARGE_WINDOW, 0, np.float32)
def test_forward_is_the_mean_of_each_window(geometry, seed, dtype):
    U = image(geometry, seed, dtype)
    V = pooling(geometry)(Tensor(U))
    assert V.dtype == dtype
    assert_close(V.data, oracles.avg_pool2d(U, *geometry[1:]), {np.float32: 1e-6, np.float64: 1e-15}[dtype])


@given(geometries(pooling=True), seeds)
@example(PIXEL_UNDER_LARGE_WINDOW, 0)
def test_gradients_by_finite_differences(geometry, seed):
    assert_gradients(pooling(geometry), image(geometry, seed), step=0.5, tolerance=1e-12)


@given(geometries(pooling=True), seeds, dtypes)
def test_parity_with_pytorch(torch, geometry, seed, dtype):
    U = image(geometry, seed, dtype)
    assert_parity(torch, pooling(geometry), pooling(geometry, torch.nn.functional.avg_pool2d), U)


@given(geometries(pooling=True), seeds)
def test_backward_is_the_transpose(geometry, seed):
    assert_adjoint(pooling(geometry), image(geometry, seed))


def test_zeros_of_the_padding_count():
    V = F.avg_pool2d(Tensor(np.full((1, 1, 2, 2), 8.0)), 2, stride=1, padding=1)
    np.testing.assert_array_equal(V.data[0, 0], [[2, 4, 2], [4, 8, 4], [2, 4, 2]])


def test_nan_reaches_the_windows_that_hold_it_and_no_other():
    U = np.ones((1, 1, 4, 4))
    U[0, 0, 0, 1] = np.nan
    np.testing.assert_array_equal(F.avg_pool2d(Tensor(U), 2).data[0, 0], [[np.nan, 1], [1, 1]])


def test_stride_is_the_kernel_unless_given_and_a_number_stands_for_both():
    (U,) = normal(0, (1, 2, 6, 6))
    expected = F.avg_pool2d(Tensor(U), (2, 2), (2, 2), (0, 0)).data
    np.testing.assert_array_equal(F.avg_pool2d(Tensor(U), 2).data, expected)
    np.testing.assert_array_equal(F.avg_pool2d(Tensor(U), kernel_size=[2, 2], stride=2, padding=0).data, expected)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((2, 4, 4), {"kernel_size": 2}, "avg_pool2d: expected input of shape (B, C, H, W), got (2, 4, 4)"),
        (
            (1, 1, 2, 3),
            {"kernel_size": (1, 4)},
            "avg_pool2d: expected a kernel no larger than the padded input (2, 3), got (1, 4)",
        ),
        (
            (1, 1, 4, 4),
            {"kernel_size": 3, "padding": 2},
            "avg_pool2d: expected padding of at most half the kernel (3, 3), got (2, 2)",
        ),
        ((1, 1, 4, 4), {"kernel_size": 0}, "avg_pool2d: expected kernel_size of at least 1, got 0"),
        ((1, 1, 4, 4), {"kernel_size": 2, "stride": -2}, "avg_pool2d: expected stride of at least 1, got -2"),
        (
            (1, 1, 4, 4),
            {"kernel_size": 2, "padding": (0, -1)},
            "avg_pool2d: expected padding of at least 0, got (0, -1)",
        ),
        (
            (1, 1, 4, 4),
            {"kernel_size": "2"},
            "avg_pool2d: expected kernel_size to be an integer or a pair of integers, got '2'",
        ),
    ],
)
def test_ill_shaped_arguments_are_refused(shape, options, message):
    with refuses(ValueError, message):
        F.avg_pool2d(Tensor(np.zeros(shape)), **options)


@pytest.mark.parametrize("option", ["kernel_size", "stride", "padding"])
def test_numbers_too_large_for_the_kernels_are_refused(option):
    with refuses(ValueError, f"avg_pool2d: expected {option} below 2^31, got {10**30}"):
        F.avg_pool2d(Tensor(np.ones((1, 1, 4, 4))), **{"kernel_size": 2, option: 10**30})
