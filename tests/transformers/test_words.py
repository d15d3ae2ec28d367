"""Quantities in words."""

import pytest

from npstn.transformers.words import changes_in_words, in_words, label


@pytest.mark.parametrize(
    ("name", "whose", "wanted"),
    [
        ("angle_deg", "", "angle (°)"),
        ("shift_x_px", "of the transformer", "shift x of the transformer (px)"),
        ("scale", "of the distortion", "scale of the distortion"),
        ("2.angle_deg", "", "2. angle (°)"),  # of the second of several transformers
        ("degree", "", "degree"),
    ],
)
def test_labels(name, whose, wanted):
    assert label(name, whose) == wanted


@pytest.mark.parametrize(
    ("quantities", "wanted"),
    [
        ({}, ""),
        ({"angle_deg": 30.2}, "angle +30°"),
        ({"angle_deg": -0.2}, "angle +0°"),  # no -0
        ({"angle_deg": float("nan")}, "angle +nan°"),
        ({"scale": 1.23456, "shift_x_px": -3.0}, "scale 1.23, shift x −3 px"),
        ({"scale": -0.5}, "scale −0.5"),
    ],
)
def test_values(quantities, wanted):
    assert in_words(quantities) == wanted


@pytest.mark.parametrize(
    ("quantities", "wanted"),
    [
        ({"angle_deg": 2.96}, "angle +3°"),
        ({"angle_deg": -2.84, "scale": 0.0123}, "angle −2.8°, scale +0.012"),
        ({"shift_y_px": -0.0}, "shift y +0 px"),
    ],
)
def test_changes(quantities, wanted):
    assert changes_in_words(quantities) == wanted
