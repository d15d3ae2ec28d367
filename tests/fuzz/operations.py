"""For each function of `npstn.functional` and each operator of a Tensor, calls of it on awkward arguments."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

import npstn.functional as F
from npstn import Tensor
from tests.fuzz.calls import Call
from tests.fuzz.draws import Draws

CALLS: dict[str, Callable[[Draws], Call]] = {}


def call_of(*names: str) -> Callable[[Callable[..., Call]], Callable[..., Call]]:
    """Register what makes a call, under the names of the functions that it makes calls of; it takes the name."""

    def register(make: Callable[[Draws, str], Call]) -> Callable[[Draws, str], Call]:
        for name in names:
            CALLS[name] = lambda d, name=name: make(d, name).spoil(d)
        return make

    return register


def one_or_two(d: Draws, y: int, x: int) -> Any:
    """As a caller may write it: one number for both, two, or NumPy's."""
    return d.choice([(y, x), [y, x], (np.int64(y), x)]) if y != x else d.choice([y, (y, x), np.int64(y)])


def two(value: Any) -> tuple[int, int]:
    y, x = value if isinstance(value, (tuple, list)) else (value, value)
    return operator.index(y), operator.index(x)


def positions(size: tuple[int, ...], kernel: Any, stride: Any, padding: Any) -> tuple[int, ...]:
    """How often the window fits, for rows and columns."""
    counts = []
    for n, k, s, p in zip(size, two(kernel), two(stride), two(padding), strict=True):
        assert k >= 1 and s >= 1 and p >= 0 and n >= 1
        counts.append((n + 2 * p - k) // s + 1)
        assert counts[-1] >= 1
    return tuple(counts)


def geometry(d: Draws, pooling: bool) -> tuple[list[int], list[int], list[int], list[int]]:
    """Sizes, kernels, strides, paddings, for rows and columns; a window fits."""
    size, kernel, stride, padding = [], [], [], []
    for _ in range(2):
        kernel.append(d.integer(1, 3))
        padding.append(d.integer(0, kernel[-1] // 2 if pooling else 2))
        size.append(d.integer(max(1, kernel[-1] - 2 * padding[-1]), 6))
        stride.append(d.choice([1, 2, 3, 2**30]))
    return size, kernel, stride, padding


@call_of("conv2d")
def conv2d(d: Draws, _: str) -> Call:
    (H, W), (K, L), stride, padding = geometry(d, pooling=False)
    B, C, O = d.length(), d.length(), d.length()
    dtype = d.dtype()
    arrays = [d.array(shape, dtype) for shape in ((B, C, H, W), (O, C, K, L), (O,))]
    if d.chance(3):
        arrays[2] = None

    def shape(U: Any, weight: Any, bias: Any, stride: Any, padding: Any) -> tuple:
        (B, C, *size), (O, _, *kernel) = U.shape, weight.shape
        assert weight.shape[1] == C and (bias is None or bias.shape == (O,))
        return (B, O, *positions(size, kernel, stride, padding))

    options = {"stride": one_or_two(d, *stride), "padding": one_or_two(d, *padding)}
    return Call(F.conv2d, arrays, options, shape, same_in_any_layout=True)


@call_of("max_pool2d", "avg_pool2d")
def pool(d: Draws, name: str) -> Call:
    size, kernel, stride, padding = geometry(d, pooling=True)
    options = {"kernel_size": one_or_two(d, *kernel), "padding": one_or_two(d, *padding)}
    options["stride"] = None if d.chance(3) else one_or_two(d, *stride)

    def shape(U: Any, kernel_size: Any, stride: Any, padding: Any) -> tuple:
        B, C, *size = U.shape
        return (B, C, *positions(size, kernel_size, kernel_size if stride is None else stride, padding))

    U = d.array((d.length(), d.length(), *size), d.dtype())
    return Call(getattr(F, name), [U], options, shape, same_in_any_layout=True)


@call_of("linear")
def linear(d: Draws, _: str) -> Call:
    dtype, I, O = d.dtype(), d.length(), d.length()
    arrays = [d.array(shape, dtype) for shape in ((*d.shape(0, 3), I), (O, I), (O,))]
    if d.chance(3):
        arrays[2] = None

    def shape(x: Any, weight: Any, bias: Any) -> tuple:
        O, I = weight.shape
        assert x.shape[-1] == I and (bias is None or bias.shape == (O,))
        return (*x.shape[:-1], O)

    return Call(F.linear, arrays, {}, shape, same_in_any_layout=True)


@call_of("grid_sample")
def grid_sample(d: Draws, _: str) -> Call:
    dtype, B = d.dtype(), d.length()
    U = d.array((B, d.length(), d.length(1), d.length(1)), dtype)
    G = d.array((B, d.length(), d.length(), 2), dtype)
    options = {
        "mode": d.choice(["bilinear", "nearest"]),
        "padding_mode": d.choice(["zeros", "border", "reflection"]),
        "align_corners": d.choice([False, True]),
    }

    def shape(U: Any, G: Any, mode: Any, padding_mode: Any, align_corners: Any) -> tuple:
        (B, C, _, _), (_, h, w, _) = U.shape, G.shape
        return B, C, h, w

    return Call(F.grid_sample, [U, G], options, shape, same_in_any_layout=True)


@call_of("affine_grid")
def affine_grid(d: Draws, _: str) -> Call:
    B = d.length()
    size: Any = [B, d.length(), d.length(1), d.length(1)]
    if d.chance(8):
        size[d.integer(0, 3)] = d.choice([-1, 0, 2**31, 2**63, 10**30, 1.5, "2", None])
    theta = d.array((B, 2, 3), d.dtype())
    options = {"size": d.choice([tuple, list, np.array])(size), "align_corners": d.choice([False, True])}

    def shape(theta: Any, size: Any, align_corners: Any) -> tuple:
        B, _, h, w = map(operator.index, size)
        assert theta.shape == (B, 2, 3)
        return B, h, w, 2

    whole = all(isinstance(n, int) for n in size) and 1 <= min(size[2:]) and max(size) < 2**31
    return Call(F.affine_grid, [theta], options, shape, valid=whole and size[0] == B, same_in_any_layout=True)


@call_of("rotation_theta")
def rotation_theta(d: Draws, _: str) -> Call:
    return Call(F.rotation_theta, [d.array((d.length(),), d.dtype())], {}, lambda a: (*a.shape, 2, 3))


@call_of("relu", "tanh", "sigmoid", "exp", "log", "sqrt", "sin", "cos", "__neg__")
def elementwise(d: Draws, name: str) -> Call:
    function, method = getattr(F, name, None), getattr(Tensor, name)
    return Call(function or method, [d.array(d.shape(), d.dtype())], {}, lambda x: x.shape, method=not function)


@call_of("dropout", "dropout2d")
def dropout(d: Draws, name: str) -> Call:
    x = d.array(d.shape() if name == "dropout" else d.shape(4, 4), d.dtype())
    options = {"p": d.choice([0, 0.5, 1, 1.0, 1e-30, np.float32(0.3)]), "training": d.choice([True, True, False])}
    return Call(getattr(F, name), [x], options, lambda x, p, training: x.shape, may_share=True)


@call_of("log_softmax")
def log_softmax(d: Draws, _: str) -> Call:
    x = d.array(d.shape(1), d.dtype())
    return Call(F.log_softmax, [x], {"dim": d.integer(-x.ndim, x.ndim - 1)}, lambda x, dim: x.shape)


@call_of("nll_loss", "cross_entropy")
def loss(d: Draws, name: str) -> Call:
    B, K = d.length(), d.length(1)
    y = d.array((B, K), d.dtype())
    target = np.array([d.integer(0, K - 1) for _ in range(B)], d.choice([np.int64, np.uint8, np.int32]))
    if B and d.chance(8):
        target[-1] = d.choice([K, 100])
    valid = bool((target < K).all())
    return Call(getattr(F, name), [y, target], {}, lambda y, target: (), valid=valid)


@call_of("__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__truediv__", "__rtruediv__")
@call_of("__pow__", "__rpow__")
def arithmetic(d: Draws, name: str) -> Call:
    dtype, full = d.dtype(), d.shape()
    shapes = [tuple(1 if d.chance(4) else n for n in full[d.integer(0, len(full)) :]) for _ in range(2)]
    if d.chance(8):
        shapes[1] = d.shape()  # may not broadcast
    a, b = (d.array(shape, dtype) for shape in shapes)
    valid = True
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        valid = False
    if d.chance(3):
        b = d.choice([2, -1, 0, 0.5, 1e300, float("nan"), np.float64(3), np.int8(2), True])
        if d.chance(2):
            b = d.choice([[1, 2], None, "2", 1j, 10**30])
        valid = np.ndim(b) == 0 and isinstance(b, (int, float, np.number)) and np.asarray(b).dtype != object
    return Call(
        getattr(Tensor, name),
        [a, b],
        {},
        lambda a, b: np.broadcast_shapes(np.shape(a), np.shape(b)),
        valid,
        method=True,
    )


@call_of("__matmul__", "__rmatmul__")
def matmul(d: Draws, name: str) -> Call:
    dtype, n, k, m = d.dtype(), d.length(), d.length(), d.length()
    lead = d.shape(0, 2)
    a, b = d.array((*lead, n, k), dtype), d.array((*lead[d.integer(0, len(lead)) :], k, m), dtype)

    def shape(a: Any, b: Any) -> tuple:
        if name == "__rmatmul__":
            a, b = b, a
        (*lead, n, k), (*other, _, m) = a.shape, b.shape
        assert b.shape[-2] == k
        return (*np.broadcast_shapes(tuple(lead), tuple(other)), n, m)

    return Call(getattr(Tensor, name), [a, b] if name == "__matmul__" else [b, a], {}, shape, method=True)


@call_of("sum", "mean")
def reduction(d: Draws, name: str) -> Call:
    x = d.array(d.shape(), d.dtype())
    axes = [axis for axis in range(x.ndim) if d.chance(2)]
    dim = d.choice([None, tuple(axes), tuple(axis - x.ndim for axis in axes), *axes])
    options = {"dim": dim, "keepdim": d.choice([False, True])}

    def shape(x: Any, dim: Any, keepdim: Any) -> tuple:
        return x.sum(axis=dim, keepdims=bool(keepdim)).shape

    return Call(getattr(Tensor, name), [x], options, shape, method=True)


@call_of("reshape")
def reshape(d: Draws, _: str) -> Call:
    x = d.array(d.shape(), d.dtype())
    shape = list(d.choice([x.shape, x.shape[::-1], (x.size,), (1, x.size, 1)]))
    if x.size and shape and d.chance(2):
        shape[d.integer(0, len(shape) - 1)] = -1
    spread = d.chance(2)

    def function(x: Tensor, shape: Any) -> Tensor:
        return x.reshape(*shape) if spread and isinstance(shape, tuple) else x.reshape(shape)

    options = {"shape": tuple(shape)}
    return Call(function, [x], options, lambda x, shape: x.reshape(shape).shape, method=True, may_share=True)


@call_of("__getitem__")
def index(d: Draws, _: str) -> Call:
    x = d.array(d.shape(1), d.dtype())
    chosen: list[Any] = []
    for n in x.shape[: d.integer(0, x.ndim)]:
        options = [slice(None), slice(None, None, -1), slice(1, -1), slice(-100, 100, 3), np.array([], int)]
        if n:
            options += [0, -1, np.int64(n - 1), [0, 0], np.array([-1, 0]), np.array([[0], [n - 1]])]
            options += [np.arange(n) % 2 == 0]
        chosen.append(d.choice(options))
    if d.chance(4):
        chosen.insert(d.integer(0, len(chosen)), d.choice([None, Ellipsis]))
    key: Any = tuple(chosen)
    try:
        np.zeros(x.shape)[key]
        valid = True
    except IndexError:  # arrays of indices that do not broadcast
        valid = False
    if d.chance(10):
        key = d.choice([100, -100, "a", 1.5, [100], (0,) * 9, slice("a"), {}, 10**30, [True], Tensor([0])])
        valid = False
    return Call(taken, [x], {"key": key}, lambda x, key: x[key].shape, valid, method=True, may_share=True)


def taken(x: Tensor, key: Any) -> Tensor:
    return x[key]
