"""The thin-plate spline as a transformer, against SciPy's interpolator, and its bending against an integral."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.interpolate import RBFInterpolator
from warped import SIZES, described

from npstn import Tensor
from npstn.transformers import Tps


def moved(spline, rng, spread=0.1):
    """Parameters that move each control point by some way."""
    return spline.identity + rng.normal(0, spread, spline.identity.shape)


def interpolator(spline, parameters):
    points = np.reshape(np.tanh(parameters) if spline.bounded else parameters, (-1, 2))
    return RBFInterpolator(spline.control_points, points, kernel="thin_plate_spline", degree=1)


SPLINES = [Tps(), Tps(grid_size=3, span=0.6), Tps(grid_size=2), Tps(bounded=1)]


def test_the_control_points_are_a_regular_grid_row_by_row():
    points = Tps(grid_size=3, span=0.5).control_points
    wanted = [(x, y) for y in (-0.5, 0, 0.5) for x in (-0.5, 0, 0.5)]
    assert_allclose(points, wanted)
    assert Tps().control_points.shape == (16, 2) and np.abs(Tps().control_points).max() == 0.9


@pytest.mark.parametrize("spline", SPLINES, ids=lambda spline: str(spline.chosen))
def test_the_grid_is_scipys_spline(spline, rng):
    parameters = moved(spline, rng)
    x, y = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(-1, 1, 6))
    wanted = interpolator(spline, parameters)(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(6, 9, 2)
    assert_allclose(spline.grid(Tensor(parameters[None]), (6, 9)).data[0], wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("spline", SPLINES, ids=lambda spline: str(spline.chosen))
def test_the_description_is_that_of_the_centre(spline, size, rng):
    parameters = moved(spline, rng)
    f, half, step = interpolator(spline, parameters), (np.array(size[::-1]) - 1) / 2, 1e-5
    across, down = ((f([way]) - f([-np.array(way)]))[0] / (2 * step) for way in ([step, 0], [0, step]))
    P = np.linalg.inv(np.stack([across, down], axis=1) * half[:, None] / half)
    found = described(spline, parameters, size)
    assert found["angle_deg"] == pytest.approx(np.rad2deg(np.arctan2(-P[1, 0], P[0, 0])), abs=1e-3)
    assert found["scale"] == pytest.approx(np.sqrt(np.linalg.det(P)), rel=1e-5)
    shift = -f([[0.0, 0.0]])[0] * half
    assert [found["shift_x_px"], found["shift_y_px"]] == pytest.approx(shift, abs=1e-6)


def bending_by_integration(spline, parameters):
    """The integral of f_xx^2 + 2 f_xy^2 + f_yy^2 over a region that is large: sinh stretches a grid of midpoints.

    U(r) = r^2 ln r has U_xx = 2 ln r + 1 + 2 x^2 / r^2 and U_xy = 2 x y / r^2.
    """
    c, K = spline.control_points, len(spline.control_points)
    r2 = ((c[:, None] - c) ** 2).sum(axis=2)
    L = np.zeros((K + 3, K + 3))
    L[:K, :K] = np.where(r2 > 0, r2 * np.log(np.where(r2 > 0, r2, 1)) / 2, 0)
    L[:K, K:] = np.c_[np.ones(K), c]
    L[K:, :K] = L[:K, K:].T
    w = np.linalg.solve(L, np.r_[np.reshape(parameters, (K, 2)), np.zeros((3, 2))])[:K]
    u = (np.arange(800) + 0.5) / 800 * 10 - 5
    x, y = np.meshgrid(np.sinh(u), np.sinh(u))
    area = np.outer(np.cosh(u), np.cosh(u)) * (u[1] - u[0]) ** 2
    dx, dy = x[..., None] - c[:, 0], y[..., None] - c[:, 1]
    r2 = dx**2 + dy**2
    xx, yy, xy = np.log(r2) + 1 + 2 * dx**2 / r2, np.log(r2) + 1 + 2 * dy**2 / r2, 2 * dx * dy / r2
    squares = sum((second @ w) ** 2 * times for second, times in ((xx, 1), (yy, 1), (xy, 2)))
    return (squares.sum(axis=2) * area).sum()


@pytest.mark.parametrize("spline", [Tps(grid_size=2), Tps(grid_size=3, span=0.7)], ids=["2 x 2", "3 x 3"])
def test_the_bending_is_the_integral_of_the_squared_second_derivatives(spline, rng):
    parameters = moved(spline, rng, spread=0.3)
    wanted = bending_by_integration(spline, parameters)
    assert wanted > 0.1
    assert described(spline, parameters, (9, 9))["bending"] == pytest.approx(wanted, rel=1e-2)


@pytest.mark.parametrize("grid_size", [2, 4, 16])
def test_an_affine_move_bends_nothing(grid_size, rng):
    spline = Tps(grid_size=grid_size)
    points = spline.control_points @ rng.normal(size=(2, 2)) + rng.normal(size=2)
    assert described(spline, points.ravel(), (9, 9))["bending"] == pytest.approx(0, abs=1e-8)


def test_bounded_points_stay_inside(rng):
    """With a span of 1 the corner pixels are control points: there the grid is where the points are."""
    far = rng.normal(0, 100, (3, 8))
    bounded, free = (Tps(grid_size=2, span=1.0, bounded=b).grid(Tensor(far), (2, 2)).data for b in (1, 0))
    assert np.abs(bounded).max() <= 1 + 1e-12
    assert_allclose(free.reshape(3, 8), far, rtol=1e-9)
    assert_allclose(bounded.reshape(3, 8), np.tanh(far), rtol=0, atol=1e-12)


def test_bounded_points_at_the_edge_start_just_inside():
    """No number has a hyperbolic tangent of 1."""
    spline = Tps(span=1.0, bounded=1)
    grid = spline.grid(Tensor(spline.identity[None].astype(float)), (4, 4)).data[0]
    assert np.abs(grid[..., 0] - np.linspace(-1, 1, 4)).max() == pytest.approx(1e-3, rel=1e-3)
