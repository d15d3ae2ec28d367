"""The assertions that the tests of several operations share, and the shapes and arrays that they draw."""

import re

import numpy as np
import pytest
from finite_differences import differentiate
from hypothesis import strategies as st

import npstn
from npstn.gradcheck.contracts import LAYOUTS

TOLERANCE = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-10}  # relative to the largest number of an array

dtypes = st.sampled_from([np.float32, np.float64])
seeds = st.integers(0, 2**32 - 1)


@st.composite
def geometries(draw, pooling=False):
    """(H, W), kernel, stride and padding, each for rows and columns, with room for at least one window.

    pooling: whether the padding is at most half the kernel, as the pools demand.
    """
    axes = []
    for _ in range(2):
        kernel = draw(st.integers(1, 3))
        padding = draw(st.integers(0, kernel // 2 if pooling else 2))
        size = draw(st.integers(max(1, kernel - 2 * padding), 6))
        axes.append((size, kernel, draw(st.integers(1, 3)), padding))
    return tuple(zip(*axes, strict=True))


def normal(seed, *shapes, dtype=np.float64):
    """Arrays of normally distributed numbers."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def assert_close(actual, expected, tolerance, what="value"):
    """Assert equal shapes, NaN and inf at the same places, and numbers equal to within `tolerance`.

    The tolerance is relative to the largest finite number expected, or to 1 if that is larger: where terms of about 1
    cancel to nearly nothing, their rounding errors remain.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"{what}: {actual.shape}, expected {expected.shape}"
    scale = np.abs(expected[np.isfinite(expected)]).max(initial=1.0)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale, err_msg=what)


def assert_parity(torch, ours, theirs, *arrays):
    """Assert that `ours` and `theirs`, PyTorch's, give the same value and the same gradient of every array."""
    y, gradients, cotangent = differentiate(ours, *arrays)
    peers = [torch.tensor(array, requires_grad=True) for array in arrays]
    z = theirs(*peers)
    z.backward(torch.tensor(cotangent))
    tolerance = TOLERANCE[y.dtype]
    assert y.dtype == z.detach().numpy().dtype
    assert_close(y, z.detach().numpy(), tolerance)
    for number, (dx, peer) in enumerate(zip(gradients, peers, strict=True)):
        assert_close(dx, peer.grad.numpy(), tolerance, f"gradient of input {number}")


def assert_adjoint(fn, x):
    """Assert <A x, y> = <x, A^T y> for a linear fn: its backward is its transpose."""
    Ax, (ATy,), y = differentiate(fn, x)
    scale = np.linalg.norm(Ax) * np.linalg.norm(y)
    assert abs((Ax * y).sum() - (x * ATy).sum()) <= 1e-12 * scale


def refuses(error, message):
    """Assert that the block raises an error of this type with exactly this text."""
    return pytest.raises(error, match=f"^{re.escape(message)}$")


class Relaid(npstn.Function):
    """The same numbers in another memory layout."""

    @staticmethod
    def forward(ctx, x, layout):
        return LAYOUTS[layout](x)

    @staticmethod
    def backward(ctx, dy):
        return dy, None
