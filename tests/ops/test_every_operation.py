"""The rules for every operation in the list of samples: dtypes, layouts, memory, unasked gradients, empty batches."""

import inspect

import numpy as np
import pytest
from assertions import LAYOUTS, Relaid, assert_close
from finite_differences import differentiate, evaluate

import npstn
import npstn.functional as F
from npstn import Tensor
from npstn.autograd import Context
from npstn.gradcheck.samples import samples

SAMPLES = samples(network=False)
PUBLIC = [sample for sample in SAMPLES if sample.operation in F.__all__]  # the others are operators of a Tensor
MAY_SHARE_MEMORY = {"reshape", "transpose", "index"}

every_sample = pytest.mark.parametrize("sample", SAMPLES, ids=str)


def every_input(chosen):
    """Run the test for each input of each of these samples that stands for a Tensor."""
    pairs = [(sample, k) for sample in chosen for k in sample.arrays]
    return pytest.mark.parametrize(("sample", "place"), pairs, ids=[f"{sample}-{place}" for sample, place in pairs])


def function_and_arrays(sample, dtype=np.float64, change=lambda k, x: x):
    """The sample as a function of arrays only, and these arrays; `change` may replace input number k."""
    inputs = [change(k, x) for k, x in enumerate(sample.inputs)]

    def fn(*tensors):
        given = dict(zip(sample.arrays, tensors, strict=True))
        return sample.fn(*[given.get(k, x) for k, x in enumerate(inputs)])

    return fn, [inputs[k].astype(dtype) for k in sample.arrays]


def subclasses(cls):
    for sub in cls.__subclasses__():
        yield sub
        yield from subclasses(sub)


# --- the list is complete


def test_every_public_function_and_operator_has_a_sample():
    operations = {sample.operation for sample in SAMPLES}
    assert set(F.__all__) <= operations
    assert {operation.__name__ for operation in npstn._OPERATORS.values()} - {"<lambda>"} <= operations


def test_every_function_class_runs_in_a_sample(monkeypatch):
    """So does what an operator reaches through a lambda, such as `1 - x`."""
    seen = set()
    init = Context.__init__

    def spy(self, function, inputs):
        seen.add(function)
        init(self, function, inputs)

    monkeypatch.setattr(Context, "__init__", spy)
    for sample in SAMPLES:
        fn, arrays = function_and_arrays(sample)
        fn(*map(Tensor, arrays))
    assert seen >= {
        function
        for function in subclasses(npstn.Function)
        if function.__module__.startswith("npstn.ops.") and not function.__subclasses__()  # no base of others
    }


# --- what holds for each sample


@every_sample
def test_float32_follows_float64(sample):
    fn, arrays = function_and_arrays(sample, np.float32)
    y, gradients, dy = differentiate(fn, *arrays)
    doubles = [array.astype(np.float64) for array in arrays]
    expected, expected_gradients, _ = differentiate(fn, *doubles, cotangent=dy.astype(np.float64))
    assert y.dtype == np.float32 and expected.dtype == np.float64
    assert_close(y, expected, 2e-6)
    for x, dx, expected_dx in zip(arrays, gradients, expected_gradients, strict=True):
        assert dx.shape == x.shape and dx.dtype == np.float32 and expected_dx.dtype == np.float64
        assert_close(dx, expected_dx, 5e-6)


@every_sample
@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_any_layout_gives_the_same(sample, layout):
    fn, arrays = function_and_arrays(sample)
    y, gradients, dy = differentiate(fn, *arrays)

    def relaid(*tensors):
        return fn(*(Relaid.apply(tensor, layout) for tensor in tensors))

    other_y, other_gradients, _ = differentiate(relaid, *arrays, cotangent=LAYOUTS[layout](dy))
    assert_close(other_y, y, 1e-14)
    for other_dx, dx in zip(other_gradients, gradients, strict=True):
        assert_close(other_dx, dx, 1e-14)


@every_sample
def test_neither_inputs_nor_upstream_gradient_are_changed_and_no_memory_is_shared(sample, rng):
    fn, arrays = function_and_arrays(sample)
    tensors = [Tensor(array, requires_grad=True) for array in arrays]
    y = fn(*tensors)
    value = y.data.copy()
    dy = rng.standard_normal(y.shape)
    dy_before = dy.copy()
    y.backward(dy)
    np.testing.assert_array_equal(dy, dy_before)
    np.testing.assert_array_equal(y.data, value)
    for tensor, array in zip(tensors, arrays, strict=True):
        np.testing.assert_array_equal(tensor.data, array)
        assert sample.operation in MAY_SHARE_MEMORY or not np.shares_memory(y.data, tensor.data)
        assert not any(np.shares_memory(tensor.grad, other) for other in (dy, tensor.data, y.data))


@pytest.fixture
def unasked(monkeypatch):
    """The list of (operation, input) for which a backward gives a gradient that nobody asked for."""
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

    for function in subclasses(npstn.Function):
        if "backward" in vars(function):
            spy(function)
    return given


