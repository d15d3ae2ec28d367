"""A digit in a photograph: where it lies, how it is lit and written changes little; and what is no digit is refused."""

import io

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from scipy import ndimage

from benchmarks.camera import KINDS, photograph
from npstn.data import DataError, draw_digits
from npstn.data.photograph import NoDigit, find_digit, read_grey

DIGITS, LABELS = draw_digits(40, seed=0)


def on_paper(digit, height=240, width=320, side=140, top=40, left=100, paper=0.9, ink=0.1):
    """A digit, enlarged, on plain paper: float32 (height, width)."""
    large = np.asarray(Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)) / 255
    grey = np.full((height, width), paper)
    grey[top : top + side, left : left + side] += (ink - paper) * large
    return grey.astype(np.float32)


def likeness(a, b):
    """The correlation of two images, at best: rounding puts a digit into this pixel or into the next."""
    shifts = [np.roll(b, (y, x), axis=(0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    return max(np.corrcoef(a.ravel(), shifted.ravel())[0, 1] for shifted in shifts)


def test_a_digit_has_the_form_of_mnist():
    """As measured on MNIST: 20 pixels are the longer side, and the centre of mass rounds to row and column 14."""
    for digit in DIGITS[:15]:
        found = find_digit(on_paper(digit)).digit
        assert found.shape == (28, 28) and found.dtype == np.uint8
        rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
        assert_allclose(ndimage.center_of_mass(found), (14, 14), rtol=0, atol=0.51)
        assert found.max() > 240


def test_digits_in_the_form_of_mnist_come_out_as_they_were():
    like = [likeness(find_digit(np.float32(digit / 255)).digit, digit) for digit in DIGITS]
    assert min(like) > 0.9 and np.median(like) > 0.97


def test_light_ink_is_dark_ink_turned_round():
    for digit in DIGITS[:5]:
        dark, light = (find_digit(on_paper(digit, paper=paper, ink=1 - paper)).digit for paper in (1.0, 0.0))
        assert likeness(dark, light) > 0.99


@pytest.mark.parametrize(
    "change",
    [
        {"side": 60},
        {"top": 2},
        {"left": 175},
        {"ink": 0.7},
        {"height": 60, "width": 60, "side": 50, "top": 5, "left": 5},
    ],
    ids=str,
)
def test_size_place_and_ink_change_little(change):
    like = [likeness(find_digit(on_paper(d)).digit, find_digit(on_paper(d, **change)).digit) for d in DIGITS[:5]]
    assert min(like) > 0.95


def test_a_shadow_changes_little():
    shade = np.where(np.add.outer(np.arange(240), np.arange(320)) < 280, 0.5, 1.0).astype(np.float32)
    for digit in DIGITS[:5]:
        paper = on_paper(digit)
        assert likeness(find_digit(paper).digit, find_digit(paper * shade).digit) > 0.97


@pytest.mark.parametrize("turned", [False, True], ids=["across", "down"])
@pytest.mark.parametrize("slope", [0.0, 0.05, -0.1])
def test_ruled_lines_go_and_the_digit_stays(slope, turned):
    y, x = np.mgrid[:240, :320]
    ruled = np.where((y + slope * x) % 35 < 2, 0.4, 1.0).astype(np.float32)
    if turned:
        ruled = np.ascontiguousarray(np.pad(ruled, ((40, 40), (0, 0)), "wrap").T[:240, :320])
    for digit in DIGITS[:3]:
        paper = on_paper(digit)
        assert likeness(find_digit(paper * ruled).digit, find_digit(paper).digit) > 0.95


def test_a_pen_that_is_too_fine_for_20_pixels_is_made_wider():
    grey = np.ones((300, 300), np.float32)
    grey[50:250, 148:150] = 0  # a bar of 200 x 2 pixels: a fifth of a pixel in the box
    found = find_digit(grey).digit
    assert found.max() > 240
    assert 1.5 < (found[10:18] / 255).sum(axis=1).mean() < 3.5


def test_strokes_apart_are_one_digit_and_dirt_is_not():
    grey = np.ones((300, 300), np.float32)
    grey[60:200, 90:105] = grey[130:145, 120:190] = grey[60:260, 200:215] = 0  # a 4 of three strokes
    dirty = grey.copy()
    dirty[20:24, 30:34] = dirty[215:218, 150:153] = 0
    box = find_digit(grey).mark.box
    assert [(side.start, side.stop) for side in box] == [(60, 260), (90, 215)]
    assert find_digit(dirty).mark.box == box


def noise(rng):
    return rng.random((200, 300))


def line(rng):
    grey = np.ones((200, 300))
    grey[100:104, 100:200] = 0
    return grey


def blot(rng):
    y, x = np.mgrid[:200, :300]
    return np.where((y - 100) ** 2 + (x - 150) ** 2 < 20**2, 0.0, 1.0)


def text(rng):
    grey = np.ones((240, 320))
    for k in range(12):
        y, x = divmod(k, 4)
        grey[20 + 70 * y :, 20 + 75 * x :][:56, :56] -= DIGITS[k].repeat(2, axis=0).repeat(2, axis=1) / 255
    return grey.clip(0, 1)


@pytest.mark.parametrize(
    ("draw", "why"),
    [
        (lambda rng: np.ones((200, 300)), "a picture of one lightness, without ink"),
        (lambda rng: np.zeros((1, 1)), "a picture of one lightness, without ink"),
        (lambda rng: np.linspace(0.2, 1, 60_000).reshape(200, 300), "a picture of one lightness, without ink"),
        (lambda rng: 0.9 + 0.02 * rng.standard_normal((200, 300)), "a picture of one lightness, without ink"),
        (noise, "many marks, of which none stands out"),
        (text, "many marks, of which none stands out"),
        (line, "a line"),
        (blot, "a blot"),
    ],
    ids=["white", "one pixel", "light from above", "paper", "noise", "text", "line", "blot"],
)
def test_what_is_no_digit_is_refused(rng, draw, why):
    with pytest.raises(NoDigit) as refused:
        find_digit(draw(rng).astype(np.float32))
    assert str(refused.value) == why


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 2), (3, 3), (7, 9), (320, 3), (28, 28)], ids=str)
def test_any_picture_is_answered_or_refused(rng, shape):
    for _ in range(5):
        for grey in (rng.random(shape), rng.random(shape).round(), rng.random(shape) ** 8):
            try:
                found = find_digit(grey.astype(np.float32))
            except NoDigit:
                continue
            assert found.digit.shape == (28, 28) and found.digit.max() > 0


