"""projective_grid against quotients of products, affine_grid, finite differences and a homography by hand."""

import numba
import numpy as np
import oracles
import pytest
from assertions import assert_close, dtypes, normal, refuses, seeds
from finite_differences import assert_gradients, differentiate
from hypothesis import given
from hypothesis import strategies as st

import npstn.functional as F
from npstn import Tensor

if numba.config.DISABLE_JIT:  # NumPy warns where compiled code is silent
    pytestmark = pytest.mark.filterwarnings("ignore:(invalid value|divide by zero|overflow) encountered:RuntimeWarning")

sizes = st.tuples(st.integers(1, 5), st.integers(1, 5))  # h, w


def homographies(seed, B, dtype=np.float64):
    """Near the identity: the horizon stays outside of the image."""
    (change,) = normal(seed, (B, 3, 3))
    return (np.eye(3) + 0.3 * change / np.abs(change).max(initial=1.0)).astype(dtype)


@given(st.integers(1, 3), sizes, seeds, dtypes)
def test_forward_is_the_quotient_for_each_point(B, size, seed, dtype):
    theta = homographies(seed, B, dtype)
    G = F.projective_grid(Tensor(theta), size)
    assert G.dtype == dtype
    expected = oracles.projective_grid(theta.astype(np.float64), *size)
    assert_close(G.data, expected, {np.float32: 1e-5, np.float64: 1e-14}[dtype])


@given(st.integers(1, 3), sizes, seeds)
def test_gradients_by_finite_differences(B, size, seed):
    assert_gradients(lambda theta: F.projective_grid(theta, size), homographies(seed, B), tolerance=1e-8)


@given(sizes, seeds, dtypes)
def test_gradients_of_the_same_quotients_in_pytorch(torch, size, seed, dtype):
    """PyTorch has no projective grid. Its tape differentiates the quotients."""
    theta = homographies(seed, 2, dtype)
    _, (dtheta,), dG = differentiate(lambda theta: F.projective_grid(theta, size), theta)
    x, y = (torch.tensor([oracles.to_normalised(k, n, True) for k in range(n)], dtype=torch.float64)
            for n in reversed(size))
    peer = torch.tensor(theta.astype(np.float64), requires_grad=True)
    points = torch.stack([x.expand(*size), y[:, None].expand(*size), torch.ones(size, dtype=torch.float64)])
    q = torch.einsum("brk,khw->bhwr", peer, points)
    (q[..., :2] / q[..., 2:]).backward(torch.tensor(dG.astype(np.float64)))
    assert_close(dtheta, peer.grad.numpy(), {np.float32: 1e-5, np.float64: 1e-13}[dtype])


@given(st.integers(1, 3), sizes, seeds, dtypes)
def test_an_affine_matrix_gives_the_affine_grid(B, size, seed, dtype):
    (affine,) = normal(seed, (B, 2, 3), dtype=dtype)
    theta = np.concatenate([affine, np.tile(np.array([[[0, 0, 1]]], dtype), (B, 1, 1))], axis=1)
    expected = F.affine_grid(Tensor(affine), (B, 1, *size), align_corners=True).data
    assert_close(F.projective_grid(Tensor(theta), size).data, expected, {np.float32: 1e-6, np.float64: 1e-15}[dtype])


