"""Optimisers and the schedule of the learning rate, with PyTorch's names, defaults and formulas.

    p   a parameter               m   the running mean of g, or the momentum
    g   its gradient dp           v   the running mean of g^2
    t   the number of steps that the parameter has taken
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from npstn.autograd import Tensor
from npstn.backend.blas import blas_of_one_thread
from npstn.backend.compiler import kernel
from npstn.backend.parallel import share_out
from npstn.changes import Steps, note_changes
from npstn.messages import one_line
from npstn.nn import Module, Parameter
from npstn.numpy_face import native
from npstn.ops.arguments import number

# One loop over the numbers of a parameter: NumPy would take a call and a new array for each term of a formula.


@kernel
def sgd_step(first, end, p, g, m, lr, momentum, weight_decay):
    real = p.dtype.type
    lr, momentum, weight_decay = real(lr), real(momentum), real(weight_decay)
    p, g, m = p[first:end], g[first:end], m[first:end]  # so that no index can be counted from the end
    for i in range(p.size):
        m[i] = momentum * m[i] + (g[i] + weight_decay * p[i])
        p[i] -= lr * m[i]


@kernel
def adam_step(first, end, p, g, m, v, lr, beta1, beta2, eps, weight_decay, t):
    real = p.dtype.type
    keep, rate, small = real(1 - lr * weight_decay), real(lr / (1 - beta1**t)), real(eps)
    old1, new1, old2, new2 = real(beta1), real(1 - beta1), real(beta2), real(1 - beta2)
    root = real(1 / np.sqrt(1 - beta2**t))
    p, g, m, v = p[first:end], g[first:end], m[first:end], v[first:end]
    for i in range(p.size):
        m[i] = old1 * m[i] + new1 * g[i]
        v[i] = old2 * v[i] + new2 * (g[i] * g[i])
        p[i] = keep * p[i] - rate * m[i] / (root * np.sqrt(v[i]) + small)


@kernel
def average_step(first, end, a, p, decay):
    old, new = a.dtype.type(decay), a.dtype.type(1 - decay)
    a, p = a[first:end], p[first:end]
    for i in range(a.size):
        a[i] = old * a[i] + new * p[i]


Params = Iterable[Parameter] | Iterable[Mapping[str, Any]]


class Optimizer:
    """Changes parameters by their gradients. A parameter without a gradient keeps its value.

    Parameters can have learning rates of their own: groups {"params": ..., "lr": ...} instead of parameters. A group's
    rate keeps its ratio to `lr` when a schedule changes that; a group without one has `lr`.

    >>> slow, quick = Parameter([1.0]), Parameter([1.0])
    >>> optimizer = SGD([{"params": [slow], "lr": 0.1}, {"params": [quick]}], lr=1.0)
    >>> (slow + quick).sum().backward()
    >>> optimizer.step()
    >>> slow.item(), quick.item()
    (0.8999999761581421, 0.0)
    """

    def __init__(self, params: Params, lr: float) -> None:
        name = type(self).__name__
        if not number(lr) >= 0:
            raise ValueError(f"{name}: expected lr of at least 0, got {one_line(lr)}")
        if isinstance(params, Tensor):
            raise TypeError(f"{name}: expected several parameters, got one Tensor: put it in a list")
        if isinstance(params, Module):
            raise TypeError(f"{name}: expected parameters, got a {type(params).__name__}: give its parameters()")
        self.lr = lr
        self._steps = Steps()
        self.params: list[Parameter] = []
        self._ratios: list[float] = []  # of each parameter's learning rate to `lr`
        for group in _groups(name, list(params), lr):
            self.params += group["params"]
            self._ratios += [group["lr"] / lr if group["lr"] != lr else 1.0] * len(group["params"])
        if not self.params:
            raise ValueError(f"{name}: expected at least one parameter, got none")
        for parameter in self.params:
            if not isinstance(parameter, Tensor):
                got = type(parameter).__name__
                raise TypeError(f"{name}: expected parameters, such as net.parameters(), got a {got} among them")
        self._shapes = [parameter.shape for parameter in self.params]
        if len({id(parameter) for parameter in self.params}) < len(self.params):
            raise ValueError(f"{name}: expected each parameter once, got one that is in two groups or twice in one")

    def zero_grad(self) -> None:
        """Set the gradients to None."""
        for parameter in self.params:
            parameter.grad = None

    def step(self) -> None:
        """Change each parameter that has a gradient.

        Raises ValueError for a gradient of another shape, TypeError for one of another dtype. Then none is changed.
        """
        raise TypeError(f"{type(self).__name__}: expected a subclass that defines step, got one without")

    def state_dict(self) -> dict[str, Any]:
        """The learning rate, and copies of the arrays that a step changes in addition to the parameters, by name.

        An optimiser with this state, the same parameters and the same arguments goes on exactly as this one would.
        """
        return {"lr": self.lr, **{name: array.copy() for name, array in self._arrays().items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy the state of another optimiser of the same kind, for parameters of the same shapes.

        Raises KeyError for a missing or an unknown name, ValueError for another shape, a negative learning rate or a
        negative number of steps, TypeError for another dtype. Each error names the entry; after an error the state has
        not changed.
        """
        own, here = {"lr": np.array(float(self.lr)), **self._arrays()}, f"{type(self).__name__}.load_state_dict"
        for name in own:
            if name not in state:
                raise KeyError(f"{here}: expected an entry {name!r}, got none")
        for name, value in state.items():
            if name not in own:
                raise KeyError(f"{here}: expected no entry {name!r}, got one: the optimiser has no such state")
            wanted, array = own[name], np.asarray(value)
            if array.shape != wanted.shape:
                raise ValueError(f"{here}: expected {name!r} of shape {wanted.shape}, got {array.shape}")
            if not np.can_cast(array.dtype, wanted.dtype):
                raise TypeError(f"{here}: expected {name!r} of {wanted.dtype}, got {array.dtype}")
            if (name == "lr" or array.dtype.kind == "i") and not (array >= 0).all():  # integers count steps
                raise ValueError(f"{here}: expected {name!r} of at least 0, got {array.min()}")
        self.lr = float(state["lr"])
        for name, array in self._arrays().items():
            array[...] = state[name]

    def _arrays(self) -> dict[str, np.ndarray]:
        """The arrays, not copies, that a step changes in addition to the parameters, by name."""
        return {}

    def _shaped(self, name: str, vectors: list[np.ndarray]) -> dict[str, np.ndarray]:
        """The vectors that belong to the parameters, in their shapes and by name."""
        return {f"{name}.{i}": v.reshape(self._shapes[i]) for i, v in enumerate(vectors)}

    def _ready(self) -> list[tuple[int, np.ndarray, np.ndarray]]:
        """The parameters that have a gradient: number, values and gradient as vectors, to be changed in place.

        All are checked before any is changed. Raises ValueError and TypeError for gradients that do not fit.
        """
        ready, arrays = [], []
        for i, p in enumerate(self.params):
            g, x, shape = p.grad, p._array, self._shapes[i]
            if g is None:
                continue
            if type(g) is not np.ndarray or not g.shape == shape == x.shape or g.dtype != x.dtype:
                g = self._gradient(p, shape)
            if not x.flags.carray:
                p._array = x = x.copy(order="C")
            arrays.append(x)
            ready.append((i, x.reshape(-1), g.ravel()))
        self._steps.note(arrays)
        return ready

    def _gradient(self, p: Parameter, shape: tuple[int, ...]) -> np.ndarray:
        """The gradient that the caller has put there, if it fits in the byte order of this machine."""
        step = f"{type(self).__name__}.step"
        if p.shape != shape:
            raise ValueError(f"{step}: expected a parameter of shape {shape}, as at first, got one of {p.shape}")
        if not isinstance(p.grad, np.ndarray):
            raise TypeError(f"{step}: expected a gradient that is an array, got a {type(p.grad).__name__}")
        gradient = native(p.grad)
        if gradient.shape != shape:
            raise ValueError(f"{step}: expected a gradient of shape {shape}, got {gradient.shape}")
        if gradient.dtype != p.dtype:
            raise TypeError(f"{step}: expected a gradient of {p.dtype}, got {gradient.dtype}")
        return gradient


