"""add, sub, mul, div, pow, neg, matmul: element by element, finite differences and PyTorch; constants; domain edges."""

import operator
import warnings

import numpy as np
import oracles
import pytest
from assertions import assert_close, assert_parity, dtypes, normal, refuses, seeds
from finite_differences import assert_gradients, differentiate
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from npstn import Tensor

OPERATORS = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "pow": operator.pow,
}
names = st.sampled_from(sorted(OPERATORS))
broadcast_shapes = mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3).map(
    lambda drawn: drawn.input_shapes
)


def draw_operands(name, shapes, seed, dtype=np.float64):
    """Normal numbers; for a divisor, a base and an exponent from 1/2 to about 3."""
    a, b = normal(seed, *shapes, dtype=dtype)
    if name == "pow":
        a = np.minimum(np.abs(a), 2) + 0.5
    if name == "div":
        b = np.copysign(np.abs(b) + 0.5, b)
    return np.asarray(a, dtype), np.asarray(b, dtype)


@given(names, broadcast_shapes, seeds, dtypes)
def test_element_by_element_and_broadcast(name, shapes, seed, dtype):
    a, b = draw_operands(name, shapes, seed, dtype)
    y = OPERATORS[name](Tensor(a), Tensor(b))
    pairs = np.broadcast(a, b)
    expected = np.array([OPERATORS[name](float(p), float(q)) for p, q in pairs]).reshape(pairs.shape)
    assert y.dtype == dtype
    assert y.shape == pairs.shape
    np.testing.assert_allclose(y.data, expected, rtol={np.float32: 1e-6, np.float64: 1e-15}[dtype], atol=1e-7)


@given(names, broadcast_shapes, seeds)
def test_gradients_by_finite_differences(name, shapes, seed):
    curved = name in ("div", "pow")
    assert_gradients(
        OPERATORS[name],
        *draw_operands(name, shapes, seed),
        step=1e-5 if curved else 0.5,
        tolerance=1e-9 if curved else 1e-12,
    )


@given(names, broadcast_shapes, seeds, dtypes)
def test_parity_with_pytorch(torch, name, shapes, seed, dtype):
    assert_parity(torch, OPERATORS[name], OPERATORS[name], *draw_operands(name, shapes, seed, dtype))


@pytest.mark.parametrize("name", sorted(OPERATORS))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("constant", [2, 2.5, np.float64(2.5), np.int64(2), np.array([1, 2, 3]), True], ids=repr)
def test_numbers_and_integers_next_to_a_tensor_take_its_dtype(name, dtype, constant):
    x = np.array([[0.5, 1, 2], [3, 4, 5]], dtype)
    for ours, expected in [
        (OPERATORS[name](Tensor(x), constant), OPERATORS[name](x.astype(float), constant)),
        (OPERATORS[name](constant, Tensor(x)), OPERATORS[name](constant, x.astype(float))),
    ]:
        assert isinstance(ours, Tensor) and ours.dtype == dtype
        assert_close(ours.data, np.asarray(expected, float), {np.float32: 1e-6, np.float64: 1e-15}[dtype])


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_an_array_next_to_a_tensor_is_a_constant(name):
    a, b = draw_operands(name, [(2, 3), (2, 3)], seed=0)
    _, (da, db), dy = differentiate(OPERATORS[name], a, b)
    _, (da_alone,), _ = differentiate(lambda a: OPERATORS[name](a, b), a, cotangent=dy)
    _, (db_alone,), _ = differentiate(lambda b: OPERATORS[name](a, b), b, cotangent=dy)
    np.testing.assert_array_equal(da_alone, da)
    np.testing.assert_array_equal(db_alone, db)


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_gradients_of_one_tensor_used_twice_add_up(name):
    x, _ = draw_operands(name, [(2, 3), ()], seed=0)
    _, (da, db), dy = differentiate(OPERATORS[name], x, x)
    _, (dx,), _ = differentiate(lambda x: OPERATORS[name](x, x), x, cotangent=dy)
    np.testing.assert_array_equal(dx, da + db)


def test_neg():
    x, dy = normal(0, (2, 3), (2, 3))
    y, (dx,), _ = differentiate(operator.neg, x, cotangent=dy)
    np.testing.assert_array_equal(y, -x)
    np.testing.assert_array_equal(dx, -dy)


@pytest.mark.parametrize(
    ("a", "b", "y", "da", "db"),
    [
        (1.0, 0.0, np.inf, np.inf, -np.inf),
        (-1.0, 0.0, -np.inf, np.inf, np.inf),
        (0.0, 0.0, np.nan, np.inf, np.nan),
    ],
)
def test_a_zero_divisor_gives_inf_or_nan_silently(a, b, y, da, db):
    assert_silently(operator.truediv, a, b, y, da, db)


