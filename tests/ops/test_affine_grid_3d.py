"""affine_grid of volumes against the formula, finite differences and PyTorch."""

import numpy as np
import oracles
import pytest
from assertions import assert_adjoint, assert_close, assert_parity, dtypes, normal, refuses, seeds
from finite_differences import assert_gradients, differentiate
from hypothesis import given
from hypothesis import strategies as st

import npstn.functional as F
from npstn import Tensor

sizes = st.tuples(*[st.integers(1, 3)] * 2, *[st.integers(1, 4)] * 3)  # B, C, d, h, w
alignments = st.booleans()


def generator(size, align_corners, generate=F.affine_grid):
    return lambda theta: generate(theta, size, align_corners=align_corners)


@given(sizes, alignments, seeds, dtypes)
def test_forward_is_theta_times_each_point(size, align_corners, seed, dtype):
    (theta,) = normal(seed, (size[0], 3, 4), dtype=dtype)
    G = generator(size, align_corners)(Tensor(theta))
    expected = oracles.affine_grid_3d(theta.astype(np.float64), *size[2:], align_corners)
    assert G.dtype == dtype
    assert_close(G.data, expected, {np.float32: 1e-6, np.float64: 1e-15}[dtype])


@given(sizes, alignments, seeds)
def test_gradients_by_finite_differences(size, align_corners, seed):
    assert_gradients(generator(size, align_corners), *normal(seed, (size[0], 3, 4)), step=0.5, tolerance=1e-12)


@pytest.mark.filterwarnings("ignore:Since version 1.3.0, affine_grid behavior has changed:UserWarning")
@given(sizes, alignments, seeds, dtypes)
def test_parity_with_pytorch(torch, size, align_corners, seed, dtype):
    theirs = generator(size, align_corners, torch.nn.functional.affine_grid)
    assert_parity(torch, generator(size, align_corners), theirs, *normal(seed, (size[0], 3, 4), dtype=dtype))


@given(sizes, alignments, seeds)
def test_backward_is_the_transpose(size, align_corners, seed):
    assert_adjoint(generator(size, align_corners), *normal(seed, (size[0], 3, 4)))


@pytest.mark.parametrize("align_corners", [True, False])
@given(seed=seeds)
def test_a_single_slice_is_the_image(align_corners, seed):
    """The slice lies at z = 0. So x and y are those of the image's grid, and z is the third row of theta."""
    (theta,) = normal(seed, (2, 3, 4))
    G = F.affine_grid(Tensor(theta), (2, 1, 1, 3, 4), align_corners).data
    image = F.affine_grid(Tensor(theta[:, :2][..., [0, 1, 3]]), (2, 1, 3, 4), align_corners).data
    assert_close(G[:, 0, :, :, :2], image, 1e-15)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_single_slice_row_or_column_lies_in_the_middle(align_corners, axis):
    size = [3, 4, 5]
    size[axis] = 1
    G = F.affine_grid(Tensor(np.eye(3, 4)[None]), (1, 1, *size), align_corners).data
    np.testing.assert_array_equal(G[..., 2 - axis], np.zeros((1, *size)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_grids_sum_as_exactly_as_small_ones(dtype):
    size = (1, 1, 30, 20, 50)
    _, (dtheta,), dG = differentiate(generator(size, True), np.zeros((1, 3, 4), dtype))
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in size[2:]), indexing="ij")
    expected = np.einsum("kijr,qkij->rq", dG[0].astype(np.float64), np.stack([x, y, z, np.ones_like(x)]))
    assert_close(dtheta[0], expected, {np.float32: 1e-5, np.float64: 1e-13}[dtype])


@pytest.mark.parametrize(
    ("shape", "size", "message"),
    [
        ((2, 2, 3), (2, 1, 2, 2, 2), "theta of shape (B, 3, 4), got (2, 2, 3)"),
        ((2, 3, 4), (2, 1, 2, 2), "theta of shape (B, 2, 3), got (2, 3, 4)"),
        ((2, 3, 4), (3, 1, 4, 4, 4), "size (2, C, d, h, w) with d, h and w at least 1, got (3, 1, 4, 4, 4)"),
        ((2, 3, 4), (2, 1, 0, 4, 4), "size (2, C, d, h, w) with d, h and w at least 1, got (2, 1, 0, 4, 4)"),
        ((2, 3, 4), (2, 1, 2**11, 2**10, 2**10), "size of fewer than 2^31 pixels, got (2, 1, 2048, 1024, 1024)"),
    ],
)
def test_ill_shaped_arguments_are_refused(shape, size, message):
    with refuses(ValueError, f"affine_grid: expected {message}"):
        F.affine_grid(Tensor(np.zeros(shape)), size)
