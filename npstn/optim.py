"""Optimisers, and the learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from npstn.autograd import Tensor
from npstn.nn import Parameter


class Optimizer:
    """Changes parameters by their gradients; a parameter without one is left alone."""

    def __init__(self, params: Iterable[Parameter], lr: float) -> None:
        if not lr >= 0:
            raise ValueError(f"{type(self).__name__}: expected lr of at least 0, got {lr}")
        if isinstance(params, Tensor):
            raise TypeError(f"{type(self).__name__}: expected several parameters, got one Tensor")
        self.params = list(params)
        if not self.params:
            raise ValueError(f"{type(self).__name__}: expected at least one parameter, got none")
        self.lr = lr

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.params:
            parameter.grad = None

    def step(self) -> None:
        """Change each parameter once."""
        raise TypeError(f"{type(self).__name__}: expected a subclass that defines step, got one without")


class SGD(Optimizer):
    """Stochastic gradient descent with momentum and weight decay, in PyTorch's form:

    g = dp + weight_decay p,   m = momentum m + g (m = g at first),   p -= lr m

    Args:
        params: what `Module.parameters()` gives.
        lr, momentum, weight_decay: at least 0; ValueError else.
    """

    def __init__(
        self, params: Iterable[Parameter], lr: float, momentum: float = 0.0, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, lr)
        if not (momentum >= 0 and weight_decay >= 0):
            raise ValueError(f"SGD: expected momentum and weight_decay of at least 0, got {momentum}, {weight_decay}")
        self.momentum, self.weight_decay = momentum, weight_decay
        self._m: list[np.ndarray | None] = [None] * len(self.params)

    def step(self) -> None:
        for i, p in enumerate(self.params):
            if p.grad is None:
                continue
            g = p.grad + self.weight_decay * p.data if self.weight_decay else p.grad
            if self.momentum:
                m = self._m[i]
                self._m[i] = g = g.copy() if m is None else self.momentum * m + g
            p.data -= self.lr * g


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015), algorithm 1, as PyTorch's:

    m = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g^2,
    p -= lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    Args:
        params: what `Module.parameters()` gives.
        lr: at least 0; betas: each in 0 .. 1, 1 excluded; eps: at least 0; ValueError else.
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, lr)
        if not (0 <= betas[0] < 1 and 0 <= betas[1] < 1 and eps >= 0):
            name = type(self).__name__
            raise ValueError(f"{name}: expected betas in 0 .. 1 and eps of at least 0, got {betas}, {eps}")
        self.betas, self.eps = betas, eps
        self._t = [0] * len(self.params)
        self._m = [np.zeros_like(p.data) for p in self.params]
        self._v = [np.zeros_like(p.data) for p in self.params]

    def step(self) -> None:
        beta1, beta2 = self.betas
        for i, p in enumerate(self.params):
            if p.grad is None:
                continue
            g, m, v = p.grad, self._m[i], self._v[i]
            self._t[i] += 1
            m *= beta1
            m += (1 - beta1) * g
            v *= beta2
            v += (1 - beta2) * (g * g)
            unbias1, unbias2 = 1 - beta1 ** self._t[i], 1 - beta2 ** self._t[i]
            p.data -= self.lr / unbias1 * m / (np.sqrt(v) / math.sqrt(unbias2) + self.eps)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), as PyTorch's:

    p -= lr weight_decay p, and then Adam's step.

    Args:
        weight_decay: at least 0; ValueError else. The others as for `Adam`.
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps)
        if not weight_decay >= 0:
            raise ValueError(f"AdamW: expected weight_decay of at least 0, got {weight_decay}")
        self.weight_decay = weight_decay

    def step(self) -> None:
        for p in self.params:
            if p.grad is not None:
                p.data *= 1 - self.lr * self.weight_decay
        super().step()


class OneCycleLR:
    """The learning rate of one cycle (Smith and Topin 2018): up from max_lr / div_factor along half a cosine for the
    first `pct_start` of the steps, then down to 1 / final_div_factor of where it began.

    PyTorch's, with its cosine annealing and `cycle_momentum=False`. Call `step()` after each step of the optimiser.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float,
        total_steps: int,
        pct_start: float = 0.3,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ) -> None:
        if total_steps < 1:
            raise ValueError(f"OneCycleLR: expected total_steps of at least 1, got {total_steps}")
        if not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR: expected pct_start from 0 to 1, got {pct_start}")
        self.optimizer, self.max_lr, self.total_steps, self.pct_start = optimizer, max_lr, total_steps, pct_start
        self.first_lr = max_lr / div_factor
        self.last_lr = self.first_lr / final_div_factor
        self.taken = 0
        optimizer.lr = self.at(0)

    def at(self, step: int) -> float:
        """The learning rate of a step, 0 .. total_steps - 1; after these it stays at the last."""
        peak, last = self.pct_start * self.total_steps - 1, self.total_steps - 1
        step = min(step, last)
        if step < peak:
            return _cosine(self.first_lr, self.max_lr, step / peak)
        return _cosine(self.max_lr, self.last_lr, (step - peak) / (last - peak)) if step > peak else self.max_lr

    def step(self) -> None:
        self.taken += 1
        self.optimizer.lr = self.at(self.taken)


def _cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * done))
