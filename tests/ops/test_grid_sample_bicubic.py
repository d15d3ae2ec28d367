"""grid_sample with mode="bicubic" against sixteen padded taps, finite differences, PyTorch and known answers.

Where a test differentiates in the grid by differences, its points keep away from the pixels' centres, where the
curvature jumps.
"""

import itertools

import numba
import numpy as np
import oracles
import pytest
from assertions import assert_adjoint, assert_close, assert_parity, dtypes, normal, seeds
from finite_differences import assert_gradients, differentiate
from hypothesis import given
from hypothesis import strategies as st

import npstn
import npstn.functional as F
from npstn import Tensor

if numba.config.DISABLE_JIT:  # NumPy warns where compiled code is silent
    pytestmark = pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")

PADDINGS = ["zeros", "border", "reflection"]
EVERY_OPTION = list(itertools.product(PADDINGS, [True, False]))  # padding_mode, align_corners
every_option = pytest.mark.parametrize(("padding_mode", "align_corners"), EVERY_OPTION)
both_alignments = pytest.mark.parametrize("align_corners", [True, False])
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
# B, C, (H, W), (h, w)
sizes = st.tuples(
    st.integers(1, 2),
    st.integers(1, 3),
    st.tuples(st.integers(2, 5), st.integers(2, 5)),
    st.tuples(st.integers(1, 3), st.integers(1, 4)),
)


def sampler(padding_mode, align_corners, sample=F.grid_sample):
    return lambda U, G: sample(U, G, mode="bicubic", padding_mode=padding_mode, align_corners=align_corners)


