"""affine_grid against products of matrix and point, known answers, finite differences and PyTorch."""

import numpy as np
import oracles
import pytest
from assertions import assert_adjoint, assert_close, assert_parity, dtypes, normal, refuses, seeds
from finite_differences import assert_gradients, differentiate
from hypothesis import given
from hypothesis import strategies as st

import npstn.functional as F
from npstn import Tensor

sizes = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 5), st.integers(1, 5))  # B, C, h, w
alignments = st.booleans()


def generator(size, align_corners, generate=F.affine_grid):
    return lambda theta: generate(theta, size, align_corners)


@given(sizes, alignments, seeds, dtypes)
def test_forward_is_theta_times_each_point(size, align_corners, seed, dtype):
    (theta,) = normal(seed, (size[0], 2, 3), dtype=dtype)
    G = generator(size, align_corners)(Tensor(theta))
    expected = oracles.affine_grid(theta.astype(np.float64), *size[2:], align_corners)
    assert G.dtype == dtype
    assert_close(G.data, expected, {np.float32: 1e-6, np.float64: 1e-15}[dtype])


@given(sizes, alignments, seeds)
def test_gradients_by_finite_differences(size, align_corners, seed):
    assert_gradients(generator(size, align_corners), *normal(seed, (size[0], 2, 3)), step=0.5, tolerance=1e-12)


@pytest.mark.filterwarnings("ignore:Since version 1.3.0, affine_grid behavior has changed:UserWarning")
@given(sizes, alignments, seeds, dtypes)
def test_parity_with_pytorch(torch, size, align_corners, seed, dtype):
    theirs = generator(size, align_corners, torch.nn.functional.affine_grid)
    assert_parity(torch, generator(size, align_corners), theirs, *normal(seed, (size[0], 2, 3), dtype=dtype))


@given(sizes, alignments, seeds)
def test_backward_is_the_transpose(size, align_corners, seed):
    assert_adjoint(generator(size, align_corners), *normal(seed, (size[0], 2, 3)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("align_corners", "expected"),
    [
        (True, [[(0, -3), (2, 5)], [(4, 7), (6, 15)]]),
        (False, [[(1.5, 1.5), (2.5, 5.5)], [(3.5, 6.5), (4.5, 10.5)]]),
    ],
)
def test_known_answers(dtype, align_corners, expected):
    theta = np.arange(1, 7, dtype=dtype).reshape(1, 2, 3)
    np.testing.assert_array_equal(F.affine_grid(Tensor(theta), (1, 1, 2, 2), align_corners).data[0], expected)


def test_align_corners_is_false_unless_asked_for():
    (theta,) = normal(0, (1, 2, 3))
    expected = F.affine_grid(Tensor(theta), (1, 1, 2, 3), align_corners=False).data
    np.testing.assert_array_equal(F.affine_grid(Tensor(theta), (1, 1, 2, 3)).data, expected)


@pytest.mark.parametrize("align_corners", [True, False])
def test_a_single_pixel_lies_in_the_middle(align_corners):
    (theta,) = normal(0, (2, 2, 3))
    G = F.affine_grid(Tensor(theta), (2, 1, 1, 1), align_corners)
    np.testing.assert_array_equal(G.data[:, 0, 0], theta[:, :, 2])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_grids_sum_as_exactly_as_small_ones(dtype):
    size = (1, 1, 90, 70)
    theta = np.zeros((1, 2, 3), dtype)
    _, (dtheta,), dG = differentiate(generator(size, True), theta)
    y, x = np.meshgrid(np.linspace(-1, 1, 90), np.linspace(-1, 1, 70), indexing="ij")
    expected = np.einsum("ijr,kij->rk", dG[0].astype(np.float64), np.stack([x, y, np.ones_like(x)]))
    assert_close(dtheta[0], expected, {np.float32: 1e-5, np.float64: 1e-13}[dtype])


@pytest.mark.parametrize(
    ("shape", "size", "message"),
    [
        ((2, 3), (1, 1, 2, 2), "theta of shape (B, 2, 3), got (2, 3)"),
        ((1, 3, 3), (1, 1, 2, 2), "theta of shape (B, 2, 3), got (1, 3, 3)"),
        ((2, 2, 3), (3, 1, 4, 4), "size (2, C, h, w) with h and w at least 1, got (3, 1, 4, 4)"),
        ((2, 2, 3), (2, 4, 4), "size (2, C, h, w) with h and w at least 1, got (2, 4, 4)"),
        ((2, 2, 3), (2, 1, 0, 4), "size (2, C, h, w) with h and w at least 1, got (2, 1, 0, 4)"),
        ((2, 2, 3), (2, 1, 4, -1), "size (2, C, h, w) with h and w at least 1, got (2, 1, 4, -1)"),
    ],
)
def test_ill_shaped_arguments_are_refused(shape, size, message):
    with refuses(ValueError, f"affine_grid: expected {message}"):
        F.affine_grid(Tensor(np.zeros(shape)), size)


@pytest.mark.parametrize("size", [5, None, (1, 1, 2.0, 2), "1122"])
def test_a_size_that_is_no_tuple_of_integers_is_refused(size):
    with pytest.raises((TypeError, ValueError), match=r"^affine_grid: expected size .*got "):
        F.affine_grid(Tensor(np.zeros((1, 2, 3))), size)


@pytest.mark.parametrize("size", [(1, 1, 2**31, 1), (1, 1, 2**16, 2**16), (1, 1, 10**30, 1)])
def test_a_grid_beyond_any_memory_is_refused(size):
    with refuses(ValueError, f"affine_grid: expected size of fewer than 2^31 pixels, got {size}"):
        F.affine_grid(Tensor(np.zeros((1, 2, 3))), size)


def test_align_corners_takes_any_value_by_its_truth():
    theta = Tensor(np.ones((1, 2, 3)))
    for value in ([], [1], np.True_, 0.0):
        G = F.affine_grid(theta, (1, 1, 3, 4), align_corners=value)
        np.testing.assert_array_equal(G.data, F.affine_grid(theta, (1, 1, 3, 4), align_corners=bool(value)).data)
