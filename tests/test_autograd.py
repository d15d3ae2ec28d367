"""The tape: the gradients, their memory, the life of the graph, and the answers to wrong calls."""

import operator
import threading
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from processes import run_python

import npstn.functional as F
from npstn import Function, Tensor, autograd, no_grad
from npstn.autograd import watch_steps

FLOATS = [np.float32, np.float64]


class Square(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved
        return 2 * x * dy


class SameArray(Function):
    """The hardest case for aliasing: both passes return the very array that they get."""

    @staticmethod
    def forward(ctx, x):
        return x

    @staticmethod
    def backward(ctx, dy):
        return dy


def leaf(*shape, dtype=np.float64, seed=0):
    return Tensor(np.random.default_rng(seed).uniform(0.5, 2, shape).astype(dtype), requires_grad=True)


# Gradients: broadcasting and sums


def summed_to(shape, full):
    """The gradient of an operand of `shape` from that of its broadcast copy: the shares added one by one."""
    total = np.zeros(shape)
    for index in np.ndindex(full.shape):
        own = index[full.ndim - len(shape) :]
        total[tuple(0 if n == 1 else i for i, n in zip(own, shape, strict=True))] += full[index]
    return total


GRADIENTS = {  # operator: (dy, a, b) -> da, db
    operator.add: lambda dy, a, b: (dy, dy),
    operator.sub: lambda dy, a, b: (dy, -dy),
    operator.mul: lambda dy, a, b: (dy * b, dy * a),
    operator.truediv: lambda dy, a, b: (dy / b, -dy * a / b**2),
    operator.pow: lambda dy, a, b: (dy * b * a ** (b - 1), dy * a**b * np.log(a)),
}


@settings(max_examples=30, deadline=None)
@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0, max_side=3), st.integers(0, 2**32 - 1))
def test_operators_broadcast_and_gradients_are_summed_back(shapes, seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.uniform(0.5, 2, shape) for shape in shapes.input_shapes)
    dy = rng.normal(size=shapes.result_shape)
    full_a, full_b = np.broadcast_arrays(a, b)
    for op, gradients in GRADIENTS.items():
        x, y = Tensor(a, requires_grad=True), Tensor(b, requires_grad=True)
        result = op(x, y)
        assert result.shape == shapes.result_shape
        assert_allclose(result.data, op(full_a, full_b), rtol=1e-14)
        result.backward(dy)
        for operand, full in zip((x, y), gradients(dy, full_a, full_b), strict=True):
            assert operand.grad.shape == operand.shape
            assert_allclose(operand.grad, summed_to(operand.shape, full), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("op", GRADIENTS)
@pytest.mark.parametrize("other", [3, 0.7, True, np.float64(2), np.float32(2), np.int64(2), np.array([[2], [3]])])
def test_operators_take_constants_on_both_sides_and_keep_the_dtype(op, other, dtype):
    constant = np.asarray(other).astype(dtype)
    for left in (True, False):
        x = leaf(2, 3, dtype=dtype)
        y = op(other, x) if left else op(x, other)
        assert type(y) is Tensor
        assert y.dtype == dtype
        a, b = (constant, x.data) if left else (x.data, constant)
        assert_allclose(y.data, op(a, b), rtol=4 * np.finfo(dtype).eps)
        dy = np.random.default_rng(1).normal(size=y.shape).astype(dtype)
        y.backward(dy)
        wanted = GRADIENTS[op](*(z.astype(np.float64) for z in (dy, a, b)))[left]
        assert x.grad.dtype == dtype
        assert_allclose(x.grad, wanted, rtol=20 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", FLOATS)
def test_an_array_on_the_left_leaves_the_operation_to_the_tensor(dtype):
    array = np.arange(1, 7, dtype=dtype).reshape(2, 3)
    x = leaf(3, dtype=dtype)
    y = array * x
    assert type(y) is Tensor
    assert y.dtype == dtype
    assert_array_equal(y.data, array * x.data)
    z = array @ leaf(3, 4, dtype=dtype)
    assert type(z) is Tensor
    assert z.shape == (2, 4)


@pytest.mark.parametrize(
    ("function", "slope"),
    [
        (lambda x: x + x, lambda x: 2 + 0 * x),
        (lambda x: x - x, lambda x: 0 * x),
        (lambda x: x * x, lambda x: 2 * x),
        (lambda x: x / x, lambda x: 0 * x),
        (lambda x: x**x, lambda x: x**x * (np.log(x) + 1)),
        (lambda x: x * x * x, lambda x: 3 * x**2),
        (lambda x: Square.apply(x) + x, lambda x: 2 * x + 1),
    ],
    ids=["add", "sub", "mul", "div", "pow", "cube", "square-and-self"],
)
def test_both_gradients_of_the_same_tensor_are_added(function, slope):
    x = leaf(5)
    dy = np.random.default_rng(1).normal(size=5)
    function(x).backward(dy)
    assert_allclose(x.grad, dy * slope(x.data), rtol=1e-13, atol=1e-14)


def test_both_gradients_of_the_same_matrix_are_added():
    x = leaf(3, 3)
    dy = np.random.default_rng(1).normal(size=(3, 3))
    (x @ x).backward(dy)
    assert_allclose(x.grad, dy @ x.data.T + x.data.T @ dy, rtol=1e-13)


@pytest.mark.parametrize("short_way_first", [True, False])
def test_a_diamond_with_arms_of_different_length_adds_both(short_way_first):
    x = leaf(4)
    top = x * 3
    arm = Square.apply(Square.apply(top))  # (3 x)^4
    (top + arm if short_way_first else arm + top).sum().backward()
    assert_allclose(x.grad, 3 + 12 * (3 * x.data) ** 3, rtol=1e-14)


def test_each_backward_runs_once_for_any_number_of_ways():
    runs = []

    class Counted(Function):
        @staticmethod
        def forward(ctx, a, b):
            return a + b

        @staticmethod
        def backward(ctx, dy):
            runs.append(1)
            return dy, dy

    x = Tensor([1.0], requires_grad=True)
    y = x
    for _ in range(60):  # 2^60 ways from the end to x
        y = Counted.apply(y, y)
    y.backward()
    assert len(runs) == 60
    assert_array_equal(x.grad, np.float32([2**60]))


def test_grad_accumulates_over_two_calls():
    x = leaf(3)
    first, second = np.random.default_rng(1).normal(size=(2, 3))
    Square.apply(x).backward(first)
    assert_array_equal(x.grad, 2 * x.data * first)
    before = x.grad.copy()
    (x * 5).backward(second)
    assert_array_equal(x.grad, before + second * 5)


def test_a_leaf_goes_back_to_itself():
    x = leaf(2, 3)
    dy = np.random.default_rng(1).normal(size=(2, 3))
    x.backward(dy)
    x.backward(Tensor(dy))
    assert_array_equal(x.grad, dy + dy)


def test_only_leaves_get_a_grad():
    x = leaf(3)
    y = x * 2
    loss = y.sum()
    loss.backward()
    assert y.grad is None
    assert loss.grad is None
    assert x.grad is not None


# Memory: no array is shared or changed


SHARERS = {
    "leaf": lambda a, b: a,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "same array": lambda a, b: SameArray.apply(a),
    "same array and more": lambda a, b: SameArray.apply(a) + a + b,
    "reshape": lambda a, b: a.reshape(-1) + b.reshape(-1),
    "index": lambda a, b: a[:] + b[:],
    "relu": lambda a, b: F.relu(a) + F.relu(b),
    "matmul": lambda a, b: a @ b,
    "linear": lambda a, b: F.linear(a, b, b[0]),
}


@pytest.mark.parametrize("calls", [1, 2])
@pytest.mark.parametrize("case", SHARERS)
def test_grads_alias_nothing(case, calls):
    a, b = leaf(3, 3, seed=0), leaf(3, 3, seed=1)
    upstream = []
    for _ in range(calls):
        y = SHARERS[case](a, b)
        upstream.append(np.random.default_rng(2).normal(size=y.shape))
        y.backward(upstream[-1])
    arrays = [a.data, b.data, *upstream, *(x.grad for x in (a, b) if x.grad is not None)]
    copies = [array.copy() for array in arrays]
    for i, array in enumerate(arrays):
        array += 1
        for j, (other, copy) in enumerate(zip(arrays, copies, strict=True)):
            assert_array_equal(other, copy + 1 if j <= i else copy)


def test_the_grad_of_a_broadcast_is_a_new_array():
    x = leaf(2, 3)
    x.sum().backward()
    x.grad[0, 0] = 7
    assert_array_equal(x.grad, [[7, 1, 1], [1, 1, 1]])


def test_grads_of_one_operation_do_not_alias():
    x, weight, bias = leaf(2, 1, 4, 4, dtype=np.float32), leaf(3, 1, 2, 2, dtype=np.float32), leaf(3, dtype=np.float32)
    F.conv2d(x, weight, bias).sum().backward()
    grads = [x.grad, weight.grad, bias.grad]
    copies = [grad.copy() for grad in grads]
    for grad in grads:
        grad += 1
    for grad, copy in zip(grads, copies, strict=True):
        assert_array_equal(grad, copy + 1)


def test_a_further_backward_does_not_change_a_grad_that_was_handed_out():
    x = leaf(3)
    x.sum().backward()
    kept = x.grad
    x.sum().backward()
    assert_array_equal(kept, np.ones(3))


@pytest.mark.parametrize("case", SHARERS)
def test_arguments_are_not_changed(case):
    a, b = leaf(3, 3, seed=0), leaf(3, 3, seed=1)
    a.data.flags.writeable = b.data.flags.writeable = False
    before = a.data.copy(), b.data.copy()
    y = SHARERS[case](a, b)
    dy = np.random.default_rng(2).normal(size=y.shape)
    kept = dy.copy()
    dy.flags.writeable = False
    y.backward(dy)
    assert_array_equal(dy, kept)
    assert_array_equal(a.data, before[0])
    assert_array_equal(b.data, before[1])


# Long chains, and the end of a graph

CHAIN = """
import npstn
x = npstn.Tensor([3.0], requires_grad=True)
y = x
for _ in range({count}):
    y = {step}
"""
chains = pytest.mark.parametrize(
    ("step", "count"), [("y + 1.0", 100_000), ("0.5 * y + 0.5 * y", 30_000), ("y.reshape(1)", 100_000)]
)


@chains
def test_a_long_chain_runs_backward(step, count):
    assert run_python(CHAIN.format(step=step, count=count) + "y.backward(); print(x.grad)") == "[1.]"


@chains
def test_a_long_chain_is_dropped_without_backward(step, count):
    assert run_python(CHAIN.format(step=step, count=count) + "y = None; print('dropped', flush=True)") == "dropped"


def test_a_second_backward_names_the_freed_graph():
    x = leaf(3)
    y = Square.apply(x)
    dy = np.ones(3)
    y.backward(dy)
    before = x.grad.copy()
    with pytest.raises(RuntimeError, match=r"^backward: .*freed.*\bsquare\b"):
        y.backward(dy)
    assert_array_equal(x.grad, before)


@pytest.mark.parametrize("fresh_arm_first", [True, False])
def test_backward_through_a_shared_part_that_is_freed_touches_no_grad(fresh_arm_first):
    x, w, untouched = leaf(3, seed=0), leaf(3, seed=1), leaf(3, seed=2)
    shared = Square.apply(x)
    first = (shared * 2).sum()
    fresh, stale = x * untouched, shared * w
    second = (fresh + stale if fresh_arm_first else stale + fresh).sum()
    first.backward()
    before = x.grad.copy()
    with pytest.raises(RuntimeError, match="freed"):
        second.backward()
    assert_array_equal(x.grad, before)
    assert w.grad is None
    assert untouched.grad is None
    (Square.apply(x) * w).sum().backward()  # another forward makes another graph
    assert_allclose(x.grad, before + 2 * x.data * w.data, rtol=1e-14)


def test_the_walk_frees_memory_as_it_goes():
    alive_while_the_first_went_back = []
    watched = []

    class Watched(Function):
        @staticmethod
        def forward(ctx, x):
            kept = x.copy()
            watched.extend([weakref.ref(kept), weakref.ref(ctx)])
            ctx.save_for_backward(kept)
            return x + 1

        @staticmethod
        def backward(ctx, dy):
            dx = dy.copy()
            watched.append(weakref.ref(dx))
            return dx

    class First(Function):
        @staticmethod
        def forward(ctx, x):
            return x + 0

        @staticmethod
        def backward(ctx, dy):
            # Alive are the context of the result, which `y` below holds, and dy, the last gradient.
            alive_while_the_first_went_back.extend(ref() for ref in watched if ref() is not None)
            return dy

    x = leaf(3)
    y = First.apply(x)
    for _ in range(5):
        y = Watched.apply(y)
    assert sum(ref() is not None for ref in watched) == 10
    y.backward(np.ones(3))
    assert len(watched) == 15
    arrays = [array for array in alive_while_the_first_went_back if isinstance(array, np.ndarray)]
    assert len(arrays) == 1
    assert len(alive_while_the_first_went_back) == 2
    alive_while_the_first_went_back.clear()
    arrays.clear()
    assert sum(ref() is not None for ref in watched) == 1  # y's own, emptied
    assert y.requires_grad


def test_a_dropped_graph_frees_what_it_saved():
    saved = []

    class Saves(Function):
        @staticmethod
        def forward(ctx, x):
            kept = x.copy()
            saved.append(weakref.ref(kept))
            ctx.save_for_backward(kept)
            return x + 1

    graph = [Saves.apply(leaf(3))]
    assert saved[0]() is not None
    graph.clear()
    assert saved[0]() is None


def test_an_array_between_that_no_forward_saved_is_freed_in_the_forward_pass():
    x = leaf(3)
    y = x + 1
    between = weakref.ref(y.data)
    z = y + 1
    y = None
    assert between() is None
    z.sum().backward()
    assert_array_equal(x.grad, np.ones(3))


def test_a_failing_backward_touches_no_grad():
    class Broken(Function):
        @staticmethod
        def forward(ctx, x):
            return x + 0

        @staticmethod
        def backward(ctx, dy):
            raise ArithmeticError("broken")

    x, w = leaf(3, seed=0), leaf(3, seed=1)
    y = (Broken.apply(x) * w).sum()
    with pytest.raises(ArithmeticError, match="broken"):
        y.backward()
    assert x.grad is None
    assert w.grad is None


# no_grad, requires_grad, detach


def test_no_grad_records_nothing():
    x = leaf(3)
    with no_grad():
        y = Square.apply(x) * x
        assert not y.requires_grad
        kept = weakref.ref(y.data)
    assert (x * 2).requires_grad
    with pytest.raises(RuntimeError, match="requires grad"):
        y.sum().backward()
    y = None
    assert kept() is None


def test_no_grad_hides_the_need_from_forward():
    seen = []

    class Asks(Function):
        @staticmethod
        def forward(ctx, x):
            seen.append(ctx.needs_input_grad)
            return x + 0

    x = leaf(3)
    with no_grad():
        Asks.apply(x)
    Asks.apply(x)
    Asks.apply(x.detach())
    assert seen == [(False,), (True,), (False,)]


def test_a_gradient_that_cannot_be_added_changes_no_other():
    a, b, y = Tensor(np.ones(2), True), Tensor(np.ones(2), True), Tensor(np.ones(2), True) * 1
    y.retain_grad()
    a.grad, b.grad = np.zeros(2), np.zeros(3)
    with pytest.raises(ValueError):
        (a * b * y).sum().backward()
    assert_array_equal(a.grad, [0, 0])
    assert y.grad is None


def test_steps_are_seen_by_each_watch_round_them():
    x = Tensor([1.0])
    with watch_steps() as outer:
        x + 1
        with watch_steps() as inner:
            x * 2
        x - 1
    assert [step.function.name for step in outer] == ["add", "mul", "sub"]
    assert [step.function.name for step in inner] == ["mul"]


def test_no_grad_nests_and_outlives_errors():
    x = leaf(3)
    with no_grad():
        with no_grad():
            assert not (x * 2).requires_grad
        assert not (x * 2).requires_grad
        with pytest.raises(KeyError), no_grad():
            raise KeyError
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert (x * 2).requires_grad


def test_no_grad_as_a_decorator_works_each_time():
    @no_grad()
    def double(x):
        """Twice."""
        return x * 2

    x = leaf(3)
    assert double.__name__ == "double"
    for _ in range(2):
        assert not double(x).requires_grad
        assert (x * 2).requires_grad


def test_no_grad_holds_in_its_own_thread_only():
    x = leaf(3)
    seen = []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append((x * 2).requires_grad))
        thread.start()
        thread.join()
        assert not (x * 2).requires_grad
    assert seen == [True]


def test_requires_grad_spreads_from_any_input():
    x, constant = leaf(3), Tensor(np.ones(3))
    assert not constant.requires_grad
    assert not (constant * constant).requires_grad
    assert (constant * x).requires_grad
    assert (x * constant).requires_grad
    (constant * x).sum().backward()
    assert constant.grad is None
    assert_array_equal(x.grad, np.ones(3))


def test_detach_shares_memory_and_stops_gradients():
    x = leaf(3)
    y = x * 2
    cut = y.detach()
    assert not cut.requires_grad
    assert np.shares_memory(cut.data, y.data)
    (y * cut).sum().backward()
    assert cut.grad is None
    assert_allclose(x.grad, 2 * cut.data, rtol=1e-15)
    assert not x.detach().requires_grad


# Wrong calls of backward


def test_an_upstream_gradient_of_wrong_shape_or_dtype_is_refused():
    x = leaf(2, 3)
    y = Square.apply(x)
    for shape in [(3,), (1, 3), (2, 3, 1), (3, 2), ()]:
        with pytest.raises(ValueError, match=r"^backward: expected a gradient of shape \(2, 3\), got ") as error:
            y.backward(np.ones(shape))
        assert str(error.value).endswith(f"got {shape}")
    for dtype in [np.float32, np.float16, np.int64, np.complex128]:
        with pytest.raises(TypeError, match=rf"^backward: expected a gradient of dtype float64, got {dtype.__name__}$"):
            y.backward(np.ones((2, 3), dtype))
    with pytest.raises(RuntimeError, match=r"^backward: expected a gradient for a tensor of shape \(2, 3\), got none"):
        y.backward()
    assert x.grad is None
    y.backward(np.ones((2, 3)))  # the refused calls have not freed the graph
    assert_array_equal(x.grad, 2 * x.data)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1)])
