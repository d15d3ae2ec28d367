"""Right gradients of common functions at random inputs, and the same with one entry a thousandth too large.

    python -m tests.gradcheck.seeds [SEEDS] [SIZE ...]      by default 200 seeds at sizes 20 and 60: about an hour

No right one may be refused, and no wrong one accepted. The tests run a few seeds; this script runs many.
"""

import sys
from typing import NamedTuple

import numpy as np

from npstn.autograd import Function
from npstn.gradcheck import gradcheck


class Case(NamedTuple):
    name: str
    forward: object
    backward: object  # (x, dy) -> dx


def _pool_windows(x):
    h, w = x.shape
    return x.reshape(h // 2, 2, w // 2, 2).transpose(0, 2, 1, 3).reshape(h // 2, w // 2, 4)


def _pool_backward(x, dy):
    windows = _pool_windows(x)
    dw = (np.arange(4) == windows.argmax(-1)[..., None]) * dy[..., None]
    return dw.reshape(*dy.shape, 2, 2).transpose(0, 2, 1, 3).reshape(x.shape)


def _softmax(x):
    e = np.exp(10 * (x - x.max(axis=1, keepdims=True)))
    return e / e.sum(axis=1, keepdims=True)


def _softmax_backward(x, dy):
    p = _softmax(x)
    return 10 * p * (dy - (p * dy).sum(axis=1, keepdims=True))


def _normed(x):
    return (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)


def _norm_backward(x, dy):
    n, rstd = _normed(x), 1 / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
    return rstd * (dy - dy.mean(axis=1, keepdims=True) - n * (dy * n).mean(axis=1, keepdims=True))


CASES = [
    *(Case(f"x**{k}", lambda x, k=k: x**k, lambda x, dy, k=k: k * x ** (k - 1) * dy) for k in range(2, 8)),
    Case("1/x", lambda x: 1 / x, lambda x, dy: -dy / x**2),
    Case("sqrt|x|", lambda x: np.sqrt(abs(x)), lambda x, dy: np.sign(x) * dy / (2 * np.sqrt(abs(x)))),
    Case("log|x|", lambda x: np.log(abs(x)), lambda x, dy: dy / x),
    Case("relu", lambda x: np.maximum(x, 0), lambda x, dy: (x > 0) * dy),
    Case("max pooling", lambda x: _pool_windows(x).max(-1), _pool_backward),
    Case("softmax(10 x)", _softmax, _softmax_backward),
    Case("layer norm", _normed, _norm_backward),
]


def checked(case, size, seed, factor=1.0):
    """The report for normals of this size; one entry whose gradient is not zero is this factor too large."""
    rng = np.random.default_rng([seed, size])
    x = rng.standard_normal((size, size))
    places = np.flatnonzero(case.backward(x, np.ones_like(case.forward(x)) * rng.uniform(1, 2, case.forward(x).shape)))
    place = rng.choice(places)

    class Own(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return case.forward(x)

        @staticmethod
        def backward(ctx, dy):
            dx = case.backward(*ctx.saved, dy)
            dx.flat[place] *= factor
            return dx

    return gradcheck(Own.apply, x, raise_exception=False, name=f"{case.name}, seed {seed}")


def main(seeds=200, *sizes):
    refused = accepted = 0
    for size in sizes or (20, 60):
        for case in CASES:
            right = [seed for seed in range(seeds) if not checked(case, size, seed)]
            wrong = [seed for seed in range(seeds) if checked(case, size, seed, 1.001)]
            refused, accepted = refused + len(right), accepted + len(wrong)
            print(f"{case.name:14} {size:3}  right ones refused {right}  wrong ones accepted {wrong}", flush=True)
    print(f"{refused} right ones refused, {accepted} wrong ones accepted")
    return 1 if refused or accepted else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
