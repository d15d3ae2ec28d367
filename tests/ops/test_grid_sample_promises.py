"""What the sampler promises alike of images and of volumes, at places where libraries differ (see docs/elsewhere.md).

NaN, infinite and far coordinates; gradients at the edges, where an identity start puts them; arguments left alone.
"""

import itertools
from fractions import Fraction

import numba
import numpy as np
import oracles
import pytest
from assertions import assert_close
from finite_differences import differentiate

import npstn.functional as F
from npstn import Tensor

if numba.config.DISABLE_JIT:  # NumPy warns where compiled code is silent
    pytestmark = pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")

PADDINGS = ["zeros", "border", "reflection"]
EVERY_OPTION = [
    *itertools.product(["bilinear", "nearest"], PADDINGS, [True, False], [2, 3]),
    *itertools.product(["bicubic"], PADDINGS, [True, False], [2]),
]
every_option = pytest.mark.parametrize(("mode", "padding_mode", "align_corners", "dimensions"), EVERY_OPTION)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
both_alignments = pytest.mark.parametrize("align_corners", [True, False])
every_padding = pytest.mark.parametrize("padding_mode", PADDINGS)
images_and_volumes = pytest.mark.parametrize("dimensions", [2, 3])


def read_at(bad, axis, options, dimensions, dtype, pixel=False):
    """V, dU and dG of a point with one coordinate `bad`, and the image; `pixel`: the image is one pixel."""
    rng = np.random.default_rng(0)
    U = rng.standard_normal((1, 2, *([1] * dimensions if pixel else (3, 4, 5)[:dimensions]))).astype(dtype)
    G = np.full((*[1] * (dimensions + 1), dimensions), 0.3, dtype)
    G[..., axis] = bad
    V, (dU, dG), _ = differentiate(lambda U, G: F.grid_sample(U, G, *options), U, G)
    return V.ravel(), dU, dG.ravel(), U


@every_option
@both_dtypes
@pytest.mark.parametrize("pixel", [False, True])
def test_nan_gives_nan_and_touches_no_pixel(mode, padding_mode, align_corners, dimensions, dtype, pixel):
    options = mode, padding_mode, align_corners
    for axis in range(dimensions):
        V, dU, dG, _ = read_at(np.nan, axis, options, dimensions, dtype, pixel)
        assert np.isnan(V).all() and np.isnan(dG).all()
        np.testing.assert_array_equal(dU, np.zeros(dU.shape))


@every_option
@both_dtypes
def test_infinity_gives_nan_unless_there_is_a_border(mode, padding_mode, align_corners, dimensions, dtype):
    options = mode, padding_mode, align_corners
    for axis, bad in itertools.product(range(dimensions), (np.inf, -np.inf)):
        V, dU, dG, _ = read_at(bad, axis, options, dimensions, dtype)
        if padding_mode == "border":
            at_border = read_at(np.sign(bad) * 100, axis, options, dimensions, dtype)
            assert_close(V, at_border[0], 1e-6)
            assert_close(dU, at_border[1], 1e-6)
            assert abs(dG[axis]) < 1e-5 and np.isfinite(dG).all()
        else:
            assert np.isnan(V).all() and np.isnan(dG).all()
            np.testing.assert_array_equal(dU, np.zeros(dU.shape))


@every_option
@both_dtypes
@pytest.mark.parametrize("far", [9.0, 2.0**20 + 0.25, 2.0**24, 2.0**31, 2.0**63, 1e30, "largest"])
def test_far_finite_points_are_read_as_exactly_as_near_ones(
    mode, padding_mode, align_corners, dimensions, dtype, far
):
    """Zeros outside, or the border; a reflection is where exact fractions say: mirror images repeat after 4."""
    options = mode, padding_mode, align_corners
    far = np.finfo(dtype).max if far == "largest" else far
    for axis, bad in itertools.product(range(dimensions), (far, -far)):
        V, dU, dG, _ = read_at(bad, axis, options, dimensions, dtype)
        if padding_mode == "zeros":
            np.testing.assert_array_equal(V, np.zeros(2))
            np.testing.assert_array_equal(dU, np.zeros(dU.shape))
            np.testing.assert_array_equal(dG, np.zeros(dG.shape))
        elif padding_mode == "border":
            near = read_at(np.sign(bad) * 3, axis, options, dimensions, dtype)
            tolerance = 1e-5 if mode == "bicubic" else 0  # its four weights add up to 1 but for rounding
            np.testing.assert_allclose(V, near[0], rtol=0, atol=tolerance)
            assert abs(dG[axis]) <= tolerance
        else:
            near = read_at(float(Fraction(float(bad)) % 4), axis, options, dimensions, dtype)
            for there, here in zip((V, dU, dG), near[:3], strict=True):
                assert_close(there, here, 1e-5)


