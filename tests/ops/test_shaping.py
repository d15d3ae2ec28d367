"""sum, mean, reshape and indexing: against sums by hand, finite differences and PyTorch; shared memory."""

import itertools
import math

import numpy as np
import pytest
from assertions import assert_close, assert_parity, dtypes, normal, refuses, seeds
from finite_differences import assert_gradients, differentiate
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, basic_indices

from npstn import Tensor

shapes = array_shapes(min_dims=1, max_dims=3, max_side=4)
names = st.sampled_from(["sum", "mean"])


@st.composite
def axes(draw, shape):
    """None, one axis, or a tuple of one or more; counted from either end."""
    every = range(len(shape))
    chosen = draw(st.sampled_from([c for r in every for c in itertools.combinations(every, r + 1)]))
    signed = tuple(axis - draw(st.sampled_from([0, len(shape)])) for axis in chosen)
    return draw(st.sampled_from([None, signed[0], signed]))


def reducing(name, dim, keepdim):
    return lambda x: getattr(x, name)(dim=dim, keepdim=keepdim)


def over_axes(x, dim, keepdim, of):
    """`of` each list of the elements that differ in the axes `dim` only."""
    every = range(x.ndim)
    dropped = set(every if dim is None else [axis % x.ndim for axis in (dim if isinstance(dim, tuple) else [dim])])
    y = np.empty([1 if axis in dropped else n for axis, n in enumerate(x.shape)])
    for entry in np.ndindex(y.shape):
        rows = [range(n) if axis in dropped else [entry[axis]] for axis, n in enumerate(x.shape)]
        y[entry] = of([float(x[at]) for at in itertools.product(*rows)])
    return y if keepdim else y.reshape([n for axis, n in enumerate(x.shape) if axis not in dropped])


@given(names, shapes, st.data(), st.booleans(), seeds, dtypes)
def test_sum_and_mean_over_any_axes(name, shape, data, keepdim, seed, dtype):
    dim = data.draw(axes(shape))
    (x,) = normal(seed, shape, dtype=dtype)
    y = getattr(Tensor(x), name)(dim, keepdim)
    expected = over_axes(x, dim, keepdim, {"sum": math.fsum, "mean": lambda all: math.fsum(all) / len(all)}[name])
    assert y.dtype == dtype
    assert y.shape == expected.shape
    tolerance = {np.float32: 1e-6, np.float64: 1e-15}[dtype]
    np.testing.assert_allclose(y.data, expected, rtol=0, atol=tolerance * np.abs(x).sum())


@given(names, shapes, st.data(), st.booleans(), seeds)
def test_gradients_of_sum_and_mean_by_finite_differences(name, shape, data, keepdim, seed):
    dim = data.draw(axes(shape))
    assert_gradients(reducing(name, dim, keepdim), *normal(seed, shape), step=0.5, tolerance=1e-12)


@given(names, shapes, st.data(), st.booleans(), seeds, dtypes)
def test_parity_of_sum_and_mean_with_pytorch(torch, name, shape, data, keepdim, seed, dtype):
    dim = data.draw(axes(shape))
    fn = reducing(name, dim, keepdim)
    assert_parity(torch, fn, fn, *normal(seed, shape, dtype=dtype))


def test_the_sum_of_nothing_is_0_and_its_mean_nan():
    for shape in [(0,), (0, 3)]:
        x = Tensor(np.zeros(shape, np.float32))
        assert x.sum().item() == 0
        assert np.isnan(x.mean().item())
    assert Tensor(np.zeros((0, 3))).sum(0).data.tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", ["sum", "mean"])
@pytest.mark.parametrize("dim", [2, -3, (0, 5)])
def test_an_axis_that_is_not_there_is_refused(name, dim):
    with pytest.raises(ValueError, match=rf"^({name}|sum): expected dim .*got "):
        getattr(Tensor(np.zeros((2, 3))), name)(dim)


@given(shapes, st.data(), seeds)
def test_reshape_keeps_the_order_and_the_gradient_finds_back(shape, data, seed):
    (x,) = normal(seed, shape)
    new = data.draw(st.permutations(shape))
    y, (dx,), dy = differentiate(lambda x: x.reshape(*new), x)
    assert y.shape == tuple(new)
    np.testing.assert_array_equal(y.ravel(), x.ravel())
    np.testing.assert_array_equal(dx.ravel(), dy.ravel())
    assert dx.shape == shape


@pytest.mark.parametrize("new", [(6,), ((6,),), (-1,), (3, -1), ((3, -1),), ([3, 2],), (1, 2, 3)])
def test_reshape_takes_numbers_or_a_tuple_and_works_out_minus_one(new):
    x = np.arange(6.0).reshape(2, 3)
    expected = x.reshape(*new)
    y = Tensor(x).reshape(*new)
    assert y.shape == expected.shape
    np.testing.assert_array_equal(y.data, expected)


def test_reshape_to_a_scalar_and_back():
    _, (dx,), _ = differentiate(lambda x: x.reshape(()).reshape(1), np.array([2.0]), cotangent=np.array([3.0]))
    np.testing.assert_array_equal(dx, [3])


@pytest.mark.parametrize(
    ("new", "got"), [((4,), "4"), ((4, -1), "(4, -1)"), ((-1, -1), "(-1, -1)"), ((0, -1), "(0, -1)")]
)
def test_reshape_to_another_number_of_elements_is_refused(new, got):
    with refuses(ValueError, f"reshape: expected a shape of 6 elements, got {got}"):
        Tensor(np.zeros((2, 3))).reshape(*new)


