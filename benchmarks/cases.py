"""What is timed: the same work for npstn and for PyTorch, on identical inputs, its results compared before any timing.

A case is two functions without arguments, and what of their results must agree. A forward is timed as training runs it,
with gradients recorded; a backward alone, through a graph that its own forward has just made, outside of the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import npstn
import npstn.functional as F
from npstn import models, optim

try:
    import torch
    import torch.nn.functional as TF

    from benchmarks import peer
except ModuleNotFoundError:
    torch = None  # type: ignore[assignment]


class Side(NamedTuple):
    """One library's part: `prepare` runs before each repeat, outside of the clock; `run` takes what it gave."""

    prepare: Callable[[], Any]
    run: Callable[[Any], Any]
    result: Callable[[Any], list[np.ndarray]]  # of what `run` returned


class Case(NamedTuple):
    group: str  # of `--only`
    name: str
    at_least: float  # the ratio to reach, PyTorch's time over npstn's
    aim: float
    npstn: Side
    torch: Side | None


def nothing() -> None:
    return None


def of_operation(
    group: str,
    name: str,
    targets: tuple[tuple[float, float], tuple[float, float] | None],
    arrays: list[np.ndarray],
    grads: list[bool],
    ours: Callable[..., Any],
    theirs: Callable[..., Any],
) -> Iterator[Case]:
    """The forward of an operation, and its backward to the inputs that want a gradient."""
    rng = np.random.default_rng(1)
    inputs = [npstn.Tensor(a, requires_grad=g) for a, g in zip(arrays, grads, strict=True)]
    y = ours(*inputs)
    dy = rng.standard_normal(y.shape).astype(y.dtype)

    def backward(y: npstn.Tensor) -> None:
        y.backward(dy)

    def gradients(_: Any) -> list[np.ndarray]:
        found = [x.grad for x in inputs if x.requires_grad]
        for x in inputs:
            x.grad = None
        return found  # type: ignore[return-value]

    def forget_and_run() -> npstn.Tensor:
        for x in inputs:
            x.grad = None
        return ours(*inputs)

    forward = Side(nothing, lambda _: ours(*inputs), lambda y: [y.data])
    back = Side(forget_and_run, backward, gradients)
    forward_torch = back_torch = None
    if torch is not None:
        tensors = [torch.tensor(a, requires_grad=g) for a, g in zip(arrays, grads, strict=True)]
        dy_torch = torch.tensor(dy)

        def forget_and_run_torch() -> Any:
            for x in tensors:
                x.grad = None
            return theirs(*tensors)

        forward_torch = Side(nothing, lambda _: theirs(*tensors), lambda y: [y.detach().numpy()])
        back_torch = Side(
            forget_and_run_torch,
            lambda y: y.backward(dy_torch),
            lambda _: [x.grad.numpy() for x in tensors if x.grad is not None],
        )
    yield Case(group, f"{name} forward", *targets[0], forward, forward_torch)
    if targets[1] is not None:
        yield Case(group, f"{name} backward", *targets[1], back, back_torch)


def training_step(batch: int) -> Case:
    """Forward, backward and an SGD step of the whole transformer network."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((batch, 1, 28, 28)).astype(np.float32)
    labels = rng.integers(0, 10, batch)
    npstn.manual_seed(0)
    net = models.STNClsNet(dropout=0.0)
    state = net.state_dict()
    sgd = optim.SGD(net.parameters(), lr=1e-3)

    def step(_: Any) -> float:
        sgd.zero_grad()
        loss = F.nll_loss(net(npstn.Tensor(images)), labels)
        loss.backward()
        sgd.step()
        return loss.item()

    theirs = None
    if torch is not None:
        net_torch = peer.STNClsNet()
        net_torch.load_state_dict({name: torch.tensor(array) for name, array in state.items()})
        sgd_torch = torch.optim.SGD(net_torch.parameters(), lr=1e-3)
        x, t = torch.tensor(images), torch.tensor(labels)

        def step_torch(_: Any) -> float:
            sgd_torch.zero_grad()
            loss = TF.nll_loss(net_torch(x), t)
            loss.backward()
            sgd_torch.step()
            return loss.item()

        theirs = Side(nothing, step_torch, lambda loss: [np.array(loss)])
    ours = Side(nothing, step, lambda loss: [np.array(loss)])
    return Case("step", f"training step, batch {batch}", 2.5, 4, ours, theirs)


def evaluation(batch: int) -> Case:
    images = np.random.default_rng(0).standard_normal((batch, 1, 28, 28)).astype(np.float32)
    net = models.STNClsNet().eval()
    state = net.state_dict()

    def run(_: Any) -> Any:
        with npstn.no_grad():
            return net(npstn.Tensor(images))

    theirs = None
    if torch is not None:
        net_torch = peer.STNClsNet().eval()
        net_torch.load_state_dict({name: torch.tensor(array) for name, array in state.items()})
        x = torch.tensor(images)

        def run_torch(_: Any) -> Any:
            with torch.no_grad():
                return net_torch(x)

        theirs = Side(nothing, run_torch, lambda y: [y.numpy()])
    return Case("eval", f"evaluation, batch {batch}", 2, 4, Side(nothing, run, lambda y: [y.data]), theirs)


def cases() -> Iterator[Case]:
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    for batch in (10, 64, 256):
        yield training_step(batch)
    yield evaluation(1000)

    both = (1.0, 1.5), (2.0, 3.0)
    layers = ("1->10 on 28x28", (64, 1, 28, 28), (10, 1, 5, 5)), ("10->20 on 12x12", (64, 10, 12, 12), (20, 10, 5, 5))
    for name, image, weight in layers:
        arrays = [normal(*image), normal(*weight), normal(weight[0])]
        theirs = TF.conv2d if torch is not None else F.conv2d
        yield from of_operation("conv", f"conv2d {name}", both, arrays, [True] * 3, F.conv2d, theirs)

    for shape in ((64, 10, 24, 24), (64, 20, 8, 8)):
        yield from of_operation(
            "pool",
            f"max_pool2d {shape}",
            ((5, 15), (1, 2)),
            [normal(*shape)],
            [True],
            lambda x: F.max_pool2d(x, 2),
            lambda x: TF.max_pool2d(x, 2),
        )

    for shape in ((64, 1, 28, 28), (16, 32, 64, 64), (4, 3, 512, 512)):
        theta = F.rotation_theta(npstn.Tensor(rng.uniform(-0.8, 0.8, shape[0]).astype(np.float32)))
        grid = F.affine_grid(theta, shape, align_corners=True).data
        yield from of_operation(
            "sampler",
            f"grid_sample {shape}",
            ((0.8, 1.2), (1.5, 3)),
            [normal(*shape), grid],
            [True, True],
            lambda x, g: F.grid_sample(x, g, align_corners=True),
            lambda x, g: TF.grid_sample(x, g, align_corners=True),
        )

    size = [64, 1, 28, 28]
    yield from of_operation(
        "grid",
        "affine_grid (64, 1, 28, 28)",
        ((2, 5), None),
        [normal(64, 2, 3)],
        [True],
        lambda theta: F.affine_grid(theta, size, align_corners=True),  # type: ignore[arg-type]
        lambda theta: TF.affine_grid(theta, size, align_corners=True),
    )