def at_places(size, align_corners, *, outside):
    """The grid of all points at the centres of pixels; `outside`: at the edges and one pixel beyond them instead."""
    places = [np.array([-1, 0, n - 1, n]) if outside else np.arange(n) for n in reversed(size)]
    axes = [oracles.to_normalised(x, n, align_corners) for x, n in zip(places, reversed(size), strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)[None]


@every_padding
@both_alignments
@images_and_volumes
@pytest.mark.parametrize("outside", [False, True], ids=["identity", "edges"])
def test_gradients_are_those_of_the_forward_at_every_edge_and_corner(padding_mode, align_corners, dimensions, outside):
    """An identity start puts every point on a kink. The slope given there is one that the forward has on a side.

    That is the right-hand one with "zeros", and 0 on the border itself with the two others. Where a mirror stands at a
    pixel's centre, the two slopes are opposite, and 0 lies between them.
    """
    size = ((3, 5, 9) if align_corners else (2, 4, 8))[-dimensions:]  # all coordinates are exact
    U = np.random.default_rng(0).standard_normal((1, 2, *size))
    G = at_places(size, align_corners, outside=outside)

    def sample(U, G):
        return F.grid_sample(U, G, padding_mode=padding_mode, align_corners=align_corners)

    V, (dU, dG), dV = differentiate(sample, U, G)
    for axis in range(dimensions):
        step = np.zeros(dimensions)
        step[axis] = 1 / 64
        right = (dV * (sample(Tensor(U), Tensor(G + step)).data - V)).sum(axis=1) * 64
        left = (dV * (V - sample(Tensor(U), Tensor(G - step)).data)).sum(axis=1) * 64
        given = dG[..., axis]
        if padding_mode == "zeros":
            assert_close(given, right, 1e-11)
        else:
            opposite = np.abs(left + right) < 1e-11
            distance = np.minimum(np.abs(given - left), np.abs(given - right))
            assert np.where(opposite, np.abs(given) - np.abs(left), distance).max() < 1e-11
    for pixel in itertools.product(*({0, n - 1} for n in size)):  # V is linear in U: one step is exact
        changed = U.copy()
        changed[(0, 0, *pixel)] += 1
        assert_close(dU[(0, 0, *pixel)], (dV * (sample(Tensor(changed), Tensor(G)).data - V)).sum(), 1e-13)


@every_padding
@both_alignments
@images_and_volumes
def test_an_identity_start_learns_along_the_slopes_of_its_own_loss(padding_mode, align_corners, dimensions):
    """The gradient of a shift in theta is the sum of the points' gradients, none of them from another padding."""
    size = ((5, 9) if align_corners else (4, 8)) if dimensions == 2 else ((3, 5, 9) if align_corners else (2, 4, 8))
    U = np.random.default_rng(1).standard_normal((1, 1, *size))
    theta = np.eye(dimensions, dimensions + 1)[None]

    def warp(theta):
        grid = F.affine_grid(theta, U.shape, align_corners)
        return F.grid_sample(Tensor(U), grid, padding_mode=padding_mode, align_corners=align_corners)

    V, (dtheta,), dV = differentiate(warp, theta)
    for r in range(dimensions):
        moved = [theta.copy(), theta.copy()]
        moved[0][0, r, -1] += 1 / 64
        moved[1][0, r, -1] -= 1 / 64
        right, left = (dV * (warp(Tensor(moved[0])).data - V)) * 64, (dV * (V - warp(Tensor(moved[1])).data)) * 64
        least, most = np.minimum(left, right).sum(), np.maximum(left, right).sum()
        assert least - 1e-11 <= dtheta[0, r, -1] <= most + 1e-11


@images_and_volumes
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_arrays_that_the_caller_keeps_are_never_changed(dimensions, mode):
    rng = np.random.default_rng(0)
    kept = [rng.standard_normal((2, 2, *[3] * dimensions)), rng.standard_normal((2, dimensions, dimensions + 1))]
    U, theta = (Tensor(array, requires_grad=True) for array in kept)
    before = [tensor.data.copy() for tensor in (U, theta)]
    results = []
    for _ in range(2):
        grid = F.affine_grid(theta, (2, 2, *[4] * dimensions), align_corners=True)
        grid_before = grid.data.copy()
        V = F.grid_sample(U, grid, mode=mode, padding_mode="reflection", align_corners=True)
        V.sum().backward()
        np.testing.assert_array_equal(grid.data, grid_before)
        results.append(V.data)
    np.testing.assert_array_equal(*results)
    for tensor, array, copy in zip((U, theta), kept, before, strict=True):
        np.testing.assert_array_equal(tensor.data, copy)
        np.testing.assert_array_equal(array, copy)
