"""Gradients on which checkers differ: right ones that are hard to check, and wrong ones that are hard to find.

Every case is plain NumPy: f takes the inputs, backward takes the inputs and the upstream gradient dy and gives a
gradient for each input. Each name says what is special about the case.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np


class Case(NamedTuple):
    name: str
    right: bool
    inputs: list[np.ndarray]
    f: Callable[[Sequence[np.ndarray]], Any]
    backward: Callable[[Sequence[np.ndarray], np.ndarray], tuple]


def _case(right: bool, name: str, inputs: Any, f: Callable, backward: Callable) -> Case:
    """A case whose f takes the inputs one by one."""
    arrays = [np.array(x, float) for x in (inputs if isinstance(inputs, tuple) else (inputs,))]
    return Case(name, right, arrays, lambda xs: f(*xs), lambda xs, dy: backward(dy, *xs))


def _each(right: bool, name: str, x: Any, f: Callable, slope: Callable) -> Case:
    """A case that works element by element."""
    return _case(right, name, x, f, lambda dy, x: (dy * slope(x),))


def _normals(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def _with(x: np.ndarray, value: float) -> np.ndarray:
    """x with this value in one place."""
    x = x.copy()
    x.flat[7] = value
    return x


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _softmax_backward(dy: np.ndarray, x: np.ndarray) -> tuple:
    p = _softmax(x)
    return (p * (dy - (p * dy).sum(axis=-1, keepdims=True)),)


def _logit(p: np.ndarray) -> np.ndarray:
    if ((p <= 0) | (p >= 1)).any():
        raise ValueError("logit: expected probabilities between 0 and 1")
    return np.log(p / (1 - p))


def _pool(x: np.ndarray) -> np.ndarray:
    H, W = x.shape
    return x.reshape(H // 2, 2, W // 2, 2).max(axis=(1, 3))


def _spread(y: np.ndarray) -> np.ndarray:
    return y.repeat(2, axis=0).repeat(2, axis=1)


X, A, B = _normals(4, 5), _normals(4, 5, seed=1), _normals(4, 5, seed=2)
POSITIVE = abs(X) + 0.1
LABELS = np.arange(8)
HILBERT = 1 / (np.arange(8)[:, None] + np.arange(8) + 1.0)
WINDOWS = POSITIVE[:, :4].copy()
WINDOWS[:2, :2] = 0
DATA = _normals(6, 3, seed=3)
FITTED = np.linalg.lstsq(DATA, _normals(6, seed=4), rcond=None)[0]


def _residual(x: np.ndarray) -> np.ndarray:
    return DATA @ x - _normals(6, seed=4)


def _cross_entropy(x: np.ndarray) -> float:
    return -np.log(_softmax(x)[LABELS, LABELS]).mean()


RIGHT = [
    _each(True, "x³ at 0, among normals", _with(X, 0), lambda x: x**3, lambda x: 3 * x * x),
    _each(True, "x⁷ of normals", X, lambda x: x**7, lambda x: 7 * x**6),
    _case(True, "least squares at the minimum", FITTED, lambda x: (_residual(x) ** 2).sum(),
          lambda dy, x: (dy * 2 * DATA.T @ _residual(x),)),
    _each(True, "pseudo-Huber at a residual of 1e-9", _with(X, 1e-9), lambda x: np.sqrt(1 + x * x) - 1,
          lambda x: x / np.sqrt(1 + x * x)),
    _case(True, "the variance of equal numbers", np.full((4, 5), 3.0), lambda x: x.var(),
          lambda dy, x: (dy * 2 * (x - x.mean()) / x.size,)),
    _each(True, "tanh at 18", [0.5, 18.0, -18.0], np.tanh, lambda x: 1 / np.cosh(x) ** 2),
    _case(True, "softmax of 40, 0, -40", [[40.0, 0.0, -40.0]], _softmax, _softmax_backward),
    _case(True, "cross entropy of ten times normals", 10 * _normals(8, 10), _cross_entropy,
          lambda dy, x: (dy * (_softmax(x) - np.eye(8, 10, dtype=x.dtype)) / 8,)),
    _each(True, "√x at 1e-8, among others", _with(POSITIVE, 1e-8), np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    _each(True, "log x at 1e-7, among others", _with(POSITIVE, 1e-7), np.log, lambda x: 1 / x),
    _each(True, "1/x at 1e-3, among others", _with(X, 1e-3), lambda x: 1 / x, lambda x: -1 / x**2),
    _each(True, "√|x| at 1e-6, among normals", _with(X, 1e-6), lambda x: np.sqrt(abs(x)),
          lambda x: 0.5 * np.sign(x) / np.sqrt(abs(x))),
    _each(True, "logit at 1 - 1e-7, which checks its argument", [0.2, 0.5, 1 - 1e-7], _logit,
          lambda p: 1 / (p * (1 - p))),
    _each(True, "sin 2πt in the years 2000.1 and 2017.3", [2000.1, 2017.3], lambda t: np.sin(2 * np.pi * t),
          lambda t: 2 * np.pi * np.cos(2 * np.pi * t)),
    _each(True, "sin 1000x", X, lambda x: np.sin(1000 * x), lambda x: 1000 * np.cos(1000 * x)),
    _each(True, "relu, one entry exactly 0", _with(X, 0), lambda x: np.maximum(x, 0), lambda x: x > 0),
    _each(True, "|x| at 1e-8, among normals", _with(X, 1e-8), abs, np.sign),
    _each(True, "x + floor x at 2 - 1e-7, among normals", _with(X, 2 - 1e-7), lambda x: x + np.floor(x),
          np.ones_like),
    _each(True, "2x of about 1e200", X * 1e200, lambda x: 2 * x, lambda x: np.full_like(x, 2)),
    _each(True, "2x of about 1e-170", X * 1e-170, lambda x: 2 * x, lambda x: np.full_like(x, 2)),
    _each(True, "x² of about 1e5", X * 1e5, lambda x: x * x, lambda x: 2 * x),
    _each(True, "exp x at 100", [1.0, 100.0], np.exp, np.exp),
    _each(True, "x + 1e6", X, lambda x: x + 1e6, np.ones_like),
    _each(True, "3 + a millionth of tanh x", X, lambda x: 3 + 1e-6 * np.tanh(x), lambda x: 1e-6 / np.cosh(x) ** 2),
    _case(True, "the mean of centred numbers", X - X.mean(), lambda x: x.mean(),
          lambda dy, x: (np.full_like(x, dy / x.size),)),
    _case(True, "the norm of a vector of about 1e-5", X * 1e-5, lambda x: np.sqrt((x * x).sum()),
          lambda dy, x: (dy * x / np.sqrt((x * x).sum()),)),
    _case(True, "Hilbert's matrix times x", X.ravel()[:8], lambda x: HILBERT @ x, lambda dy, x: (HILBERT.T @ dy,)),
    _case(True, "an input without axes", 0.7, np.sin, lambda dy, x: (dy * np.cos(x),)),
]  # fmt: skip

_TIED = B.copy()
_TIED[0, 1] = A[0, 1]
_WEIGHTS = np.where(np.arange(10) == 0, 1e12, 1.0)
_MANY = _normals(30, 30, seed=5)


def _one_entry_off(dy: np.ndarray, x: np.ndarray) -> tuple:
    dx = dy * 3 * x * x
    dx[17, 23] *= 1.001
    return (dx,)


def _writes_upstream(dy: np.ndarray, x: np.ndarray) -> tuple:
    dy *= 2 * x
    return (dy,)


_BUFFER = np.empty((4, 5))


def _with_zeros(x: np.ndarray) -> np.ndarray:
    return np.where(x == 0, np.nan, 2 * x)


WRONG = [
    _case(False, "the larger of a and b, equal in one place: each gets it all", (A, _TIED), np.maximum,
          lambda dy, a, b: (dy * (a >= b), dy * (b >= a))),
    _case(False, "|a - b|, equal in one place: both slopes are 1", (A, _TIED), lambda a, b: abs(a - b),
          lambda dy, a, b: (dy * np.where(a >= b, 1, -1), dy * np.where(b >= a, 1, -1))),
    _case(False, "max pooling of four zeros: each gets it all", WINDOWS, _pool,
          lambda dy, x: (_spread(dy) * (x == _spread(_pool(x))),)),
    _case(False, "outputs 1e9 x and x: nothing from the second", X.ravel()[:4], lambda x: np.stack([1e9 * x, x]),
          lambda dy, x: (1e9 * dy[0],)),
    _case(False, "a sum with weights 1e12, 1, ...: 0 for all but the first", X.ravel()[:10],
          lambda x: (_WEIGHTS * x).sum(), lambda dy, x: (dy * np.where(_WEIGHTS > 1, _WEIGHTS, 0),)),
    _case(False, "a sum of exp x, x from -20 to 20: 0 below -10", np.linspace(-20, 20, 21), lambda x: np.exp(x).sum(),
          lambda dy, x: (dy * np.where(x < -10, 0, np.exp(x)),)),
    _case(False, "a sum of x³: one entry of 900 larger by a thousandth", _MANY, lambda x: (x**3).sum(),
          _one_entry_off),
    _each(False, "a jump, x if x > 0.5, at 0.5: slope -777", _with(X, 0.5), lambda x: x * (x > 0.5),
          lambda x: np.where(x == 0.5, -777, 1.0 * (x > 0.5))),
    _each(False, "exp x at 400: slope 0", [1.0, 400.0], np.exp, lambda x: np.where(x > 300, 0, np.exp(x))),
    _each(False, "a comb, x + sin(4000πx) / 100, at 1: slope 1", [1.0, 2.0],
          lambda x: x + np.sin(4000 * np.pi * x) / 100, np.ones_like),
    _each(False, "x / (x² + 1): 1e-7 added to a divisor", X, lambda x: x / (x * x + 1),
          lambda x: (1 - x * x) / ((x * x + 1) ** 2 + 1e-7)),
    _each(False, "sin x: larger by a hundred-thousandth", X, np.sin, lambda x: 1.00001 * np.cos(x)),
    _each(False, "a millionth of sin x: the sign", X, lambda x: 1e-6 * np.sin(x), lambda x: -1e-6 * np.cos(x)),
    _case(False, "a + b / 1e5: nothing for b", (A, B), lambda a, b: a + 1e-5 * b, lambda dy, a, b: (dy, 0 * dy)),
    _case(False, "a b: the gradient of b doubled", (A, B), lambda a, b: a * b, lambda dy, a, b: (dy * b, 2 * dy * a)),
    _each(False, "x²: NaN at 0", _with(X, 0), lambda x: x * x, _with_zeros),
    _case(False, "x²: upstream gradients below 1e-6 left out", X, lambda x: x * x,
          lambda dy, x: (2 * x * np.where(abs(dy) < 1e-6, 0, dy),)),
    _case(False, "x²: upstream gradients cut off at 5", X, lambda x: x * x,
          lambda dy, x: (2 * x * np.clip(dy, -5, 5),)),
    _case(False, "x²: written into the upstream gradient", X, lambda x: x * x, _writes_upstream),
    _case(False, "x²: one buffer for every gradient", X, lambda x: x * x,
          lambda dy, x: (np.multiply(2 * x, dy, out=_BUFFER if dy.shape == _BUFFER.shape else None),)),
    _case(False, "x²: the upstream gradient read in the order of memory", X, lambda x: x * x,
          lambda dy, x: (2 * x * dy.ravel(order="K").reshape(x.shape),)),
]  # fmt: skip

CASES = WRONG + RIGHT
