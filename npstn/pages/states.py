"""What a page of a run shows: a test image read at many parameters, and the loss followed back each time.

A page computes nothing. For each position of each slider, and for each place to which a point can be dragged, npstn
computes here what is drawn and what is written, in float64. A slider moves one parameter, a point moves two; all others
stay as the localisation networks chose them.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from npstn import nn
from npstn.autograd import Tensor, no_grad
from npstn.figures.images import shown
from npstn.figures.steering import AT_ONCE, follow, read_at
from npstn.models import Look, steer
from npstn.pages.page import pixels
from npstn.tasks import Batch
from npstn.training.metrics import evaluating, look
from npstn.transformers import Transformer
from npstn.transformers.words import in_words, read_as, word_and_unit

H = 1e-6  # of a parameter: differences are taken between H above and H below
LINES = 10  # of the grid, each way, at most: the others are not drawn
TURN = np.pi / 2  # how far a slider goes to both sides where it is an angle
FAR = 0.75  # otherwise until a point of the grid has moved by so much of half the image
NEAR = 0.3  # how far a point can be dragged, in halves of the image
CLOSE = 0.02  # of a slider's range: about the middle the curve is so fine that single kinks can be seen
CURVE = 601, 801  # points of the curve over the whole range, and over the fine part
STEP, STEPS = 0.5, 401  # pixels to both sides, and points, of the fine curves of a point
ROOM = 2_100_000  # bytes that all states have, compressed, in a page of less than 5 MB
MOST, MOST_PLACES, LEAST = 181, 13, 5  # positions of a slider, of a point along x and along y, and of either at least


class States(NamedTuple):
    """N positions of a slider, or N places of a point; lengths are in pixels of the image, x to the right, y down."""

    outputs: np.ndarray  # float64 (N, h, w), or (N, h, w, 3) in colour: what the transformer reads, 0 .. 1
    grids: np.ndarray  # float64 (N, rows, columns, 2): where points of the grid read, (x, y)
    forces: np.ndarray  # float64 (N, rows, columns, 2): -∂loss/∂point, per pixel
    probabilities: np.ndarray  # float64 (N, classes)
    losses: np.ndarray  # float64 (N,)
    slopes: np.ndarray  # float64 (N, 1 or 2): of the loss, by backward, per unit of the slider's values
    quotients: np.ndarray  # float64 (N, 1 or 2): the same by differences
    words: list[str]  # (N,): what the transformer does


class Curve(NamedTuple):
    """The loss over a parameter; arrays are float64 (points,)."""

    values: np.ndarray  # ascending, in the unit of the slider
    losses: np.ndarray
    slopes: np.ndarray
    close: float  # how far the fine part goes to both sides of the middle


class Slider(NamedTuple):
    """What is moved by hand: a parameter, or a point, which has two."""

    name: str
    unit: str  # of the values, to be written behind them
    values: list[np.ndarray]  # float64 (n,), ascending: of the parameter, or x and y of the point in pixels. The
    #                           localisation network chose the middle one; to either side they are evenly spaced
    number: int  # of the transformer, from 0
    states: States  # n of them, or n x n, row by row
    curve: Curve | None  # None for a point
    kinks: tuple[Curve, ...] = ()  # of a point: over small steps along x and along y from the middle, in pixels


class Played(NamedTuple):
    """A test image, and all that can be done to it."""

    number: int  # in the test set
    label: int
    truth: str  # how it had been distorted, in words
    image: np.ndarray  # float64 (H, W), or (H, W, 3) in colour, 0 .. 1
    sliders: list[Slider]


def points(net: nn.Module, test: Batch) -> int:
    """How many points of the transformers of a network can be dragged; 0 where their parameters have sliders."""
    looks = look(net, test.images[:1])
    return sum(transformer.handles(seen.parameters.data).shape[1] for transformer, seen in looks)


def positions(net: nn.Module, test: Batch, numbers: Sequence[int]) -> int:
    """How many positions each slider of a page of these test images can have, odd; 0 where the images are too large.

    Of a point, it is how many places there are along x and along y.
    """
    looks = look(net, test.images[:1])
    dragged = points(net, test)
    sliders = len(numbers) * (dragged or sum(seen.parameters.shape[1] for _, seen in looks))
    U, V = looks[0][1].U.data, looks[0][1].V.data
    images = np.stack([pixels(shown(test.images[number])) for number in numbers])
    # What is read has more greys than the image, and is therefore larger.
    output = 2 * len(gzip.compress(images.tobytes())) / len(numbers) * V.size / U.size
    each = ROOM / sliders - (16 * STEPS if dragged else 12 * sum(CURVE))
    count = max(int(each / (output + 4 * LINES**2 + 100)), 0)
    most = min(math.isqrt(count), MOST_PLACES) if dragged else min(count, MOST)
    most -= 1 - most % 2
    return most if most >= LEAST else 0


def play(net: nn.Module, test: Batch, number: int, n: int) -> Played:
    """Read a test image at many parameters.

    Args:
        net: a network with a transformer; it is left in float64, and without gradients of its weights.
        test, number: the test set, and the number of the image in it.
        n: how many positions a slider has, odd; of a point, along x and along y.
    """
    net.double()
    for parameter in net.parameters():
        parameter.requires_grad = False
    image, target = test.images[number].astype(np.float64), int(test.labels[number])
    looks, sliders = look(net, image[None]), []
    for k, (transformer, seen) in enumerate(looks):
        whose = f"transformer {k + 1}: " if len(looks) > 1 else ""
        for slider in Loss(net, image, target, k, transformer, seen).sliders(n):
            sliders.append(slider._replace(name=whose + slider.name))
    truth = in_words({name: float(values[number]) for name, values in test.truth.items()})
    return Played(number, target, truth, shown(image), sliders)


class Loss:
    """The loss of one image, where one transformer of a network reads at parameters that are given.

    Args:
        net: in float64; image: (C, H, W), of the class `target`.
        number: of the transformer; seen: how it reads the image by itself.
    """

    def __init__(
        self, net: nn.Module, image: np.ndarray, target: int, number: int, transformer: Transformer, seen: Look
    ) -> None:
        self.net, self.image, self.target, self.number, self.transformer = net, image, target, number, transformer
        self.p, self.size = seen.parameters.data[0], (seen.grid.shape[1], seen.grid.shape[2])
        self.half = (np.array(seen.U.shape[:1:-1]) - 1) / 2  # pixels of a step of 1 in the grid, along x and y

    def sliders(self, n: int) -> list[Slider]:
        """All points of the transformer; where it has none, all its parameters."""
        dragged = self.transformer.handles(self.p[None]).shape[1]
        if dragged:
            return [self._point(k, n) for k in range(dragged)]
        return [self._parameter(j, name, n) for j, name in enumerate(self.transformer.parameter_names)]

    def _parameter(self, j: int, name: str, n: int) -> Slider:
        """Parameter j, at n positions."""
        word, unit = word_and_unit(name)
        factor = read_as(name)
        far = TURN if unit else FAR / max(self._speed(j), 0.01)
        values = self.p[j] + far * np.linspace(-1, 1, n)
        states = self._states((j,), self._at((j,), values), np.full((n, 1), factor))
        return Slider(word if unit else name, unit, [factor * values], self.number, states, self._curve(j, far, factor))

    def _point(self, k: int, n: int) -> Slider:
        """Point k, at n x n places."""
        which = 2 * k, 2 * k + 1
        values = [self._leading_to_even_places(j, n) for j in which]
        there = self._at(which, *values)
        rates = np.stack([self._rate(there, j) * half for j, half in zip(which, self.half, strict=True)], axis=1)
        places = (self.transformer.handles(there)[:, k].reshape(n, n, 2) + 1) * self.half
        states = self._states(which, there, rates)
        kinks = self._kinks(which[0]), self._kinks(which[1])
        return Slider(f"point {k + 1}", " px", [places[0, :, 0], places[:, 0, 1]], self.number, states, None, kinks)

    def _kinks(self, j: int) -> Curve:
        """The loss over small steps of the point of parameter j, in pixels, from where it was chosen."""
        half = self.half[j % 2]
        far = STEP / max(self._rate(self.p[None], j)[0] * half, 0.1)
        there = self._at((j,), self.p[j] + far * np.linspace(-1, 1, STEPS))
        places = self.transformer.handles(there)[:, j // 2, j % 2]
        read = read_at(self.net, self.image, self.target, there, self.number)
        rates = self._rate(there, j) * half
        return Curve((places - places[STEPS // 2]) * half, read.losses, read.slopes[:, j] / rates, STEP)

    def _leading_to_even_places(self, j: int, n: int) -> np.ndarray:
        """Values of parameter j, (n,), at which its point is at even distances to either side of the chosen place."""
        far = NEAR / max(self._rate(self.p[None], j)[0], 0.1)
        values = self.p[j] + far * np.linspace(-1, 1, 2001)
        places = self.transformer.handles(self._at((j,), values))[:, j // 2, j % 2]
        middle = places[1000]
        below, above = max(middle - NEAR, places[0]), min(middle + NEAR, places[-1])
        even = np.concatenate([np.linspace(below, middle, n // 2 + 1), np.linspace(middle, above, n // 2 + 1)[1:]])
        found = np.interp(even, places, values)
        found[n // 2] = self.p[j]
        return found

    def _curve(self, j: int, far: float, factor: float) -> Curve:
        """The loss over parameter j: over its whole range, and more closely about the middle."""
        close = CLOSE * far
        values = np.unique(np.concatenate([self.p[j] + np.linspace(-f, f, n) for f, n in zip((far, close), CURVE)]))
        read = read_at(self.net, self.image, self.target, self._at((j,), values), self.number)
        return Curve(factor * values, read.losses, read.slopes[:, j] / factor, factor * close)

    def _at(self, which: tuple[int, ...], *values: np.ndarray) -> np.ndarray:
        """The parameters with some of them at all combinations of these values: (N, P), the last one slowest."""
        combined = np.meshgrid(*values)
        there = np.repeat(self.p[None], combined[0].size, axis=0)
        for j, column in zip(which, combined, strict=True):
            there[:, j] = column.ravel()
        return there

    def _speed(self, j: int) -> float:
        """How far the farthest point of the grid moves along x or y, per unit of parameter j."""
        above, below = self.transformer.grid(Tensor(self._at((j,), self.p[j] + np.array([H, -H]))), self.size).data
        return abs(above - below).max() / (2 * H)

    def _rate(self, P: np.ndarray, j: int) -> np.ndarray:
        """How far the point of parameter j moves per unit of j, at parameters (N, P): (N,)."""
        above, below = (self.transformer.handles(_raised(P, j, step))[:, j // 2, j % 2] for step in (H, -H))
        return (above - below) / (2 * H)

    def _states(self, which: tuple[int, ...], there: np.ndarray, rates: np.ndarray) -> States:
        """Everything that is shown at parameters (N, P).

        Args:
            which: the parameters that are moved; rates: how many units of the slider's values a unit of each is, (N, 1)
                or (N, 2).
        """
        h, w = self.size
        rows, columns = (np.unique(np.linspace(0, n - 1, min(n, LINES)).round().astype(int)) for n in (h, w))
        parts, words = [], []
        followed = follow(self.net, self.image, self.target, there, self.number)
        for (log_p, slopes, seen), rate in zip(followed, _in_parts(rates), strict=True):
            P = seen.parameters.data
            assert seen.grid.grad is not None
            by_difference = [(self._loss(_raised(P, j, H)) - self._loss(_raised(P, j, -H))) / (2 * H) for j in which]
            quotients = np.stack(by_difference, axis=1) / rate
            G, dG = (array[:, rows[:, None], columns] for array in (seen.grid.data, seen.grid.grad))
            V = np.stack([shown(v) for v in seen.V.data])
            grids, forces = (G + 1) * self.half, -dG / self.half
            parts.append((V, grids, forces, np.exp(log_p), -log_p[:, self.target], slopes[:, which] / rate, quotients))
            found = self.transformer.describe(P, self.size)
            words += [in_words({name: float(values[n]) for name, values in found.items()}) for n in range(len(P))]
        V, grids, forces, p, losses, slopes, quotients = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return States(V, grids, forces, p, losses, slopes, quotients, words)

    def _loss(self, P: np.ndarray) -> np.ndarray:
        """The loss (N,) at parameters (N, P)."""
        with evaluating(self.net), no_grad(), steer(self.net, Tensor(P), self.number):
            return -self.net(self._images(len(P))).data[:, self.target]

    def _images(self, count: int) -> Tensor:
        return Tensor(np.repeat(self.image[None], count, axis=0))


def _raised(P: np.ndarray, j: int, step: float) -> np.ndarray:
    raised = P.copy()
    raised[:, j] += step
    return raised


def _in_parts(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE)]
