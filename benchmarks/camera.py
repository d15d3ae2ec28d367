"""Photographs of handwritten digits, made from pictures of 28 x 28 pixels: light, times paper, times what ink leaves.

    sheet      how much ink there is, 0 .. 1 (H, W): the digit, enlarged, with the hard edge of a pen, at its place
    scene      colours, 0 .. 1 (H, W, 3): the ink on paper, plain or ruled, or on a board
    seen       the scene as a camera sees it that is held askew, a table around it
    light      how much light falls on each place, (H, W)

Lengths are pixels unless they are called shares.
"""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

H, W = 480, 640  # of a photograph, in pixels


class Kind(NamedTuple):
    """What makes a photograph hard. Each is a range, of which a photograph draws its own value."""

    size: tuple[float, float] = (0.45, 0.75)  # of the digit, a share of the height
    thinner: tuple[float, float] = (0.0, 0.0)  # the pen: the share of its width taken off
    place: float = 0.0  # how far from the middle, a share of the room there is
    ink: tuple[float, float] = (0.75, 0.95)  # how much of the light it takes
    shadow: tuple[float, float] = (0.0, 0.0)  # how much of the light it takes
    uneven: tuple[float, float] = (0.0, 0.1)  # how much darker the light is on one side
    noise: tuple[float, float] = (0.0, 0.01)  # standard deviation of a pixel, 1 for white
    quality: int = 90  # of the JPEG
    lean: float = 0.0  # how far a corner of the sheet moves, a share of the sides; the table shows around it
    ruled: tuple[float, float] = (0.0, 0.0)  # how dark the lines are, relative to the ink
    board: bool = False  # chalk on a board, not ink on paper


KINDS = {
    "plain paper": Kind(),
    "small and off-centre": Kind(size=(0.12, 0.3), place=0.9),
    "a thin pen": Kind(thinner=(0.4, 0.7)),
    "pale ink": Kind(ink=(0.2, 0.4)),
    "light from one side": Kind(uneven=(0.5, 0.7)),
    "a shadow across it": Kind(shadow=(0.3, 0.6)),
    "noise, and JPEG of quality 30": Kind(noise=(0.05, 0.1), quality=30),
    "seen from the side, on a table": Kind(lean=0.14),
    "ruled paper": Kind(ruled=(0.2, 0.45)),
    "chalk on a board": Kind(board=True),
    "all of it": Kind(
        size=(0.25, 0.6),
        thinner=(0.0, 0.5),
        place=0.6,
        ink=(0.5, 0.9),
        shadow=(0.2, 0.5),
        uneven=(0.1, 0.5),
        noise=(0.01, 0.05),
        quality=60,
        lean=0.08,
        ruled=(0.1, 0.4),
    ),
}


def photograph(digit: np.ndarray, kind: Kind, rng: np.random.Generator) -> bytes:
    """A photograph of a digit, uint8 (28, 28), light on black: the bytes of a JPEG."""
    scene = on_paper(sheet(digit, kind, rng), kind, rng)
    scene = seen(scene, kind, rng) * light(kind, rng)[..., None]
    scene = scene + rng.uniform(*kind.noise) * rng.standard_normal((H, W, 3))
    raw = io.BytesIO()
    Image.fromarray(np.uint8(np.rint(255 * scene.clip(0, 1)))).save(raw, "JPEG", quality=kind.quality)
    return raw.getvalue()


def sheet(digit: np.ndarray, kind: Kind, rng: np.random.Generator) -> np.ndarray:
    """The ink, 0 .. 1 (H, W): the digit enlarged, with a hard edge, at its place."""
    rows, columns = np.flatnonzero(digit.any(axis=1)), np.flatnonzero(digit.any(axis=0))
    digit = np.pad(digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1)
    side = H * rng.uniform(*kind.size)
    scale = side / max(digit.shape)
    h, w = (round(scale * n) for n in digit.shape)
    large = np.asarray(Image.fromarray(digit).resize((w, h), Image.Resampling.BICUBIC), np.float32) / 255
    inside = ndimage.distance_transform_edt(large > 0.4)
    # Of each stroke the middle, for a thinner pen: what is farther inside than a share of the stroke's own half width.
    half_width = ndimage.gaussian_filter(ndimage.maximum_filter(inside, round(side / 8)), side / 20)
    pen = inside > rng.uniform(*kind.thinner) * half_width
    ink = np.zeros((H, W))
    room = (1 - kind.place * rng.uniform(-1, 1, 2)) / 2
    top, left = round(room[0] * (H - h)), round(room[1] * (W - w))
    ink[top : top + h, left : left + w] = ndimage.gaussian_filter(np.float32(pen), 0.8)
    return ink


