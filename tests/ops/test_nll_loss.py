"""nll_loss and cross_entropy against the sums, finite differences and PyTorch."""

import numpy as np
import oracles
import pytest
from assertions import assert_close, assert_parity, dtypes, normal, refuses, seeds
from finite_differences import assert_gradients, differentiate
from hypothesis import given
from hypothesis import strategies as st

import npstn.functional as F
from npstn import Tensor

sizes = st.tuples(st.integers(1, 5), st.integers(1, 4))  # B, K


def draw_arrays(size, seed, dtype=np.float64):
    (y,) = normal(seed, size, dtype=dtype)
    return y, np.random.default_rng(seed).integers(0, size[1], size[0])


@given(sizes, seeds, dtypes)
def test_loss_and_gradient_are_the_formula(size, seed, dtype):
    y, target = draw_arrays(size, seed, dtype)
    loss, (dy,), dloss = differentiate(lambda y: F.nll_loss(y, target), y)
    expected_dy = np.zeros(size)
    for b, k in enumerate(target):
        expected_dy[b, k] = -dloss / size[0]
    tolerance = {np.float32: 1e-6, np.float64: 1e-15}[dtype]
    assert loss.dtype == dtype
    assert_close(loss, oracles.nll_loss(y, target), tolerance)
    assert_close(dy, expected_dy, tolerance)


@given(sizes, seeds, dtypes)
def test_cross_entropy_is_the_formula(size, seed, dtype):
    x, target = draw_arrays(size, seed, dtype)
    loss, (dx,), dloss = differentiate(lambda x: F.cross_entropy(x, target), x)
    y = oracles.log_softmax(x.astype(np.float64), 1)
    tolerance = {np.float32: 1e-6, np.float64: 1e-14}[dtype]
    assert loss.dtype == dtype
    assert_close(loss, oracles.nll_loss(y, target), tolerance)
    if size[1] > 1:  # one class alone is certain: the gradient is zero but for the rounding
        assert_close(dx, dloss * (np.exp(y) - np.eye(size[1])[target]) / size[0], tolerance)


@given(sizes, seeds)
def test_gradients_by_finite_differences(size, seed):
    y, target = draw_arrays(size, seed)
    assert_gradients(lambda y: F.nll_loss(y, target), y, step=0.5, tolerance=1e-12)
    assert_gradients(lambda x: F.cross_entropy(x, target), y, tolerance=1e-9)


@given(sizes, seeds, dtypes, st.sampled_from(["nll_loss", "cross_entropy"]))
def test_parity_with_pytorch(torch, size, seed, dtype, name):
    y, target = draw_arrays(size, seed, dtype)
    theirs = getattr(torch.nn.functional, name)
    assert_parity(torch, lambda y: getattr(F, name)(y, target), lambda y: theirs(y, torch.tensor(target)), y)


@given(sizes, seeds, dtypes, st.sampled_from([0.0, 0.1, 1.0]))
def test_smoothed_labels_are_those_of_pytorch(torch, size, seed, dtype, share):
    x, target = draw_arrays(size, seed, dtype)
    theirs = torch.nn.functional.cross_entropy

    def ours(x):
        return F.cross_entropy(x, target, label_smoothing=share)

    assert_parity(torch, ours, lambda x: theirs(x, torch.tensor(target), label_smoothing=share), x)


@pytest.mark.parametrize("share", [-0.1, 1.5, np.nan, "0.1"])
def test_labels_are_smoothed_by_a_share(share):
    with refuses(ValueError, f"cross_entropy: expected a probability label_smoothing from 0 to 1, got {share!r}"):
        F.cross_entropy(Tensor(np.zeros((2, 3))), np.zeros(2, int), label_smoothing=share)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint64])
def test_classes_of_any_integer_type(dtype):
    y, target = draw_arrays((5, 3), seed=0)
    expected, (expected_dy,), dloss = differentiate(lambda y: F.nll_loss(y, target), y)
    loss, (dy,), _ = differentiate(lambda y: F.nll_loss(y, target.astype(dtype)), y, cotangent=dloss)
    np.testing.assert_array_equal(loss, expected)
    np.testing.assert_array_equal(dy, expected_dy)


def test_a_list_of_classes():
    assert F.nll_loss(Tensor(np.array([[-0.25, -2.0], [-1.0, -0.75]])), [0, 1]).item() == 0.5


@pytest.mark.parametrize("name", ["nll_loss", "cross_entropy"])
def test_an_empty_batch_gives_nan_and_an_empty_gradient(name):
    loss, (dy,), _ = differentiate(lambda y: getattr(F, name)(y, np.zeros(0, int)), np.zeros((0, 3), np.float32))
    assert np.isnan(loss) and loss.shape == () and loss.dtype == np.float32
    assert dy.shape == (0, 3) and dy.dtype == np.float32


def test_a_wrong_answer_of_certainty_costs_infinitely_much_but_no_nan():
    y = np.array([[0.0, -np.inf]])
    loss, (dy,), _ = differentiate(lambda y: F.nll_loss(y, np.array([1])), y, cotangent=np.array(2.0))
    assert loss == np.inf
    np.testing.assert_array_equal(dy, [[0, -2]])


@pytest.mark.parametrize("name", ["nll_loss", "cross_entropy"])
@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ([0, 3], ValueError, "classes from 0 to 2, got 3"),
        ([-1, 0], ValueError, "classes from 0 to 2, got -1"),
        ([0], ValueError, "target of shape (2,), got (1,)"),
        ([[0], [1]], ValueError, "target of shape (2,), got (2, 1)"),
        (1, ValueError, "target of shape (2,), got ()"),
        ([0.0, 1.0], TypeError, "target of integers, got float64"),
        ([False, True], TypeError, "target of integers, got bool"),
    ],
)
def test_a_wrong_target_is_refused(name, target, error, message):
    with refuses(error, f"nll_loss: expected {message}"):
        getattr(F, name)(Tensor(np.zeros((2, 3))), np.array(target))


def test_a_tensor_of_classes_is_refused_for_it_holds_floats():
    with refuses(TypeError, "nll_loss: expected target of integers, got float32"):
        F.nll_loss(Tensor(np.zeros((2, 3))), Tensor([0, 1]))


@pytest.mark.parametrize("name", ["nll_loss", "cross_entropy"])
@pytest.mark.parametrize("shape", [(3,), (2, 3, 1)])
def test_another_rank_is_refused(name, shape):
    with refuses(ValueError, f"{name}: expected input of shape (B, K), got {shape}"):
        getattr(F, name)(Tensor(np.zeros(shape)), np.zeros(2, int))
