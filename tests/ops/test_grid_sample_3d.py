"""grid_sample of volumes against the sum over all voxels, finite differences, PyTorch, and images.

Where a test differentiates in the grid, its points keep away from the kinks (integers; halves for nearest), except in
the tests of the kinks themselves. What both samplers promise alike is in `test_grid_sample_promises.py`.
"""

import itertools

import numba
import numpy as np
import oracles
import pytest
from assertions import assert_adjoint, assert_close, dtypes, normal, refuses, seeds
from finite_differences import assert_gradients, differentiate
from hypothesis import given
from hypothesis import strategies as st

import npstn.functional as F
from npstn import Tensor

if numba.config.DISABLE_JIT:  # NumPy warns where compiled code is silent
    pytestmark = pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")

EVERY_OPTION = list(itertools.product(["bilinear", "nearest"], ["zeros", "border", "reflection"], [True, False]))
every_option = pytest.mark.parametrize("options", EVERY_OPTION, ids=lambda o: "-".join(map(str, o)))
few = st.integers(1, 3)
# B, C, (D, H, W), (d, h, w)
sizes = st.tuples(st.integers(1, 2), st.integers(1, 2), st.tuples(*[st.integers(1, 4)] * 3), st.tuples(few, few, few))


def sampler(options, sample=F.grid_sample):
    mode, padding_mode, align_corners = options
    return lambda U, G: sample(U, G, mode=mode, padding_mode=padding_mode, align_corners=align_corners)


def draw_arrays(size, align_corners, seed, dtype=np.float64):
    """A volume, and a grid of points up to one and a half volumes outside, 1/8 of a voxel or more from any kink."""
    B, C, volume, out = size
    rng = np.random.default_rng(seed)
    G = np.empty((B, *out, 3))
    for r, n in enumerate(reversed(volume)):
        x = rng.integers(-n - n // 2 - 1, 2 * n + n // 2 + 1, (B, *out))
        x = x + rng.choice([0.125, 0.25, 0.375, 0.625, 0.75, 0.875], (B, *out))
        G[..., r] = x / 2 if align_corners and n == 1 else oracles.to_normalised(x, n, align_corners)
    return rng.standard_normal((B, C, *volume)).astype(dtype), G.astype(dtype)


@every_option
@given(size=sizes, seed=seeds, dtype=dtypes)
def test_value_and_gradients_are_the_sums_over_all_voxels(options, size, seed, dtype):
    U, G = draw_arrays(size, options[2], seed, dtype)
    V, (dU, dG), dV = differentiate(sampler(options), U, G)
    expected = oracles.grid_sample_3d(U.astype(np.float64), G.astype(np.float64), *options, dV=dV.astype(np.float64))
    assert V.dtype == dU.dtype == dG.dtype == dtype
    for actual, should, what in zip((V, dU, dG), expected, ("V", "dU", "dG"), strict=True):
        # A coordinate of several voxels, rounded to float32, is off by up to 1e-6 voxels.
        assert_close(actual, should, {np.float32: 1e-5, np.float64: 1e-13}[dtype], what)


@every_option
def test_gradients_by_finite_differences(options):
    # Piecewise linear in each voxel and each coordinate: a step of up to 1/16 voxel crosses no kink.
    for seed, volume in enumerate([(2, 3, 4), (1, 3, 2), (3, 1, 1)]):
        arrays = draw_arrays((2, 2, volume, (1, 2, 3)), options[2], seed)
        assert_gradients(sampler(options), *arrays, step=1 / 256, tolerance=1e-11)


@every_option
@given(size=sizes, seed=seeds)
def test_parity_with_pytorch(torch, options, size, seed):
    arrays = draw_arrays(size, options[2], seed)
    V, gradients, dV = differentiate(sampler(options), *arrays)
    peers = [torch.tensor(array, requires_grad=True) for array in arrays]
    theirs = sampler(options, torch.nn.functional.grid_sample)(*peers)
    theirs.backward(torch.tensor(dV))
    assert_close(V, theirs.detach().numpy(), 1e-12)
    for gradient, peer in zip(gradients, peers, strict=True):
        assert_close(gradient, peer.grad.numpy(), 1e-12)


@every_option
def test_parity_with_pytorch_on_the_kinks(torch, options):
    """At the centres of voxels and between them, inside, on the border and outside."""
    mode, _, align_corners = options
    volume = (3, 5, 9) if align_corners else (2, 4, 8)  # all coordinates are exact
    (U,) = normal(0, (1, 2, *volume))
    axes = [oracles.to_normalised(np.arange(-n, 2 * n + 1) / 2, n, align_corners) for n in reversed(volume)]
    G = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)[None]
    V, gradients, dV = differentiate(sampler(options), U, G)
    peers = [torch.tensor(array, requires_grad=True) for array in (U, G)]
    theirs = sampler(options, torch.nn.functional.grid_sample)(*peers)
    theirs.backward(torch.tensor(dV))
    assert_close(V, theirs.detach().numpy(), 1e-12)
    for gradient, peer in zip(gradients, peers, strict=True):
        assert_close(gradient, peer.grad.numpy(), 1e-12)


@every_option
@given(size=sizes, seed=seeds)
def test_backward_is_the_transpose_in_the_volume(options, size, seed):
    U, G = draw_arrays(size, options[2], seed)
    assert_adjoint(lambda U: sampler(options)(U, Tensor(G)), U)


