"""How npstn runs the cases; `torch_side.py` does the same in PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import threadpoolctl

import npstn
import npstn.functional as F
from benchmarks.cases import Timed
from npstn import models, optim


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


def training_step(images: np.ndarray, labels: np.ndarray, state: dict[str, np.ndarray]) -> Timed:
    net = models.STNClsNet(dropout=0.0)
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