def _groups(name: str, params: list[Any], lr: float) -> list[dict[str, Any]]:
    """Parameters as groups, each with its "params" and its "lr"."""
    if not any(isinstance(item, Mapping) for item in params):
        return [{"params": params, "lr": lr}]
    groups = []
    for item in params:
        if not isinstance(item, Mapping) or not {"params"} <= item.keys() <= {"params", "lr"}:
            got = sorted(item) if isinstance(item, Mapping) else type(item).__name__
            raise ValueError(f"{name}: expected groups with the entries 'params' and 'lr', got {got}")
        rate = item.get("lr", lr)
        if not number(rate) >= 0:
            raise ValueError(f"{name}: expected lr of at least 0 in each group, got {one_line(rate)}")
        if rate != lr and lr == 0:
            raise ValueError(f"{name}: expected lr above 0, to which the rates of the groups keep their ratio, got 0")
        inside = item["params"]
        groups.append({"params": [inside] if isinstance(inside, Tensor) else list(inside), "lr": rate})
    return groups


def _zeros_for(params: list[Parameter]) -> list[np.ndarray]:
    """A vector of zeros for the state of each parameter."""
    return [np.zeros(p._array.size, p._array.dtype) for p in params]


class SGD(Optimizer):
    """Stochastic gradient descent with momentum and weight decay, in PyTorch's form:

    m = momentum m + (g + weight_decay p),   p -= lr m,   where m starts at 0

    Args:
        params: the parameters, as `Module.parameters()` gives them.
        lr, momentum, weight_decay: at least 0.

    Raises ValueError for other numbers and for no parameters, TypeError for a single Tensor.

    >>> p = Parameter([1.0, 2.0])
    >>> optimizer = SGD([p], lr=0.5)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p
    Tensor([0., 0.], dtype=float32, requires_grad=True)
    """

    def __init__(
        self, params: Params, lr: float, momentum: float = 0.0, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, lr)
        if not (number(momentum) >= 0 and number(weight_decay) >= 0):
            got = f"{one_line(momentum)}, {one_line(weight_decay)}"
            raise ValueError(f"SGD: expected momentum and weight_decay of at least 0, got {got}")
        self.momentum, self.weight_decay = momentum, weight_decay
        self._m = _zeros_for(self.params)

    def step(self) -> None:
        for i, p, g in self._ready():
            numbers = self.lr * self._ratios[i], self.momentum, self.weight_decay
            share_out(sgd_step, p.size, p, g, self._m[i], *numbers, work=p.size // 5)  # ns

    def _arrays(self) -> dict[str, np.ndarray]:
        return self._shaped("m", self._m)


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015, algorithm 1), in PyTorch's form:

    m = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g^2,
    p -= lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps),   where m and v start at 0

    Args:
        params: the parameters, as `Module.parameters()` gives them.
        lr, eps: at least 0.
        betas: beta1 and beta2, from 0 to below 1.

    Raises ValueError for other numbers and for no parameters, TypeError for a single Tensor.
    """

    weight_decay = 0.0

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, lr)
        if len(betas) != 2 or not all(0 <= number(beta) < 1 for beta in betas) or not number(eps) >= 0:
            expected = "expected two betas from 0 to below 1 and eps of at least 0"
            raise ValueError(f"{type(self).__name__}: {expected}, got {one_line(betas)}, {one_line(eps)}")
        self.betas, self.eps = betas, eps
        self._t = np.zeros(len(self.params), np.int64)
        self._m, self._v = _zeros_for(self.params), _zeros_for(self.params)

    def step(self) -> None:
        for i, p, g in self._ready():
            self._change(i, p, g)

    def _change(self, i: int, p: np.ndarray, g: np.ndarray) -> None:
        """Change parameter number i by its gradient. Args: the vectors that `_ready` gives."""
        numbers = self.lr * self._ratios[i], *self.betas, self.eps, self.weight_decay
        self._t[i] += 1
        share_out(adam_step, p.size, p, g, self._m[i], self._v[i], *numbers, self._t[i], work=p.size // 3)

    def _arrays(self) -> dict[str, np.ndarray]:
        return {"t": self._t, **self._shaped("m", self._m), **self._shaped("v", self._v)}


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), in PyTorch's form:

    p -= lr weight_decay p, and then the step of `Adam`.

    Args:
        weight_decay: at least 0, else ValueError. The other arguments are those of `Adam`.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps)
        if not number(weight_decay) >= 0:
            name = type(self).__name__
            raise ValueError(f"{name}: expected weight_decay of at least 0, got {one_line(weight_decay)}")
        self.weight_decay = weight_decay


def orthogonal(M: np.ndarray) -> np.ndarray:
    """A matrix with the singular vectors of M, (n, k), and with singular values near 1, where those of M may be small.

    X = M / |M| has singular values of at most 1. Five times, X becomes a X + b (X X^T) X + c (X X^T)^2 X, which makes
    each singular value s of X a s + b s^3 + c s^5. With these a, b and c, what was above 0.002 ends between 0.68 and
    1.21. The longer side of X takes part in only two products: with G = X^T X of the shorter side, and with
    P = a + b G + c G^2, X becomes X P, and so G becomes P G P.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    blas = blas_of_one_thread()
    gemm, norm = (blas.sgemm, blas.snrm2) if M.dtype == np.float32 else (blas.dgemm, blas.dnrm2)
    X = M / max(norm(M.ravel()), 1e-7)
    X = X if len(M) > M.shape[1] else X.T
    G, product = gemm(1, X, X, trans_a=1).astype(np.float64), np.eye(min(M.shape))
    aI = a * product
    for _ in range(5):
        P = aI + blas.dgemm(c, G, G, b, G)
        product, G = blas.dgemm(1, product, P), blas.dgemm(1, P, blas.dgemm(1, G, P))
    X = gemm(1, X, product.astype(M.dtype))
    return X if len(M) > M.shape[1] else X.T