def on_paper(ink: np.ndarray, kind: Kind, rng: np.random.Generator) -> np.ndarray:
    """The colours of the scene, 0 .. 1 (H, W, 3): paper with fibres, ruled or not; or a board."""
    fibres = 0.01 * ndimage.gaussian_filter(rng.standard_normal((H, W)), 1.5) / 0.19
    strength = rng.uniform(*kind.ink)
    if kind.board:
        board, chalk = rng.uniform(0.08, 0.25, 3), rng.uniform(0.7, 0.9, 3)
        grain = 1 - 0.3 * rng.random((H, W))
        return board + 2 * fibres[..., None] + (ink * grain)[..., None] * (chalk - board)
    paper = rng.uniform(0.8, 0.95) * np.array([1, 1, rng.uniform(0.85, 1)])
    colour = 1 - strength * np.array([1, rng.uniform(0.85, 1), rng.uniform(0.6, 1)])  # what the ink lets through
    through = 1 + ink[..., None] * (colour - 1)
    dark = rng.uniform(*kind.ruled) * strength
    if dark:
        apart, thick = rng.uniform(25, 70), rng.uniform(1.5, 3)
        phase = (np.arange(H) + rng.uniform(0, apart)) % apart
        line = np.clip(thick - np.abs(phase - apart / 2), 0, 1)
        through = through * (1 - dark * line[:, None, None] * np.array([1, 0.8, 0.5]))  # bluish
    return (paper + fibres[..., None]) * through


def seen(scene: np.ndarray, kind: Kind, rng: np.random.Generator) -> np.ndarray:
    """The sheet as a camera sees it that is held askew: a projective map, with a table around the sheet."""
    if not kind.lean:
        return scene
    corners = np.array([(0, 0), (W, 0), (W, H), (0, H)], float)
    moved = corners + rng.uniform(-1, 1, (4, 2)) * kind.lean * np.array([W, H])
    rows, values = [], []
    for (x, y), (u, v) in zip(moved, corners, strict=True):  # Pillow wants the map from the picture to the sheet
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    map_ = tuple(np.linalg.solve(np.array(rows), np.array(values)))
    table = rng.uniform(0.2, 0.5) * np.array([1, 0.75, 0.5])
    layers = [
        np.asarray(
            Image.fromarray(np.float32(layer)).transform(
                (W, H), Image.Transform.PERSPECTIVE, map_, Image.Resampling.BICUBIC, fillcolor=-1
            )
        )
        for layer in np.moveaxis(scene, 2, 0)
    ]
    picture = np.stack(layers, axis=2)
    return np.where(picture < 0, table, picture)


def light(kind: Kind, rng: np.random.Generator) -> np.ndarray:
    """How much light falls on each place, (H, W): less on one side, and less behind the edge of a shadow."""
    y, x = np.mgrid[-1 : 1 : H * 1j, -1 : 1 : W * 1j]
    angle, other = rng.uniform(0, 2 * np.pi, 2)
    slope = (np.cos(angle) * x + np.sin(angle) * y) / np.sqrt(2)
    behind = np.cos(other) * x + np.sin(other) * y - rng.uniform(-0.3, 0.3)
    soft = rng.uniform(0.02, 0.2)
    shadow = rng.uniform(*kind.shadow) / (1 + np.exp(-behind / soft))
    return (1 - rng.uniform(*kind.uneven) * (1 + slope) / 2) * (1 - shadow)
