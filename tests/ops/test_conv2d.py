"""conv2d against seven nested loops, finite differences and PyTorch."""

import contextlib

import numpy as np
import oracles
import pytest
from assertions import (
    TOLERANCE,
    assert_adjoint,
    assert_close,
    assert_parity,
    dtypes,
    geometries,
    normal,
    refuses,
    seeds,
)
from finite_differences import assert_gradients, differentiate
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import npstn
import npstn.functional as F
from npstn import Tensor
from npstn.ops import conv2d_fast

PIXEL_UNDER_LARGE_KERNEL = ((1, 1), (3, 3), (1, 1), (1, 1))
STRIDE_BEYOND_IMAGE = ((3, 2), (1, 2), (3, 3), (0, 0))
PADDING_BEYOND_KERNEL = ((1, 2), (1, 1), (1, 3), (2, 2))
ROWS_SKIPPED_COLUMNS_NOT = ((5, 3), (2, 1), (2, 1), (0, 0))  # as wide as the image, which is not as one long row then

channels = st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(1, 3))  # B, C, O


def draw_arrays(geometry, channels, seed, dtype=np.float64):
    size, kernel, *_ = geometry
    B, C, O = channels
    return normal(seed, (B, C, *size), (O, C, *kernel), (O,), dtype=dtype)


def convolution(geometry, convolve=F.conv2d):
    *_, stride, padding = geometry
    return lambda U, weight, bias=None: convolve(U, weight, bias, stride, padding)


@given(geometries(), channels, seeds, dtypes)
@example(PIXEL_UNDER_LARGE_KERNEL, (1, 1, 1), 0, np.float32)
@example(STRIDE_BEYOND_IMAGE, (2, 1, 2), 0, np.float64)
@example(ROWS_SKIPPED_COLUMNS_NOT, (2, 1, 1), 0, np.float64)
@example(PADDING_BEYOND_KERNEL, (2, 2, 1), 0, np.float64)
def test_forward_is_the_seven_loops(geometry, channels, seed, dtype):
    U, weight, bias = draw_arrays(geometry, channels, seed, dtype)
    V = convolution(geometry)(Tensor(U), Tensor(weight), Tensor(bias))
    expected = oracles.conv2d(*(x.astype(np.float64) for x in (U, weight, bias)), *geometry[2:])
    assert V.dtype == dtype
    assert_close(V.data, expected, {np.float32: 2e-6, np.float64: 1e-14}[dtype])


