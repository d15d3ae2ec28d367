"""linear against the double sum, finite differences and PyTorch."""

import numpy as np
import oracles
import pytest
from assertions import assert_adjoint, assert_close, assert_parity, dtypes, normal, refuses, seeds
from finite_differences import assert_gradients, differentiate
from hypothesis import given
from hypothesis import strategies as st

import npstn
import npstn.functional as F
from npstn import Tensor
from npstn.ops import linear_fast

leading_axes = st.lists(st.integers(1, 3), max_size=3).map(tuple)
features = st.integers(1, 4)


def draw_arrays(leading, I, O, seed, dtype=np.float64):
    return normal(seed, (*leading, I), (O, I), (O,), dtype=dtype)


@given(leading_axes, features, features, seeds, dtypes)
def test_forward_is_the_double_sum(leading, I, O, seed, dtype):
    x, W, bias = draw_arrays(leading, I, O, seed, dtype)
    y = F.linear(Tensor(x), Tensor(W), Tensor(bias))
    expected = oracles.linear(x.reshape(-1, I).astype(float), W.astype(float), bias).reshape(*leading, O)
    assert y.dtype == dtype
    assert_close(y.data, expected, {np.float32: 2e-6, np.float64: 1e-14}[dtype])


@given(leading_axes, features, features, seeds)
def test_gradients_by_finite_differences(leading, I, O, seed):
    assert_gradients(F.linear, *draw_arrays(leading, I, O, seed), step=0.5, tolerance=1e-12)


@given(leading_axes, features, features, seeds, dtypes)
def test_parity_with_pytorch(torch, leading, I, O, seed, dtype):
    assert_parity(torch, F.linear, torch.nn.functional.linear, *draw_arrays(leading, I, O, seed, dtype))


@given(leading_axes, features, features, seeds)
def test_backward_is_the_transpose_in_input_and_in_weight(leading, I, O, seed):
    x, W, _ = draw_arrays(leading, I, O, seed)
    assert_adjoint(lambda x: F.linear(x, Tensor(W)), x)
    assert_adjoint(lambda W: F.linear(Tensor(x), W), W)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("B", "I", "O"), [(7, 131, 50), (50, 97, 101), (1, 5000, 49), (5000, 2, 3), (3, 2, 5000)])
def test_panels_and_stretches(B, I, O, dtype):
    """More columns than a panel has, more products than a tile takes at once, and than float32 adds up."""
    x, W, bias = draw_arrays((B,), I, O, 0, dtype)
    y, (dx, dW, dbias), dy = differentiate(F.linear, x, W, bias)
    x, W, dy = x.astype(np.longdouble), W.astype(np.longdouble), dy.astype(np.longdouble)
    close = {np.float32: 2e-6, np.float64: 1e-14}[dtype]
    for found, expected in ((y, x @ W.T + bias), (dx, dy @ W), (dW, dy.T @ x), (dbias, dy.sum(axis=0))):
        assert found.dtype == dtype
        assert_close(found, expected, close)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_plain_loops_give_the_same(dtype):
    arrays = draw_arrays((3, 5), 70, 53, 0, dtype)
    y, gradients, dy = differentiate(F.linear, *arrays)
    with npstn.reference():
        expected, others, _ = differentiate(F.linear, *arrays, cotangent=dy)
    for found, other in zip((y, *gradients), (expected, *others), strict=True):
        assert_close(found, other, {np.float32: 2e-6, np.float64: 5e-15}[dtype])


def test_the_number_of_threads_changes_no_bit(monkeypatch):
    arrays = draw_arrays((9,), 200, 150, 0, np.float32)
    together = differentiate(F.linear, *arrays)

    def one_by_one(loop, count, *arguments, work):
        for panel in reversed(range(count)):
            loop(panel, panel + 1, *arguments)

    monkeypatch.setattr(linear_fast, "share_out", one_by_one)
    y, gradients, _ = differentiate(F.linear, *arrays, cotangent=together[2])
    for found, expected in zip((y, *gradients), (together[0], *together[1]), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_without_bias_as_with_a_bias_of_zero():
    x, W = normal(0, (3, 4), (2, 4))
    y, gradients, cotangent = differentiate(F.linear, x, W)
    expected, expected_gradients, _ = differentiate(F.linear, x, W, np.zeros(2), cotangent=cotangent)
    np.testing.assert_array_equal(y, expected)
    for dx, expected_dx in zip(gradients, expected_gradients[:2], strict=True):
        np.testing.assert_array_equal(dx, expected_dx)


@pytest.mark.parametrize(("B", "I", "O"), [(2, 0, 3), (2, 3, 0)])
def test_no_features_give_the_bias_or_nothing(B, I, O):
    y, (dx, dW, dbias), dy = differentiate(F.linear, np.ones((B, I)), np.ones((O, I)), np.full(O, 7.0))
    np.testing.assert_array_equal(y, np.full((B, O), 7.0))
    np.testing.assert_array_equal(dx, np.zeros((B, I)))
    np.testing.assert_array_equal(dW, np.zeros((O, I)))
    assert_close(dbias, dy.sum(axis=0), 1e-15)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(2, 3), (4, 5)], "linear: expected input (..., I) and weight (O, I), got (2, 3) and (4, 5)"),
        ([(2, 3), (3,)], "linear: expected input (..., I) and weight (O, I), got (2, 3) and (3,)"),
        ([(), (4, 1)], "linear: expected input (..., I) and weight (O, I), got () and (4, 1)"),
        ([(2, 3), (1, 4, 3)], "linear: expected input (..., I) and weight (O, I), got (2, 3) and (1, 4, 3)"),
        ([(2, 3), (4, 3), (3,)], "linear: expected bias of shape (4,), got (3,)"),
        ([(2, 3), (4, 3), ()], "linear: expected bias of shape (4,), got ()"),
    ],
)
def test_ill_shaped_arguments_are_refused(shapes, message):
    with refuses(ValueError, message):
        F.linear(*(Tensor(np.zeros(shape)) for shape in shapes))
