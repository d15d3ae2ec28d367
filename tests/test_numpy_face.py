"""A Tensor next to NumPy: as an array, as a number, in comparisons and in ufuncs."""

import time

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import npstn.functional as F
from npstn import Tensor, nn, optim

X = np.array([[1.0, -2.0, 3.0], [0.5, 5.0, -6.0]], np.float32)


def test_asarray_is_the_array_itself():
    t = Tensor(X)
    assert np.asarray(t) is t.data
    assert np.array(t) is not t.data
    assert np.asarray(t, np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="copy"):
        np.array(t, np.float64, copy=False)


def test_asarray_of_a_large_tensor_takes_no_time():
    t = Tensor(np.zeros((2000, 784), np.float32))
    start = time.perf_counter()
    assert np.asarray(t).shape == (2000, 784)
    assert np.array([t[0], t[1]]).shape == (2, 784)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("requires_grad", [False, True])
def test_numpys_tests_and_functions_take_tensors(requires_grad):
    t = Tensor(X, requires_grad)
    assert_allclose(t, X)
    assert_array_equal(X, t)
    with pytest.raises(AssertionError):
        assert_allclose(t, X + 1)
    assert np.allclose(t, X) and np.array_equal(X, t)
    assert_array_equal(np.argmax(t, axis=1), X.argmax(axis=1))
    assert_array_equal(np.isnan(t), np.zeros(X.shape, bool))
    assert np.std(t) == X.std()
    for function in (np.mean, np.sum, np.max, np.min, np.prod, np.cumsum, np.sort, np.transpose, np.ravel):
        assert_array_equal(function(t), function(X))
    assert_array_equal(np.mean(t, axis=0, keepdims=True), X.mean(axis=0, keepdims=True))
    assert_array_equal(np.stack([t, X]), np.stack([X, X]))
    assert_array_equal(np.where(t > 0, t, 0), np.where(X > 0, X, 0))
    assert t.tolist() == X.tolist()


def test_no_ufunc_writes_into_a_tensor():
    with pytest.raises(TypeError, match="^np.add: expected an array for out, got a Tensor: give tensor.data$"):
        np.add(X, 1, out=Tensor(X))


def test_imshow_and_plot_take_tensors():
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    t = Tensor(X, requires_grad=True)
    assert_array_equal(axes.imshow(t).get_array(), X)
    assert_array_equal(axes.plot(t[0])[0].get_ydata(), X[0])


COMPARISONS = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


@pytest.mark.parametrize("compare", COMPARISONS.values(), ids=COMPARISONS)
@pytest.mark.parametrize("other", [X[:1], X.astype(np.float64) + 1, np.array([1, 5, 3]), 0.5, np.float32(1), True])
def test_comparisons_are_those_of_the_arrays(compare, other):
    t = Tensor(X, requires_grad=True)
    pairs = [(t, other, X, other), (other, t, other, X), (t, Tensor(other), X, np.asarray(other, np.float32))]
    for a, b, array_a, array_b in pairs:
        found = compare(a, b)
        assert type(found) is np.ndarray and found.dtype == bool
        assert_array_equal(found, compare(array_a, array_b))


def test_an_accuracy():
    labels, predicted = np.array([1, 2, 2, 0]), Tensor([1, 2, 1, 0])
    assert np.mean(labels == predicted) == np.mean(predicted == labels) == (predicted == Tensor(labels)).mean() == 0.75


def test_a_comparison_with_none_or_another_shape_is_numpys():
    t = Tensor(X)
    assert_array_equal(t == None, np.zeros(X.shape, bool))  # noqa: E711
    with pytest.raises(ValueError, match="broadcast"):
        t == np.zeros(4)  # noqa: B015


def test_tensors_are_hashed_by_identity():
    a, b = Tensor(X), Tensor(X)
    assert {a: 1, b: 2} == {a: 1, b: 2} and len({a, b, a}) == 2
    assert a in [a, b] and [b, a].index(b) == 0
    layer = nn.Linear(2, 2)
    assert set(layer.parameters()) == {layer.weight, layer.bias}


def test_in_looks_for_a_number():
    assert 5.0 in Tensor(X) and 7 not in Tensor(X)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_a_single_number(shape):
    t = Tensor(np.full(shape, 2.5, np.float32), requires_grad=True)
    assert float(t) == 2.5 and int(t) == 2 and bool(t)
    assert not bool(Tensor(np.zeros(shape)))
    assert f"{t:.3f}" == "2.500" and f"{t:8.1e}" == " 2.5e+00"


def test_the_text_of_one_number_and_of_several():
    assert f"{Tensor(0.5)}" == "0.5"
    assert f"{Tensor([0.5])}" == str(Tensor([0.5])) == "Tensor([0.5], dtype=float32)"
    with pytest.raises(TypeError, match=r"^format: expected a single number for '.3f', got a tensor of shape \(2, "):
        format(Tensor(X), ".3f")