class MuonWithAuxAdam(AdamW):
    """Muon for the filters of convolutions, `AdamW` for every other parameter (Jordan et al. 2024).

    For filters, as matrices of (filters, the numbers of one):

    m = momentum m + (1 - momentum) g,   u = momentum m + (1 - momentum) g,   where m starts at 0
    p -= lr weight_decay p,   p -= lr 0.2 sqrt(k) orthogonal(u),   where k is the longer side of the matrix

    So a step changes filters by as much in each direction that its gradients have, and by 0.2 lr a number (root mean
    square), about as much as a step of Adam. It is PyTorch's `Muon` with `adjust_lr_fn="match_rms_adamw"`, but
    PyTorch's takes matrices alone, and orthogonalises in bfloat16.

    Args:
        params: those with four axes are filters.
        momentum: from 0 to below 1, else ValueError. The other arguments are those of `AdamW`.

    >>> filters = Parameter(np.zeros((2, 1, 1, 2), np.float32))
    >>> filters.grad = np.array([1, 2, 2, -1], np.float32).reshape(filters.shape)
    >>> MuonWithAuxAdam([filters], lr=0.1).step()
    >>> filters.data.round(3).reshape(2, 2)
    array([[-0.014, -0.028],
           [-0.028,  0.014]], dtype=float32)
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        momentum: float = 0.95,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)
        _check_decay(type(self).__name__, momentum, "momentum")
        self.momentum = momentum

    def _change(self, i: int, p: np.ndarray, g: np.ndarray) -> None:
        shape = self._shapes[i]
        if len(shape) != 4:
            super()._change(i, p, g)
        elif p.size:
            m, lr = self._m[i], float(self.lr * self._ratios[i])
            new = (1 - self.momentum) * g
            m *= self.momentum
            m += new
            u = self.momentum * m + new
            p *= 1 - lr * self.weight_decay
            u = u.reshape(shape[0], -1)
            p -= lr * 0.2 * math.sqrt(max(u.shape)) * orthogonal(u).ravel()

    def _arrays(self) -> dict[str, np.ndarray]:
        unused = {f"v.{i}" for i, shape in enumerate(self._shapes) if len(shape) == 4}
        return {name: array for name, array in super()._arrays().items() if name not in unused}


class AveragedModel:
    """The exponential average of a network's weights over the steps, in a copy of the network.

    average = decay average + (1 - decay) weights, after each step; the first update copies the weights. PyTorch's
    `torch.optim.swa_utils.AveragedModel` with `get_ema_multi_avg_fn(decay)`.

    Args:
        model: the network that is trained.
        decay: from 0 to below 1; about 1 - 1 / n averages over the last n steps. Or a function that gives it for the
            number of updates so far, at least 1.

    Attributes:
        module: the copy, with the averaged weights. Call it, evaluate it, save its `state_dict`.
        updates: how many there were.

    Raises ValueError for another decay.

    >>> from npstn import nn
    >>> net = nn.Linear(1, 1, bias=False)
    >>> net.weight.data[...] = 1
    >>> average = AveragedModel(net, decay=0.75)
    >>> average.update_parameters(net)
    >>> net.weight.data[...] = 3
    >>> average.update_parameters(net)
    >>> average.module.weight.item()
    1.5
    """

    def __init__(self, model: Module, decay: float | Callable[[int], float] = 0.999) -> None:
        if not callable(decay):
            _check_decay("AveragedModel", decay)
        self.module, self.decay, self.updates = copy.deepcopy(model), decay, 0
        self.module.zero_grad()

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        return self.module(*inputs, **options)

    def update_parameters(self, model: Module) -> None:
        """Take the present weights of the network into the average. Call it after each step of the optimiser.

        Raises ValueError for a network whose weights have other shapes, and for a decay outside of 0 to below 1.
        """
        averages, weights = list(self.module.parameters()), list(model.parameters())
        expected, got = [a.shape for a in averages], [w.shape for w in weights]
        if got != expected:
            raise ValueError(f"AveragedModel.update_parameters: expected weights of shapes {expected}, got {got}")
        decay = self.decay
        if callable(decay) and self.updates:
            decay = decay(self.updates)
            _check_decay("AveragedModel.update_parameters", decay)
        note_changes(average._array for average in averages)
        for average, weight in zip(averages, weights, strict=True):
            if self.updates:
                if not average._array.flags.carray:
                    average._array = average._array.copy(order="C")
                a, p = average._array.reshape(-1), weight._array.ravel()
                share_out(average_step, a.size, a, p, decay, work=a.size // 10)  # ns
            else:
                average._array[...] = weight._array
        self.updates += 1

    def state_dict(self) -> dict[str, Any]:
        """The number of updates, and copies of the averaged weights, by name."""
        weights = {f"module.{name}": array for name, array in self.module.state_dict().items()}
        return {"updates": self.updates, **weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy the state of another average, of a network of the same shapes.

        Raises KeyError for a missing or an unknown name, ValueError for another shape or a negative number of updates,
        TypeError for another dtype.
        """
        here = "AveragedModel.load_state_dict"
        if "updates" not in state:
            raise KeyError(f"{here}: expected an entry 'updates', got none")
        updates = state["updates"]
        if isinstance(updates, bool) or not isinstance(updates, (int, np.integer)) or updates < 0:
            raise ValueError(f"{here}: expected 'updates' to be an integer of at least 0, got {one_line(updates)}")
        updates = int(updates)
        weights = {name: array for name, array in state.items() if name != "updates"}
        for name in weights:
            if not name.startswith("module."):
                raise KeyError(f"{here}: expected no entry {name!r}, got one: the average has no such state")
        self.module.load_state_dict({name.removeprefix("module."): array for name, array in weights.items()})
        self.updates = updates