@pytest.mark.parametrize("dtype", FLOATS)
def test_one_number_needs_no_gradient(shape, dtype):
    x = leaf(*shape, dtype=dtype)
    (x * 3).backward()
    assert x.grad.shape == shape
    assert x.grad.dtype == dtype
    assert_array_equal(x.grad, np.full(shape, 3))


def test_an_empty_tensor_needs_a_gradient_of_its_shape():
    x = leaf(0, 3)
    with pytest.raises(RuntimeError, match=r"\(0, 3\)"):
        (x * 2).backward()
    (x * 2).backward(np.ones((0, 3)))
    assert x.grad.shape == (0, 3)


def test_backward_of_a_tensor_that_requires_no_grad_is_refused():
    for y in (Tensor([1.0]), Tensor([1.0]) * 2, leaf(1).detach()):
        with pytest.raises(RuntimeError, match=r"^backward: expected a tensor that requires grad"):
            y.backward()


# Tensor


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (3, np.float32),
        (3.5, np.float32),
        (True, np.float32),
        ([1, 2], np.float32),
        ([0.1, 2], np.float32),
        ([[True], [False]], np.float32),
        (np.arange(3), np.float32),
        (np.arange(3, dtype=np.uint8), np.float32),
        (np.array([True, False]), np.float32),
        (np.int16(3), np.float32),
        (np.float32(0.1), np.float32),
        (np.float64(0.1), np.float64),
        (np.array(0.1), np.float64),
        (np.array([0.1, 0.2], np.float32), np.float32),
        (np.array([0.1, 0.2]), np.float64),
        (np.zeros((0, 3)), np.float64),
        ([], np.float32),
    ],
    ids=repr,
)
def test_floats_keep_their_dtype_and_other_numbers_become_float32(data, dtype):
    x = Tensor(data)
    assert x.dtype == dtype
    assert type(x.data) is np.ndarray
    assert x.shape == np.shape(data)
    assert_array_equal(x.data, np.asarray(data).astype(dtype))
    assert x.grad is None
    assert not x.requires_grad


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (np.zeros(2, np.float16), "float16"),
        (np.float16(1), "float16"),
        (np.zeros(2, np.longdouble), np.dtype(np.longdouble).name),
        (np.zeros(2, np.complex64), "complex64"),
        (1j, "complex128"),
        ([1, 2j], "complex128"),
        (None, "object"),
        (np.array(["a"]), "<U1"),
        (np.zeros(2, "datetime64[s]"), r"datetime64\[s\]"),
    ],
    ids=repr,
)
def test_other_dtypes_are_refused_by_name(data, name):
    with pytest.raises(TypeError, match=rf"^Tensor: expected float32 or float64.*, got {name}$"):
        Tensor(data)


