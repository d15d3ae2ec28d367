"""Handwritten digits drawn by the program: data to learn from without a download.

A table holds the forms in which people write the ten digits, as strokes. A new hand draws each image: it bends the
form (slant, width, proportions, curvature, jitter) and picks a pen. A kernel inks the path as MNIST's images were
made: the digit fills a box of 20 x 20 with its aspect ratio kept, and the box is placed in 28 x 28 by the centre of
mass.

    form    one way of writing a digit               K   knots of a form
    knot    a point that the pen passes through      P   points of a path
    path    the pen's way, sampled from its knots    N   images of one form
    r       half the thickness of the pen            y, x   row and column of a pixel, y down

Lengths are hundredths of the digit's height in the table, heights while the hand bends the form, and pixels while the
pen inks the path.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from npstn.backend.compiler import kernel
from npstn.messages import one_line

SIZE = 28  # pixels along a side of the image
BOX = 20  # pixels along a side of the box that the digit fills
STEPS = 6  # line segments of a path between two knots: enough that no corners show


class Form(NamedTuple):
    """One way of writing a digit: its share, relative to the other forms of the digit, and its strokes.

    A stroke lists its knots "x,y" in the order of writing; "!" marks a corner, "/" lifts the pen.
    """

    share: float
    strokes: str


FORMS: dict[int, tuple[Form, ...]] = {
    0: (
        Form(4, "35,0 12,15 2,48 12,84 35,100 60,85 70,50 60,15 35,0"),  # a ring begun at the top
        Form(3, "58,8 34,2 8,28 2,64 20,96 46,94 66,64 66,28 50,8 36,6"),  # begun at the right, closed over the top
        Form(2, "30,6 8,34 6,74 26,100 52,86 66,50 58,14 38,4 24,14 22,24"),  # closed with a hook into the ring
        Form(1, "20,4 4,36 6,78 28,100 54,84 64,48 54,14 30,8 18,16"),  # begun at the left, not quite closed
    ),
    1: (
        Form(12, "10,0 12,50 10,100"),  # a bar
        Form(1, "0,24 26,0! 27,50 26,100"),  # with an upstroke
        Form(1, "0,20 26,0! 26,100 / 0,100 52,100"),  # with an upstroke and a foot
    ),
    2: (
        Form(4, "4,22 24,2 50,8 56,32 36,64 2,98! 36,96 68,98"),  # a sharp foot
        Form(4, "4,20 24,1 50,8 52,36 30,74 8,96 0,84 16,76 40,88 70,96"),  # a looped foot
        Form(4, "12,16 34,0 56,14 54,46 34,80 8,98 0,82 18,68 46,84 70,100"),  # a wide loop, as in an alpha
        Form(2, "4,12 30,2 54,10 50,40 28,72 6,92! 22,84 44,98 70,90"),  # a foot like a wave
        Form(1, "2,6 30,4 58,4! 30,50 2,96! 64,96"),  # almost a Z
        Form(2, "22,18 36,2 52,16 44,48 24,76 2,92! 40,94 90,92"),  # a small head on a long foot
    ),
    3: (
        Form(4, "4,12 28,0 52,12 46,36 20,48! 50,56 58,78 34,100 0,90"),  # two bows that meet in a corner
        Form(2, "2,4 30,4 56,4! 24,42! 52,56 58,80 32,100 0,90"),  # a flat head
        Form(2, "4,10 30,0 50,14 40,38 22,46 26,52 50,60 56,80 32,100 0,90"),  # a rounded waist
        Form(2, "4,14 30,0 52,12 44,38 18,50 16,42 30,44 54,60 54,86 26,100 0,90"),  # a loop at the waist
        Form(2, "10,8 34,0 50,12 44,26 24,36! 50,44 60,66 44,92 10,100"),  # a small head on a large bow
        Form(1, "0,20 20,2 48,4 60,24 48,46 24,56! 44,62 46,82 24,100 4,94"),  # a large head on a small bow
    ),
    4: (
        Form(3, "10,0 6,28 2,54! 34,56 64,52 / 52,2 48,50 46,100"),  # open, the stem apart
        Form(3, "6,2 2,30 14,50 34,48 52,34 / 54,0 50,48 46,100"),  # open, a cup
        Form(2, "6,4 4,34 18,52 40,42 56,4! 50,50 42,100"),  # a cup and a stem without lifting the pen
        Form(2, "46,0 24,32 0,62! 32,62 68,62 / 46,0 45,50 44,100"),  # closed, as printed
        Form(1, "54,6 30,20 4,48! 30,52 62,46 / 54,6 48,54 42,100"),  # closed, with a slanting roof
    ),
    5: (
        Form(4, "58,2 36,2 14,4! 8,44! 34,36 56,54 52,86 26,100 0,88"),  # the cap first, at one go
        Form(3, "14,4 8,44! 34,38 56,56 50,86 24,100 0,90 / 14,4 38,4 64,0"),  # the cap last
        Form(3, "66,0 38,6 16,16 16,38 40,52 48,76 26,98 0,94"),  # almost an S
        Form(2, "60,4 18,4! 16,26 12,46! 40,44 54,64 40,92 4,98"),  # square shoulders
        Form(2, "90,0 56,4 28,6! 22,38! 44,42 50,66 34,92 0,100"),  # a long cap
        Form(1, "60,2 36,2 14,4! 6,52! 32,38 58,56 50,88 24,100 2,80"),  # a bow that curls in
    ),
    6: (
        Form(4, "48,0 20,26 4,62 12,94 38,98 54,78 44,56 22,60 8,82"),  # a curved stem
        Form(3, "34,0 14,40 4,76 20,100 46,92 52,70 32,60 10,76"),  # a straight stem
        Form(2, "52,4 32,2 8,34 2,72 22,100 50,88 50,62 28,54 8,70"),  # a hooked stem
        Form(2, "20,0 6,36 4,80 26,100 56,90 58,68 36,58 12,70 6,84"),  # an upright stem, a wide ring
        Form(2, "16,0 2,36 4,76 28,100 58,86 62,56 46,40 28,58 24,90"),  # a tall ring that closes at the bottom
    ),
    7: (
        Form(4, "2,6 30,4 60,2! 42,48 26,100"),  # plain
        Form(2, "0,10 24,2 54,4 54,22 36,60 28,100"),  # a round shoulder
        Form(2, "2,4 30,4 60,2! 42,48 24,100 / 14,52 38,48 62,48"),  # barred
        Form(2, "4,24 2,6! 30,6 60,2! 42,50 30,100"),  # a serif
        Form(1, "2,22 10,4 30,12 58,4! 40,50 30,100"),  # a head like a wave
    ),
    8: (
        Form(4, "54,12 32,0 10,14 18,36 42,56 54,80 30,100 4,84 16,60 40,38 56,12"),  # at one go from the right
        Form(2, "30,46 8,30 12,6 36,0 52,16 44,38 30,46 4,66 8,92 34,100 54,82 46,58 30,46"),  # two rings
        Form(3, "60,4 28,2 8,18 20,40 42,60 46,86 22,100 4,84 18,60 44,34 64,8"),  # open at the top
        Form(2, "12,4 18,30 42,56 50,82 28,100 6,84 16,60 40,40 48,14 30,0 10,10"),  # begun at the left
        Form(2, "48,10 24,4 8,22 22,42 38,62 38,90 18,100 6,84 20,60 50,30 76,2"),  # a long arm
    ),
    9: (
        Form(4, "50,14 28,0 6,16 8,42 32,50 50,26! 50,62 46,100"),  # a ring and a straight stem
        Form(3, "52,20 32,0 8,16 6,42 28,52 50,30 54,10! 52,54 40,86 12,98"),  # a stem hooked to the left
        Form(3, "54,10 30,2 4,24 10,46 34,42 54,12! 40,56 26,100"),  # a slanting stem
        Form(2, "40,44 14,50 4,26 22,2 46,6 54,34 50,70 46,100"),  # ring and stem at one go
        Form(2, "46,4 18,2 2,24 14,40 38,32 52,8! 46,54 40,100"),  # a small ring
        Form(2, "30,4 8,14 4,36 22,44 44,30 50,6! 46,52 40,100"),  # a ring open at the top
    ),
}


class Spline(NamedTuple):
    """A form ready to be written many times: each step from knots to path is linear, so it is a matrix."""

    knots: np.ndarray  # (K, 2), heights, the middle of the form at the origin
    straight: np.ndarray  # (P, K), joins the knots by straight lines
    bulge: np.ndarray  # (P, K), the Catmull-Rom spline through the knots, less the lines
    outward: np.ndarray  # (K, K), the step to an end of a stroke from the knot next to it; other rows are 0
    drawn: np.ndarray  # (P - 1,), False where the pen is lifted between two strokes


def read_form(form: Form) -> Spline:
    """Read a form. The tangent at a knot is half the step between its neighbours, at ends and corners the line."""
    strokes = [stroke.split() for stroke in form.strokes.split("/")]
    knots = np.array([[float(v) for v in knot.strip("!").split(",")] for stroke in strokes for knot in stroke]) / 100
    unit = np.eye(len(knots))
    t = np.linspace(0, 1, STEPS + 1)[:, None]
    outward = np.zeros_like(unit)
    straight, bulge, drawn = [], [], []
    first = 0
    for stroke in strokes:
        last = first + len(stroke) - 1
        outward[first], outward[last] = unit[first] - unit[first + 1], unit[last] - unit[last - 1]
        smooth = [first < first + i < last and not knot.endswith("!") for i, knot in enumerate(stroke)]
        for i, k in enumerate(range(first, last)):
            step = unit[k + 1] - unit[k]
            leave = (unit[k + 1] - unit[k - 1]) / 2 if smooth[i] else step
            arrive = (unit[k + 2] - unit[k]) / 2 if smooth[i + 1] else step
            straight.append(unit[k] + t * step)
            bulge.append(t * (1 - t) * ((1 - t) * (leave - step) - t * (arrive - step)))  # Hermite, less the line
            drawn += [True] * STEPS + [k + 1 < last]
        first = last + 1
    middle = (knots.min(0) + knots.max(0)) / 2
    return Spline(knots - middle, np.vstack(straight), np.vstack(bulge), outward, np.array(drawn[:-1]))


def _write(spline: Spline, N: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Write a form with N hands: path (N, P, 2), r (N,) and the width of the ink's soft edge (N,), in pixels.

    Everything by which hands differ is drawn here. Spreads are standard deviations.
    """

    def spread(deviation: float, *shape: int) -> np.ndarray:
        return deviation * rng.standard_normal((N, *shape))

    # The pen misses its knots, starts and stops early or late, and cuts its curves or swings them out.
    K = len(spline.knots)
    knots = spline.knots + spread(0.04, K, 2)
    knots += spread(0.2, K, 1) * (spline.outward @ knots)
    path = spline.straight @ knots + (1 + spread(0.25, 1, 1)) * (spline.bulge @ knots)  # (N, P, 2)

    # The hand prefers large heads or large feet, and bends the plane in a slow wave: lines that meet still meet.
    path[..., 1] += spread(0.3, 1) * (0.25 - path[..., 1] ** 2)
    path += spread(0.08, 1, 2) * np.sin(path @ spread(3.0, 2, 2) + rng.uniform(0, 2 * np.pi, (N, 1, 2)))

    # The hand writes wide or narrow, slants (usually to the right), and turns the paper a little.
    x, y = path[..., 0], path[..., 1]  # (N, P)
    x = x * np.exp(0.1 + spread(0.25, 1)) - (0.2 + spread(0.25, 1)) * y
    turn = spread(0.1, 1)
    path = np.stack([np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y], axis=-1)

    # The pen is fine or broad, sharp or soft.
    r = np.exp(0.2 + spread(0.3)).clip(0.6, 2.5)
    edge = rng.uniform(0.8, 1.6, N)

    # The longer side fills the box: the ink ends, half an edge beyond r, at the centres of the pixels just outside.
    low, high = path.min(axis=1), path.max(axis=1)  # (N, 2)
    scale = (BOX + 1 - 2 * r - edge) / (high - low).max(axis=1)
    return (path - (low + high)[:, None] / 2) * scale[:, None, None] + BOX / 2, r, edge


