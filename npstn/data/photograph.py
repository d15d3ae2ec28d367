"""A digit in a photograph: found, and brought into the form that MNIST's digits have.

The steps, in order. Each takes what the one before gives:

    read_grey     a file -> how light each pixel is, upright, at most WORKING pixels a side
    even_out      the light taken away, dark and light ink made the same: 0 for paper, up to 1 for ink
    without_lines ruled lines taken away
    find_mark     the one mark that may be a digit, without the specks and marks around it
    as_mnist      the mark with a pen like MNIST's, in a box of 20 x 20, by its centre of mass in 28 x 28

`find_digit` runs all but the first, and keeps what each gives. Lengths are pixels unless they are called shares.

MNIST's form, as measured on its 60,000 training digits: the longer side of the ink is 20 pixels in all but 13, and
whole pixels shift the ink such that its centre of mass rounds to row 14 and column 14, counted from 0, in all but two.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from scipy import ndimage

from npstn.data.errors import DataError
from npstn.data.folder import open_picture

SIZE, BOX, CENTRE = 28, 20, 14  # MNIST's image, the box that the digit fills, the row and column of its centre of mass
WORKING = 320  # the longer side of the picture that is searched: a digit over a tenth of it keeps MNIST's detail

WIDEST_PEN = 1 / 3  # of the picture's shorter side: what is wider is paper, a shadow or a table, no stroke
RULED = 0.75  # of the picture's width: what runs straight for so long is a ruled line; MNIST's digits end at 20 / 28
SLOPES = np.linspace(-0.12, 0.12, 13)  # of ruled lines: a camera is never held quite straight

FAINTEST = 0.08  # how dark ink is at least: what is fainter is the paper's
SMALLEST, LEAST = 7, 1 / 25  # the longer side of a mark, in pixels and as a share of the picture; less is a speck
NEAR = 0.2  # of the longer side: a stroke that is nearer to the rest belongs to the digit
DIRT = 0.02  # of the heaviest stroke: what is lighter is not part of a digit
STANDS_OUT = 0.4  # of all the ink: what a digit has at least; the largest piece of one of MNIST's has 0.47
WIDEST = 3.0  # width over height; at most 2.4 in 15,000 of MNIST's digits
BLUNTEST = 0.5  # width of the pen over the longer side; at most 0.43 in them

PEN = 2.2  # the least width of a pen in the box of 20 x 20; three of four of MNIST's are wider
FAINT_EDGE = 0.2  # of the ink's darkness: what the box must hold


class NoDigit(DataError):
    """What a picture has in place of a digit."""


class Mark(NamedTuple):
    """The mark that may be a digit."""

    mask: np.ndarray  # bool (H, W)
    box: tuple[slice, slice]  # its rows and columns
    level: float  # how dark its ink is


class Found(NamedTuple):
    """A digit, and what the steps to it gave."""

    grey: np.ndarray  # float32 (H, W), 0 (black) .. 1
    ink: np.ndarray  # float32 (H, W), 0 (paper) .. 1
    unruled: np.ndarray  # the same without ruled lines
    mark: Mark
    digit: np.ndarray  # uint8 (28, 28), light on black


def read_grey(file: Path | BinaryIO, name: str) -> np.ndarray:
    """How light each pixel of a PNG or JPEG is: float32 (H, W), 0 (black) .. 1, upright, at most WORKING a side.

    Args:
        file: its path, or the file, open.
        name: what it is called in errors.

    Colours, palettes, 16 bits and transparency are all read. What is transparent lies on black if the rest is light,
    on white otherwise. Raises DataError for what is no picture.
    """
    from PIL import Image  # here, because few users need it

    picture = open_picture(file, name)
    if picture.mode[0] in "IF":  # 16 bits, which `convert` would clip
        values = np.asarray(picture, np.float32) / 65535
    else:
        *colours, alpha = picture.convert("RGBA").split()
        opaque = np.asarray(alpha, np.float32) / 255
        values = np.asarray(Image.merge("RGB", colours).convert("L"), np.float32) / 255
        ground = float((values * opaque).sum() < 0.5 * opaque.sum())
        values = values * opaque + ground * (1 - opaque)
    scale = WORKING / max(values.shape)
    if scale >= 1:
        return values
    h, w = (max(1, round(scale * side)) for side in values.shape)
    return np.asarray(Image.fromarray(values).resize((w, h), Image.Resampling.BOX))  # the mean: noise goes, too


def find_digit(grey: np.ndarray) -> Found:
    """Find the digit in a picture, float (H, W) of 0 .. 1. Raises NoDigit where nothing looks like one."""
    ink = even_out(grey)
    unruled = without_lines(ink)
    mark = find_mark(unruled)
    return Found(grey, ink, unruled, mark, as_mnist(unruled, mark))


def even_out(grey: np.ndarray) -> np.ndarray:
    """How dark the ink is, float32 (H, W): 0 for paper, in light and in shadow, up to 1 for ink.

    Each pixel's paper is what a closing leaves, the lightest level that a window wider than any stroke finds: it
    follows the edge of a shadow, which a smooth fit would not. Dark ink takes a share of the light away, so the picture
    is divided by its paper. Light ink is the other way round.
    """
    grey = ndimage.gaussian_filter(grey, max(grey.shape) / 400)  # against noise; small pictures are left as they are
    window = max(int(WIDEST_PEN * min(grey.shape)), 1)
    if _is_light_on_dark(grey):
        ink = grey - ndimage.grey_opening(grey, (window, window))
    else:
        paper = ndimage.grey_closing(grey, (window, window))
        ink = (paper - grey) / np.maximum(paper, 1e-3)
    return (ink - np.median(ink)).clip(0, 1)  # the lightest pixel is lighter than the paper by the noise


def _is_light_on_dark(grey: np.ndarray) -> bool:
    """Whether the ink is light: paper, the median of each pixel's surroundings, is more common than ink."""
    step = max(1, max(grey.shape) // 48)  # a median of wide surroundings takes long, and needs no detail
    small = ndimage.uniform_filter(grey, step)[::step, ::step]
    apart = small - ndimage.median_filter(small, max(min(small.shape) // 2, 1))
    return float((apart**3).sum()) > 0


def without_lines(ink: np.ndarray) -> np.ndarray:
    """Take ruled lines away, across and down: what is dark all along a straight line as long as RULED says.

    A pen that crosses a line is darker than it, and stays. A line of another slope is level after a shear.
    """
    for turned in (False, True):
        image = ink.T if turned else ink
        H, W = image.shape
        length = max(int(RULED * W), 1)
        across, lines = np.arange(W) - W // 2, np.zeros_like(image)
        for slope in SLOPES if W > 1 else ():
            rows = np.arange(H)[:, None] + np.rint(slope * across).astype(int)  # (H, W): where the sheared image reads
            level = np.take_along_axis(image, rows.clip(0, H - 1), axis=0)
            level = ndimage.grey_opening(level, (1, length))
            back = np.arange(H)[:, None] - np.rint(slope * across).astype(int)
            lines = np.maximum(lines, np.take_along_axis(level, back.clip(0, H - 1), axis=0))
        ink = (image - lines).T if turned else image - lines
    return ink


def find_mark(ink: np.ndarray) -> Mark:
    """The mark that may be a digit: the heaviest that does not run out of the picture, with the strokes close to it."""
    peak = float(np.sort(ink, axis=None)[-max(1, ink.size // 1000)])  # a thousandth may be dirt
    if peak < FAINTEST:
        raise NoDigit("a picture of one lightness, without ink")
    strokes = ink > peak / 2
    pieces, count = ndimage.label(strokes, structure=np.ones((3, 3)))
    numbers = np.arange(1, count + 1)
    weights = ndimage.sum_labels(ink, pieces, numbers)
    H, W = ink.shape
    boxes = ndimage.find_objects(pieces)
    longer = np.array([max(y.stop - y.start, x.stop - x.start) for y, x in boxes])
    whole = np.array([y.start > 0 and x.start > 0 and y.stop < H and x.stop < W for y, x in boxes])
    fit = longer >= max(SMALLEST, LEAST * min(H, W))
    if (fit & whole).any():  # a digit that touches the edge is taken only where there is no other
        fit &= whole
    if not fit.any():
        raise NoDigit("no mark larger than a speck")

    main = int(np.where(fit, weights, 0).argmax())
    # Strokes are near if they meet as soon as each grows by half the distance; so one may lead to the next.
    around, _ = ndimage.label(ndimage.distance_transform_edt(~strokes) <= NEAR / 2 * longer[main])
    place = ndimage.maximum(around, pieces, numbers)
    joined = (place == place[main]) & (weights >= DIRT * weights[main]) & (whole | (numbers == numbers[main]))
    if weights[joined].sum() < STANDS_OUT * weights[whole | joined].sum():
        raise NoDigit("many marks, of which none stands out")
    mask = np.isin(pieces, numbers[joined])
    box = _box(mask)
    h, w = (side.stop - side.start for side in box)
    if w > WIDEST * h:
        raise NoDigit("a line")
    if _pen(mask) > BLUNTEST * max(h, w):
        raise NoDigit("a blot")
    return Mark(mask, box, float(np.median(ink[mask])))


def as_mnist(ink: np.ndarray, mark: Mark) -> np.ndarray:
    """The mark in the form of MNIST's digits, uint8 (28, 28), light on black."""
    from PIL import Image

    # The grey edge of a stroke belongs to it, the noise of the paper around does not.
    digit = np.where(ndimage.binary_dilation(mark.mask), ink / mark.level, 0).clip(0, 1)
    longer = max(side.stop - side.start for side in mark.box)
    missing = round((PEN * longer / BOX - _pen(mark.mask)) / 2)
    if missing > 0:  # in 20 pixels a fine pen would fade away
        y, x = np.ogrid[-missing : missing + 1, -missing : missing + 1]
        digit = ndimage.grey_dilation(np.pad(digit, missing), footprint=x**2 + y**2 <= missing**2)
    digit = digit[_box(digit > FAINT_EDGE)]
    scale = BOX / max(digit.shape)
    h, w = (max(1, round(scale * side)) for side in digit.shape)
    small = np.asarray(Image.fromarray(np.float32(digit)).resize((w, h), Image.Resampling.BILINEAR))
    top, left = (
        int(np.clip(np.floor(CENTRE + 0.5 - centre), 0, SIZE - side))
        for centre, side in zip(ndimage.center_of_mass(small), small.shape, strict=True)
    )
    image = np.zeros((SIZE, SIZE), np.uint8)
    image[top : top + h, left : left + w] = np.rint(255 * small.clip(0, 1))
    return image


def _box(mask: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns in which a mask is true."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _pen(mask: np.ndarray) -> float:
    """The width of the strokes. Across a stroke of width w, the distance to the paper is w / 4 + 1 / 2 in the mean:
    it is 1, not 1 / 2, at the outermost pixel's centre."""
    return 4 * float(ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1][mask].mean()) - 2


def on_black(digit: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A digit, uint8 (28, 28), in the middle of an image of this size, (H, W), as a task on larger images has it.

    >>> on_black(np.full((28, 28), 255, np.uint8), (60, 60))[[15, 16, 43, 44], 30].tolist()
    [0, 255, 255, 0]
    """
    image = np.zeros(size, np.uint8)
    top, left = (size[0] - SIZE) // 2, (size[1] - SIZE) // 2
    image[top : top + SIZE, left : left + SIZE] = digit
    return image