def test_the_dtype_of_another_library_is_kept(torch):
    assert Tensor(torch.zeros(2, dtype=torch.float32)).dtype == np.float32
    assert Tensor(torch.full((2,), 0.1, dtype=torch.float64)).dtype == np.float64


def test_float64_array_in_a_list_is_kept():
    assert Tensor([np.array([0.1, 0.2]), np.array([0.3, 0.4])]).dtype == np.float64


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_new_tensor_is_a_copy_in_row_order(dtype):
    source = np.arange(12, dtype=dtype).reshape(3, 4)
    for view in (source, source.T, source[::-1, ::2], np.broadcast_to(source, (2, 3, 4)), np.asfortranarray(source)):
        x = Tensor(view)
        assert x.data.flags.carray
        assert x.data.flags.owndata
        assert not np.shares_memory(x.data, source)
        assert_array_equal(x.data, view)
    y = Tensor(Tensor(source, requires_grad=True))
    assert not y.requires_grad
    assert y.dtype == dtype
    assert not np.shares_memory(y.data, source)


def test_attributes_are_those_of_the_array():
    x = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    assert (x.shape, x.ndim, x.dtype, len(x)) == ((2, 3), 2, np.dtype(np.float64), 2)
    assert x.numpy() is x.data
    item = Tensor([[2.5]]).item()
    assert (type(item), item) == (float, 2.5)
    assert repr(Tensor([1, 2], requires_grad=True)) == "Tensor([1., 2.], dtype=float32, requires_grad=True)"