@given(geometries(), channels, seeds)
@example(PIXEL_UNDER_LARGE_KERNEL, (2, 1, 1), 0)
@example(STRIDE_BEYOND_IMAGE, (2, 1, 2), 0)
@example(ROWS_SKIPPED_COLUMNS_NOT, (2, 1, 1), 0)
@example(PADDING_BEYOND_KERNEL, (2, 2, 1), 0)
def test_gradients_by_finite_differences(geometry, channels, seed):
    assert_gradients(convolution(geometry), *draw_arrays(geometry, channels, seed), step=0.5, tolerance=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_more_taps_than_a_block(dtype):
    """Sums wait in memory for the next block of taps. The outputs are not a multiple of four."""
    geometry, (C, O) = ((6, 5), (3, 3), (1, 1), (1, 1)), (11, 33)
    assert min(9 * C, 3 * O) > conv2d_fast.BLOCK  # the taps of V, and what the lines of dU sum over
    arrays = draw_arrays(geometry, (2, C, O), 0, dtype)
    (dV,) = normal(1, (2, O, 6, 5), dtype=dtype)
    V, gradients, _ = differentiate(convolution(geometry), *arrays, cotangent=dV)
    with npstn.reference():
        expected, others, _ = differentiate(convolution(geometry), *arrays, cotangent=dV)
    for found, other in zip((V, *gradients), (expected, *others), strict=True):
        assert_close(found, other, {np.float32: 2e-6, np.float64: 5e-15}[dtype])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("samples", [1, 3, 9])
@pytest.mark.parametrize("image, rows", [((16, 16), 1), ((32, 32), 1), ((15, 17), 1), ((17, 16), 2), ((3, 5), 2)])
def test_filters_of_one_column(image, rows, samples, dtype):
    """Nothing is laid out. Rows of 1,024 bytes, which the cache cannot hold, are copied, and others read in place."""
    geometry = image, (rows, 1), (1, 1), (0, 0)
    arrays = draw_arrays(geometry, (samples, 7, 5), 0, dtype)
    (dV,) = normal(1, (samples, 5, image[0] - rows + 1, image[1]), dtype=dtype)
    V, gradients, _ = differentiate(convolution(geometry), *arrays, cotangent=dV)
    with npstn.reference():
        expected, others, _ = differentiate(convolution(geometry), *arrays, cotangent=dV)
    for found, other in zip((V, *gradients), (expected, *others), strict=True):
        assert_close(found, other, {np.float32: 2e-6, np.float64: 5e-15}[dtype])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_sum_of_no_terms_is_nothing(dtype):
    """Without input channels V is the bias; without outputs dU is 0. The kernels must write both."""
    U, weight, bias = normal(0, (3, 0, 5, 4), (6, 0, 3, 2), (6,), dtype=dtype)
    V = F.conv2d(Tensor(U), Tensor(weight), Tensor(bias)).data
    assert_array_equal(V, np.broadcast_to(bias[:, None, None], (3, 6, 3, 3)))
    U, weight, V = np.ones((3, 2, 5, 4), dtype), np.ones((0, 2, 3, 2), dtype), np.empty((3, 0, 3, 3), dtype)
    layout, kept = conv2d_fast.forward(U, weight, None, (1, 1), (0, 0), V)
    dU, *_ = conv2d_fast.backward(layout, kept, V, (True, False, False))
    assert_array_equal(dU, np.zeros_like(U))


@given(geometries(), channels, seeds, dtypes)
def test_parity_with_pytorch(torch, geometry, channels, seed, dtype):
    theirs = convolution(geometry, torch.nn.functional.conv2d)
    assert_parity(torch, convolution(geometry), theirs, *draw_arrays(geometry, channels, seed, dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parity_with_pytorch_on_the_models_layer(torch, dtype):
    arrays = normal(0, (19, 10, 12, 12), (20, 10, 5, 5), (20,), dtype=dtype)
    assert_parity(torch, F.conv2d, torch.nn.functional.conv2d, *arrays)


@given(geometries(), channels, seeds)
def test_backward_is_the_transpose_in_input_and_in_weight(geometry, channels, seed):
    U, weight, _ = draw_arrays(geometry, channels, seed)
    assert_adjoint(lambda U: convolution(geometry)(U, Tensor(weight)), U)
    assert_adjoint(lambda weight: convolution(geometry)(Tensor(U), weight), weight)


def test_a_number_stands_for_rows_and_columns():
    U, weight = (Tensor(x) for x in normal(0, (2, 1, 6, 6), (2, 1, 3, 3)))
    for one, two in [(2, (2, 2)), (2, [2, 2]), (np.int64(2), (2, 2))]:
        expected = F.conv2d(U, weight, stride=two, padding=(1, 1)).data
        np.testing.assert_array_equal(F.conv2d(U, weight, stride=one, padding=1).data, expected)


def test_without_bias_as_with_a_bias_of_zero():
    U, weight = normal(0, (2, 2, 5, 5), (3, 2, 3, 3))
    V, (dU, dweight), cotangent = differentiate(F.conv2d, U, weight)
    zero = np.zeros(3)
    expected, (expected_dU, expected_dweight, dbias), _ = differentiate(F.conv2d, U, weight, zero, cotangent=cotangent)
    np.testing.assert_array_equal(V, expected)
    np.testing.assert_array_equal(dU, expected_dU)
    np.testing.assert_array_equal(dweight, expected_dweight)
    assert_close(dbias, cotangent.sum(axis=(0, 2, 3)), 1e-14)


def test_nan_and_inf_reach_the_outputs_that_read_them_and_no_other():
    U, weight = normal(0, (2, 1, 5, 5), (1, 1, 3, 3))
    U[0, 0, 0, 0], U[0, 0, 4, 4] = np.nan, np.inf
    V = F.conv2d(Tensor(U), Tensor(weight)).data
    not_finite = np.zeros((2, 1, 3, 3), bool)
    not_finite[0, 0, 0, 0] = not_finite[0, 0, 2, 2] = True
    np.testing.assert_array_equal(~np.isfinite(V), not_finite)
    assert np.isnan(V[0, 0, 0, 0]) and np.isinf(V[0, 0, 2, 2])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_samples_are_summed_as_exactly_as_few(dtype):
    U, weight, bias = normal(0, (70, 1, 4, 4), (2, 1, 3, 3), (2,), dtype=dtype)
    _, (_, dweight, dbias), cotangent = differentiate(F.conv2d, U, weight, bias)
    expected_dweight = np.zeros((2, 1, 3, 3))
    for k, l in np.ndindex(3, 3):
        patch = U[:, 0, k : k + 2, l : l + 2].astype(np.float64)
        expected_dweight[:, 0, k, l] = np.einsum("boij,bij->o", cotangent.astype(np.float64), patch)
    tolerance = TOLERANCE[np.dtype(dtype)] / 10
    assert_close(dweight, expected_dweight, tolerance)
    assert_close(dbias, cotangent.sum(axis=(0, 2, 3), dtype=np.float64), tolerance)


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        ([(5, 5), (1, 1, 3, 3)], {}, "conv2d: expected input of shape (B, C, H, W), got (5, 5)"),
        ([(1, 1, 5, 5), (1, 3, 3)], {}, "conv2d: expected weight of shape (O, 1, K, L), got (1, 3, 3)"),
        ([(1, 2, 5, 5), (4, 3, 3, 3)], {}, "conv2d: expected weight of shape (O, 2, K, L), got (4, 3, 3, 3)"),
        ([(1, 1, 5, 5), (4, 1, 3, 3), (3,)], {}, "conv2d: expected bias of shape (4,), got (3,)"),
        ([(1, 1, 5, 5), (4, 1, 3, 3), (4, 1)], {}, "conv2d: expected bias of shape (4,), got (4, 1)"),
        (
            [(1, 1, 5, 3), (1, 1, 2, 6)],
            {"padding": 1},
            "conv2d: expected a kernel no larger than the padded input (7, 5), got (2, 6)",
        ),
        ([(1, 1, 5, 5), (1, 1, 3, 3)], {"stride": 0}, "conv2d: expected stride of at least 1, got 0"),
        ([(1, 1, 5, 5), (1, 1, 3, 3)], {"stride": (1, -1)}, "conv2d: expected stride of at least 1, got (1, -1)"),
        ([(1, 1, 5, 5), (1, 1, 3, 3)], {"padding": -1}, "conv2d: expected padding of at least 0, got -1"),
        (
            [(1, 1, 5, 5), (1, 1, 3, 3)],
            {"stride": 1.5},
            "conv2d: expected stride to be an integer or a pair of integers, got 1.5",
        ),
        (
            [(1, 1, 5, 5), (1, 1, 3, 3)],
            {"padding": "same"},
            "conv2d: expected padding to be an integer or a pair of integers, got 'same'",
        ),
        (
            [(1, 1, 5, 5), (1, 1, 3, 3)],
            {"padding": (1, 1, 1)},
            "conv2d: expected padding to be an integer or a pair of integers, got (1, 1, 1)",
        ),
    ],
)
def test_ill_shaped_arguments_are_refused(shapes, options, message):
    with refuses(ValueError, message):
        F.conv2d(*(Tensor(np.zeros(shape)) for shape in shapes), **options)


def test_a_filter_without_pixels_is_refused():
    with pytest.raises(ValueError, match=r"^conv2d: expected .*got .*0"):
        F.conv2d(Tensor(np.zeros((1, 1, 4, 4))), Tensor(np.zeros((2, 1, 0, 0))))


def test_padding_beyond_any_memory_is_refused():
    U, weight = (Tensor(np.ones((1, 1, 2, 2))) for _ in range(2))
    with pytest.raises(ValueError, match=r"^conv2d: expected .* fewer than 2\^31 pixels, got .* with padding "):
        F.conv2d(U, weight, padding=10**9)


def test_a_stride_beyond_any_image_gives_the_first_position():
    U, weight = (Tensor(np.ones((1, 1, 3, 3))) for _ in range(2))
    assert F.conv2d(U, weight, stride=2**31 - 1, padding=1).shape == (1, 1, 1, 1)
    with refuses(ValueError, f"conv2d: expected stride below 2^31, got {10**30}"):
        F.conv2d(U, weight, stride=10**30)


def test_a_batch_of_several_stacks_and_runs_is_its_samples_one_by_one():
    """The fast kernels stack a few samples, and take outputs by fours: here both numbers leave a remainder."""
    U, weight, bias = normal(7, (69, 2, 9, 9), (7, 2, 2, 2), (7,))
    V, (dU, dweight, dbias), dV = differentiate(F.conv2d, U, weight, bias)
    dweight_sum, dbias_sum = np.zeros_like(weight), np.zeros_like(bias)
    for b in range(len(U)):
        V_b, (dU_b, dweight_b, dbias_b), _ = differentiate(
            F.conv2d, U[b : b + 1], weight, bias, cotangent=dV[b : b + 1]
        )
        assert_close(V[b], V_b[0], TOLERANCE[U.dtype])
        assert_close(dU[b], dU_b[0], TOLERANCE[U.dtype])
        dweight_sum += dweight_b
        dbias_sum += dbias_b
    assert_close(dweight, dweight_sum, TOLERANCE[U.dtype])
    assert_close(dbias, dbias_sum, TOLERANCE[U.dtype])
    assert_close(V[:3], oracles.conv2d(U[:3], weight, bias, (1, 1), (0, 0)), TOLERANCE[U.dtype])


@pytest.mark.parametrize(("first", "end"), [(0, 1), (33, 34), (56, 63), (68, 69)])
def test_nan_stays_in_its_sample(first, end):
    """Also in a last stack, which is shorter than the stack before it in the same memory."""
    U, weight, bias = normal(8, (69, 2, 9, 9), (7, 2, 2, 2), (7,))
    V, (dU, _, _), dV = differentiate(F.conv2d, U, weight, bias)
    bad_U, bad_dV = U.copy(), dV.copy()
    bad_U[first:end] = bad_dV[first:end] = np.nan
    bad_V, (bad_dU, _, _), _ = differentiate(F.conv2d, bad_U, weight, bias, cotangent=bad_dV)
    good = np.delete(np.arange(69), np.arange(first, end))
    np.testing.assert_array_equal(bad_V[good], V[good])
    np.testing.assert_array_equal(bad_dU[good], dU[good])
    assert np.isnan(bad_V[first:end]).all()
    assert np.isnan(bad_dU[first:end]).all()


@pytest.mark.parametrize("plain_loops", [False, True])
def test_the_gradients_of_weight_and_bias_over_very_many_samples(plain_loops):
    """1.2e6 samples of 0.1: in float32 the sum of the numbers one after the other is off by 1e-3."""
    B = 1_200_000
    x, dV = np.ones((B, 1, 1, 1), np.float32), np.full((B, 1, 1, 1), 0.1, np.float32)
    weight, bias = (Tensor(np.ones(shape, np.float32), requires_grad=True) for shape in ((1, 1, 1, 1), 1))
    with npstn.reference() if plain_loops else contextlib.nullcontext():
        F.conv2d(Tensor(x), weight, bias).backward(dV)
    wanted = B * float(np.float32(0.1))
    np.testing.assert_allclose([weight.grad.item(), bias.grad.item()], wanted, rtol=1e-5)
