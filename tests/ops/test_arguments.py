"""The messages about bad arguments, and the layout of arrays for the kernels."""

import numpy as np
import pytest
from assertions import LAYOUTS, refuses

from npstn.ops.arguments import check_floats, check_shape, contiguous, pair, whole


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_of_one_dtype_pass(dtype):
    check_floats("add", a=np.zeros(2, dtype), b=np.zeros((), dtype))


@pytest.mark.parametrize("dtype", ["float16", "longdouble", "complex64", "int64", "bool", ">f4"])
def test_another_dtype_is_refused(dtype):
    array = np.zeros(2, dtype)
    with refuses(TypeError, f"add: expected b of float32 or float64, got {array.dtype}"):
        check_floats("add", a=np.zeros(2, np.float32), b=array)


def test_two_dtypes_are_refused():
    with refuses(TypeError, "add: expected c of b's float64, got float32"):
        check_floats("add", b=np.zeros(1), c=np.zeros(1, np.float32))


@pytest.mark.parametrize(
    ("value", "got"), [(1.5, "float"), ([1.5], "list"), (np.float32(1), "float32"), (None, "NoneType")]
)
def test_anything_but_an_array_is_refused(value, got):
    with refuses(TypeError, f"add: expected a to be a Tensor, got {got}"):
        check_floats("add", a=value)


def test_shapes_with_letters_and_numbers():
    check_shape("f", "x", np.zeros((4, 2, 3)), "B, 2, 3")
    check_shape("f", "x", np.zeros(0), "B")
    for shape in [(4, 2), (4, 2, 3, 1), (4, 3, 2), ()]:
        with refuses(ValueError, f"f: expected x of shape (B, 2, 3), got {shape}"):
            check_shape("f", "x", np.zeros(shape), "B, 2, 3")


@pytest.mark.parametrize("value", [3, np.int32(3), (3, 3), [3, 3], (np.int64(3), 3)])
def test_pairs(value):
    assert pair("f", "stride", value, 1) == (3, 3)
    assert all(type(n) is int for n in pair("f", "stride", value, 1))


@pytest.mark.parametrize("value", [1.0, (1, 1.0), (1,), (1, 1, 1), "11", None, np.array([1, 1])])
def test_anything_but_a_pair_of_integers_is_refused(value):
    with refuses(ValueError, f"f: expected stride to be an integer or a pair of integers, got {value!r}"):
        pair("f", "stride", value, 1)


@pytest.mark.parametrize("value", [0, (1, 0), (-1, 1)])
def test_a_pair_below_the_least_is_refused(value):
    with refuses(ValueError, f"f: expected stride of at least 1, got {value!r}"):
        pair("f", "stride", value, 1)


def test_a_contiguous_array_is_not_copied():
    array = np.zeros((2, 3))
    assert contiguous(array) is array


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_other_layouts_are_copied_row_after_row(layout):
    array = np.arange(120.0).reshape(2, 3, 4, 5)
    other = LAYOUTS[layout](array)
    copied = contiguous(other)
    assert not other.flags.carray  # else the layout were none
    assert copied.flags.carray and not np.shares_memory(copied, other)
    np.testing.assert_array_equal(copied, array)


@pytest.mark.parametrize("value", [2**31, (1, 10**30)])
def test_a_pair_too_large_for_the_kernels_is_refused(value):
    with refuses(ValueError, f"f: expected stride below 2^31, got {value!r}"):
        pair("f", "stride", value, 1)


def test_whole_numbers():
    assert whole("f", "count", np.int8(3), 0) == 3
    for wrong in (-1, 2**31, 1.5, "2", None, (1,)):
        with refuses(ValueError, f"f: expected count to be an integer from 0 to below 2^31, got {wrong!r}"):
            whole("f", "count", wrong, 0)