# Operations of the user


def make_function(name, forward, backward):
    body = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type(name, (Function,), body)


def test_a_function_takes_several_inputs_and_plain_values():
    seen = {}

    class WeightedProduct(Function):
        @staticmethod
        def forward(ctx, a, power, b, label):
            seen["forward"] = [type(a), power, type(b), label, ctx.needs_input_grad]
            ctx.save_for_backward(a, b)
            ctx.power = power
            return a**power * b

        @staticmethod
        def backward(ctx, dy):
            a, b = ctx.saved
            seen["backward"] = ctx.needs_input_grad
            return dy * ctx.power * a ** (ctx.power - 1) * b, None, dy * a**ctx.power, None

    a, b = leaf(3, seed=0), leaf(3, seed=1)
    dy = np.random.default_rng(2).normal(size=3)
    WeightedProduct.apply(a, 3, b, "label").backward(dy)
    assert seen["forward"] == [np.ndarray, 3, np.ndarray, "label", (True, False, True, False)]
    assert seen["backward"] == (True, False, True, False)
    assert_allclose(a.grad, dy * 3 * a.data**2 * b.data, rtol=1e-14)
    assert_allclose(b.grad, dy * a.data**3, rtol=1e-14)

    kept = b.grad
    WeightedProduct.apply(a, 2, b.detach(), None).backward(dy)  # a gradient that is not needed is ignored
    assert seen["backward"] == (True, False, False, False)
    assert b.grad is kept


