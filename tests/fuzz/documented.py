"""The documented shape of an operation's result, computed from its arguments; an error where there is no result.

An operation that stands here is fuzzed with its lengths, ranks and options drawn anew, for it is known which of them it
must accept. An operation that does not stand here is fuzzed alike, but only its samples with another batch must be
accepted.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

Shape = tuple[int, ...]

MOST = 2**31  # pixels of an image, and less


def two(value: Any) -> tuple[int, int]:
    y, x = value if isinstance(value, (tuple, list)) else (value, value)
    return operator.index(y), operator.index(x)


def positions(size: Any, kernel: Any, stride: Any, padding: Any, pooling: bool) -> Shape:
    """How often the window fits, for rows and columns."""
    counts, padded = [], []
    for n, k, s, p in zip(size, two(kernel), two(stride), two(padding), strict=True):
        assert k >= 1 and s >= 1 and p >= 0 and n >= 1 and max(k, s, p) < MOST
        assert not pooling or p <= k // 2
        padded.append(n + 2 * p)
        counts.append((n + 2 * p - k) // s + 1)
        assert counts[-1] >= 1
    assert padded[0] * padded[1] < MOST
    return tuple(counts)


def conv2d(U: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0) -> Shape:
    (B, C, *size), (O, of_weight, *kernel) = U.shape, weight.shape
    assert of_weight == C and (bias is None or bias.shape == (O,))
    return (B, O, *positions(size, kernel, stride, padding, pooling=False))


def pool(U: Any, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Shape:
    B, C, *size = U.shape
    return (B, C, *positions(size, kernel_size, kernel_size if stride is None else stride, padding, pooling=True))


def linear(x: Any, weight: Any, bias: Any = None) -> Shape:
    O, I = weight.shape
    assert x.shape[-1] == I and (bias is None or bias.shape == (O,))
    return (*x.shape[:-1], O)


def grid_sample(
    U: Any, G: Any, mode: Any = "bilinear", padding_mode: Any = "zeros", align_corners: Any = False
) -> Shape:
    (B, C, *size), (of_grid, *out, coordinates) = U.shape, G.shape
    assert of_grid == B and coordinates == len(size) == len(out) and len(size) in (2, 3) and min(size) >= 1
    assert mode in ("bilinear", "nearest", *(["bicubic"] if len(size) == 2 else []))
    assert padding_mode in ("zeros", "border", "reflection")
    return B, C, *out


def affine_grid(theta: Any, size: Any, align_corners: Any = False) -> Shape:
    B, _, *out = map(operator.index, size)
    dimensions = len(out)
    assert theta.shape == (B, dimensions, dimensions + 1) and dimensions in (2, 3)
    assert min(out) >= 1 and math.prod(out) < MOST
    return B, *out, dimensions


def projective_grid(theta: Any, size: Any) -> Shape:
    h, w = map(operator.index, size)
    assert theta.shape == (len(theta), 3, 3) and h >= 1 and w >= 1 and h * w < MOST
    return len(theta), h, w, 2


def tps_grid(points: Any, control_points: Any, size: Any) -> Shape:
    h, w = map(operator.index, size)
    c = np.asarray(control_points, np.float64)
    assert points.shape == (len(points), *c.shape) and c.shape[1:] == (2,) and len(c) >= 3
    assert h >= 1 and w >= 1 and h * w < MOST and np.isfinite(c).all()
    assert np.abs(c).max() <= 1e3 and np.ptp(c, axis=0).max() >= 1e-3
    assert np.linalg.matrix_rank(c - c.mean(axis=0)) == 2 and len(np.unique(c, axis=0)) == len(c)
    return len(points), h, w, 2


def rotation_theta(angle: Any) -> Shape:
    (B,) = angle.shape
    return B, 2, 3


def dropout(x: Any, p: Any = 0.5, training: Any = True) -> Shape:
    assert 0 <= p <= 1
    return x.shape


def dropout2d(x: Any, p: Any = 0.5, training: Any = True) -> Shape:
    assert x.ndim == 4 and 0 <= p <= 1
    return x.shape


def is_axis(dim: Any, ndim: int) -> bool:
    return isinstance(dim, (int, np.integer)) and not isinstance(dim, bool) and -ndim <= dim < ndim


def softmax(x: Any, dim: Any) -> Shape:
    assert is_axis(dim, x.ndim)
    return x.shape


def largest(x: Any, dim: Any = None, keepdim: Any = False) -> Shape:
    assert dim is None or is_axis(dim, x.ndim)
    return x.max(axis=dim, keepdims=bool(keepdim) and dim is not None).shape


def transpose(x: Any, dim0: Any, dim1: Any) -> Shape:
    assert is_axis(dim0, x.ndim) and is_axis(dim1, x.ndim)
    return np.swapaxes(x, dim0, dim1).shape


def cat(*xs: Any, dim: Any = 0) -> Shape:
    assert is_axis(dim, xs[0].ndim)
    return np.concatenate(xs, axis=dim).shape


def stack(*xs: Any, dim: Any = 0) -> Shape:
    assert is_axis(dim, xs[0].ndim + 1)
    return np.stack(xs, axis=dim).shape


def clamp(x: Any, min: Any = None, max: Any = None) -> Shape:
    assert min is not None or max is not None
    for end in (min, max):
        assert end is None or np.isscalar(end)
        assert end is None or float(end) is not None
    return x.shape


def mse_loss(x: Any, target: Any) -> Shape:
    assert x.shape == target.shape
    return ()


def loss(y: Any, target: Any, label_smoothing: Any = 0.0) -> Shape:
    (B, K), target = y.shape, np.asarray(target)
    assert 0 <= label_smoothing <= 1
    assert target.shape == (B,) and target.dtype.kind in "iu" and ((target >= 0) & (target < K)).all()
    return ()


def elementwise(x: Any) -> Shape:
    return x.shape


def broadcast(a: Any, b: Any) -> Shape:
    return np.broadcast_shapes(np.shape(a), np.shape(b))


def matmul(a: Any, b: Any) -> Shape:
    (*lead, n, k), (*other, of_b, m) = a.shape, b.shape
    assert of_b == k
    return (*np.broadcast_shapes(tuple(lead), tuple(other)), n, m)


def reduction(x: Any, dim: Any = None, keepdim: Any = False) -> Shape:
    return x.sum(axis=dim, keepdims=bool(keepdim)).shape


def reshape(x: Any, *shape: Any) -> Shape:
    return x.reshape(*shape).shape


def index(x: Any, key: Any) -> Shape:
    return x[key].shape


DOCUMENTED: dict[str, Callable[..., Shape]] = {
    **{function.__name__: function for function in (conv2d, linear, grid_sample, affine_grid, rotation_theta)},
    **{function.__name__: function for function in (dropout, dropout2d, matmul, reshape, index, transpose)},
    **{function.__name__: function for function in (projective_grid, tps_grid, cat, stack, clamp, mse_loss)},
    **dict.fromkeys(("softmax", "log_softmax"), softmax),
    "max": largest,
    **dict.fromkeys(("max_pool2d", "avg_pool2d"), pool),
    **dict.fromkeys(("nll_loss", "cross_entropy"), loss),
    **dict.fromkeys(("sum", "mean"), reduction),
    **dict.fromkeys(("add", "sub", "mul", "div", "pow"), broadcast),
    **dict.fromkeys(("relu", "tanh", "sigmoid", "exp", "log", "sqrt", "sin", "cos", "neg", "abs"), elementwise),
}