@given(sizes, seeds, st.sampled_from([-3.0, 0.5, 2.0]))
def test_a_multiple_of_theta_gives_the_same_grid(size, seed, factor):
    theta = homographies(seed, 2)
    expected = F.projective_grid(Tensor(theta), size).data
    assert_close(F.projective_grid(Tensor(factor * theta), size).data, expected, 1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_homography_by_hand(dtype):
    # From the square to a trapezium: the lower side is half as long as the upper one.
    theta = np.array([[[2, 0, 0], [0, 2, 1], [0, 1, 3]]], dtype)
    corners = F.projective_grid(Tensor(theta), (2, 2)).data[0]
    assert_close(corners, [[(-1, -0.5), (1, -0.5)], [(-0.5, 0.75), (0.5, 0.75)]], 1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_identity_is_exact(dtype):
    for size in ((28, 28), (7, 40)):
        G = F.projective_grid(Tensor(np.eye(3, dtype=dtype)[None]), size).data[0]
        y, x = np.mgrid[0 : size[0], 0 : size[1]]
        for axis, k, n in ((0, x, size[1]), (1, y, size[0])):
            np.testing.assert_array_equal(G[..., axis], (2 * k / (n - 1) - 1).astype(dtype))


def test_a_single_pixel_lies_in_the_middle():
    theta = homographies(0, 2)
    G = F.projective_grid(Tensor(theta), (1, 1)).data[:, 0, 0]
    assert_close(G, theta[:, :2, 2] / theta[:, 2:, 2], 1e-15)


# ---- the horizon -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of_theta, of_dG", [(1, 1), (1e30, 1e10), (1e20, 1e19), (1e-30, 1e-12), (1e-20, 1e-22)])
def test_the_gradient_of_a_huge_or_a_tiny_theta(of_theta, of_dG):
    """Each quotient is taken by itself: dG q_0 overflows here, or loses digits, and dG (q_0 / q_2) does neither."""
    theta = np.array([[[1, 0.1, 0.2], [0.3, 1.2, 0.1], [0.1, 0.2, 1.5]]]) * of_theta
    (dG,) = normal(0, (1, 5, 7, 2))
    given = theta.astype(np.float32), (dG * of_dG).astype(np.float32)
    gradients = [differentiate(lambda t: F.projective_grid(t, (5, 7)), x, cotangent=d)[1][0] for x, d in (
        given, [array.astype(np.float64) for array in given])]  # fmt: skip
    assert_close(gradients[0] * np.float64(of_theta / of_dG), gradients[1] * (of_theta / of_dG), 1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_on_the_horizon_the_grid_is_infinite_or_nan(dtype):
    theta = np.array([[[1, 0, 0], [0, 1, 0], [1, 0, 0]]], dtype)  # q_2 = x: the horizon is the middle column
    G = F.projective_grid(Tensor(theta), (3, 5)).data[0]
    assert np.isnan(G[:, 2, 0]).all()  # 0 / 0
    assert np.isinf(G[[0, 2], 2, 1]).all() and np.isnan(G[1, 2, 1])
    assert np.isfinite(G[:, [0, 1, 3, 4]]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align_corners", [True, False])
def test_no_memory_outside_the_image_is_read_or_written_behind_a_horizon(dtype, mode, padding_mode, align_corners):
    """The image is 1 inside: foreign memory would show in V, and a foreign write would be missing in dU."""
    eps = np.finfo(dtype).eps
    theta = np.tile(np.eye(3, dtype=dtype), (4, 1, 1))
    theta[:, 2] = [[1, 0, 0], [1, 1, 0], [eps, 0, eps], [0, 1e-30, 0]]
    U = np.ones((4, 2, 5, 4), dtype)
    G = F.projective_grid(Tensor(theta), (9, 9)).data
    assert not np.isfinite(G).all() and np.abs(G[np.isfinite(G)]).max() > 1e6
    sample = lambda U, G: F.grid_sample(U, G, mode, padding_mode, align_corners)  # noqa: E731
    V, (dU, dG), dV = differentiate(sample, U, G)
    finite = np.isfinite(V)
    assert (np.abs(V[finite]) <= 1.6).all()  # the bicubic weights inside of zeros overshoot
    assert np.isfinite(dU).all()
    if padding_mode != "zeros":  # then each finite output hands all of its dV to the image
        tolerance = {np.float32: 1e-3, np.float64: 1e-11}[dtype]
        assert_close(dU.sum(axis=(2, 3)), np.where(finite, dV, 0).sum(axis=(2, 3)), tolerance)
    assert dG.shape == G.shape


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_grids_sum_as_exactly_as_small_ones(dtype):
    theta = homographies(0, 1)
    generate = lambda theta: F.projective_grid(theta, (90, 70))  # noqa: E731
    _, (dtheta,), dG = differentiate(generate, theta.astype(dtype))
    _, (expected,), _ = differentiate(generate, theta.astype(dtype).astype(np.float64), cotangent=dG.astype(np.float64))
    assert_close(dtheta, expected, {np.float32: 1e-5, np.float64: 1e-13}[dtype])


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 3), (1, 2, 3), (1, 3, 4), (1, 9)])
def test_ill_shaped_theta_is_refused(shape):
    with refuses(ValueError, f"projective_grid: expected theta of shape (B, 3, 3), got {shape}"):
        F.projective_grid(Tensor(np.zeros(shape)), (2, 2))


@pytest.mark.parametrize("size", [(0, 3), (3, -1), (2,), (1, 1, 2, 2), 5, None, (2.0, 2), "22", (2**31, 1), 10**30])
def test_what_is_no_size_is_refused(size):
    message = f"projective_grid: expected size (h, w) of at least 1 x 1 and below 2^31 pixels, got {size!r}"
    with refuses(ValueError, message):
        F.projective_grid(Tensor(np.zeros((1, 3, 3))), size)