def test_an_input_to_which_backward_gives_none_has_no_grad():
    Second = make_function("Second", lambda ctx, a, b: a + b, lambda ctx, dy: (None, dy))
    a, b = leaf(3, seed=0), leaf(3, seed=1)
    Second.apply(a, b).backward(np.ones(3))
    assert a.grad is None
    assert_array_equal(b.grad, np.ones(3))
    Second.apply(Square.apply(a), b).backward(np.ones(3))  # nor has what lies before it
    assert a.grad is None


@pytest.mark.parametrize("given", [0, 1, 3])
def test_a_wrong_number_of_gradients_is_refused(given):
    TwoInputs = make_function("TwoInputs", lambda ctx, a, b: a + b, lambda ctx, dy: (dy,) * given)
    a, b = leaf(3, seed=0), leaf(3, seed=1)
    with pytest.raises(ValueError, match=rf"^two_inputs: expected backward to give 2 gradients, got {given}$"):
        TwoInputs.apply(a, b).backward(np.ones(3))
    assert a.grad is None
    assert b.grad is None


def test_a_single_array_for_two_inputs_is_refused():
    TwoInputs = make_function("TwoInputs", lambda ctx, a, b: a + b, lambda ctx, dy: dy)
    with pytest.raises(ValueError, match=r"^two_inputs: expected backward to give 2 gradients, got 1$"):
        TwoInputs.apply(leaf(2), leaf(2)).backward(np.ones(2))


