"""The cases: the work that is timed, defined once for both libraries, its inputs, and the ratios to reach.

Neither library is imported here. Their functional interfaces agree, so the work of an operation is one function of the
interface `F` and of tensors. How a library records gradients and takes a step differs: this stands in `npstn_side.py`
and `torch_side.py`, under the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from benchmarks.inputs import grids, normal, smooth, turned_grid, weights

Shape = tuple[int, int, int, int]
Goal = tuple[float, float]  # the ratio to reach, PyTorch's time over npstn's: at least, and the aim


class Mean(NamedTuple):
    """A geometric mean to reach, of the ratios of several cases."""

    name: str
    at_least: float
    aim: float


class Case(NamedTuple):
    group: str  # for `--only`
    name: str
    at_least: float
    aim: float
    timed: str  # the function in npstn_side.py and in torch_side.py that prepares it
    arguments: tuple[Any, ...]  # for that function
    mean: Mean | None = None  # that it counts towards


class Timed(NamedTuple):
    """A case, ready to run in one library: before each repeat `prepare` runs untimed, and `run` gets its result."""

    prepare: Callable[[], Any]
    run: Callable[[Any], Any]
    result: Callable[[Any], list[np.ndarray]]  # from what `run` returned, arrays to compare


def conv2d(F: Any, x: Any, weight: Any, bias: Any) -> Any:
    return F.conv2d(x, weight, bias)


def max_pool2d(F: Any, x: Any) -> Any:
    return F.max_pool2d(x, 2)


def grid_sample(F: Any, x: Any, grid: Any) -> Any:
    return F.grid_sample(x, grid, align_corners=True)


def bicubic(F: Any, x: Any, grid: Any) -> Any:
    return F.grid_sample(x, grid, mode="bicubic", align_corners=True)


def affine_grid(F: Any, theta: Any) -> Any:
    return F.affine_grid(theta, [len(theta), 1, 28, 28], align_corners=True)


def both_ways(
    group: str, name: str, work: Any, arrays: list[np.ndarray], forward: Goal, backward: Goal
) -> Iterator[Case]:
    yield Case(group, f"{name} forward", *forward, "forward", (work, arrays))
    yield Case(group, f"{name} backward", *backward, "backward", (work, arrays))


def training_step(
    batch: int, transformer: str = "rotation", network: str = "blog", side: int = 28, goal: Goal = (3.5, 5)
) -> Case:
    """Forward, backward and an SGD step of a whole transformer network."""
    labels = np.random.default_rng(3).integers(0, 10, batch)
    state = weights(transformer, network, side)
    which = "" if transformer == "rotation" else f" {transformer}, {network}, {side}x{side},"
    arguments = smooth(batch, side), labels, state, transformer, network
    return Case("step", f"training step,{which} batch {batch}", *goal, "training_step", arguments)


def evaluation(batch: int) -> Case:
    return Case("eval", f"evaluation, batch {batch}", 2, 4, "evaluation", (smooth(batch, 28), weights()))


# Of the paper's network with its localiser, and some as they are usual elsewhere.
LAYERS = (
    (1, 32, (28, 42, 60), 9),
    (32, 32, (10, 17, 26), 7),
    (1, 20, (21, 30), 5),
    (20, 20, (8, 13), 5),
    (3, 32, (32,), 3),
    (32, 64, (16,), 3),
    (64, 64, (16,), 1),
)  # channels, filters, pixels a side, pixels of a filter a side
MEANS = Mean("conv2d forward, geometric mean", 1.1, 1.4), Mean("conv2d backward, geometric mean", 2.2, 3)


def convolution(image: Shape, weight: Shape, forward: Goal = (0.9, 1), backward: Goal = (1.3, 3)) -> Iterator[Case]:
    arrays = [normal(*image), normal(*weight), normal(weight[0])]
    (_, C, H, W), (O, _, K, L) = image, weight
    return both_ways("conv", f"conv2d {K}x{L} {C}->{O} on {H}x{W}", conv2d, arrays, forward, backward)


def sampler(shape: Shape, forward: Goal = (0.8, 1.2), backward: Goal = (1.5, 3)) -> Iterator[Case]:
    arrays = [normal(*shape), turned_grid(shape[0], shape[2])]
    return both_ways("sampler", f"grid_sample {shape}", grid_sample, arrays, forward, backward)


def few_points(shape: Shape = (10, 2, 1000, 1200), turns: int = 256) -> Iterator[Case]:
    """Read 13 x 13 points of large images, forward, and backward to the grid alone. The image is in no cache.

    Each call has grids of its own, from `turns` that follow each other. They touch 0.4 MB of the image each, all
    together most of its 96 MB. So before a grid has its turn again, the others have swept a third-level cache of 32 MB.
    A backward pass runs as many calls after its forward pass. From 64 turns on, more turns make no call slower.
    """
    image = np.random.default_rng(0).random(shape, np.float32)
    several = grids("affine", turns * shape[0], 13).reshape(turns, shape[0], 13, 13, 2)
    name = f"grid_sample, 169 points of {shape},"
    yield Case("sampler", f"{name} forward", 1, 2, "forward_in_turns", (grid_sample, image, several))
    yield Case("sampler", f"{name} backward to the grid", 1, 2, "backward_in_turns", (grid_sample, image, several))


def cases(threads: int = 1) -> Iterator[Case]:
    """The cases that take milliseconds, with the ratios to reach on so many threads.

    A forward pass is timed as in training: gradients are recorded. A backward pass is timed alone, to all inputs; its
    forward pass runs untimed just before.
    """
    for batch in (10, 64, 256):
        yield training_step(batch)
    for side in (28, 42, 60):
        yield training_step(64, "affine", "cnn", side, (1.5, 2.5))
    for side in (28, 60):
        yield training_step(64, "affine", "fcn", side, (1, 1.5))
    for transformer in ("projective", "tps"):
        yield training_step(64, transformer, goal=(2.5, 4))
    for batch in (1, 1000):
        yield evaluation(batch)

    for image, weight in (((64, 1, 28, 28), (10, 1, 5, 5)), ((64, 10, 12, 12), (20, 10, 5, 5))):  # of the blog
        yield from convolution(image, weight, forward=(1, 1.5), backward=(2, 3))
    for channels, filters, sizes, K in LAYERS:
        for size in sizes:
            layer = convolution((64, channels, size, size), (filters, channels, K, K))
            yield from (case._replace(mean=mean) for case, mean in zip(layer, MEANS, strict=True))

    for shape, forward in (((64, 10, 24, 24), (5, 15)), ((64, 20, 8, 8), (5 if threads == 1 else 7, 12))):
        yield from both_ways("pool", f"max_pool2d {shape}", max_pool2d, [normal(*shape)], forward, (1, 2))

    yield from sampler((64, 1, 28, 28), forward=(1.2, 2), backward=(2, 3))
    for shape in ((16, 32, 64, 64), (4, 3, 512, 512)):
        yield from sampler(shape)
    yield from few_points()
    for shape in ((64, 1, 28, 28), (4, 3, 512, 512)):
        for kind in ("affine", "projective", "tps"):
            arrays = [normal(*shape), grids(kind, shape[0], shape[2])]
            yield from both_ways("bicubic", f"grid_sample bicubic {shape}, {kind}", bicubic, arrays, (1.2, 2), (1.2, 2))

    yield Case("grid", "affine_grid (64, 1, 28, 28) forward", 2, 5, "forward", (affine_grid, [normal(64, 2, 3)]))