def encoded(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    file.seek(0)
    return file


def test_every_mode_gives_the_same_picture():
    grey = np.uint8(255 * on_paper(DIGITS[0]))
    plain = Image.fromarray(grey)
    wanted = read_grey(encoded(plain), "x")
    assert wanted.dtype == np.float32 and wanted.shape == (240, 320)
    assert_allclose(wanted, grey / 255, atol=1e-6)
    palette = plain.quantize(256)
    for file, atol in (
        (encoded(plain.convert("RGB")), 1e-6),
        (encoded(plain.convert("RGBA")), 1e-6),
        (encoded(plain.convert("LA")), 1e-6),
        (encoded(palette), 0.02),
        (encoded(Image.fromarray(grey.astype(np.uint16) * 257)), 1e-4),
        (encoded(plain, "JPEG", quality=95), 0.1),
        (encoded(plain.convert("CMYK"), "JPEG", quality=95), 0.1),
    ):
        assert_allclose(read_grey(file, "x"), wanted, rtol=0, atol=atol)
    assert set(np.unique(read_grey(encoded(plain.convert("1")), "x"))) == {0.0, 1.0}


@pytest.mark.parametrize("ink", [0, 255], ids=["dark", "light"])
def test_transparent_paper_is_unlike_the_ink(ink):
    large = Image.fromarray(DIGITS[3]).resize((140, 140))
    picture = Image.merge("LA", (Image.new("L", large.size, ink), large))
    grey = read_grey(encoded(picture), "x")
    assert grey[0, 0] == (1 if ink == 0 else 0)
    assert likeness(find_digit(grey).digit, DIGITS[3]) > 0.9


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_as_the_camera_was_held(orientation):
    """The camera's sensor gives the picture turned, and notes how: Exif's tag 274, 1 to 8."""
    grey = np.uint8(255 * on_paper(DIGITS[1]))
    stored = {
        1: grey, 2: grey[:, ::-1], 3: grey[::-1, ::-1], 4: grey[::-1],
        5: grey.T, 6: np.rot90(grey), 7: grey[::-1, ::-1].T, 8: np.rot90(grey, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[274] = orientation
    file = encoded(Image.fromarray(np.ascontiguousarray(stored)), exif=exif.tobytes())
    assert_array_equal(read_grey(file, "x"), np.float32(grey) / np.float32(255))


def test_a_large_picture_is_scaled_down_by_its_means():
    grey = np.zeros((640, 1280), np.uint8)
    grey[:, ::2] = 200
    small = read_grey(encoded(Image.fromarray(grey)), "x")
    assert small.shape == (160, 320)
    assert_allclose(small, 100 / 255, atol=1e-3)


@pytest.mark.parametrize("kept", [0, 1, 20, 60, 300])
def test_a_file_that_is_cut_off_is_named(kept):
    whole = encoded(Image.fromarray(np.uint8(255 * on_paper(DIGITS[0])))).getvalue()
    with pytest.raises(DataError, match="^expected an image in cut.png, got one that cannot be read"):
        read_grey(io.BytesIO(whole[:kept]), "cut.png")


@pytest.mark.parametrize("kind", KINDS)
def test_photographs_give_the_digit_back(kind):
    """Of five photographs of a kind, at least four are like the digit that was photographed."""
    like = []
    for k in range(5):
        data = photograph(DIGITS[k], KINDS[kind], np.random.default_rng(k))
        found = find_digit(read_grey(io.BytesIO(data), "x")).digit
        like.append(likeness(found, DIGITS[k]))
    assert np.sort(like)[1] > 0.7, like