@pytest.mark.parametrize("shape", [(), (1, 3), (3, 1), (4,)])
def test_a_gradient_of_wrong_shape_names_the_operation(shape):
    BadShape = make_function("BadShape", lambda ctx, a, b: a + b, lambda ctx, dy: (dy, np.ones(shape)))
    a, b = leaf(3, seed=0), leaf(3, seed=1)
    with pytest.raises(ValueError, match=r"^bad_shape: .*input 1.* of shape \(3,\), got ") as error:
        BadShape.apply(a, b).backward(np.ones(3))
    assert str(error.value).endswith(f"got {shape}")
    assert a.grad is None
    assert b.grad is None


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32])
def test_a_gradient_of_wrong_dtype_names_the_operation(dtype):
    BadDtype = make_function("BadDtype", lambda ctx, x: x + 0, lambda ctx, dy: dy.astype(dtype))
    x = leaf(3, dtype=np.float32)
    message = rf"^bad_dtype: .*input 0.* of dtype float32, got {dtype.__name__}$"
    with pytest.raises(TypeError, match=message):
        BadDtype.apply(x).backward(np.ones(3, np.float32))
    assert x.grad is None


@pytest.mark.parametrize("give", [np.argsort, lambda x: x > 1, lambda x: x.astype(np.float16), lambda x: None])
def test_forward_must_give_floats(give):
    CountPixels = make_function("CountPixels", lambda ctx, x: give(x), lambda ctx, dy: dy)
    got = np.asarray(give(np.ones(3))).dtype
    with pytest.raises(TypeError, match=rf"^count_pixels: expected forward to give float32 or float64, got {got}$"):
        CountPixels.apply(leaf(3))


