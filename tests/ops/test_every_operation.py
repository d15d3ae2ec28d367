"""What holds for every operation: dtypes, layouts, nothing mutated, no gradient unasked, empty batches, refusals."""

import operator
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from assertions import LAYOUTS, Relaid, assert_close
from finite_differences import differentiate, evaluate

import npstn
import npstn.functional as F
from npstn import Tensor

LABELS = np.array([2, 0, 1])


def seeded(dropout):
    def fn(x):
        npstn.manual_seed(0)
        return dropout(x, 0.5)

    return fn


@dataclass
class Operation:
    """A function of Tensors, the shapes of its inputs, which of them have the batch as first axis; their range."""

    fn: Callable
    shapes: list[tuple]
    batched: tuple[int, ...] | None = (0,)  # None: an empty batch means nothing to it
    low: float = -1.5
    high: float = 1.5

    def arrays(self, rng, dtype=np.float64):
        return [rng.uniform(self.low, self.high, shape).astype(dtype) for shape in self.shapes]


def sampled(mode, padding_mode):
    return Operation(lambda U, G: F.grid_sample(U, G, mode, padding_mode), [(3, 2, 4, 5), (3, 2, 3, 2)], (0, 1))


FUNCTIONS = {
    "conv2d": Operation(
        lambda U, weight, bias: F.conv2d(U, weight, bias, (2, 1), (1, 2)), [(3, 2, 6, 5), (4, 2, 3, 2), (4,)]
    ),
    "max_pool2d": Operation(lambda U: F.max_pool2d(U, 3, 2, 1), [(3, 2, 6, 5)]),
    "avg_pool2d": Operation(lambda U: F.avg_pool2d(U, 3, 2, 1), [(3, 2, 6, 5)]),
    "linear": Operation(F.linear, [(3, 2, 4), (5, 4), (5,)]),
    "relu": Operation(F.relu, [(3, 4)]),
    "tanh": Operation(F.tanh, [(3, 4)]),
    "sigmoid": Operation(F.sigmoid, [(3, 4)]),
    "dropout": Operation(seeded(F.dropout), [(3, 4)]),
    "dropout2d": Operation(seeded(F.dropout2d), [(3, 4, 2, 2)]),
    "log_softmax": Operation(lambda x: F.log_softmax(x, 1), [(3, 4)]),
    "nll_loss": Operation(lambda y: F.nll_loss(y, LABELS), [(3, 4)], None),
    "cross_entropy": Operation(lambda x: F.cross_entropy(x, LABELS), [(3, 4)], None),
    "rotation_theta": Operation(F.rotation_theta, [(3,)]),
    "affine_grid": Operation(lambda theta: F.affine_grid(theta, (theta.shape[0], 1, 3, 4)), [(3, 2, 3)]),
    "grid_sample": sampled("bilinear", "zeros"),
}
OPERATIONS = {
    **FUNCTIONS,
    "grid_sample of border": sampled("bilinear", "border"),
    "grid_sample of reflection": sampled("bilinear", "reflection"),
    "grid_sample of nearest": sampled("nearest", "zeros"),
    "add": Operation(operator.add, [(3, 4), (4,)]),
    "sub": Operation(operator.sub, [(4,), (3, 4)], (1,)),
    "mul": Operation(operator.mul, [(3, 4), (3, 1)], (0, 1)),
    "div": Operation(operator.truediv, [(3, 4), (4,)], low=0.5),
    "pow": Operation(operator.pow, [(3, 4), (1, 4)], low=0.5),
    "matmul": Operation(operator.matmul, [(3, 2, 4), (4, 5)]),
    "neg": Operation(operator.neg, [(3, 4)]),
    "exp": Operation(Tensor.exp, [(3, 4)]),
    "log": Operation(Tensor.log, [(3, 4)], low=0.5),
    "sqrt": Operation(Tensor.sqrt, [(3, 4)], low=0.5),
    "sin": Operation(Tensor.sin, [(3, 4)]),
    "cos": Operation(Tensor.cos, [(3, 4)]),
    "sum": Operation(lambda x: x.sum(1), [(3, 4)]),
    "mean": Operation(lambda x: x.mean(1), [(3, 4)]),
    "reshape": Operation(lambda x: x.reshape(x.shape[0], 2, 2), [(3, 4)]),
    "index": Operation(lambda x: x[:, np.array([0, 3, 0])], [(3, 4)]),
}
SHARE_MEMORY = {"reshape"}
every_operation = pytest.mark.parametrize("name", OPERATIONS)


