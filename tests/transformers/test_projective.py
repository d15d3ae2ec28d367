"""The projective transformer: it takes lines to lines, and is described by its slope at the centre."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from warped import SIZES, described, warp

from npstn import Tensor
from npstn.transformers import Projective

PARAMETERS = [
    [1, 0, 0, 0, 1, 0, 0.3, 0],
    [0.9, 0.2, 0.1, -0.3, 1.1, 0.05, 0.2, -0.25],
    [-0.7, 0.6, 0.2, -0.4, -0.9, -0.1, 0, 0.4],
]


def mapped(p, x, y):
    """One point, by the matrix."""
    q = np.array([[p[0], p[1], p[2]], [p[3], p[4], p[5]], [p[6], p[7], 1]]) @ [x, y, 1]
    return q[:2] / q[2]


@pytest.mark.parametrize("p", PARAMETERS)
def test_each_pixel_reads_where_the_matrix_says(p):
    grid = Projective().grid(Tensor(np.array([p], float)), (5, 7)).data[0]
    for (i, y), (j, x) in ((r, c) for r in enumerate(np.linspace(-1, 1, 5)) for c in enumerate(np.linspace(-1, 1, 7))):
        assert_allclose(grid[i, j], mapped(p, x, y), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("p", PARAMETERS)
def test_the_description_is_that_of_the_centre(p, size):
    """The picture moves by the inverse of the grid's slope, in pixels; the slope is a difference."""
    half, step = (np.array(size[::-1]) - 1) / 2, 1e-6
    across = (mapped(p, step, 0) - mapped(p, -step, 0)) / (2 * step)
    down = (mapped(p, 0, step) - mapped(p, 0, -step)) / (2 * step)
    P = np.linalg.inv(np.stack([across, down], axis=1) * half[:, None] / half)
    found = described(Projective(), p, size)
    assert found["angle_deg"] == pytest.approx(np.rad2deg(np.arctan2(-P[1, 0], P[0, 0])), abs=1e-5)
    assert found["scale"] == pytest.approx(np.sqrt(abs(np.linalg.det(P))), rel=1e-6)
    assert found["shear"] == pytest.approx(P[:, 0] @ P[:, 1] / np.linalg.norm(P[:, 0]) / found["scale"], abs=1e-6)
    shift = -mapped(p, 0, 0) * half
    assert [found["shift_x_px"], found["shift_y_px"]] == pytest.approx(shift, abs=1e-9)
    assert [found["tilt_x"], found["tilt_y"]] == p[6:]


def test_a_tilt_makes_one_side_larger():
    """tilt_x > 0: the right side of the picture comes nearer; tilt_y > 0: the lower one."""
    image = np.zeros((41, 41))
    image[[10, 10, 30, 30], [10, 30, 10, 30]] = 1
    tilted = warp(Projective(), [1, 0, 0, 0, 1, 0, 0.3, 0], image)
    rows = np.abs(np.arange(41) - 20)[:, None]
    left, right = ((rows * part).sum() / part.sum() for part in (tilted[:, :20], tilted[:, 21:]))
    assert right > left + 2
    upright = warp(Projective(), [1, 0, 0, 0, 1, 0, 0, 0.3], image.T)
    assert_allclose(upright, tilted.T, atol=1e-12)


def test_a_horizon_within_the_image_is_no_error():
    grid = Projective().grid(Tensor(np.array([[1.0, 0, 0, 0, 1, 0, 2, 0]])), (5, 5)).data
    assert np.isfinite(grid[..., [0, 2, 3, 4], :]).all()  # q_2 = 1 + 2 x is zero at x = -1/2, the second column
    assert not np.isfinite(grid[..., 1, 0]).any()