@pytest.mark.parametrize("dtype", FLOATS)
def test_forward_may_give_a_numpy_scalar(dtype):
    Total = make_function("Total", lambda ctx, x: x.sum(), lambda ctx, dy: np.full(3, dy))
    x = leaf(3, dtype=dtype)
    y = Total.apply(x)
    assert type(y.data) is np.ndarray
    assert (y.shape, y.dtype) == ((), dtype)
    y.backward()
    assert_array_equal(x.grad, np.ones(3))


@pytest.mark.parametrize(
    ("class_name", "name"),
    [
        ("Square", "square"),
        ("GridSample", "grid_sample"),
        ("Conv2d", "conv2d"),
        ("MaxPool2d", "max_pool2d"),
        ("NllLoss", "nll_loss"),
        ("RotationTheta", "rotation_theta"),
    ],
)
def test_the_name_of_an_operation_is_that_of_its_class_in_snake_case(class_name, name):
    assert type(class_name, (Function,), {}).name == name


def test_a_function_without_forward_or_backward_is_refused():
    class Half(Function):
        @staticmethod
        def forward(ctx, x):
            return x / 2

    class Nothing(Function):
        pass

    with pytest.raises(TypeError, match="forward"):
        Nothing.apply(leaf(2))
    with pytest.raises(TypeError, match="backward"):
        Half.apply(leaf(2)).backward(np.ones(2))