def test_every_public_function_is_here():
    assert set(FUNCTIONS) == set(F.__all__)


@every_operation
def test_float32_follows_float64(name, rng):
    operation = OPERATIONS[name]
    arrays = operation.arrays(rng, np.float32)
    doubles = [array.astype(np.float64) for array in arrays]
    y, gradients, dy = differentiate(operation.fn, *arrays)
    expected, expected_gradients, _ = differentiate(operation.fn, *doubles, cotangent=dy.astype(np.float64))
    assert y.dtype == np.float32 and expected.dtype == np.float64
    assert_close(y, expected, 2e-6)
    for x, dx, expected_dx in zip(arrays, gradients, expected_gradients, strict=True):
        assert dx.shape == x.shape and dx.dtype == np.float32 and expected_dx.dtype == np.float64
        assert_close(dx, expected_dx, 5e-6)


@every_operation
@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_any_layout_gives_the_same(name, layout, rng):
    operation = OPERATIONS[name]
    arrays = operation.arrays(rng)
    y, gradients, dy = differentiate(operation.fn, *arrays)

    def relaid(*tensors):
        return operation.fn(*(Relaid.apply(tensor, layout) for tensor in tensors))

    cotangent = LAYOUTS[layout](dy) if dy.ndim else dy
    other_y, other_gradients, _ = differentiate(relaid, *arrays, cotangent=cotangent)
    assert_close(other_y, y, 1e-14)
    for other_dx, dx in zip(other_gradients, gradients, strict=True):
        assert_close(other_dx, dx, 1e-14)


@every_operation
def test_neither_inputs_nor_upstream_gradient_are_changed_and_no_memory_is_shared(name, rng):
    operation = OPERATIONS[name]
    tensors = [Tensor(array, requires_grad=True) for array in operation.arrays(rng)]
    before = [tensor.data.copy() for tensor in tensors]
    y = operation.fn(*tensors)
    value = y.data.copy()
    dy = rng.standard_normal(y.shape)
    dy_before = dy.copy()
    y.backward(dy)
    np.testing.assert_array_equal(dy, dy_before)
    np.testing.assert_array_equal(y.data, value)
    for tensor, array in zip(tensors, before, strict=True):
        np.testing.assert_array_equal(tensor.data, array)
        assert np.shares_memory(y.data, tensor.data) == (name in SHARE_MEMORY)
        assert not any(np.shares_memory(tensor.grad, other) for other in (dy, tensor.data, y.data))


@pytest.fixture
def unasked(monkeypatch):
    """The list of (operation, input) whose gradient a backward gave though nobody asked."""
    given = []

    def spy(function):
        backward = function.backward

        def watched(ctx, dy):
            gradients = backward(ctx, dy)
            together = gradients if isinstance(gradients, tuple) else (gradients,)
            given.extend(
                (function.name, number)
                for number, (dx, needed) in enumerate(zip(together, ctx.needs_input_grad, strict=True))
                if dx is not None and not needed
            )
            return gradients

        monkeypatch.setattr(function, "backward", staticmethod(watched))

    def spy_on_all(function):
        for sub in function.__subclasses__():
            if "backward" in vars(sub):
                spy(sub)
            spy_on_all(sub)

    spy_on_all(npstn.Function)
    return given


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        pytest.param(name, tuple(number == chosen for number in range(len(operation.shapes))), id=f"{name}-{chosen}")
        for name, operation in OPERATIONS.items()
        for chosen in range(len(operation.shapes))
    ],
)
def test_a_gradient_is_computed_for_the_input_that_asks_and_for_no_other(name, asked, rng, unasked):
    operation = OPERATIONS[name]
    arrays = operation.arrays(rng)
    _, every_gradient, dy = differentiate(operation.fn, *arrays)
    assert unasked == []
    _, gradients, _ = differentiate(operation.fn, *arrays, asked=asked, cotangent=dy)
    for dx, expected, wanted in zip(gradients, every_gradient, asked, strict=True):
        if wanted:
            np.testing.assert_array_equal(dx, expected)
        else:
            assert dx is None
    assert unasked == []


