"""Few points of a large image are read from the image, and with the same bits as from a copy of it."""

import itertools
import time

import numba
import numpy as np
import oracles
import pytest
from finite_differences import differentiate
from numpy.testing import assert_allclose, assert_array_equal

import npstn.functional as F
from npstn import Tensor
from npstn.ops.grid_sample import FEW, NEAR

if numba.config.DISABLE_JIT:  # NumPy warns where compiled code is silent
    pytestmark = pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")

H, W, COUNT = 41, 53, 30
OPTIONS = list(itertools.product(["bilinear", "nearest"], ["zeros", "border", "reflection"], [True, False]))
every_option = pytest.mark.parametrize(("mode", "padding_mode", "align_corners"), OPTIONS)


def few_points(rng, dtype):
    """A batch of two images, and COUNT points in each: inside, on edges and corners, several in one pixel, outside."""
    assert FEW * COUNT < H * W < FEW * 3 * COUNT
    U = rng.standard_normal((2, 3, H, W)).astype(dtype)
    G = rng.uniform(-1.2, 1.2, (2, 1, COUNT, 2)).astype(dtype)
    G[:, 0, :9] = list(itertools.product((-1, 0, 1), repeat=2))
    G[0, 0, 9:13] = [[0.31, 0.32], [0.311, 0.32], [0.31, 0.321], [0.31, 0.32]]
    G[1, 0, 9:13] = [[-1 + 1 / W, 0], [1 - 1 / W, 0], [0, 1 + 1 / H], [1e30, 0]]
    return U, G


@every_option
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_bits_are_those_of_many_points(rng, mode, padding_mode, align_corners, dtype):
    """Points that are far outside make them many; with padding, they have a gradient of 0.

    The sums of dU have another order.
    """
    U, G = few_points(rng, dtype)
    far = np.full((2, 1, 2 * COUNT, 2), 1e6, dtype)

    def read(grid, dV):
        image, points = Tensor(U, requires_grad=True), Tensor(grid, requires_grad=True)
        V = F.grid_sample(image, points, mode, padding_mode, align_corners)
        V.backward(dV)
        return V.data[..., :COUNT], image.grad, points.grad[:, :, :COUNT]

    dV = rng.standard_normal((2, 3, 1, COUNT)).astype(dtype)
    few = read(G, dV)
    many = read(np.concatenate([G, far], axis=2), np.concatenate([dV, np.zeros((2, 3, 1, 2 * COUNT), dtype)], axis=3))
    for result, ours, theirs in zip(("V", "dU", "dG"), few, many, strict=True):
        if result == "dU":
            assert_allclose(ours, theirs, rtol=0, atol=4 * np.finfo(dtype).eps)
        else:
            assert_array_equal(ours, theirs)


@every_option
def test_few_points_against_the_formula(rng, mode, padding_mode, align_corners):
    U, G = few_points(rng, np.float64)
    G[1, 0, 12] = 1.4, 3.3  # the mirrors of the formula are walked one by one
    V = F.grid_sample(Tensor(U), Tensor(G), mode, padding_mode, align_corners).data
    assert_allclose(V, oracles.grid_sample(U, G, mode, padding_mode, align_corners), rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("side, points", [(30, 900), (30, 20), (362, 4600), (363, 4600), (363, 4000)])
def test_the_gradient_of_an_image_is_the_adjoint(rng, mode, side, points):
    """In two planes, in the image, and in one plane. V is linear in U: <dV, V(X)> = <dU, X> for any X."""
    assert (362**2 <= NEAR < 363**2) and 4000 * FEW < 363**2 < 4600 * FEW
    U, X = rng.standard_normal((2, 2, 3, side, side))
    G = rng.uniform(-1.1, 1.1, (2, points // 10, 10, 2))
    G[:, : points // 20] = 0.1 * G[:, : points // 20]  # several in one pixel
    dV = rng.standard_normal((2, 3, points // 10, 10))
    _, (dU,), _ = differentiate(lambda U: F.grid_sample(U, Tensor(G), mode), U, cotangent=dV)
    V = F.grid_sample(Tensor(X), Tensor(G), mode).data
    assert_allclose((dU * X).sum(), (dV * V).sum(), rtol=0, atol=1e-11)


def test_not_a_number_among_few_points(rng):
    U, G = few_points(rng, np.float64)
    G[0, 0, 4, 0], G[1, 0, 5, 1] = np.nan, np.inf
    V, (dU, dG), _ = differentiate(lambda U, G: F.grid_sample(U, G, align_corners=True), U, G)
    assert np.isnan(V[0, :, 0, 4]).all() and np.isnan(V[1, :, 0, 5]).all()
    assert np.isnan(V).sum() == 6 and np.isnan(dG).sum() == 4 and np.isfinite(dU).all()


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="plain Python is slow in other places")
@pytest.mark.usefixtures("one_thread")
def test_a_point_costs_itself_and_not_the_image(rng):
    """Sixteen times the image takes not even four times as long; a copy would take sixteen times as long."""
    G = Tensor(rng.uniform(-1, 1, (1, 1, 20, 2)).astype(np.float32))
    images = [Tensor(np.zeros((1, 1, side, side), np.float32)) for side in (1000, 4000)]
    best = [np.inf, np.inf]
    for turn in range(40):
        for k, image in enumerate(images):
            start = time.perf_counter()
            F.grid_sample(image, G, align_corners=True)
            best[k] = min(best[k], time.perf_counter() - start)
    assert best[1] < 4 * best[0]
