"""How PyTorch runs the cases; `npstn_side.py` does the same in npstn."""

from __future__ import annotations

import collections
import itertools
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks import peer_networks
from benchmarks.cases import Timed


def set_num_threads(threads: int) -> None:
    torch.set_num_threads(threads)


def forward(work: Any, arrays: list[np.ndarray]) -> Timed:
    inputs = [torch.tensor(array, requires_grad=True) for array in arrays]
    return Timed(lambda: None, lambda _: work(F, *inputs), lambda y: [y.detach().numpy()])


def backward(work: Any, arrays: list[np.ndarray]) -> Timed:
    inputs = [torch.tensor(array, requires_grad=True) for array in arrays]
    y = work(F, *inputs)
    dy = torch.tensor(np.random.default_rng(4).standard_normal(y.shape).astype(np.float32))

    def prepare() -> torch.Tensor:
        for x in inputs:
            x.grad = None
        return work(F, *inputs)

    return Timed(prepare, lambda y: y.backward(dy), lambda _: [np.asarray(x.grad) for x in inputs])


def forward_in_turns(work: Any, image: np.ndarray, grids: np.ndarray) -> Timed:
    x, turns = torch.tensor(image), itertools.cycle(grids)
    prepare = lambda: torch.tensor(next(turns), requires_grad=True)  # noqa: E731
    return Timed(prepare, lambda grid: work(F, x, grid), lambda y: [y.detach().numpy()])


def backward_in_turns(work: Any, image: np.ndarray, grids: np.ndarray) -> Timed:
    x, turns = torch.tensor(image), itertools.cycle(grids)
    y = work(F, x, torch.tensor(grids[0]))
    dy = torch.tensor(np.random.default_rng(4).standard_normal(y.shape).astype(np.float32))
    waiting: collections.deque[tuple[torch.Tensor, torch.Tensor]] = collections.deque()

    def prepare() -> tuple[torch.Tensor, torch.Tensor]:
        while len(waiting) < len(grids):
            grid = torch.tensor(next(turns), requires_grad=True)
            waiting.append((grid, work(F, x, grid)))
        return waiting.popleft()

    def run(given: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        grid, y = given
        y.backward(dy)
        return grid

    return Timed(prepare, run, lambda grid: [np.asarray(grid.grad)])


def training_step(
    images: np.ndarray, labels: np.ndarray, state: dict[str, np.ndarray], transformer: str, network: str
) -> Timed:
    net = peer_networks.build(transformer, network, images.shape[-1])
    net.load_state_dict({name: torch.tensor(array) for name, array in state.items()})
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    x, t = torch.tensor(images), torch.tensor(labels)

    def step(_: Any) -> float:
        optimizer.zero_grad()
        loss = F.nll_loss(net(x), t)
        loss.backward()
        optimizer.step()
        return loss.item()

    return Timed(lambda: None, step, lambda loss: [np.array(loss), *(np.asarray(p.grad) for p in net.parameters())])


def evaluation(images: np.ndarray, state: dict[str, np.ndarray]) -> Timed:
    net = peer_networks.build("rotation", "blog", images.shape[-1]).eval()
    net.load_state_dict({name: torch.tensor(array) for name, array in state.items()})
    x = torch.tensor(images)

    def run(_: Any) -> torch.Tensor:
        with torch.no_grad():
            return net(x)

    return Timed(lambda: None, run, lambda y: [y.numpy()])