@every_operation
def test_nobody_asks(name, rng):
    operation = OPERATIONS[name]
    arrays = operation.arrays(rng)
    y = operation.fn(*(Tensor(array) for array in arrays))
    assert not y.requires_grad
    with npstn.no_grad():
        unrecorded = operation.fn(*(Tensor(array, requires_grad=True) for array in arrays))
    assert not unrecorded.requires_grad
    np.testing.assert_array_equal(unrecorded.data, y.data)


@pytest.mark.parametrize("name", [name for name, operation in OPERATIONS.items() if operation.batched is not None])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_empty_batch_goes_through_and_back(name, dtype, rng):
    operation = OPERATIONS[name]
    arrays = operation.arrays(rng, dtype)
    full = evaluate(operation.fn, *arrays)
    arrays = [array[:0] if number in operation.batched else array for number, array in enumerate(arrays)]
    y, gradients, _ = differentiate(operation.fn, *arrays)
    assert y.shape == (0, *full.shape[1:]) and y.dtype == dtype
    for dx, x in zip(gradients, arrays, strict=True):
        np.testing.assert_array_equal(dx, np.zeros(x.shape))
        assert dx.shape == x.shape and dx.dtype == dtype


every_input = pytest.mark.parametrize(
    ("name", "number"),
    [(name, number) for name, operation in FUNCTIONS.items() for number in range(len(operation.shapes))],
)


@every_input
@pytest.mark.parametrize("dtype", [np.float16, np.complex64, np.int64])
def test_arrays_of_other_dtypes_are_refused(name, number, dtype, rng):
    arrays = FUNCTIONS[name].arrays(rng, np.float32)
    arrays[number] = arrays[number].astype(dtype)
    with pytest.raises(
        TypeError, match=rf"^(\w+): expected \w+ of float32 or float64, got {np.dtype(dtype)}$"
    ) as refusal:
        FUNCTIONS[name].fn(*arrays)
    assert str(refusal.value).startswith((name, "log_softmax" if name == "cross_entropy" else name))


@pytest.mark.parametrize("dtype", [np.float16, np.complex64, np.complex128, np.longdouble])
def test_no_tensor_has_another_dtype(dtype):
    with pytest.raises(
        TypeError, match=r"^Tensor: expected float32 or float64 .*, got (float16|complex|longdouble|float128)"
    ):
        Tensor(np.zeros(2, dtype))


@pytest.mark.parametrize(
    ("name", "number"),
    [(name, number) for name, op in FUNCTIONS.items() if len(op.shapes) > 1 for number in range(len(op.shapes))],
)
def test_mixed_dtypes_are_refused(name, number, rng):
    arrays = FUNCTIONS[name].arrays(rng, np.float32)
    arrays[number] = arrays[number].astype(np.float64)
    first, other = ("float64", "float32") if number == 0 else ("float32", "float64")
    with pytest.raises(TypeError, match=rf"^{name}: expected \w+ of input's {first}, got {other}$"):
        FUNCTIONS[name].fn(*(Tensor(array) for array in arrays))


@every_input
def test_none_for_a_tensor_is_refused(name, number, rng):
    if (name, number) in {("conv2d", 2), ("linear", 2)}:
        pytest.skip("a bias may be None")
    inputs = [Tensor(array) for array in FUNCTIONS[name].arrays(rng)]
    inputs[number] = None
    options = {"affine_grid": ((3, 1, 2, 2),), "max_pool2d": (2,), "avg_pool2d": (2,), "log_softmax": (1,)}
    options |= {"nll_loss": (LABELS,), "cross_entropy": (LABELS,)}
    with pytest.raises(TypeError, match=r"^\w+: expected \w+ to be a Tensor, got NoneType$"):
        getattr(F, name)(*inputs, *options.get(name, ()))