@kernel
def ink_paths(
    path: np.ndarray, drawn: np.ndarray, r: np.ndarray, edge: np.ndarray, rows: np.ndarray, images: np.ndarray
) -> None:
    """Ink path n into images[rows[n]]: ink = (r - distance to the path) / edge + 1/2, between 0 and 1."""
    for n in range(len(rows)):
        reach = r[n] + edge[n] / 2
        near = np.full((BOX, BOX), np.inf)  # the squared distance from the pixel's centre to the path
        for p in range(len(drawn)):
            if not drawn[p]:
                continue
            ax, ay, bx, by = path[n, p, 0], path[n, p, 1], path[n, p + 1, 0], path[n, p + 1, 1]
            sx, sy = bx - ax, by - ay
            length2 = max(sx * sx + sy * sy, 1e-12)  # two points may coincide
            # Only the pixels that the pen can reach from the segment a-b.
            for y in range(max(0, int(min(ay, by) - reach)), min(BOX, int(max(ay, by) + reach) + 1)):
                for x in range(max(0, int(min(ax, bx) - reach)), min(BOX, int(max(ax, bx) + reach) + 1)):
                    ex, ey = x + 0.5 - ax, y + 0.5 - ay
                    t = min(max((ex * sx + ey * sy) / length2, 0.0), 1.0)  # a + t (b - a) is the nearest point
                    near[y, x] = min(near[y, x], (ex - t * sx) ** 2 + (ey - t * sy) ** 2)
        ink = np.empty((BOX, BOX))
        mass, mass_y, mass_x = 0.0, 0.0, 0.0
        for y in range(BOX):
            for x in range(BOX):
                ink[y, x] = min(max((reach - np.sqrt(near[y, x])) / edge[n], 0.0), 1.0)
                mass += ink[y, x]
                mass_y += ink[y, x] * y
                mass_x += ink[y, x] * x
        # As in MNIST, whole pixels bring the centre of mass to row and column 14, but the box stays in the image.
        top = min(max(round(SIZE / 2 - mass_y / mass), 0), SIZE - BOX)
        left = min(max(round(SIZE / 2 - mass_x / mass), 0), SIZE - BOX)
        for y in range(BOX):
            for x in range(BOX):
                images[rows[n], top + y, left + x] = round(255 * ink[y, x])