def draw_arrays(size, align_corners, seed, dtype=np.float64):
    """An image, and a grid of points up to one and a half images outside, 1/8 of a pixel or more from any centre."""
    B, C, (H, W), (h, w) = size
    rng = np.random.default_rng(seed)
    G = np.empty((B, h, w, 2))
    for axis, n in enumerate((W, H)):
        x = rng.integers(-n - n // 2 - 1, 2 * n + n // 2 + 1, (B, h, w)) + rng.uniform(0.125, 0.875, (B, h, w))
        G[..., axis] = x / 2 if align_corners and n == 1 else oracles.to_normalised(x, n, align_corners)
    return rng.standard_normal((B, C, H, W)).astype(dtype), G.astype(dtype)


@every_option
@given(size=sizes, seed=seeds, dtype=dtypes)
def test_value_is_the_sum_over_sixteen_taps(padding_mode, align_corners, size, seed, dtype):
    U, G = draw_arrays(size, align_corners, seed, dtype)
    V = sampler(padding_mode, align_corners)(Tensor(U), Tensor(G))
    assert V.dtype == dtype
    expected = oracles.bicubic(U.astype(np.float64), G.astype(np.float64), padding_mode, align_corners)
    assert_close(V.data, expected, {np.float32: 2e-5, np.float64: 1e-13}[dtype])


@every_option
@given(size=sizes, seed=seeds)
def test_gradients_by_finite_differences(padding_mode, align_corners, size, seed):
    assert_gradients(sampler(padding_mode, align_corners), *draw_arrays(size, align_corners, seed), tolerance=1e-7)


@every_option
@given(size=sizes, seed=seeds, dtype=dtypes)
def test_parity_with_pytorch(torch, padding_mode, align_corners, size, seed, dtype):
    theirs = sampler(padding_mode, align_corners, torch.nn.functional.grid_sample)
    arrays = draw_arrays(size, align_corners, seed, dtype)
    y, gradients, cotangent = differentiate(sampler(padding_mode, align_corners), *arrays)
    peers = [torch.tensor(array, requires_grad=True) for array in arrays]
    z = theirs(*peers)
    z.backward(torch.tensor(cotangent))
    tolerance = {np.float32: 5e-5, np.float64: 1e-12}[dtype]  # a coordinate of ten pixels is rounded to 1e-6 of them
    assert_close(y, z.detach().numpy(), tolerance)
    for dx, peer in zip(gradients, peers, strict=True):
        assert_close(dx, peer.grad.numpy(), tolerance)


@every_option
@given(seed=seeds)
def test_parity_with_pytorch_at_the_centres_of_pixels(torch, padding_mode, align_corners, seed):
    """The slope is continuous there, so that both sides agree."""
    size = (4, 4) if not align_corners else (5, 5)  # all coordinates are exact
    (U,) = normal(seed, (1, 2, *size))
    x = np.arange(-4, 9)
    G = np.stack(np.meshgrid(*[oracles.to_normalised(x, size[0], align_corners)] * 2), axis=-1)[None]
    theirs = sampler(padding_mode, align_corners, torch.nn.functional.grid_sample)
    assert_parity(torch, sampler(padding_mode, align_corners), theirs, U, G)


@every_option
@pytest.mark.parametrize("size", [(1, 1), (1, 4), (4, 1)])
@given(seed=seeds)
def test_parity_with_pytorch_for_images_one_pixel_wide(torch, padding_mode, align_corners, size, seed):
    arrays = draw_arrays((1, 2, size, (3, 3)), align_corners, seed)
    theirs = sampler(padding_mode, align_corners, torch.nn.functional.grid_sample)
    assert_parity(torch, sampler(padding_mode, align_corners), theirs, *arrays)


@every_option
@given(size=sizes, seed=seeds, dtype=dtypes)
def test_the_loops_of_the_formula_give_the_same(padding_mode, align_corners, size, seed, dtype):
    """Few points are read by them, and all inside of `npstn.reference()`."""
    arrays = draw_arrays(size, align_corners, seed, dtype)
    sample = sampler(padding_mode, align_corners)
    V, gradients, dV = differentiate(sample, *arrays)
    with npstn.reference():
        V_of_loops, others, _ = differentiate(sample, *arrays, cotangent=dV)
    tolerance = {np.float32: 5e-5, np.float64: 1e-12}[dtype]  # as beside PyTorch
    for found, expected in zip((V, *gradients), (V_of_loops, *others), strict=True):
        assert_close(found, expected, tolerance)


@every_option
@given(size=sizes, seed=seeds)
def test_backward_is_the_transpose_in_the_image(padding_mode, align_corners, size, seed):
    U, G = draw_arrays(size, align_corners, seed)
    assert_adjoint(lambda U: F.grid_sample(U, Tensor(G), "bicubic", padding_mode, align_corners), U)


# ---- known answers ---------------------------------------------------------------------------------------------------


@both_dtypes
def test_known_values(dtype):
    """Between two pixels, the taps weigh -3/32, 19/32, 19/32, -3/32; beyond the border, each is padded by itself."""
    row = np.array([[[[1, 2, 4, 8, 16]]]], dtype)
    U = np.tile(row, (1, 1, 5, 1))
    half = Tensor(np.array([[[[-0.25, 0]]]], dtype))  # x = 1.5
    V = F.grid_sample(Tensor(U), half, mode="bicubic", align_corners=True).item()
    assert V == (-3 * 1 + 19 * 2 + 19 * 4 - 3 * 8) / 32
    U3 = Tensor(np.arange(1, 10, dtype=dtype).reshape(1, 1, 3, 3))
    outside = Tensor(np.array([[[[1.2, 0]]]], dtype))
    V = F.grid_sample(U3, outside, "bicubic", "border", align_corners=True).item()
    assert abs(V - 6.096) < 1e-5


@every_option
@both_dtypes
def test_the_identity_gives_the_image(padding_mode, align_corners, dtype):
    size = (5, 9) if align_corners else (4, 8)
    (U,) = normal(0, (2, 3, *size), dtype=dtype)
    theta = Tensor(np.tile(np.eye(2, 3, dtype=dtype), (2, 1, 1)))
    G = F.affine_grid(theta, (2, 3, *size), align_corners)
    V = sampler(padding_mode, align_corners)(Tensor(U), G).data
    np.testing.assert_array_equal(V, U)


@both_alignments
@pytest.mark.parametrize("padding_mode", ["border", "reflection"])
def test_a_constant_image_stays_constant_and_has_no_slope(padding_mode, align_corners):
    _, G = draw_arrays((2, 1, (4, 5), (3, 4)), align_corners, 0)
    V, (_, dG), _ = differentiate(sampler(padding_mode, align_corners), np.full((2, 1, 4, 5), 7.0), G)
    assert_close(V, np.full(V.shape, 7.0), 1e-14)
    assert_close(dG, np.zeros(dG.shape), 1e-12)


# ---- coordinates that are huge, infinite, or no numbers --------------------------------------------------------------


def sample_two_points(bad, axis, padding_mode, align_corners, dtype):
    """V, dU and dG of a point whose coordinate on one axis is `bad`; its neighbour is as beside a good one."""
    (U,) = normal(0, (1, 2, 3, 4), dtype=dtype)
    G = np.full((1, 1, 2, 2), 0.3, dtype)
    all_good = G.copy()
    G[0, 0, 0, axis] = bad
    sample = sampler(padding_mode, align_corners)
    V, (dU, dG), dV = differentiate(sample, U, G)
    good, (good_dU, good_dG), _ = differentiate(sample, U, all_good, cotangent=dV * np.array([0, 1], dtype))
    np.testing.assert_array_equal(V[..., 1:], good[..., 1:])
    np.testing.assert_array_equal(dG[:, :, 1:], good_dG[:, :, 1:])
    return V[0, :, 0, 0], dU - good_dU, dG[0, 0, 0]


@every_option
@both_dtypes
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_gives_nan_and_touches_no_pixel(padding_mode, align_corners, dtype, axis, bad):
    V, dU, dG = sample_two_points(bad, axis, padding_mode, align_corners, dtype)
    if padding_mode == "border" and not np.isnan(bad):
        far, _, _ = sample_two_points(np.sign(bad) * 1e9, axis, padding_mode, align_corners, dtype)
        assert_close(V, far, 1e-6)
        assert abs(dG[axis]) < 1e-5
        return
    assert np.isnan(V).all() and np.isnan(dG).all()
    np.testing.assert_array_equal(dU, np.zeros(dU.shape))


@every_option
@both_dtypes
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("bad", [1e30, -1e30, 2.0**31, -(2.0**31), 2.0**63, 1e9, "max", "-max"])
def test_a_huge_coordinate_is_outside(padding_mode, align_corners, dtype, axis, bad):
    if isinstance(bad, str):
        bad = (-1 if bad[0] == "-" else 1) * np.finfo(dtype).max  # in pixels it would overflow
    V, dU, dG = sample_two_points(bad, axis, padding_mode, align_corners, dtype)
    assert np.isfinite(V).all() and np.isfinite(dU).all() and np.isfinite(dG).all()
    if padding_mode == "zeros":
        np.testing.assert_array_equal(V, [0, 0])
        np.testing.assert_array_equal(dU, np.zeros(dU.shape))
        np.testing.assert_array_equal(dG, [0, 0])
    if padding_mode == "border":  # four taps read the same pixel
        near = sample_two_points(np.sign(bad) * 9, axis, padding_mode, align_corners, dtype)
        assert_close(V, near[0], 1e-6)
        assert abs(dG[axis]) < 1e-5


@every_option
def test_a_grid_all_of_bad_numbers_crashes_nothing(padding_mode, align_corners):
    numbers = [np.nan, np.inf, -np.inf, 1e30, -1e30, 3e38, 2.0**31, -(2.0**31), 2.0**63, -1.0, 1.0, 0.0]
    G = np.array(list(itertools.product(numbers, numbers)), np.float32).reshape(1, 12, 12, 2)
    for size in ((3, 3), (1, 1)):
        (U,) = normal(0, (1, 1, *size), dtype=np.float32)
        V, (dU, dG), _ = differentiate(sampler(padding_mode, align_corners), U, G)
        has_nan = np.isnan(G).any(axis=-1)
        assert np.isnan(V[0, 0][has_nan[0]]).all() and np.isnan(dG[has_nan]).all()
        assert np.isfinite(dU).all()


@every_option
def test_a_grid_without_points_and_a_batch_without_images(padding_mode, align_corners):
    for U, G in ((np.ones((2, 1, 3, 3)), np.zeros((2, 0, 4, 2))), (np.ones((0, 1, 3, 3)), np.zeros((0, 2, 4, 2)))):
        V, (dU, dG), _ = differentiate(sampler(padding_mode, align_corners), U, G)
        assert V.shape == (len(U), 1, *G.shape[1:3]) and dG.shape == G.shape
        np.testing.assert_array_equal(dU, np.zeros(U.shape))


@every_option
def test_nan_stays_nan_without_channels(padding_mode, align_corners):
    G = np.array([[[[np.nan, 0], [0, 0]], [[0, np.nan], [0, 0]]]])
    _, (_, dG), _ = differentiate(sampler(padding_mode, align_corners), np.empty((1, 0, 2, 2)), G)
    np.testing.assert_array_equal(np.isnan(dG[0, ..., 0]), [[True, False], [True, False]])


@pytest.mark.parametrize("padding_mode", PADDINGS)
def test_a_row_that_float32_cannot_count_is_not_left(padding_mode):
    """Of 2^24 + 4 pixels, the last has no number in float32: it is rounded to one more."""
    U = np.zeros((1, 1, 1, 2**24 + 4), np.float32)
    U[..., -1] = 1
    G = np.array([[[[1, 0], [5, 0]]]], np.float32)
    V, (dU, _), _ = differentiate(sampler(padding_mode, True), U, G)
    assert np.isfinite(V).all() and np.isfinite(dU[..., -9:]).all()