def test_two_threads_at_once_get_the_gradients_of_one():
    rounds, steps = 30, 20
    start = threading.Barrier(2)
    results = {}

    def gradients(seed):
        start.wait()
        grads = []
        for i in range(rounds):
            x = leaf(50, seed=seed * rounds + i)
            y = x
            for _ in range(steps):
                y = Square.apply(y) / (x + 4) + y * 0.5
            y.sum().backward()
            grads.append(x.grad)
        results[seed] = grads

    threads = [threading.Thread(target=gradients, args=(seed,)) for seed in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    together = dict(results)
    assert together.keys() == {0, 1}
    start = threading.Barrier(1)
    for seed in (0, 1):
        gradients(seed)
        assert_array_equal(together[seed], results[seed])


@pytest.mark.parametrize("shape", [(0,), (2,), (1, 3)])
def test_item_of_more_or_less_than_one_number_is_refused(shape):
    with pytest.raises(ValueError, match=r"^item: expected a single number, got a tensor of shape \("):
        Tensor(np.ones(shape)).item()


def test_lists_of_different_lengths_make_no_tensor():
    with pytest.raises(ValueError, match=r"^Tensor: expected numbers, got a list without: [^\n]+$"):
        Tensor([[1], [1, 2]])


# Gradients of leaves are copies, or arrays that nothing else refers to

NEW_ARRAYS = {
    "conv2d": (lambda U, F_, b: F.conv2d(U, F_, b), [(2, 3, 6, 6), (1, 3, 3, 3), (1,)]),
    "conv2d with stride and padding": (lambda U, F_, b: F.conv2d(U, F_, b, 2, 1), [(2, 3, 6, 6), (4, 3, 3, 3), (4,)]),
    "linear": (F.linear, [(5, 3), (1, 3), (1,)]),
    "max_pool2d": (lambda U: F.max_pool2d(U, 2), [(2, 3, 6, 6)]),
    "max_pool2d with padding": (lambda U: F.max_pool2d(U, 3, 2, 1), [(2, 3, 6, 6)]),
    "max_pool2d of single pixels": (lambda U: F.max_pool2d(U, 1), [(2, 3, 6, 6)]),
    "avg_pool2d": (lambda U: F.avg_pool2d(U, 2), [(2, 3, 6, 6)]),
    "avg_pool2d with padding": (lambda U: F.avg_pool2d(U, 3, 2, 1), [(2, 3, 6, 6)]),
    "avg_pool2d of single pixels": (lambda U: F.avg_pool2d(U, 1), [(2, 3, 6, 6)]),
    "affine_grid": (lambda theta: F.affine_grid(theta, (2, 1, 4, 4)), [(2, 2, 3)]),
    "grid_sample": (F.grid_sample, [(2, 3, 6, 6), (2, 4, 4, 2)]),
}


@pytest.mark.parametrize("name", NEW_ARRAYS)
def test_an_operation_that_promises_new_arrays_gives_new_arrays(name, monkeypatch):
    contexts = []

    class Recorded(autograd.Context):
        def __init__(self, function, inputs):
            super().__init__(function, inputs)
            contexts.append(self)

    monkeypatch.setattr(autograd, "Context", Recorded)
    fn, shapes = NEW_ARRAYS[name]
    rng = np.random.default_rng(0)
    inputs = [Tensor(rng.standard_normal(shape), requires_grad=True) for shape in shapes]
    y = fn(*inputs)
    (ctx,) = contexts
    saved, dy = ctx.saved, np.ones(y.shape, y.dtype)
    assert ctx.function.gives_new_arrays
    y.backward(dy)
    others = [dy, *saved, *(x.data for x in inputs)]
    for x in inputs:
        assert x.grad.flags.c_contiguous
        assert not any(np.shares_memory(x.grad, other) for other in others)
        others.append(x.grad)


@pytest.mark.parametrize("leaf_itself", [True, False])
def test_a_leaf_has_no_memory_in_common_with_the_upstream_gradient(leaf_itself):
    x, dy = Tensor([1.0, 2.0], requires_grad=True), np.ones(2, np.float32)
    (x if leaf_itself else x.reshape(2)).backward(dy)
    assert_array_equal(x.grad, dy)
    assert not np.shares_memory(x.grad, dy)