@pytest.mark.parametrize(
    ("a", "b", "y", "da", "db"),
    [
        (0.0, 0.0, 1.0, 0.0, 0.0),
        (0.0, 2.0, 0.0, 0.0, 0.0),
        (0.0, 1.0, 0.0, 1.0, 0.0),
        (0.0, -1.0, np.inf, -np.inf, -np.inf),
        (2.0, 0.0, 1.0, 0.0, np.log(2)),
        (-2.0, 2.0, 4.0, -4.0, np.nan),
        (-2.0, 3.0, -8.0, 12.0, np.nan),
        (-2.0, 0.5, np.nan, np.nan, np.nan),
    ],
)
def test_powers_at_the_edges_of_their_domain(a, b, y, da, db):
    assert_silently(operator.pow, a, b, y, da, db)


@pytest.mark.parametrize("a", [-2.0, 0.0, 2.0])
@pytest.mark.parametrize("b", [-1.0, 0.0, 1.0, 2.0, 0.5])
def test_parity_of_powers_with_pytorch_at_the_edges(torch, a, b):
    assert_parity(torch, operator.pow, operator.pow, np.array([a]), np.array([b]))


def assert_silently(fn, a, b, y, da, db):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value, gradients, _ = differentiate(fn, np.array([a]), np.array([b]), cotangent=np.array([1.0]))
    np.testing.assert_array_equal(value, [y])
    np.testing.assert_allclose(np.ravel(gradients), [da, db], rtol=1e-15)


matrices = st.sampled_from(
    [
        ((2, 3), (3, 4)),
        ((1, 1), (1, 1)),
        ((5, 2, 3), (3, 4)),
        ((2, 3), (5, 3, 2)),
        ((5, 1, 2, 3), (4, 3, 1)),
        ((0, 3), (3, 2)),
    ]
)


@given(matrices, seeds, dtypes)
def test_matmul_is_rows_times_columns(shapes, seed, dtype):
    a, b = normal(seed, *shapes, dtype=dtype)
    y = Tensor(a) @ Tensor(b)
    leading = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    expected = np.zeros((*leading, a.shape[-2], b.shape[-1]))
    for entry in np.ndindex(leading):
        at_a, at_b = (np.broadcast_to(x, leading + x.shape[-2:])[entry] for x in (a, b))
        if expected.size:
            expected[entry] = oracles.matmul(at_a.astype(float), at_b.astype(float))
    assert y.dtype == dtype
    assert_close(y.data, expected, {np.float32: 2e-6, np.float64: 1e-14}[dtype])


@given(matrices, seeds)
def test_gradients_of_matmul_by_finite_differences(shapes, seed):
    assert_gradients(operator.matmul, *normal(seed, *shapes), step=0.5, tolerance=1e-12)


@given(matrices, seeds, dtypes)
def test_parity_of_matmul_with_pytorch(torch, shapes, seed, dtype):
    assert_parity(torch, operator.matmul, operator.matmul, *normal(seed, *shapes, dtype=dtype))


def test_matmul_with_an_array_on_either_side():
    a, b = normal(0, (2, 3), (3, 4))
    for y in (Tensor(a) @ b, a @ Tensor(b)):
        assert isinstance(y, Tensor)
        assert_close(y.data, a @ b, 1e-14)


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_shapes_that_do_not_broadcast_are_refused(name):
    with refuses(ValueError, f"{name}: expected shapes that broadcast, got (2, 3) and (4,)"):
        OPERATORS[name](Tensor(np.ones((2, 3))), Tensor(np.ones(4)))


@pytest.mark.parametrize(
    ("a", "b"),
    [((2, 3), (2, 3)), ((3,), (3, 2)), ((2, 3), (3,)), ((), (2, 2)), ((2, 3, 4), (3, 4, 5)), ((2, 1, 3), (4, 3, 2, 2))],
)
def test_matrices_that_do_not_fit_are_refused(a, b):
    with pytest.raises(ValueError, match=r"^matmul: expected ") as refusal:
        Tensor(np.ones(a)) @ Tensor(np.ones(b))
    assert str(refusal.value).endswith(f"got {a} and {b}")


@pytest.mark.parametrize("name", [*sorted(OPERATORS), "matmul"])
@pytest.mark.parametrize(
    ("other", "got"),
    [
        (np.ones((2, 2), np.float64), "other of input's float32, got float64"),
        (np.ones((2, 2), np.float16), "other of float32 or float64, got float16"),
        (1j, "other of float32 or float64, got complex128"),
        (None, "other of float32 or float64, got object"),
    ],
    ids=["float64", "float16", "complex", "None"],
)
def test_other_types_next_to_a_tensor_are_refused(name, other, got):
    operation = {**OPERATORS, "matmul": operator.matmul}[name]
    with refuses(TypeError, f"{name}: expected {got}"):
        operation(Tensor(np.ones((2, 2), np.float32)), other)
