"""How npstn runs the cases; `torch_side.py` does the same in PyTorch, but for those at the end."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl

import npstn
import npstn.functional as F
from benchmarks.cases import Timed
from npstn import models, nn, optim


def build(transformer: str, network: str, side: int) -> nn.Module:
    """The network for images (B, 1, side, side), without dropout."""
    if transformer == "rotation" and network == "blog":
        return models.STNClsNet(dropout=0.0)  # the only network of an npstn of 2026-11-26, see against.py
    return models.build(transformer, (1, side, side), 10, network=network)


def set_num_threads(threads: int) -> None:
    npstn.set_num_threads(threads)
    threadpoolctl.threadpool_limits(threads, user_api="blas")  # NumPy's own threads, which npstn does not set


def forward(work: Any, arrays: list[np.ndarray]) -> Timed:
    inputs = [npstn.Tensor(array, requires_grad=True) for array in arrays]
    return Timed(lambda: None, lambda _: work(F, *inputs), lambda y: [y.data])


def backward(work: Any, arrays: list[np.ndarray]) -> Timed:
    inputs = [npstn.Tensor(array, requires_grad=True) for array in arrays]
    y = work(F, *inputs)
    dy = np.random.default_rng(4).standard_normal(y.shape).astype(np.float32)

    def prepare() -> npstn.Tensor:
        for x in inputs:
            x.grad = None
        return work(F, *inputs)

    return Timed(prepare, lambda y: y.backward(dy), lambda _: [np.asarray(x.grad) for x in inputs])


def forward_in_turns(work: Any, image: np.ndarray, grids: np.ndarray) -> Timed:
    x, turns = npstn.Tensor(image), itertools.cycle(grids)
    prepare = lambda: npstn.Tensor(next(turns), requires_grad=True)  # noqa: E731
    return Timed(prepare, lambda grid: work(F, x, grid), lambda y: [y.data])


def backward_in_turns(work: Any, image: np.ndarray, grids: np.ndarray) -> Timed:
    x, turns = npstn.Tensor(image), itertools.cycle(grids)
    y = work(F, x, npstn.Tensor(grids[0]))
    dy = np.random.default_rng(4).standard_normal(y.shape).astype(np.float32)
    waiting: collections.deque[tuple[npstn.Tensor, npstn.Tensor]] = collections.deque()

    def prepare() -> tuple[npstn.Tensor, npstn.Tensor]:
        while len(waiting) < len(grids):
            grid = npstn.Tensor(next(turns), requires_grad=True)
            waiting.append((grid, work(F, x, grid)))
        return waiting.popleft()

    def run(given: tuple[npstn.Tensor, npstn.Tensor]) -> npstn.Tensor:
        grid, y = given
        y.backward(dy)
        return grid

    return Timed(prepare, run, lambda grid: [np.asarray(grid.grad)])


def training_step(
    images: np.ndarray, labels: np.ndarray, state: dict[str, np.ndarray], transformer: str, network: str
) -> Timed:
    net = build(transformer, network, images.shape[-1])
    net.load_state_dict(state)
    optimizer = optim.SGD(net.parameters(), lr=1e-3)

    def step(_: Any) -> float:
        optimizer.zero_grad()
        loss = F.nll_loss(net(npstn.Tensor(images)), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return Timed(lambda: None, step, lambda loss: [np.array(loss), *(np.asarray(p.grad) for p in net.parameters())])


def evaluation(images: np.ndarray, state: dict[str, np.ndarray]) -> Timed:
    net = models.STNClsNet().eval()
    net.load_state_dict(state)

    def run(_: Any) -> npstn.Tensor:
        with npstn.no_grad():
            return net(npstn.Tensor(images))

    return Timed(lambda: None, run, lambda y: [y.data])


# Of npstn alone; see distorting.py.


def _task(name: str, digits: Path) -> Any:
    from npstn.data import SOURCES  # here, because the npstn of `--against` may have none
    from npstn.tasks import TASKS

    return TASKS[name](SOURCES["mnist"](digits))


def distorting(task: str, digits: Path, batch: int) -> Timed:
    """The batches of a task alone."""
    made = _task(task, digits)
    rng = np.random.default_rng(0)
    batches = itertools.chain.from_iterable(made.batches(batch, rng) for _ in itertools.count())
    return Timed(lambda: None, lambda _: next(batches), lambda batch: [batch.images])


def training_on(task: str, digits: Path, batch: int) -> Timed:
    """The training steps of a task, its batches included: of the paper's CNN behind an affine transformer."""
    from npstn import training

    made, recipe = _task(task, digits), dataclasses.replace(training.RECIPES["fast"], batch_size=batch)
    net = models.build("affine", made.image, len(made.classes), network="cnn")
    events = training.train(net, made, recipe, training.State(net, recipe, len(made)))
    return Timed(lambda: None, lambda _: next(events), lambda step: [np.array(step.loss)])