def _check_whole(name: str, value: int) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 0:
        raise ValueError(f"draw_digits: expected {name} to be an integer of at least 0, got {one_line(value)}")


def draw_digits(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw `count` handwritten digits in the format of MNIST, each with a new hand, in random order.

    Returns images, uint8 (count, 28, 28), 0 for paper and 255 for ink, and labels, int64 (count,). The numbers of
    images of two digits differ by one at most. The same count and seed give the same images; another count gives
    others. Raises ValueError where count or seed is not an integer of at least 0, and for a count of 2^31 and more.

    >>> images, labels = draw_digits(1000, seed=1)
    >>> images.shape, images.dtype.name, labels.shape, labels.dtype.name
    ((1000, 28, 28), 'uint8', (1000,), 'int64')
    >>> np.bincount(labels).tolist()
    [100, 100, 100, 100, 100, 100, 100, 100, 100, 100]
    """
    _check_whole("count", count)
    if count >= 2**31:
        raise ValueError(f"draw_digits: expected count below 2^31, got {count}")
    _check_whole("seed", seed)
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count, dtype=np.int64) % 10)
    images = np.zeros((count, SIZE, SIZE), np.uint8)
    for digit, forms in FORMS.items():
        of_digit = np.flatnonzero(labels == digit)
        share = np.array([form.share for form in forms])
        choice = rng.choice(len(forms), len(of_digit), p=share / share.sum())
        for i, form in enumerate(forms):  # one form at a time keeps few paths in memory
            rows = of_digit[choice == i]
            spline = read_form(form)
            path, r, edge = _write(spline, len(rows), rng)
            ink_paths(path, spline.drawn, r, edge, rows, images)
    return images, labels