@given(shapes, st.data(), seeds, dtypes)
def test_transpose_exchanges_two_axes(torch, shape, data, seed, dtype):
    dims = [data.draw(st.integers(-len(shape), len(shape) - 1)) for _ in range(2)]
    (x,) = normal(seed, shape, dtype=dtype)
    y, (dx,), dy = differentiate(lambda x: x.transpose(*dims), x)
    for place in np.ndindex(shape):
        moved = list(place)
        moved[dims[0]], moved[dims[1]] = place[dims[1]], place[dims[0]]
        assert y[tuple(moved)] == x[place] and dx[place] == dy[tuple(moved)]
    assert_parity(torch, lambda x: x.transpose(*dims), lambda x: x.transpose(*dims), x)


def test_t_is_the_transpose_of_a_matrix():
    x = np.arange(6.0).reshape(2, 3)
    y, (dx,), dy = differentiate(lambda x: x.T, x)
    np.testing.assert_array_equal(y, x.T)
    np.testing.assert_array_equal(dx, dy.T)
    z = Tensor(x)
    assert np.shares_memory(z.T.data, z.data) and np.shares_memory(z.transpose(0, 1).data, z.data)
    assert Tensor([1.0, 2.0]).T.shape == (2,)
    with refuses(ValueError, "T: expected at most two axes, got shape (1, 2, 3); use transpose(dim0, dim1)"):
        _ = Tensor(np.ones((1, 2, 3))).T


@pytest.mark.parametrize("dims", [(0, 2), (-3, 1), (0.0, 1), ("a", 1), (None, 1), (10**30, 0), (True, 1)])
def test_transpose_of_an_axis_that_is_not_there_is_refused(dims):
    wrong = next(dim for dim in dims if dim is True or dim not in (0, 1) or isinstance(dim, float))
    with refuses(ValueError, f"transpose: expected dim from -2 to 1, got {wrong!r}"):
        Tensor(np.ones((2, 3))).transpose(*dims)


@given(shapes, st.data(), seeds)
def test_basic_indexing(shape, data, seed):
    (x,) = normal(seed, shape)
    index = data.draw(basic_indices(shape, allow_newaxis=True))
    y, (dx,), dy = differentiate(lambda x: x[index], x)
    taken = np.zeros(shape)
    taken[index] = dy
    np.testing.assert_array_equal(y, x[index])
    np.testing.assert_array_equal(dx, taken)
    assert y.shape == x[index].shape


def test_an_entry_that_is_taken_very_often_counts_each_time():
    x = Tensor(np.zeros(1, np.float32), requires_grad=True)
    x[np.zeros(2**24 + 2, int)].sum().backward()
    assert x.grad.tolist() == [2**24 + 2]


@given(st.lists(st.integers(-4, 3), max_size=6), st.lists(st.integers(0, 2), min_size=1, max_size=1), seeds)
def test_indexing_with_arrays_adds_up_what_is_taken_twice(rows, column, seed):
    x, dy = normal(seed, (4, 3), len(rows))
    index = np.array(rows, int), column[0]
    y, (dx,), _ = differentiate(lambda x: x[index], x, cotangent=dy)
    expected = np.zeros((4, 3))
    for row, d in zip(rows, dy, strict=True):
        expected[row, column[0]] += d
    np.testing.assert_array_equal(y, [x[row, column[0]] for row in rows])
    assert_close(dx, expected, 1e-15)


def test_indexing_with_booleans():
    x = np.arange(6.0).reshape(2, 3)
    y, (dx,), _ = differentiate(lambda t: t[x > 2.5], x, cotangent=np.array([1.0, 2, 3]))
    np.testing.assert_array_equal(y, [3, 4, 5])
    np.testing.assert_array_equal(dx, [[0, 0, 0], [1, 2, 3]])


def test_indexing_outside_is_an_index_error_so_that_loops_end():
    x = Tensor([1.0, 2.0])
    with pytest.raises(IndexError, match="out of bounds"):
        x[2]
    assert [y.item() for y in x] == [1, 2]


def test_reshape_and_slices_share_memory_and_a_sum_does_not():
    x = Tensor(np.zeros((2, 3)))
    assert np.shares_memory(x.reshape(6).data, x.data)
    assert np.shares_memory(x[:, ::2].data, x.data)
    assert np.shares_memory(x[1].data, x.data)
    assert not np.shares_memory(x[np.array([0])].data, x.data)
    assert not np.shares_memory(x.sum(0).data, x.data)


def test_a_sum_over_an_axis_of_length_one_is_a_copy():
    x = Tensor(np.zeros((1, 3)))
    assert not np.shares_memory(x.sum(0).data, x.data)


@pytest.mark.parametrize("shape", [1.5, "6", (2, None), 10**30, (-1, 10**30)])
def test_what_is_no_shape_is_refused(shape):
    with refuses(ValueError, f"reshape: expected a shape of 6 elements, got {shape!r}"):
        Tensor(np.ones((2, 3))).reshape(shape)


@pytest.mark.parametrize("dim", [10**30, 2**63, "a", 1.5])
def test_what_is_no_axis_is_refused(dim):
    with refuses(ValueError, f"sum: expected dim to name axes of an array with 2 axes, got {dim!r}"):
        Tensor(np.ones((2, 3))).sum(dim)


@pytest.mark.parametrize("index", ["a", 1.5, 2, (0, 0, 0), slice("a"), 10**30, [True], ([0, 1], [0, 1, 2])])
def test_what_is_no_index_is_refused(index):
    message = r"^index: expected an index into an array of shape \(2, 3\), got a wrong one: [^\n]+$"
    with pytest.raises(IndexError, match=message):
        Tensor(np.ones((2, 3)))[index]


def test_rows_can_be_gone_through():
    rows = list(Tensor(np.arange(6.0).reshape(2, 3)))  # Python asks for one after the other until an IndexError
    np.testing.assert_array_equal([row.data for row in rows], np.arange(6.0).reshape(2, 3))
