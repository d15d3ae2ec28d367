"""Attention: its description, done by SciPy, gives the picture that it hands on, on any shape."""

import pytest
from numpy.testing import assert_allclose
from warped import SIZES, as_described, described, warp

from npstn.transformers import Attention


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("parameters", [[0.5, 0, 0], [0.6, 0.2, -0.1], [1.7, -0.4, 0.3]])
def test_the_description_is_what_scipy_does_to_the_picture(rng, parameters, size):
    found = described(Attention(), parameters, size)
    assert list(found) == ["scale", "shift_x_px", "shift_y_px"]
    image = rng.random(size)
    assert_allclose(warp(Attention(), parameters, image), as_described(image, **found), rtol=0, atol=1e-9)


def test_it_crops_and_enlarges(rng):
    """Half the grid, shifted to the right lower quarter: its corner pixels are those of the crop."""
    image = rng.random((9, 9))
    out = warp(Attention(), [0.5, 0.5, 0.5], image)
    assert_allclose(out[::2, ::2], image[4:, 4:], rtol=0, atol=1e-12)
    assert described(Attention(), [0.5, 0.5, 0.5], (9, 9)) == {"scale": 2, "shift_x_px": -2, "shift_y_px": -2}
