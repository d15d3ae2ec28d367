"""The cases: the work that is timed, defined once for both libraries, its inputs, and the ratios to reach.

Neither library is imported here. Their functional interfaces agree, so the work of an operation is one function of the
interface `F` and of tensors. How a library records gradients and takes a step differs: this stands in `npstn_side.py`
and `torch_side.py`, under the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np


class Case(NamedTuple):
    group: str  # for `--only`
    name: str
    at_least: float  # the ratio to reach, PyTorch's time over npstn's
    aim: float
    timed: str  # the function in npstn_side.py and in torch_side.py that prepares it
    arguments: tuple[Any, ...]  # for that function


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


def affine_grid(F: Any, theta: Any) -> Any:
    return F.affine_grid(theta, [len(theta), 1, 28, 28], align_corners=True)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def turned_grid(images: int, size: int) -> np.ndarray:
    """For each image the grid of a rotation by up to 45 degrees: (images, size, size, 2), (x, y) last."""
    angle = np.random.default_rng(1).uniform(-0.8, 0.8, (images, 1, 1))
    y, x = np.meshgrid(*[np.linspace(-1, 1, size)] * 2, indexing="ij")
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1).astype(np.float32)


def weights() -> dict[str, np.ndarray]:
    """A state of the transformer network, random as at the start; but its localiser does turn each image."""
    rng, state = np.random.default_rng(2), {}
    for net, outputs in ("loc_net", 1), ("cls_net", 10):
        layers = {"conv1": (10, 1, 5, 5), "conv2": (20, 10, 5, 5), "fc1": (50, 320), "fc2": (outputs, 50)}
        for layer, shape in layers.items():
            bound = 1 / np.sqrt(np.prod(shape[1:]))
            state[f"{net}.cnn.{layer}.weight"] = rng.uniform(-bound, bound, shape).astype(np.float32)
            state[f"{net}.cnn.{layer}.bias"] = rng.uniform(-bound, bound, shape[0]).astype(np.float32)
    return state


def training_step(batch: int) -> Case:
    """Forward, backward and an SGD step of the whole transformer network."""
    labels = np.random.default_rng(3).integers(0, 10, batch)
    arguments = normal(batch, 1, 28, 28), labels, weights()
    return Case("step", f"training step, batch {batch}", 2.5, 4, "training_step", arguments)


def evaluation(batch: int) -> Case:
    return Case("eval", f"evaluation, batch {batch}", 2, 4, "evaluation", (normal(batch, 1, 28, 28), weights()))


def sampler(shape: tuple[int, int, int, int]) -> Iterator[Case]:
    arrays = [normal(*shape), turned_grid(shape[0], shape[2])]
    yield Case("sampler", f"grid_sample {shape} forward", 0.8, 1.2, "forward", (grid_sample, arrays))
    yield Case("sampler", f"grid_sample {shape} backward", 1.5, 3, "backward", (grid_sample, arrays))


def cases() -> Iterator[Case]:
    """The cases that take milliseconds.

    A forward pass is timed as in training: gradients are recorded. A backward pass is timed alone, to all inputs; its
    forward pass runs untimed just before.
    """
    for batch in (10, 64, 256):
        yield training_step(batch)
    yield evaluation(1000)

    layers = ("1->10 on 28x28", (64, 1, 28, 28), (10, 1, 5, 5)), ("10->20 on 12x12", (64, 10, 12, 12), (20, 10, 5, 5))
    for name, image, weight in layers:
        arrays = [normal(*image), normal(*weight), normal(weight[0])]
        yield Case("conv", f"conv2d {name} forward", 1, 1.5, "forward", (conv2d, arrays))
        yield Case("conv", f"conv2d {name} backward", 2, 3, "backward", (conv2d, arrays))

    for shape in ((64, 10, 24, 24), (64, 20, 8, 8)):
        arrays = [normal(*shape)]
        yield Case("pool", f"max_pool2d {shape} forward", 5, 15, "forward", (max_pool2d, arrays))
        yield Case("pool", f"max_pool2d {shape} backward", 1, 2, "backward", (max_pool2d, arrays))

    for shape in ((64, 1, 28, 28), (16, 32, 64, 64), (4, 3, 512, 512)):
        yield from sampler(shape)

    yield Case("grid", "affine_grid (64, 1, 28, 28) forward", 2, 5, "forward", (affine_grid, [normal(64, 2, 3)]))
