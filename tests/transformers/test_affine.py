"""The affine transformer: its description, done by SciPy, gives the picture that it hands on."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from warped import SIZES, as_described, described, matrix, warp

from npstn.transformers import Affine
from npstn.transformers.affine import describe_affine

MAPS = [
    {"angle_deg": 30.0, "scale": 1.0, "shear": 0.0, "shift_x_px": 0.0, "shift_y_px": 0.0},
    {"angle_deg": 0.0, "scale": 1.5, "shear": 0.0, "shift_x_px": 3.0, "shift_y_px": 0.0},
    {"angle_deg": 0.0, "scale": 1.0, "shear": 0.4, "shift_x_px": 0.0, "shift_y_px": -2.5},
    {"angle_deg": -120.0, "scale": 0.8, "shear": -0.3, "shift_x_px": 1.3, "shift_y_px": 4.1},
]


def parameters_of(found, size):
    """The parameters of a map that is told in words: from output to input, in normalised coordinates."""
    half = (np.array(size[::-1]) - 1) / 2
    P = matrix(found["angle_deg"], found["scale"], found["shear"])
    A, t = np.linalg.inv(P), -np.array([found["shift_x_px"], found["shift_y_px"]])
    return np.c_[A * half / half[:, None], t / half].ravel()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("wanted", MAPS)
def test_the_description_is_what_scipy_does_to_the_picture(rng, wanted, size):
    parameters = parameters_of(wanted, size)
    found = described(Affine(), parameters, size)
    assert found == pytest.approx(wanted, abs=1e-9)
    image = rng.random(size)
    assert_allclose(warp(Affine(), parameters, image), as_described(image, **found), rtol=0, atol=1e-9)


def middle_of(picture):
    """Where the light of a picture is: (x, y) in pixels from its centre."""
    h, w = picture.shape
    y, x = np.indices(picture.shape)
    return np.array([(x * picture).sum(), (y * picture).sum()]) / picture.sum() - [(w - 1) / 2, (h - 1) / 2]


def test_a_person_sees_what_is_described():
    """A spot to the right goes up where the angle is positive; farther out where the scale is above 1; and so on."""
    image = np.zeros((61, 61))
    image[29:32, 39:42] = 1  # ten pixels right of the centre
    straight = {"angle_deg": 0.0, "scale": 1.0, "shear": 0.0, "shift_x_px": 0.0, "shift_y_px": 0.0}

    def place(**changes):
        return middle_of(warp(Affine(), parameters_of({**straight, **changes}, (61, 61)), image))

    assert_allclose(place(), [10, 0], atol=1e-9)
    assert_allclose(place(angle_deg=90), [0, -10], atol=1e-9)
    assert_allclose(place(scale=2), [20, 0], atol=0.1)
    assert_allclose(place(shift_x_px=5), [15, 0], atol=1e-9)
    assert_allclose(place(shift_y_px=5), [10, 5], atol=1e-9)
    assert_allclose(place(shift_x_px=-5, scale=2), [10, 0], atol=0.1)  # shifted first


def test_a_map_that_flattens_the_picture_has_no_scale():
    found = Affine().describe(np.array([[1.0, 1, 0.5, 1, 1, 0], [1, 0, 0, 0, 1, 0]]), (21, 21))
    assert found["scale"][0] == np.inf and found["scale"][1] == 1
    assert found["shift_x_px"].tolist() == [-5, 0]


def test_a_mirrored_picture():
    found = describe_affine(np.array([[[-1.0, 0], [0, 1]]]), np.zeros((1, 2)), (5, 5))
    assert found["scale"].item() == 1 and abs(found["angle_deg"].item()) == 180
