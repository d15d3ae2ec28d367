"""Digits bent by a spline: the truth, and the bending undone by another spline."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.interpolate import griddata
from undoing import likeness, read_at, recorded, source

from npstn.tasks import E, elastic
from npstn.transformers import Tps


@pytest.fixture
def bent(monkeypatch):
    """(the task, its test set, the grid at which it read its images)"""
    grids = recorded(monkeypatch, elastic)
    task = E(source(), seed=4)
    return task, task.test(), grids[0]


def test_a_spline_brings_the_digits_back(bent):
    """Each control point looks where the distortion has put it, which the grid tells."""
    task, test, grid = bent
    spline = Tps(grid_size=4, span=0.7)
    z = np.stack(np.meshgrid(np.linspace(-1, 1, 28), np.linspace(-1, 1, 28)), axis=2).reshape(-1, 2)
    points = np.array([griddata(G.reshape(-1, 2), z, spline.control_points) for G in grid[:12]])
    assert np.isfinite(points).all()
    undone = read_at(spline, points.reshape(-1, 32), test.images[:12], (28, 28))
    upright = task.source.test[0][:12, None] / 255
    assert np.median(likeness(undone, upright)) > 0.9 > 0.85 > np.median(likeness(test.images[:12], upright))


def test_the_truth_is_the_slope_of_the_grid_at_the_centre(bent):
    _, test, grid = bent
    middle = grid[:, 13:15, 13:15]
    across = (middle[:, :, 1] - middle[:, :, 0]).mean(axis=1) * 13.5
    down = (middle[:, 1] - middle[:, 0]).mean(axis=1) * 13.5
    P = np.linalg.inv(np.stack([across, down], axis=2))  # the picture moves against the grid
    assert_allclose(test.truth["angle_deg"], np.rad2deg(np.arctan2(-P[:, 1, 0], P[:, 0, 0])), atol=0.3)
    assert_allclose(test.truth["scale"], np.sqrt(np.linalg.det(P)), rtol=0.01)


def test_without_moves_of_its_points_it_is_a_scale():
    test = E(source(), bend=0).test()
    assert_allclose(test.truth["angle_deg"], 0, atol=1e-4)
    assert test.truth["scale"].min() >= 0.75 - 1e-6 and test.truth["scale"].max() <= 1 + 1e-6


def test_the_points_move_by_as_many_pixels_as_they_should(monkeypatch):
    """A control point at the corner of the image is a pixel: the grid there is the scaled corner and its move."""
    grids = recorded(monkeypatch, elastic)
    E(source(np.zeros((800, 28, 28), np.uint8), np.zeros(800, int)), bend=3).test()
    corners = grids[0][:, [0, 0, -1, -1], [0, -1, -1, 0]] * 13.5
    opposite = (corners[:, 0] + corners[:, 2]) / 2  # the scale drops out; two moves, and 1 / scale times both
    inverse_square = 1 / (0.75 * 1.0)  # the mean of 1 / s^2 for s uniform in 0.75 .. 1
    assert opposite.std() == pytest.approx(3 * np.sqrt(inverse_square / 2), rel=0.05)
    assert abs(opposite.mean()) < 0.3