def _check_decay(name: str, decay: Any, what: str = "decay") -> None:
    if not 0 <= number(decay) < 1:
        raise ValueError(f"{name}: expected {what} from 0 to below 1, got {one_line(decay)}")


class OneCycleLR:
    """A schedule of one cycle (Smith and Topin 2018): PyTorch's with cosine annealing and `cycle_momentum=False`.

    The learning rate starts at max_lr / div_factor and rises to max_lr along half a cosine during the share `pct_start`
    of the steps. Then it falls along half a cosine, to max_lr / div_factor / final_div_factor at the last step. Call
    `step()` after each step of the optimiser.

    Raises ValueError for total_steps below 1, a pct_start outside 0 .. 1, a max_lr below 0, and factors that are not
    above 0.
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
        if not number(total_steps) >= 1:
            raise ValueError(f"OneCycleLR: expected total_steps of at least 1, got {one_line(total_steps)}")
        if not 0 <= number(pct_start) <= 1:
            raise ValueError(f"OneCycleLR: expected pct_start from 0 to 1, got {one_line(pct_start)}")
        if not number(max_lr) >= 0:
            raise ValueError(f"OneCycleLR: expected max_lr of at least 0, got {one_line(max_lr)}")
        if not (number(div_factor) > 0 and number(final_div_factor) > 0):
            factors = f"{one_line(div_factor)}, {one_line(final_div_factor)}"
            raise ValueError(f"OneCycleLR: expected factors above 0, got {factors}")
        self.optimizer, self.max_lr, self.total_steps, self.pct_start = optimizer, max_lr, total_steps, pct_start
        self.first_lr = max_lr / div_factor
        self.last_lr = self.first_lr / final_div_factor
        self.taken = 0
        optimizer.lr = self.at(0)

    def at(self, step: int) -> float:
        """The learning rate of a step from 0 to total_steps - 1; later steps have that of the last."""
        peak, last = self.pct_start * self.total_steps - 1, self.total_steps - 1
        step = min(step, last)
        if step < peak:
            return _cosine(self.first_lr, self.max_lr, step / peak)
        return _cosine(self.max_lr, self.last_lr, (step - peak) / (last - peak)) if step > peak else self.max_lr

    def step(self) -> None:
        self.taken += 1
        self.optimizer.lr = self.at(self.taken)

    def state_dict(self) -> dict[str, Any]:
        """The number of steps that were taken."""
        return {"taken": self.taken}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to the step of another schedule, and set the learning rate of the optimiser.

        Raises KeyError for entries other than "taken", ValueError for a negative number of steps.
        """
        if set(state) != {"taken"}:
            raise KeyError(f"OneCycleLR.load_state_dict: expected only the entry 'taken', got {sorted(state)}")
        taken = int(state["taken"])
        if taken < 0:
            raise ValueError(f"OneCycleLR.load_state_dict: expected 'taken' of at least 0, got {taken}")
        self.taken = taken
        self.optimizer.lr = self.at(taken)


def _cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * done))