@every_input(SAMPLES)
def test_a_gradient_is_computed_for_the_input_that_asks_and_for_no_other(sample, place, unasked):
    fn, arrays = function_and_arrays(sample)
    _, every_gradient, dy = differentiate(fn, *arrays)
    asked = [k == place for k in sample.arrays]
    _, gradients, _ = differentiate(fn, *arrays, asked=asked, cotangent=dy)
    for dx, expected, wanted in zip(gradients, every_gradient, asked, strict=True):
        if wanted:
            np.testing.assert_array_equal(dx, expected)
        else:
            assert dx is None
    assert unasked == []


@every_sample
def test_no_input_asks_for_a_gradient(sample):
    fn, arrays = function_and_arrays(sample)
    y = fn(*map(Tensor, arrays))
    assert not y.requires_grad
    with npstn.no_grad():
        unrecorded = fn(*(Tensor(array, requires_grad=True) for array in arrays))
    assert not unrecorded.requires_grad
    np.testing.assert_array_equal(unrecorded.data, y.data)


@pytest.mark.parametrize("sample", [sample for sample in SAMPLES if sample.batch], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_empty_batch_goes_through_and_back(sample, dtype):
    fn, arrays = function_and_arrays(sample, dtype)
    full = evaluate(fn, *arrays)
    fn, arrays = function_and_arrays(sample, dtype, lambda k, x: x[:0] if k in sample.batch else x)
    y, gradients, _ = differentiate(fn, *arrays)
    assert y.shape == (0, *full.shape[1:])[: full.ndim] and y.dtype == dtype
    for dx, x in zip(gradients, arrays, strict=True):
        np.testing.assert_array_equal(dx, np.zeros(x.shape))
        assert dx.shape == x.shape and dx.dtype == dtype


# --- what the public functions refuse


@every_input(PUBLIC)
@pytest.mark.parametrize("dtype", [np.float16, np.complex64, np.int64])
def test_arrays_of_other_dtypes_are_refused(sample, place, dtype):
    inputs = [x.astype(np.float32) if k in sample.arrays else x for k, x in enumerate(sample.inputs)]
    inputs[place] = inputs[place].astype(dtype)
    message = rf"^{sample.operation}: expected \S+ of float32 or float64, got {np.dtype(dtype)}$"
    with pytest.raises(TypeError, match=message):
        sample.fn(*inputs)


@every_input([sample for sample in PUBLIC if len(sample.arrays) > 1])
def test_mixed_dtypes_are_refused(sample, place):
    inputs = [Tensor(x.astype(np.float32)) if k in sample.arrays else x for k, x in enumerate(sample.inputs)]
    inputs[place] = Tensor(sample.inputs[place])
    first, other = ("float64", "float32") if place == 0 else ("float32", "float64")
    with pytest.raises(TypeError, match=rf"^{sample.operation}: expected \S+ of \S+'s {first}, got {other}$"):
        sample.fn(*inputs)


@every_input(PUBLIC)
def test_none_for_a_tensor_is_refused(sample, place):
    parameters = list(inspect.signature(sample.function).parameters.values())
    if place < len(parameters) and parameters[place].default is None:
        pytest.skip(f"{parameters[place].name} may be None")
    inputs = [Tensor(x) if k in sample.arrays else x for k, x in enumerate(sample.inputs)]
    options = sample.options_for(*inputs)
    inputs[place] = None
    with pytest.raises(TypeError, match=rf"^{sample.operation}: expected \S+ to be a Tensor, got NoneType$"):
        sample.function(*inputs, **options)


@pytest.mark.parametrize("dtype", [np.float16, np.complex64, np.complex128, np.longdouble])
def test_no_tensor_has_another_dtype(dtype):
    with pytest.raises(
        TypeError, match=r"^Tensor: expected float32 or float64 .*, got (float16|complex|longdouble|float128)"
    ):
        Tensor(np.zeros(2, dtype))


@every_sample
def test_no_operation_stops_at_numpys_errors(sample):
    fn, arrays = function_and_arrays(sample, np.float32)
    with np.errstate(all="raise"):
        differentiate(fn, *arrays)


SMALL = ["exp", "sigmoid", "tanh", "softmax", "log_softmax", "mse_loss", "mul", "div", "matmul"]


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_too_small_for_the_dtype_are_no_error(name, dtype):
    scores, tiny = np.array([[0.0, -90.0, -1e4, -700.0]], dtype), np.full((1, 1), np.finfo(dtype).tiny * 3, dtype)
    functions = {
        "softmax": (lambda x: F.softmax(x, dim=1), scores),
        "log_softmax": (lambda x: F.log_softmax(x, dim=1), scores),
        "mse_loss": (lambda x: F.mse_loss(x, 0 * tiny), tiny),
        "mul": (lambda x: x * x, tiny),
        "div": (lambda x: x / 1e9, tiny),
        "matmul": (lambda x: x @ x, tiny),
        "exp": (Tensor.exp, scores),
    }
    fn, x = functions.get(name) or (getattr(F, name), np.concatenate([scores, 1e-3 * scores]))
    with np.errstate(all="raise"):
        y = fn(Tensor(x, requires_grad=True))
        y.backward(np.full(y.shape, 1e-3, dtype))
    assert np.isfinite(y.data).all()
