"""draw_digits: its contract, the format of MNIST, how hands differ, and the ink against a naive oracle."""

import numpy as np
import pytest
from scipy import ndimage

from npstn.data import draw_digits
from npstn.data import drawn as drawing
from npstn.data.drawn import BOX, FORMS, SIZE, STEPS, Form, ink_paths, read_form


@pytest.fixture(scope="module")
def drawn():
    return draw_digits(2000, seed=5)


def extent(image):
    """The rows and the columns from the first to the last that hold ink."""
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    return rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1


@pytest.mark.parametrize("count", [0, 1, 7, 23])
def test_shapes_dtypes_and_balance_hold_for_small_counts(count):
    images, labels = draw_digits(count)
    assert images.shape == (count, 28, 28) and images.dtype == np.uint8
    assert labels.shape == (count,) and labels.dtype == np.int64
    often = np.bincount(labels, minlength=10)
    assert len(often) == 10 and often.max() - often.min() <= 1
    assert all(image.any() for image in images)


def test_the_same_seed_gives_the_same_digits_and_another_seed_others():
    images, labels = draw_digits(200, seed=3)
    again_images, again_labels = draw_digits(200, seed=3)
    np.testing.assert_array_equal(again_images, images)
    np.testing.assert_array_equal(again_labels, labels)
    other_images, other_labels = draw_digits(200, seed=4)
    assert (other_labels != labels).any()
    assert not {image.tobytes() for image in images} & {image.tobytes() for image in other_images}


def test_numpy_integers_are_integers():
    np.testing.assert_array_equal(draw_digits(np.int64(10), seed=np.uint8(2))[0], draw_digits(10, seed=2)[0])


def test_the_global_random_state_is_left_alone():
    before = np.random.get_state()[1].copy()
    draw_digits(10)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": -3}, "draw_digits: expected count to be an integer of at least 0, got -3"),
        ({"count": 2.0}, "draw_digits: expected count to be an integer of at least 0, got 2.0"),
        ({"count": "7"}, "draw_digits: expected count to be an integer of at least 0, got '7'"),
        ({"count": True}, "draw_digits: expected count to be an integer of at least 0, got True"),
        ({"count": 5, "seed": -1}, "draw_digits: expected seed to be an integer of at least 0, got -1"),
        ({"count": 5, "seed": None}, "draw_digits: expected seed to be an integer of at least 0, got None"),
    ],
)
def test_errors_name_the_argument(arguments, message):
    with pytest.raises(ValueError) as error:
        draw_digits(**arguments)
    assert str(error.value) == message


def test_labels_are_balanced_and_shuffled(drawn):
    _, labels = drawn
    assert np.bincount(labels).tolist() == [200] * 10
    assert (labels[1:] == labels[:-1]).mean() == pytest.approx(0.1, abs=0.03)


def test_the_longer_side_fills_the_box(drawn):
    images, _ = drawn
    assert {max(extent(image)) for image in images} == {BOX}


def test_the_centre_of_mass_is_the_centre_of_the_image(drawn):
    images, _ = drawn
    mass = images.sum(axis=(1, 2), dtype=float)
    index = np.arange(SIZE)
    for side in (1, 2):  # the columns' sums give x, the rows' give y
        centre = (images.sum(axis=side, dtype=float) * index).sum(axis=1) / mass
        assert np.abs(centre - 14).max() < 1.0
        assert np.quantile(np.abs(centre - 14), 0.99) < 0.51  # whole pixels: half of one is the most


def test_intensities_are_those_of_soft_edged_ink(drawn):
    images, _ = drawn
    assert np.median(images.max(axis=(1, 2))) >= 250
    soft = ((images > 0) & (images < 250)).sum() / (images > 0).sum()
    assert 0.2 < soft < 0.8


def test_hands_differ_in_every_digit(drawn):
    images, labels = drawn
    for digit in range(10):
        of_digit = images[labels == digit].astype(float)
        assert of_digit.std(axis=0).max() > 60
        ink = of_digit.mean(axis=(1, 2))
        assert np.quantile(ink, 0.9) > 1.5 * np.quantile(ink, 0.1)  # fine pens and broad ones
        widths = [extent(image)[1] for image in of_digit]
        assert np.quantile(widths, 0.9) - np.quantile(widths, 0.1) >= 3


@pytest.mark.parametrize(("digit", "holes"), [(0, 1), (1, 0), (5, 0), (7, 0), (8, 2)])
def test_most_digits_have_the_holes_that_their_label_says(drawn, digit, holes):
    images, labels = drawn
    found = [ndimage.label(np.pad(image < 100, 1))[1] for image in images[labels == digit]]
    paper = ndimage.label(np.pad(np.ones((SIZE, SIZE)), 1))[1]
    assert np.median(found) == holes + paper


