"""The similarity: its description, done by SciPy, gives the picture that it hands on, on any shape."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from warped import SIZES, as_described, described, warp

from npstn.transformers import Similarity


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("parameters", [[0.5, 1, 0, 0], [-2.0, 0.6, 0.2, -0.1], [0.1, 1.7, -0.4, 0.3]])
def test_the_description_is_what_scipy_does_to_the_picture(rng, parameters, size):
    found = described(Similarity(), parameters, size)
    assert list(found) == ["angle_deg", "scale", "shift_x_px", "shift_y_px"]
    image = rng.random(size)
    assert_allclose(warp(Similarity(), parameters, image), as_described(image, **found), rtol=0, atol=1e-9)


@pytest.mark.parametrize("size", [(1, 5), (5, 1), (1, 1)])
def test_an_image_of_one_row_or_column_is_turned_as_any_other(size):
    assert described(Similarity(), [0.5, 1, 0, 0], size)["angle_deg"] == pytest.approx(np.rad2deg(0.5))


def test_its_numbers_are_those_of_the_grid():
    """Half a grid is twice the picture; a grid to the right moves the picture to the left."""
    found = described(Similarity(), [0.5, 0.5, 0.2, -0.1], (21, 41))
    wanted = {"angle_deg": 28.6479, "scale": 2.0, "shift_x_px": -0.2 * 20, "shift_y_px": 0.1 * 10}
    assert found == pytest.approx(wanted, abs=1e-4)