@every_option
@given(seed=seeds)
def test_a_volume_of_one_slice_read_in_its_middle_is_an_image(options, seed):
    """Both samplers, each written from its own formula, give the same value and gradients."""
    rng = np.random.default_rng(seed)
    U, G = rng.standard_normal((2, 3, 4, 5)), rng.uniform(-2, 2, (2, 3, 4, 2))
    V, (dU, dG), dV = differentiate(sampler(options), U, G)
    thick = np.concatenate([G, np.zeros((2, 3, 4, 1))], axis=-1)[:, None]
    V3, (dU3, dG3), _ = differentiate(sampler(options), U[:, :, None], thick, cotangent=dV[:, :, None])
    assert_close(V3[:, :, 0], V, 1e-14)
    assert_close(dU3[:, :, 0], dU, 1e-14)
    assert_close(dG3[:, 0, :, :, :2], dG, 1e-13)


@every_option
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_identity_grid_gives_the_volume_back(options, dtype):
    mode, padding_mode, align_corners = options
    (U,) = normal(0, (2, 2, 4, 5, 3), dtype=dtype)
    G = F.affine_grid(Tensor(np.tile(np.eye(3, 4, dtype=dtype), (2, 1, 1))), U.shape, align_corners)
    V, (dU,), dV = differentiate(lambda U: F.grid_sample(U, G, mode, padding_mode, align_corners), U)
    tolerance = {np.float32: 2e-6, np.float64: 2e-15}[dtype]
    assert_close(V, U, tolerance)
    assert_close(dU, dV, tolerance)


def test_a_constant_volume_has_no_slope_inside():
    x = np.linspace(-0.75, 0.75, 13)
    G = np.stack(np.meshgrid(x, x, x), axis=-1)[None]
    for padding_mode, align_corners in itertools.product(["zeros", "border", "reflection"], [True, False]):
        U = np.full((1, 1, 8, 8, 8), 7.0)
        V, (_, dG), _ = differentiate(sampler(("bilinear", padding_mode, align_corners)), U, G)
        assert_close(V, np.full(V.shape, 7.0), 1e-15)
        np.testing.assert_array_equal(dG, np.zeros(G.shape))


def test_each_gradient_can_be_asked_for_alone():
    U, G = draw_arrays((2, 2, (3, 4, 5), (2, 3, 4)), False, 0)
    sample = sampler(("bilinear", "border", False))
    _, (dU, dG), _ = differentiate(sample, U, G)
    np.testing.assert_array_equal(differentiate(sample, U, G, asked=(True, False))[1][0], dU)
    np.testing.assert_array_equal(differentiate(sample, U, G, asked=(False, True))[1][1], dG)


@every_option
@pytest.mark.parametrize(
    ("image", "grid"),
    [((2, 1, 3, 3, 3), (2, 0, 4, 2, 3)), ((0, 1, 3, 3, 3), (0, 2, 2, 2, 3)), ((2, 0, 3, 3, 3), (2, 1, 1, 1, 3))],
    ids=["no points", "no samples", "no channels"],
)
def test_nothing_to_read(options, image, grid):
    V, (dU, dG), _ = differentiate(sampler(options), np.ones(image), np.zeros(grid))
    assert V.shape == (*image[:2], *grid[1:4])
    np.testing.assert_array_equal(dU, np.zeros(image))
    np.testing.assert_array_equal(dG, np.zeros(grid))


@pytest.mark.parametrize(
    ("image", "grid", "message"),
    [
        ((1, 2, 3, 3, 3), (1, 2, 2, 2), "grid of shape (1, d, h, w, 3), got (1, 2, 2, 2)"),
        ((1, 2, 3, 3, 3), (1, 2, 2, 2, 2), "grid of shape (1, d, h, w, 3), got (1, 2, 2, 2, 2)"),
        ((1, 2, 3, 3, 3), (2, 2, 2, 2, 3), "grid of shape (1, d, h, w, 3), got (2, 2, 2, 2, 3)"),
        ((1, 2, 3, 3), (1, 2, 2, 2, 3), "grid of shape (1, h, w, 2), got (1, 2, 2, 2, 3)"),
        ((1, 2, 0, 3, 3), (1, 2, 2, 2, 3), "images of at least one and fewer than 2^31 pixels, got (1, 2, 0, 3, 3)"),
        ((1, 1, 1, 2, 2, 2), (1, 2, 2, 2, 3), "input of shape (B, C, H, W), got (1, 1, 1, 2, 2, 2)"),
    ],
)
def test_ill_shaped_arguments_are_refused(image, grid, message):
    with refuses(ValueError, f"grid_sample: expected {message}"):
        F.grid_sample(Tensor(np.zeros(image)), Tensor(np.zeros(grid)))


def test_bicubic_is_for_images():
    with refuses(ValueError, "grid_sample: expected mode to be bilinear or nearest for volumes, got 'bicubic'"):
        F.grid_sample(Tensor(np.zeros((1, 1, 2, 2, 2))), Tensor(np.zeros((1, 1, 1, 1, 3))), mode="bicubic")


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("padding_mode", ["border", "reflection"])
def test_the_border_of_a_row_whose_length_float32_has_not(mode, padding_mode, align_corners):
    row, G = np.zeros((1, 1, 1, 1, 2**24 + 4), np.float32), np.float32([[[[[-1, 0, 0], [0, 0, 0], [1, 0, 0]]]]])
    row[..., :6], row[..., -6:] = 2, 3  # the last voxel has no place of its own in float32, but a neighbour has
    V = sampler((mode, padding_mode, align_corners))(Tensor(row), Tensor(G)).data
    np.testing.assert_array_equal(V.ravel(), [2, 0, 3])
