"""How PyTorch runs the cases; `npstn_side.py` does the same in npstn."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.cases import Timed
from benchmarks.peer import STNClsNet


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


def training_step(images: np.ndarray, labels: np.ndarray, state: dict[str, np.ndarray]) -> Timed:
    net = STNClsNet(dropout=0.0)
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
    net = STNClsNet().eval()
    net.load_state_dict({name: torch.tensor(array) for name, array in state.items()})
    x = torch.tensor(images)

    def run(_: Any) -> torch.Tensor:
        with torch.no_grad():
            return net(x)

    return Timed(lambda: None, run, lambda y: [y.numpy()])
