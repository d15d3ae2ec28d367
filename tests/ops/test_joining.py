"""cat and stack against NumPy, finite differences and PyTorch."""

import numpy as np
import pytest
from assertions import assert_parity, dtypes, normal, refuses, seeds
from finite_differences import assert_gradients, differentiate
from hypothesis import given
from hypothesis import strategies as st

import npstn.functional as F
from npstn import Tensor

ranks = st.integers(1, 3)
lengths = st.lists(st.integers(0, 3), min_size=1, max_size=4)  # of the tensors, along the axis


def shapes_to_cat(rank, dim, lengths):
    common = [2, 3, 4][:rank]
    return [tuple(n if axis == dim % rank else m for axis, m in enumerate(common)) for n in lengths]


def cat(dim, join=F.cat):
    return lambda *xs: join(xs, dim)


def stack(dim, join=F.stack):
    return lambda *xs: join(xs, dim)


@given(ranks, st.data(), lengths, seeds, dtypes)
def test_cat_sets_one_after_the_other(torch, rank, data, lengths, seed, dtype):
    dim = data.draw(st.integers(-rank, rank - 1))
    xs = normal(seed, *shapes_to_cat(rank, dim, lengths), dtype=dtype)
    y, gradients, dy = differentiate(cat(dim), *xs)
    np.testing.assert_array_equal(y, np.concatenate(xs, axis=dim))
    start = 0
    for x, dx in zip(xs, gradients, strict=True):
        part = np.take(dy, range(start, start + x.shape[dim]), axis=dim)
        np.testing.assert_array_equal(dx, part)
        start += x.shape[dim]
    assert_parity(torch, cat(dim), cat(dim, torch.cat), *xs)


@given(ranks, st.data(), st.integers(1, 4), seeds, dtypes)
def test_stack_makes_a_new_axis(torch, rank, data, count, seed, dtype):
    dim = data.draw(st.integers(-rank - 1, rank))
    xs = normal(seed, *[(2, 3, 4)[:rank]] * count, dtype=dtype)
    y, gradients, dy = differentiate(stack(dim), *xs)
    for k, (x, dx) in enumerate(zip(xs, gradients, strict=True)):
        np.testing.assert_array_equal(np.take(y, k, axis=dim), x)
        np.testing.assert_array_equal(dx, np.take(dy, k, axis=dim))
    assert_parity(torch, stack(dim), stack(dim, torch.stack), *xs)


@given(ranks, seeds)
def test_gradients_by_finite_differences(rank, seed):
    xs = normal(seed, *[(2, 3, 4)[:rank]] * 3)
    assert_gradients(cat(-1), *xs, step=0.5, tolerance=1e-12)
    assert_gradients(stack(0), *xs, step=0.5, tolerance=1e-12)


@pytest.mark.parametrize("join", [F.cat, F.stack])
def test_a_tensor_may_come_twice(join):
    (x,) = normal(0, (2, 3))
    _, (dx,), dy = differentiate(lambda x: join([x, x]), x)
    np.testing.assert_array_equal(dx, dy[:2] + dy[2:] if join is F.cat else dy[0] + dy[1])


@pytest.mark.parametrize("join", [F.cat, F.stack])
def test_arrays_and_tensors_without_gradients_are_constants(join):
    a, b, c = normal(0, *[(2, 3)] * 3)
    y, (db,), dy = differentiate(lambda b: join([a, b, Tensor(c)]), b)
    np.testing.assert_array_equal(y, (np.concatenate if join is F.cat else np.stack)([a, b, c]))
    np.testing.assert_array_equal(db, dy[2:4] if join is F.cat else dy[1])


@pytest.mark.parametrize("join", [F.cat, F.stack])
def test_the_default_is_the_first_axis_and_a_generator_will_do(join):
    xs = [Tensor(x) for x in normal(0, *[(2, 3)] * 2)]
    np.testing.assert_array_equal(join(x for x in xs).data, join(xs, dim=0).data)


# ---- what is refused -------------------------------------------------------------------------------------------------


def zeros(*shapes, dtype=np.float64):
    return [Tensor(np.zeros(shape, dtype)) for shape in shapes]


@pytest.mark.parametrize(
    ("shapes", "dim", "message"),
    [
        ([], 0, "at least one tensor, got none"),
        ([(2, 3), (2,)], 0, "tensors of one rank, got (2, 3) and (2,) (1)"),
        ([(2, 3), (2, 3), (2, 4)], 0, "tensors of one shape but for axis 0, got (2, 3) and (2, 4) (2)"),
        ([(2, 3), (3, 3)], -1, "tensors of one shape but for axis 1, got (2, 3) and (3, 3) (1)"),
        ([(2, 3), (2, 3)], 2, "dim from -2 to 1, got 2"),
        ([(2, 3), (2, 3)], 0.0, "dim from -2 to 1, got 0.0"),
        ([(), ()], 0, "dim of an input with axes, got 0"),
    ],
)
def test_what_does_not_fit_is_refused_by_cat(shapes, dim, message):
    with refuses(ValueError, f"cat: expected {message}"):
        F.cat(zeros(*shapes), dim)


@pytest.mark.parametrize(
    ("shapes", "dim", "message"),
    [
        ([], 0, "at least one tensor, got none"),
        ([(2, 3), (2,)], 0, "tensors of one rank, got (2, 3) and (2,) (1)"),
        ([(2, 3), (3, 3)], 0, "tensors of one shape, got (2, 3) and (3, 3) (1)"),
        ([(2, 3), (2, 3)], 3, "dim from -3 to 2, got 3"),
    ],
)
def test_what_does_not_fit_is_refused_by_stack(shapes, dim, message):
    with refuses(ValueError, f"stack: expected {message}"):
        F.stack(zeros(*shapes), dim)


@pytest.mark.parametrize("join", [F.cat, F.stack])
def test_other_dtypes_are_refused_with_their_place(join):
    name = join.__name__
    with refuses(TypeError, f"{name}: expected tensors[1] of tensors[0]'s float64, got float32"):
        join([*zeros((2, 3)), *zeros((2, 3), dtype=np.float32)])
    with refuses(TypeError, f"{name}: expected tensors[1] to be a Tensor, got int"):
        join([*zeros((2, 3)), 1])
    for wrong in (None, 1):
        with refuses(TypeError, f"{name}: expected tensors to be a list of Tensors, got {type(wrong).__name__}"):
            join(wrong)
    with refuses(TypeError, f"{name}: expected tensors to be a list of Tensors, got Tensor"):
        join(Tensor(np.zeros((2, 3))))