@pytest.mark.parametrize("shape", [(2,), (0,), (2, 3)])
def test_several_numbers_are_neither_true_nor_a_number(shape):
    t = Tensor(np.ones(shape))
    with pytest.raises(ValueError, match="^bool: expected a Tensor of a single number"):
        bool(t)
    for convert in (float, int):
        with pytest.raises(ValueError, match="^item: expected a single number"):
            convert(t)


UFUNCS = [np.exp, np.log, np.sqrt, np.sin, np.cos, np.tanh, np.abs, np.negative]


@pytest.mark.parametrize("ufunc", UFUNCS, ids=lambda ufunc: ufunc.__name__)
def test_a_ufunc_that_the_tensor_has_is_on_the_tape(ufunc):
    x = np.array([0.5, 2.0])
    t = Tensor(x, requires_grad=True)
    y = ufunc(t)
    assert type(y) is Tensor
    assert_allclose(y, ufunc(x), rtol=1e-15)
    y.backward(np.ones(2))
    slope = (ufunc(x + 1e-6) - ufunc(x - 1e-6)) / 2e-6
    assert_allclose(t.grad, slope, rtol=1e-8)


BINARY = [np.add, np.subtract, np.multiply, np.divide, np.power]


@pytest.mark.parametrize("ufunc", BINARY, ids=lambda ufunc: ufunc.__name__)
def test_a_ufunc_of_two_is_on_the_tape(ufunc):
    x, array = np.array([0.5, 2.0]), np.array([3.0, 1.5])
    for order in (1, -1):
        t = Tensor(x, requires_grad=True)
        y = ufunc(*(t, array)[::order])
        assert type(y) is Tensor and y.requires_grad
        assert_allclose(y, ufunc(*(x, array)[::order]), rtol=1e-15)
    assert_allclose(ufunc(t, t), ufunc(x, x), rtol=1e-15)
    assert_allclose(ufunc(nn.Parameter(x), t), ufunc(x, x), rtol=1e-15)


def test_no_other_ufunc_loses_a_gradient():
    t = Tensor(X, requires_grad=True)
    for lose in (np.arctan, np.floor, lambda t: np.maximum(t, 0), np.frexp, np.add.reduce):
        with pytest.raises(TypeError, match="expected no Tensor that requires grad, got one, and its gradient would"):
            lose(t)
    assert_array_equal(np.arctan(Tensor(X)), np.arctan(X))
    assert_array_equal(np.arctan(np.asarray(t)), np.arctan(X))


def test_a_sum_in_place_into_an_array():
    total = np.zeros(3, np.float32)
    total += Tensor(X[0])
    assert type(total) is np.ndarray
    assert_array_equal(total, X[0])
    with pytest.raises(TypeError, match="its gradient would be lost"):
        total += Tensor(X[0], requires_grad=True)


# --- arrays of all kinds


def test_an_update_by_hand_of_an_array_without_axes():
    w = Tensor(2.0, requires_grad=True)
    for _ in range(2):
        w.grad = None
        (w * w).backward()
        w.data = w.data - 0.25 * w.grad
    assert type(w.data) is np.ndarray and w.shape == ()
    assert float(w) == 0.5
    assert float((w.exp() + w.relu() + w.sum() + w.max() + w.clamp(0, 1)).reshape(1)) == pytest.approx(3.648721)


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i4", "<f4"])
def test_both_byte_orders(dtype):
    t = Tensor(np.array([1.5, 2.0]).astype(dtype))
    assert t.dtype.isnative
    assert_array_equal(t, np.array([1.5, 2.0]).astype(dtype))


def test_the_other_byte_order_in_constants_weights_and_gradients():
    t = Tensor(X, requires_grad=True)
    other = X.astype(">f4")
    assert_array_equal((t * other + other), X * X + X)
    assert_array_equal(F.linear(other, other[:2, ::-1]), X @ X[:2, ::-1].T)
    theta, size = np.array([[[1, 0, 0.5], [0, 1, 0]]], np.float32), (1, 1, 2, 3)
    grid = F.affine_grid(Tensor(theta), size, align_corners=True)
    assert_array_equal(F.affine_grid(theta.astype(">f4"), size, align_corners=True), grid)
    image = np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3)
    there = F.grid_sample(Tensor(image), grid, align_corners=True)
    assert_array_equal(F.grid_sample(image.astype(">f4"), grid.data.astype(">f4"), align_corners=True), there)
    (t * 2).backward(other)
    assert_array_equal(t.grad, 2 * X)
    t.data = other
    assert t.dtype == np.float32 and t.dtype.isnative
    layer = nn.Linear(3, 2)
    layer.load_state_dict({"weight": other, "bias": np.zeros(2, ">f8")})
    assert_array_equal(layer.weight, X)
    layer.weight.grad, layer.bias.grad = np.ones((2, 3), ">f4"), np.zeros(2, ">f4")
    for optimizer in (optim.SGD(layer.parameters(), lr=0.1), optim.Adam(layer.parameters())):
        optimizer.step()
    assert (layer.weight.data < X).all()


def test_data_takes_floats_only():
    with pytest.raises(TypeError, match="^Tensor.data: expected an array of float32 or float64, got int64$"):
        Tensor(X).data = np.array([1])
