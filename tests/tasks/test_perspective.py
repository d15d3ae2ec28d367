"""Digits under a projective map: the four corners, the truth, and the map undone."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from undoing import likeness, read_at, recorded, source

from npstn.tasks import P, perspective
from npstn.tasks.perspective import CORNERS, convex, homographies
from npstn.transformers import Projective


def test_homographies_take_points_to_points(rng):
    before, after = CORNERS + rng.normal(0, 0.3, (2, 5, 4, 2))
    for p, sources, targets in zip(homographies(before, after), before, after, strict=True):
        q = np.c_[sources, np.ones(4)] @ np.r_[p, 1].reshape(3, 3).T
        assert_allclose(q[:, :2] / q[:, 2:], targets, atol=1e-9)


def test_convex():
    crossed = CORNERS[[0, 2, 1, 3]]
    dented = CORNERS.astype(float)
    dented[2] = -0.5, -0.5
    assert convex(np.stack([CORNERS, CORNERS * 0.1 + 3, crossed, dented, CORNERS[::-1]])).tolist() == [
        True,
        True,
        False,
        False,
        False,  # mirrored
    ]


@pytest.fixture
def distorted(monkeypatch):
    """(the task, its test set, the homographies (B, 3, 3) at which it read its images)"""
    grids = recorded(monkeypatch, perspective)
    task = P(source(), seed=4)
    test = task.test()
    (grid,) = grids
    places = CORNERS * 7 / 27  # of the pixels 10 and 17: near the centre, far from any horizon
    read = grid[:, [10, 10, 17, 17], [10, 17, 17, 10]]
    p = homographies(np.broadcast_to(places, read.shape), read)
    H = np.concatenate([p, np.ones((len(p), 1))], axis=1).reshape(-1, 3, 3)
    return task, test, H


def test_the_inverse_map_brings_the_digits_back(distorted):
    task, test, H = distorted
    back = np.linalg.inv(H)
    back /= back[:, 2:, 2:]
    undone = read_at(Projective(), back.reshape(-1, 9)[:, :8], test.images, (28, 28))
    upright = task.source.test[0][:, None] / 255
    assert np.median(likeness(undone, upright)) > 0.95 > 0.8 > np.median(likeness(test.images, upright))


def test_the_truth_is_that_of_the_digits_centre(distorted):
    """By differences: where the neighbours of the source's centre come to lie in the distorted image.

    What takes them back turns the axis x by some angle; the truth is its negative.
    """
    task, test, H = distorted
    step = 1e-5
    for b, back in enumerate(np.linalg.inv(H)):
        right, left, low, high = (
            (back @ [x, y, 1])[:2] / (back @ [x, y, 1])[2]
            for x, y in ((step, 0), (-step, 0), (0, step), (0, -step))
        )
        slope = np.stack([right - left, low - high], axis=1) / (2 * step)
        undoing = np.linalg.inv(slope)
        angle = np.rad2deg(np.arctan2(-undoing[1, 0], undoing[0, 0]))
        assert test.truth["angle_deg"][b] == pytest.approx(-angle, abs=0.02)
        assert test.truth["scale"][b] == pytest.approx(np.sqrt(np.linalg.det(slope)), rel=1e-3)


def test_without_moves_of_the_corners_it_is_a_scale():
    test = P(source(), corners=0).test()
    assert_allclose(test.truth["angle_deg"], 0, atol=1e-4)
    assert test.truth["scale"].min() >= 0.75 and test.truth["scale"].max() <= 1
    assert np.ptp(test.truth["scale"]) > 0.2


def test_the_corners_move_by_as_many_pixels_as_they_should(monkeypatch):
    grids = recorded(monkeypatch, perspective)
    images = np.zeros((1000, 28, 28), np.uint8)
    P(source(images, np.zeros(1000, int)), corners=2).test()
    corners = grids[0][:, [0, 0, -1, -1], [0, -1, -1, 0]]
    back = homographies(corners, np.broadcast_to(CORNERS, corners.shape))  # from the source to the distorted image
    q = np.einsum("brk,ck->bcr", np.c_[back, np.ones(1000)].reshape(-1, 3, 3), np.c_[CORNERS, np.ones(4)])
    moved = (q[..., :2] / q[..., 2:]) * CORNERS * 13.5  # pixels outwards: 13.5 times the scale, and the move
    assert moved.mean() == pytest.approx(13.5 * 0.875, rel=0.02)
    spread = np.hypot(2, 13.5 * 0.25 / np.sqrt(12))
    assert moved.std() == pytest.approx(spread, rel=0.05)


def test_the_strongest_moves_are_drawn_again_until_nothing_folds():
    test = P(source(), corners=20).test()
    assert np.isfinite(test.images).all() and test.images.max() <= 1 + 1e-5
    assert all(np.isfinite(values).all() for values in test.truth.values())