def test_every_digit_has_forms_and_all_are_drawn(monkeypatch):
    assert sorted(FORMS) == list(range(10)) and min(len(forms) for forms in FORMS.values()) >= 3
    read = []
    monkeypatch.setattr(drawing, "read_form", lambda form: (read.append(form), read_form(form))[1])
    draw_digits(10)
    assert set(read) == {form for forms in FORMS.values() for form in forms}


def test_a_path_passes_through_the_knots_and_lifts_the_pen():
    spline = read_form(Form(1, "0,0 40,20 20,60! 0,100 / 60,0 60,100"))
    path = (spline.straight + spline.bulge) @ spline.knots
    through = [i * (STEPS + 1) for i in range(4)]  # each span repeats the knot that the last one ended on
    np.testing.assert_allclose(path[through], spline.knots[[0, 1, 2, 4]], atol=1e-15)
    np.testing.assert_allclose(path[-1], spline.knots[-1], atol=1e-15)
    assert np.flatnonzero(~spline.drawn).tolist() == [3 * (STEPS + 1) - 1]  # only between the two strokes
    np.testing.assert_allclose(path[-STEPS - 1 :, 0], 0.3, atol=1e-15)  # two knots: a straight line
    outward = [[-0.4, -0.2], [0, 0], [0, 0], [-0.2, 0.4], [0, -1], [0, 1]]  # at the four ends, away from the stroke
    np.testing.assert_allclose(spline.outward @ spline.knots, outward, atol=1e-15)


def test_a_spline_is_smooth_at_knots_but_not_at_corners(monkeypatch):
    fine = 1000
    monkeypatch.setattr(drawing, "STEPS", fine)

    def turn(strokes):
        spline = read_form(Form(1, strokes))
        steps = np.diff((spline.straight + spline.bulge) @ spline.knots, axis=0)
        into, out = steps[fine - 1], steps[fine + 1]  # steps[fine] is 0: the knot is there twice
        return np.degrees(np.arccos(into @ out / np.linalg.norm(into) / np.linalg.norm(out)))

    assert turn("0,0 50,0! 50,50") == pytest.approx(90)
    assert turn("0,0 50,0 50,50") < 1


def naive_ink(path, drawn, r, edge):
    """The definition, over all pixels and segments at once, in the 20 x 20 box."""
    a, b = path[:-1][drawn], path[1:][drawn]
    y, x = np.mgrid[:BOX, :BOX] + 0.5
    centre = np.stack([x, y], axis=-1)[:, :, None]  # (BOX, BOX, 1, 2)
    along = ((centre - a) * (b - a)).sum(-1) / ((b - a) ** 2).sum(-1)
    nearest = a + along.clip(0, 1)[..., None] * (b - a)
    distance = np.linalg.norm(centre - nearest, axis=-1).min(axis=-1)
    return 255 * ((r - distance) / edge + 0.5).clip(0, 1)


def test_the_ink_agrees_with_the_naive_oracle():
    rng = np.random.default_rng(0)
    N, P = 20, 9
    path = rng.uniform(3, BOX - 3, (N, P, 2))
    drawn = np.arange(P - 1) != 4
    r, edge = rng.uniform(0.6, 2.0, N), rng.uniform(0.8, 1.6, N)
    images = np.full((N + 1, SIZE, SIZE), 0, np.uint8)
    rows = rng.permutation(N + 1)[:N]
    ink_paths(path, drawn, r, edge, rows, images)
    for n in range(N):
        expected = naive_ink(path[n], drawn, r[n], edge[n])
        centre = (expected[..., None] * np.moveaxis(np.mgrid[:BOX, :BOX], 0, -1)).sum((0, 1)) / expected.sum()
        top, left = np.clip(np.round(14 - centre).astype(int), 0, SIZE - BOX)
        image = images[rows[n]]
        np.testing.assert_allclose(image[top : top + BOX, left : left + BOX], expected, atol=0.501)
        assert image.sum() == image[top : top + BOX, left : left + BOX].sum()
    assert not images[list(set(range(N + 1)) - set(rows))].any()


def test_the_ink_of_a_level_bar_is_that_worked_out_by_hand():
    images = np.zeros((1, SIZE, SIZE), np.uint8)
    path = np.array([[[4.0, 10.0], [16.0, 10.0]]])
    ink_paths(path, np.array([True]), np.array([1.5]), np.array([1.0]), np.array([0]), images)
    # The centres of the pixels lie 0.5, 1.5 and 2.5 from the bar: inside the pen, on its edge and outside.
    assert images[0, 12:18, 14].tolist() in ([0, 128, 255, 255, 128, 0], [128, 255, 255, 128, 0, 0])


@pytest.mark.parametrize("count", [2**31, 10**30])
def test_more_digits_than_any_memory_holds_are_refused(count):
    with pytest.raises(ValueError, match=rf"^draw_digits: expected count below 2\^31, got {count}$"):
        draw_digits(count)
