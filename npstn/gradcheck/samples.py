"""The one list of operations, each with inputs for every test of it; and the whole transformer network.

`npstn gradcheck`, the tests of every operation, the fuzz target, the test of the threads and that of the kernels all
read this list. An operation without a sample fails a test.

The inputs are random. A batch has several samples, and most axes have unlike lengths: a mistake in one sample, one
channel or one border, or x in place of y, must show. Some inputs lie on a kink on purpose.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import npstn.functional as F
from npstn import models
from npstn.autograd import Tensor
from npstn.backend.random import manual_seed
from npstn.gradcheck import Report, check_op
from npstn.gradcheck.pairs import Options
from npstn.ops import arithmetic, clamp, elementary, maximum, shaping

PRECISE = 1e-9  # the tolerance for functions that are elementary, or linear in each argument between their kinks
SOFTMAX = 1e-8


@dataclass(frozen=True, eq=False)
class Sample:
    """An operation with inputs.

    Attributes:
        function: the public function.
        inputs: its first arguments. float64 arrays stand for Tensors; other inputs are passed on unchanged.
        options: its keyword arguments. An option that is a function is called with the inputs and gives the value.
        linear: the positions of the inputs in which the function is linear.
        batch: the positions of the inputs whose first axis is the batch. If the result has axes, its first one is the
            batch, too.
        rtol, max_entries: the options of the gradient check that differ from its defaults.
    """

    function: Callable[..., Tensor]
    inputs: tuple[Any, ...]
    options: dict[str, Any] = field(default_factory=dict)
    linear: tuple[int, ...] = ()
    batch: tuple[int, ...] = ()
    rtol: float = PRECISE
    max_entries: int = Options.max_entries

    @property
    def operation(self) -> str:
        """The public name of the operation."""
        return self.function.__name__

    @property
    def arrays(self) -> dict[int, np.ndarray]:
        """The inputs that stand for Tensors, by their positions."""
        return {k: x for k, x in enumerate(self.inputs) if isinstance(x, np.ndarray) and x.dtype.kind == "f"}

    @property
    def fn(self) -> Callable[..., Tensor]:
        """The function of the inputs alone. Random functions draw the same numbers in each call."""

        @functools.wraps(self.function)
        def fn(*inputs: Any) -> Tensor:
            manual_seed(0)
            return self.function(*inputs, **self.options_for(*inputs))

        return fn

    def options_for(self, *inputs: Any) -> dict[str, Any]:
        """The keyword arguments that go with these inputs."""
        return {name: value(*inputs) if callable(value) else value for name, value in self.options.items()}

    def check(self, **options: Any) -> Report:
        """The report of `check_op` on the sample, good or bad; the options are those of `check_op`."""
        own = {name: getattr(self, name) for name in ("linear", "batch", "rtol", "max_entries")}
        return check_op(self.fn, self.inputs, name=self.operation, raise_exception=False, **own | options)

    def __str__(self) -> str:
        shapes = [str(x.shape) if isinstance(x, np.ndarray) else str(x) for x in self.inputs[:3]]
        options = [f"{name}={'...' if callable(value) else value}" for name, value in self.options.items()]
        return f"{self.operation}({', '.join(shapes + options)})"


def samples(network: bool = True) -> list[Sample]:
    """All samples, in the order of the library's files, the same each time; `network`: whether with the network's."""
    families = [_arithmetic, _elementary, _shaping, _layers, _losses, _transformer, _volumes]
    families += [_stn] if network else []
    # Each family has its own random numbers, so that a new sample changes no other family's inputs.
    return [sample for family in families for sample in family(np.random.default_rng(20150605))]


def _arithmetic(rng: np.random.Generator) -> list[Sample]:
    a, b, row, column = (rng.normal(size=shape) for shape in ((3, 4), (3, 4), (4,), (2, 3, 1)))
    positive, exponent = rng.uniform(0.5, 2, (3, 4)), rng.uniform(-2, 3, (3, 4))
    away = rng.uniform(0.5, 2, (2, 3, 1)) * rng.choice([-1, 1], (2, 3, 1))
    n_k, k_m, batch_n_k = (rng.normal(size=shape) for shape in ((3, 4), (4, 5), (2, 3, 4)))
    return [
        Sample(arithmetic.add, (a, b), linear=(0, 1), batch=(0, 1)),
        Sample(arithmetic.add, (row, column), linear=(0, 1)),
        Sample(arithmetic.sub, (a, b), linear=(0, 1), batch=(0, 1)),
        Sample(arithmetic.sub, (row, column), linear=(0, 1)),
        Sample(arithmetic.neg, (a,), linear=(0,), batch=(0,)),
        Sample(arithmetic.mul, (a, b), linear=(0, 1), batch=(0, 1)),
        Sample(arithmetic.mul, (row, column), linear=(0, 1)),
        Sample(arithmetic.div, (a, positive), linear=(0,), batch=(0, 1)),
        Sample(arithmetic.div, (row, away), linear=(0,)),
        Sample(arithmetic.pow, (positive, exponent), batch=(0, 1)),
        Sample(arithmetic.pow, (positive, exponent[:1]), batch=(0,)),
        Sample(arithmetic.pow, (away, 3), batch=(0,)),
        Sample(arithmetic.matmul, (n_k, k_m), linear=(0, 1), batch=(0,)),
        Sample(arithmetic.matmul, (batch_n_k, k_m), linear=(0, 1), batch=(0,)),
    ]


def _elementary(rng: np.random.Generator) -> list[Sample]:
    x, positive = rng.normal(size=(3, 4)), rng.uniform(0.2, 3, (3, 4))
    kinked = np.where(np.arange(12).reshape(3, 4) == 5, 0, x)  # the kink of relu is at 0
    functions: list[Callable[..., Tensor]] = [elementary.exp, elementary.sin, elementary.cos, F.tanh, F.sigmoid]
    return [
        *[Sample(fn, (x,), batch=(0,)) for fn in functions],
        *[Sample(fn, (positive,), batch=(0,)) for fn in (elementary.log, elementary.sqrt)],
        Sample(F.relu, (x,), batch=(0,)),
        Sample(F.relu, (kinked,), batch=(0,)),
        Sample(clamp.abs, (kinked,), batch=(0,)),
        Sample(clamp.clamp, (x,), {"min": -0.5, "max": 0.7}, batch=(0,)),
        Sample(clamp.clamp, (kinked,), {"min": 0.0}, batch=(0,)),
    ]


def _shaping(rng: np.random.Generator) -> list[Sample]:
    x = rng.normal(size=(2, 3, 4))
    twice, mask = np.array([0, 2, 2, 1]), np.array([True, False, True])
    other = rng.normal(size=(2, 2, 4))
    tied = x.copy()
    tied[0, 1, 2] = tied[1, 0, 3] = 4  # the largest

    def cat(*tensors: Tensor, dim: int = 0) -> Tensor:
        return F.cat(tensors, dim)

    def stack(*tensors: Tensor, dim: int = 0) -> Tensor:
        return F.stack(tensors, dim)

    @functools.wraps(maximum.max)
    def max_along(input: Tensor, dim: int, keepdim: bool = False) -> Tensor:
        return maximum.max(input, dim, keepdim).values

    return [
        Sample(cat, (x, other, x[:, 1:]), {"dim": 1}, linear=(0, 1, 2), batch=(0, 1, 2)),
        Sample(stack, (x, 2 * x), {"dim": -1}, linear=(0, 1), batch=(0, 1)),
        Sample(maximum.max, (x,)),
        Sample(maximum.max, (tied,)),
        Sample(max_along, (x, 1), {"keepdim": True}, batch=(0,)),
        Sample(max_along, (x, -1), batch=(0,)),
        Sample(shaping.transpose, (x, 1, 2), linear=(0,), batch=(0,)),
        Sample(shaping.sum, (x,), linear=(0,)),
        Sample(shaping.sum, (x,), {"dim": (0, 2)}, linear=(0,)),
        Sample(shaping.sum, (x,), {"dim": -1, "keepdim": True}, linear=(0,), batch=(0,)),
        Sample(shaping.mean, (x,), linear=(0,)),
        Sample(shaping.mean, (x,), {"dim": 1}, linear=(0,), batch=(0,)),
        Sample(shaping.reshape, (x, (-1, 12)), linear=(0,), batch=(0,)),
        Sample(shaping.reshape, (x, 1, -1, 1), linear=(0,)),
        Sample(shaping.index, (x, (slice(None), twice)), linear=(0,), batch=(0,)),
        Sample(shaping.index, (x, (slice(None), slice(None, None, -2))), linear=(0,), batch=(0,)),
        Sample(shaping.index, (x, (Ellipsis, None, -1)), linear=(0,), batch=(0,)),
        Sample(shaping.index, (x, (slice(None), mask)), linear=(0,), batch=(0,)),
        Sample(shaping.index, (x, 1), linear=(0,)),
    ]


@functools.wraps(F.conv2d)
def _conv2d_before_a_pool(U: Tensor, filters: Tensor, biases: Tensor) -> Tensor:
    """A convolution whose backward pass gets zeros for the most part, and leaves them out."""
    return F.max_pool2d(F.conv2d(U, filters, biases, padding=1), 3)


def _layers(rng: np.random.Generator) -> list[Sample]:
    x, W, bias = rng.normal(size=(3, 4)), rng.normal(size=(5, 4)), rng.normal(size=5)
    U, filters, biases = rng.normal(size=(3, 2, 6, 5)), rng.normal(size=(4, 2, 3, 2)), rng.normal(size=4)
    many = rng.normal(size=(10, 1, 3, 3))  # more samples than a kernel adds up at once
    # Of so many places one in nine is not zero: few enough to leave the others out.
    wide = tuple(np.random.default_rng(1).normal(size=shape) for shape in ((2, 4, 9, 9), (2, 4, 3, 3), 2))
    tied = U.copy()  # one window has four equal pixels, and in one the largest pixel stands twice
    tied[1, 0, :2, 2:4] = tied[2, 1, 4:, 0] = 3
    large_window = {"kernel_size": (3, 2), "stride": (2, 1), "padding": 1}
    return [
        Sample(F.linear, (x, W, bias), linear=(0, 1, 2), batch=(0,)),
        Sample(F.linear, (rng.normal(size=(2, 3, 4)), W), linear=(0, 1), batch=(0,)),
        Sample(F.conv2d, (U, filters, biases), linear=(0, 1, 2), batch=(0,)),
        Sample(F.conv2d, (U, filters, biases), {"stride": 2, "padding": 1}, linear=(0, 1, 2), batch=(0,)),
        Sample(F.conv2d, (U, filters), {"stride": (1, 2), "padding": (2, 0)}, linear=(0, 1), batch=(0,)),
        Sample(F.conv2d, (many, filters[:1, :1], biases[:1]), linear=(0, 1, 2), batch=(0,)),
        Sample(_conv2d_before_a_pool, wide, batch=(0,)),
        Sample(F.max_pool2d, (U,), {"kernel_size": 2}, batch=(0,)),
        Sample(F.max_pool2d, (U,), large_window, batch=(0,)),
        Sample(F.max_pool2d, (tied,), {"kernel_size": 2}, batch=(0,)),
        Sample(F.avg_pool2d, (U,), {"kernel_size": 2}, linear=(0,), batch=(0,)),
        Sample(F.avg_pool2d, (U,), large_window, linear=(0,), batch=(0,)),
        Sample(F.dropout, (U,), {"p": 0.3}, linear=(0,), batch=(0,)),
        Sample(F.dropout2d, (U,), {"p": 0.4}, linear=(0,), batch=(0,)),
    ]


def _losses(rng: np.random.Generator) -> list[Sample]:
    scores, target = 2 * rng.normal(size=(4, 5)), np.array([3, 0, 4, 3])
    return [
        Sample(F.log_softmax, (scores,), {"dim": 1}, batch=(0,), rtol=SOFTMAX),
        Sample(F.log_softmax, (rng.normal(size=(2, 4, 3)),), {"dim": -2}, batch=(0,), rtol=SOFTMAX),
        Sample(F.softmax, (scores,), {"dim": 1}, batch=(0,), rtol=SOFTMAX),
        Sample(F.mse_loss, (scores, rng.normal(size=(4, 5))), batch=(0, 1)),
        Sample(F.nll_loss, (scores, target), linear=(0,), batch=(0, 1)),
        Sample(F.cross_entropy, (scores, target), batch=(0, 1), rtol=SOFTMAX),
        Sample(F.cross_entropy, (scores, target), {"label_smoothing": 0.3}, batch=(0, 1), rtol=SOFTMAX),
    ]


def _transformer(rng: np.random.Generator) -> list[Sample]:
    angle, theta = rng.uniform(-3, 3, 4), rng.normal(size=(2, 2, 3))
    U, G = rng.normal(size=(3, 2, 4, 5)), rng.uniform(-1.6, 1.6, (3, 3, 4, 2))  # some points lie outside the image
    many, points = rng.normal(size=(10, 1, 2, 3)), rng.uniform(-1, 1, (10, 1, 2, 2))
    kinked = G.copy()
    kinked[:2, 1, :2, 0] = 0.5, -0.5  # with align_corners x = 3 and x = 1: the centres of pixels

    def size(theta: Tensor) -> tuple[int, int, int, int]:
        return len(theta), 1, 3, 4

    extent = np.array([5, 4])  # of U, along x and y
    pixels = rng.integers(-2, 6, (3, 3, 4, 2)) + rng.uniform(0.2, 0.8, (3, 3, 4, 2))
    found = [Sample(F.rotation_theta, (angle,), batch=(0,))]
    for align_corners in (False, True):
        options: dict[str, Any] = {"size": size, "align_corners": align_corners}
        found.append(Sample(F.affine_grid, (theta,), options, linear=(0,), batch=(0,)))
    for padding_mode in ("zeros", "border", "reflection"):
        for align_corners, grid in ((False, G), (True, kinked)):
            padding = {"padding_mode": padding_mode, "align_corners": align_corners}
            found.append(Sample(F.grid_sample, (U, grid), padding, linear=(0,), batch=(0, 1)))
            # The curvature of "bicubic" jumps at the centres of pixels, and a difference must not reach across.
            between = 2 * pixels / (extent - 1) - 1 if align_corners else (2 * pixels + 1) / extent - 1
            bicubic = {"mode": "bicubic", **padding}
            found.append(Sample(F.grid_sample, (U, between), bicubic, linear=(0,), batch=(0, 1)))
    large, few = rng.normal(size=(2, 2, 9, 13)), rng.uniform(-1.1, 1.1, (2, 1, 2, 2))  # read without a copy
    homography = np.eye(3) + rng.normal(0, 0.2, (2, 3, 3))
    control_points = np.array([[-1.0, -1.0], [1.0, -0.8], [0.1, 0.2], [-0.9, 1.0], [0.8, 0.9]])
    moved = control_points + rng.normal(0, 0.2, (2, 5, 2))
    fixed = {"control_points": control_points, "size": (3, 4)}
    return [
        *found,
        Sample(F.projective_grid, (homography,), {"size": (3, 4)}, batch=(0,)),
        Sample(F.tps_grid, (moved,), fixed, linear=(0,), batch=(0,)),
        Sample(F.grid_sample, (many, points), linear=(0,), batch=(0, 1)),
        Sample(F.grid_sample, (large, few), linear=(0,), batch=(0, 1)),
        Sample(F.grid_sample, (U, G), {"mode": "nearest"}, linear=(0,), batch=(0, 1)),
    ]


def _volumes(rng: np.random.Generator) -> list[Sample]:
    theta, U = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 2, 3, 4, 5))
    G = rng.uniform(-1.5, 1.5, (2, 2, 1, 3, 3))  # some points lie outside the volume
    kinked = G.copy()
    kinked[0, 1, 0, :2, 0], kinked[1, 0, 0, 2, 2] = (0.5, -0.5), 0  # with align_corners x = 3, x = 1 and z = 1

    def size(theta: Tensor) -> tuple[int, ...]:
        return len(theta), 1, 2, 3, 4

    found = [Sample(F.grid_sample, (U, G), {"mode": "nearest"}, linear=(0,), batch=(0, 1))]
    for align_corners, grid in ((False, G), (True, kinked)):
        options: dict[str, Any] = {"size": size, "align_corners": align_corners}
        found.append(Sample(F.affine_grid, (theta,), options, linear=(0,), batch=(0,)))
        for padding_mode in ("zeros", "border", "reflection"):
            padding = {"padding_mode": padding_mode, "align_corners": align_corners}
            found.append(Sample(F.grid_sample, (U, grid), padding, linear=(0,), batch=(0, 1)))
    return found


def _stn(rng: np.random.Generator) -> list[Sample]:
    """The loss of the whole network, with its dropout. The inputs are the images, the labels and every weight."""
    manual_seed(0)
    net = models.STNClsNet()
    net.double()
    net.loc_net.cnn.fc2.weight.data[:] = rng.normal(0, 0.1, (1, 50))  # at angle 0 every point would lie on a kink
    owners = [(m, name) for m in net.modules() for name, p in vars(m).items() if isinstance(p, Tensor)]
    weights = [getattr(*owner).data for owner in owners]

    def stn(images: Tensor, labels: np.ndarray, *weights: Tensor) -> Tensor:
        for owner, weight in zip(owners, weights, strict=True):
            setattr(*owner, weight)
        return F.nll_loss(net(images), labels)

    images, labels = rng.normal(size=(2, 1, 28, 28)), np.array([3, 8])
    return [Sample(stn, (images, labels, *weights), batch=(0, 1), rtol=SOFTMAX, max_entries=250)]
