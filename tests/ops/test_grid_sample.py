"""grid_sample against the paper's double sum over all pixels, finite differences, PyTorch, and known answers.

Where a test differentiates in the grid, its points keep away from the kinks (integers; halves for nearest), except in
the tests of the kinks themselves.
"""

import itertools

import numba
import numpy as np
import oracles
import pytest
from assertions import assert_adjoint, assert_close, assert_parity, dtypes, normal, refuses, seeds
from finite_differences import assert_gradients, differentiate
from hypothesis import given
from hypothesis import strategies as st

import npstn.functional as F
from npstn import Tensor

if numba.config.DISABLE_JIT:  # NumPy warns where compiled code is silent
    pytestmark = pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")

MODES = ["bilinear", "nearest"]
PADDINGS = ["zeros", "border", "reflection"]
EVERY_OPTION = list(itertools.product(MODES, PADDINGS, [True, False]))  # mode, padding_mode, align_corners

every_option = pytest.mark.parametrize(("mode", "padding_mode", "align_corners"), EVERY_OPTION)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
both_modes = pytest.mark.parametrize("mode", MODES)
every_padding = pytest.mark.parametrize("padding_mode", PADDINGS)
both_alignments = pytest.mark.parametrize("align_corners", [True, False])
both_axes = pytest.mark.parametrize("axis", [0, 1])
both_sizes = pytest.mark.parametrize("size", [(3, 4), (1, 1)], ids=["image", "pixel"])
# B, C, (H, W), (h, w)
sizes = st.tuples(
    st.integers(1, 2),
    st.integers(1, 3),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.tuples(st.integers(1, 3), st.integers(1, 4)),
)


def sampler(options, sample=F.grid_sample):
    mode, padding_mode, align_corners = options
    return lambda U, G: sample(U, G, mode=mode, padding_mode=padding_mode, align_corners=align_corners)


def draw_arrays(size, align_corners, seed, dtype=np.float64):
    """An image, and a grid of points up to one and a half images outside, 1/8 of a pixel or more from any kink."""
    B, C, (H, W), (h, w) = size
    rng = np.random.default_rng(seed)
    G = np.empty((B, h, w, 2))
    for axis, n in enumerate((W, H)):
        x = rng.integers(-n - n // 2 - 1, 2 * n + n // 2 + 1, (B, h, w))
        G[..., axis] = place_at(x + rng.choice([0.125, 0.25, 0.375, 0.625, 0.75, 0.875], (B, h, w)), n, align_corners)
    return rng.standard_normal((B, C, H, W)).astype(dtype), G.astype(dtype)


def place_at(x, size, align_corners):
    """Normalised coordinates of the pixel coordinates x; with aligned corners a single pixel is everywhere."""
    if align_corners and size == 1:
        return x / 2
    return oracles.to_normalised(x, size, align_corners)


@every_option
@given(size=sizes, seed=seeds, dtype=dtypes)
def test_value_and_gradients_are_the_papers_double_sums(mode, padding_mode, align_corners, size, seed, dtype):
    options = mode, padding_mode, align_corners
    U, G = draw_arrays(size, align_corners, seed, dtype)
    V, (dU, dG), dV = differentiate(sampler(options), U, G)
    expected = oracles.grid_sample(U.astype(np.float64), G.astype(np.float64), *options, dV=dV.astype(np.float64))
    assert V.dtype == dU.dtype == dG.dtype == dtype
    for actual, should, what in zip((V, dU, dG), expected, ("V", "dU", "dG"), strict=True):
        # A coordinate of several pixels, rounded to float32, is off by up to 1e-6 pixels.
        assert_close(actual, should, {np.float32: 1e-5, np.float64: 1e-13}[dtype], what)


@every_option
@given(size=sizes, seed=seeds)
def test_gradients_by_finite_differences(mode, padding_mode, align_corners, size, seed):
    # Piecewise linear in each pixel and each coordinate: a step of up to 1/16 pixel crosses no kink.
    sample = sampler((mode, padding_mode, align_corners))
    assert_gradients(sample, *draw_arrays(size, align_corners, seed), step=1 / 256, tolerance=1e-11)


@every_option
@given(size=sizes, seed=seeds, dtype=dtypes)
def test_parity_with_pytorch(torch, mode, padding_mode, align_corners, size, seed, dtype):
    options = mode, padding_mode, align_corners
    theirs = sampler(options, torch.nn.functional.grid_sample)
    assert_parity(torch, sampler(options), theirs, *draw_arrays(size, align_corners, seed, dtype))


@every_option
@given(size=sizes, seed=seeds)
def test_backward_is_the_transpose_in_the_image(mode, padding_mode, align_corners, size, seed):
    U, G = draw_arrays(size, align_corners, seed)
    assert_adjoint(lambda U: F.grid_sample(U, Tensor(G), mode, padding_mode, align_corners), U)


# ---- known answers: facts/grid_sample.md ----------------------------------------------------------------------------

FORWARD_GRID = [
    [(-0.9, -4.1), (0, 0.2), (1, -1), (-0.333, 1e-6), (0.5, 1)],
    [(-1, -0.5), (0, 0.3333), (1, -1), (-0.2, 1e-6), (1.5, 0.5)],
]
FORWARD = [
    ("zeros", True, [[0, 6, 5, 4.834, 9], [2.25, 6.33325, 5, 5.1, 0]]),
    ("zeros", False, [[0, 6.5, 1.25, 4.6675, 4.625], [0.5, 7.1665, 1.25, 5, 0]]),
    ("border", True, [[1.2, 6, 5, 4.834, 9], [2.25, 6.33325, 5, 5.1, 8.75]]),
    ("border", False, [[1, 6.5, 5, 4.6675, 9.25], [1, 7.1665, 5, 5, 10]]),
    ("reflection", True, [[3.45, 6, 5, 4.834, 9], [2.25, 6.33325, 5, 5.1, 7.75]]),
    ("reflection", False, [[3, 6.5, 5, 4.6675, 9.25], [1, 7.1665, 5, 5, 9.25]]),
]


@both_dtypes
@pytest.mark.parametrize(("padding_mode", "align_corners", "expected"), FORWARD)
def test_known_values(dtype, padding_mode, align_corners, expected):
    U = Tensor(np.arange(1, 11, dtype=dtype).reshape(1, 1, 2, 5))
    V = F.grid_sample(
        U, Tensor(np.array([FORWARD_GRID], dtype)), padding_mode=padding_mode, align_corners=align_corners
    )
    # The table was rounded to five digits where the grid holds 1e-6: the row below adds 5 / 2 * 1e-6, or twice that.
    np.testing.assert_allclose(V.data[0, 0], expected, rtol=0, atol=6e-6)


EDGE_GRID = [[(1, 1), (1, -1), (0.8, 0.8), (0.8, -0.8)], [(-1, -1), (-1, 1), (-0.8, -0.8), (-0.8, 0.8)]]
EDGE_GRADIENTS = [
    ("zeros", True, [[(-8, -8), (-8, 0), (2, 0), (2, 0)], [(2, 0), (2, 0), (2, 0), (2, 0)]]),
    ("zeros", False, [[(-5, -5), (-5, 5), (-10, -10), (-10, 10)], [(0, 0), (0, 0), (0, 0), (0, 0)]]),
    ("border", True, [[(0, 0), (0, 0), (2, 0), (2, 0)], [(0, 0), (0, 0), (2, 0), (2, 0)]]),
    ("border", False, [[(0, 0), (0, 0), (0, 0), (0, 0)], [(0, 0), (0, 0), (0, 0), (0, 0)]]),
]


@both_dtypes
@pytest.mark.parametrize(("padding_mode", "align_corners", "expected"), EDGE_GRADIENTS)
def test_known_gradients_on_the_edge(dtype, padding_mode, align_corners, expected):
    U = np.tile(np.arange(5, dtype=dtype), (1, 1, 5, 1))
    G = np.array([EDGE_GRID], dtype)
    _, (_, dG), _ = differentiate(
        sampler(("bilinear", padding_mode, align_corners)), U, G, cotangent=np.ones((1, 1, 2, 4), dtype)
    )
    np.testing.assert_allclose(dG[0], expected, rtol=0, atol={np.float32: 1e-5, np.float64: 1e-13}[dtype])


# ---- kinks -----------------------------------------------------------------------------------------------------------


def grid_of_pixels(xs, ys, size, align_corners):
    """A grid (1, h, w, 2) of all points (x, y), given in pixels; exact for sizes 3 and 5 (T) or 4 and 8 (F)."""
    G = np.empty((1, len(ys), len(xs), 2))
    G[0, :, :, 0] = oracles.to_normalised(np.asarray(xs, float), size[1], align_corners)
    G[0, :, :, 1] = oracles.to_normalised(np.asarray(ys, float)[:, None], size[0], align_corners)
    return G


@pytest.mark.parametrize(("size", "align_corners"), [((3, 5), True), ((4, 8), False)])
@every_padding
def test_derivative_at_integers_is_the_right_hand_one(size, align_corners, padding_mode):
    (U,) = normal(0, (1, 2, *size))
    outside = 2 if padding_mode == "zeros" else 0  # elsewhere the border is a kink of its own: see the next test
    xs, ys = np.arange(-outside, size[1] + outside), np.arange(-outside, size[0] + outside)
    if padding_mode != "zeros":
        xs, ys = xs[1:-1], ys[1:-1]
    G = grid_of_pixels(xs, ys, size, align_corners)
    sample = sampler(("bilinear", padding_mode, align_corners))
    V, (_, dG), dV = differentiate(sample, U, G)
    for axis in (0, 1):
        ahead = G.copy()
        ahead[..., axis] += 1 / 64
        slope = (sample(Tensor(U), Tensor(ahead)).data - V) * 64
        assert_close(dG[..., axis], (dV * slope).sum(axis=1), 1e-12, f"axis {axis}")
    _, _, expected = oracles.grid_sample(U, G, "bilinear", padding_mode, align_corners, dV=dV)
    assert_close(dG, expected, 1e-14)


@pytest.mark.parametrize(("size", "align_corners"), [((3, 5), True), ((4, 8), False)])
@pytest.mark.parametrize("padding_mode", ["border", "reflection"])
def test_derivative_on_the_border_is_zero(size, align_corners, padding_mode):
    (U,) = normal(0, (1, 1, *size))
    G = grid_of_pixels([0, size[1] - 1], [0, size[0] - 1], size, align_corners)
    V, (_, dG), _ = differentiate(sampler(("bilinear", padding_mode, align_corners)), U, G)
    np.testing.assert_array_equal(V[0, 0], U[0, 0][:: size[0] - 1, :: size[1] - 1])
    np.testing.assert_array_equal(dG, np.zeros(G.shape))


@both_alignments
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding_mode", ["border", "reflection"])
def test_the_border_of_a_row_whose_length_float32_has_not(mode, padding_mode, align_corners):
    row, G = np.zeros((1, 1, 1, 2**24 + 4), np.float32), np.float32([[[[-1, 0], [0, 0], [1, 0]]]])
    row[..., :6], row[..., -6:] = 2, 3  # the last pixel has no place of its own in float32, but a neighbour has
    V = sampler((mode, padding_mode, align_corners))(Tensor(row), Tensor(G)).data
    np.testing.assert_allclose(V.ravel(), [2, 0, 3], rtol=1e-6)


@both_alignments
@every_padding
def test_a_constant_image_has_no_slope_inside(align_corners, padding_mode):
    # Eq. 7 taken literally gives the constant at an integer, where one tent alone survives.
    inside = np.arange(0, 3.5, 0.5)
    G = grid_of_pixels(inside, inside, (5, 5), True) if align_corners else grid_of_pixels(inside, inside, (8, 8), False)
    U = np.full((1, 1, 5, 5) if align_corners else (1, 1, 8, 8), 7.0)
    V, (_, dG), _ = differentiate(sampler(("bilinear", padding_mode, align_corners)), U, G)
    np.testing.assert_array_equal(V, np.full(V.shape, 7.0))
    np.testing.assert_array_equal(dG, np.zeros(G.shape))


@every_option
@both_dtypes
def test_the_identity_grid_gives_the_image_back(mode, padding_mode, align_corners, dtype):
    (U,) = normal(0, (2, 3, 5, 4), dtype=dtype)
    identity = Tensor(np.tile(np.eye(2, 3, dtype=dtype), (2, 1, 1)))
    G = F.affine_grid(identity, U.shape, align_corners)
    V, (dU,), dV = differentiate(lambda U: F.grid_sample(U, G, mode, padding_mode, align_corners), U)
    tolerance = {np.float32: 1e-6, np.float64: 1e-15}[dtype]
    assert_close(V, U, 2 * tolerance)
    assert_close(dU, dV, 2 * tolerance)


@pytest.mark.parametrize(
    ("x", "pixel"),
    [(-0.5, 0), (0.5, 0), (1.5, 2), (2.5, 2), (3.5, 4), (4.5, 4), (5.5, 6), (6.5, 6), (7.5, None), (-0.75, None)],
)
def test_nearest_rounds_halves_to_the_even_pixel(x, pixel):
    U = np.arange(1.0, 9).reshape(1, 1, 1, 8)
    G = grid_of_pixels([x], [0], (1, 8), align_corners=False)
    V, (dU, dG), dV = differentiate(sampler(("nearest", "zeros", False)), U, G)
    expected_dU = np.zeros(8)
    if pixel is not None:
        expected_dU[pixel] = dV.item()
    assert V.item() == (0 if pixel is None else U[0, 0, 0, pixel])
    np.testing.assert_array_equal(dU[0, 0, 0], expected_dU)
    np.testing.assert_array_equal(dG, np.zeros(G.shape))


# ---- coordinates that are huge, infinite, or no numbers --------------------------------------------------------------


def sample_two_points(bad, axis, options, dtype, size=(3, 4)):
    """An image sampled at a point whose coordinate on one axis is `bad`, and at a good point next to it."""
    (U,) = normal(0, (1, 2, *size), dtype=dtype)
    G = np.full((1, 1, 2, 2), 0.3, dtype)
    G[0, 0, 0, axis] = bad
    V, (dU, dG), dV = differentiate(sampler(options), U, G)
    good, (good_dU, good_dG), _ = differentiate(sampler(options), U, G[:, :, 1:], cotangent=dV[..., 1:])
    np.testing.assert_array_equal(V[..., 1:], good)
    np.testing.assert_array_equal(dG[:, :, 1:], good_dG)
    return U, V[0, :, 0, 0], dU - good_dU, dG[0, 0, 0], dV[0, :, 0, 0]


@every_option
@both_dtypes
@both_axes
@both_sizes
def test_nan_gives_nan_and_touches_no_pixel(mode, padding_mode, align_corners, dtype, axis, size):
    _, V, dU, dG, _ = sample_two_points(np.nan, axis, (mode, padding_mode, align_corners), dtype, size)
    assert np.isnan(V).all() and np.isnan(dG).all()
    np.testing.assert_array_equal(dU, np.zeros(dU.shape))


@pytest.mark.parametrize(("mode", "padding_mode", "align_corners"), [o for o in EVERY_OPTION if o[1] != "border"])
@both_dtypes
@both_axes
@both_sizes
@pytest.mark.parametrize("bad", [np.inf, -np.inf])
def test_infinity_gives_nan_and_touches_no_pixel(mode, padding_mode, align_corners, dtype, axis, bad, size):
    _, V, dU, dG, _ = sample_two_points(bad, axis, (mode, padding_mode, align_corners), dtype, size)
    assert np.isnan(V).all() and np.isnan(dG).all()
    np.testing.assert_array_equal(dU, np.zeros(dU.shape))


HUGE = [1e30, -1e30, 2.0**31, -(2.0**31), 2.0**32, 2.0**63]
every_huge = pytest.mark.parametrize("bad", HUGE)


def assert_outside_of_zeros(bad, axis, mode, align_corners, dtype):
    _, V, dU, dG, _ = sample_two_points(bad, axis, (mode, "zeros", align_corners), dtype)
    np.testing.assert_array_equal(V, [0, 0])
    np.testing.assert_array_equal(dU, np.zeros(dU.shape))
    np.testing.assert_array_equal(dG, [0, 0])


def assert_at_the_border(bad, axis, mode, align_corners, dtype, size):
    options = mode, "border", align_corners
    U, V, dU, dG, dV = sample_two_points(bad, axis, options, dtype, size)
    border = np.full((1, 1, 1, 2), 0.3, dtype)
    border[..., axis] = np.sign(bad)
    expected, (expected_dU, expected_dG), _ = differentiate(
        sampler(options), U, border, cotangent=dV.reshape(1, 2, 1, 1)
    )
    np.testing.assert_array_equal(V, expected.ravel())
    assert_close(dU, expected_dU, 2 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(dG, expected_dG.ravel())
    assert dG[axis] == 0


def assert_mirrored_into_the_image(bad, axis, mode, align_corners, dtype, size):
    """Somewhere: the distance to the mirror is rounded to more than an image, so where exactly means nothing."""
    U, V, dU, dG, dV = sample_two_points(bad, axis, (mode, "reflection", align_corners), dtype, size)
    slack = 4 * np.finfo(dtype).eps
    assert (U.min() - slack <= V).all() and (U.max() + slack >= V).all()
    assert_close(dU.sum(axis=(0, 2, 3)), dV, slack)  # the weights of the pixels add up to 1
    assert np.isfinite(dG).all()


@both_modes
@both_alignments
@both_dtypes
@both_axes
@every_huge
def test_a_huge_coordinate_is_outside_and_gives_zero(mode, align_corners, dtype, axis, bad):
    assert_outside_of_zeros(bad, axis, mode, align_corners, dtype)


@both_modes
@both_alignments
@both_dtypes
@both_axes
@both_sizes
@pytest.mark.parametrize("bad", [*HUGE, np.inf, -np.inf])
def test_a_huge_or_infinite_coordinate_goes_to_the_border(mode, align_corners, dtype, axis, size, bad):
    assert_at_the_border(bad, axis, mode, align_corners, dtype, size)


@both_modes
@both_alignments
@both_dtypes
@both_axes
@both_sizes
@every_huge
def test_a_huge_coordinate_is_mirrored_into_the_image(mode, align_corners, dtype, axis, size, bad):
    assert_mirrored_into_the_image(bad, axis, mode, align_corners, dtype, size)


@both_modes
@both_alignments
@both_dtypes
@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_finite_coordinates_are_as_finite_as_others(mode, align_corners, dtype, sign):
    bad = sign * np.finfo(dtype).max  # in pixels it would overflow
    assert_at_the_border(bad, 0, mode, align_corners, dtype, (3, 4))
    assert_outside_of_zeros(bad, 0, mode, align_corners, dtype)
    assert_mirrored_into_the_image(bad, 0, mode, align_corners, dtype, (3, 4))


@every_option
def test_a_grid_all_of_bad_numbers_crashes_nothing(mode, padding_mode, align_corners):
    bad = np.array(
        [np.nan, np.inf, -np.inf, 1e30, -1e30, 3e38, 2.0**31, -(2.0**31), 2.0**63, -1.0, 1.0, 0.0], np.float32
    )
    G = np.array(list(itertools.product(bad, bad)), np.float32).reshape(1, 12, 12, 2)
    (U,) = normal(0, (1, 1, 3, 3), dtype=np.float32)
    V, (dU, dG), _ = differentiate(sampler((mode, padding_mode, align_corners)), U, G)
    has_nan = np.isnan(G).any(axis=-1)
    assert np.isnan(V[0, 0][has_nan[0]]).all() and np.isnan(dG[has_nan]).all()
    assert np.isfinite(dU).all()
    good = np.isfinite(G).all(axis=-1) & (np.abs(G) < 2).all(axis=-1)
    assert np.isfinite(V[0, 0][good[0]]).all() and np.isfinite(dG[good]).all()


# ---- the function ----------------------------------------------------------------------------------------------------


def test_defaults_are_bilinear_zeros_and_no_aligned_corners():
    U, G = (Tensor(x) for x in draw_arrays((1, 2, (4, 3), (3, 3)), False, seed=0))
    expected = F.grid_sample(U, G, mode="bilinear", padding_mode="zeros", align_corners=False).data
    np.testing.assert_array_equal(F.grid_sample(U, G).data, expected)


def test_each_sample_has_its_own_grid():
    U, G = draw_arrays((2, 1, (4, 4), (2, 3)), False, seed=0)
    together = F.grid_sample(Tensor(U), Tensor(G)).data
    for b in range(2):
        np.testing.assert_array_equal(
            F.grid_sample(Tensor(U[b : b + 1]), Tensor(G[b : b + 1])).data, together[b : b + 1]
        )


@every_option
def test_a_grid_without_points(mode, padding_mode, align_corners):
    U, G = np.ones((2, 1, 3, 3)), np.zeros((2, 0, 4, 2))
    V, (dU, dG), _ = differentiate(sampler((mode, padding_mode, align_corners)), U, G)
    assert V.shape == (2, 1, 0, 4) and dG.shape == G.shape
    np.testing.assert_array_equal(dU, np.zeros(U.shape))


@pytest.mark.parametrize(
    ("image", "grid", "message"),
    [
        ((3, 3), (1, 2, 2, 2), "input of shape (B, C, H, W), got (3, 3)"),
        ((2, 1, 3, 3), (2, 2, 2), "grid of shape (2, h, w, 2), got (2, 2, 2)"),
        ((2, 1, 3, 3), (2, 2, 2, 3), "grid of shape (2, h, w, 2), got (2, 2, 2, 3)"),
        ((2, 1, 3, 3), (1, 2, 2, 2), "grid of shape (2, h, w, 2), got (1, 2, 2, 2)"),
        ((2, 1, 0, 3), (2, 2, 2, 2), "images of at least one and fewer than 2^31 pixels, got (2, 1, 0, 3)"),
        ((2, 1, 3, 0), (2, 2, 2, 2), "images of at least one and fewer than 2^31 pixels, got (2, 1, 3, 0)"),
    ],
)
def test_ill_shaped_arguments_are_refused(image, grid, message):
    with refuses(ValueError, f"grid_sample: expected {message}"):
        F.grid_sample(Tensor(np.zeros(image)), Tensor(np.zeros(grid)))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"mode": "cubic"}, "mode to be one of bilinear, nearest, bicubic, got 'cubic'"),
        ({"mode": None}, "mode to be one of bilinear, nearest, bicubic, got None"),
        ({"padding_mode": "zero"}, "padding_mode to be one of zeros, border, reflection, got 'zero'"),
        ({"padding_mode": 0}, "padding_mode to be one of zeros, border, reflection, got 0"),
    ],
)
def test_unknown_modes_are_refused(option, message):
    with refuses(ValueError, f"grid_sample: expected {message}"):
        F.grid_sample(Tensor(np.zeros((1, 1, 2, 2))), Tensor(np.zeros((1, 1, 1, 2))), **option)


@pytest.mark.parametrize(("H", "W"), [(1, 1_431_655_764), (1, 2**31 - 1), (1_431_655_764, 1)])
def test_an_image_whose_places_need_more_than_32_bits_is_refused(H, W):
    image = Tensor._wrap(np.broadcast_to(np.float32(0), (1, 1, H, W)))
    with pytest.raises(ValueError, match="^grid_sample: expected fewer than 2.32 pixels with a ring of one round them"):
        F.grid_sample(image, Tensor(np.zeros((1, 1, 1, 2), np.float32)))
