"""What every operation says of a bad argument, and how arrays are laid out for the kernels."""

import numpy as np
import pytest
from assertions import LAYOUTS, refuses
from hypothesis import given
from hypothesis import strategies as st
from oracles import window_counts

from npstn.ops.arguments import check_floats, check_shape, contiguous, pair
from npstn.ops.windows import window_positions, whole


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
def test_what_is_no_array_is_refused(value, got):
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
def test_what_is_no_pair_of_integers_is_refused(value):
    with refuses(ValueError, f"f: expected stride to be an integer or two, got {value!r}"):
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
    array = np.arange(6.0).reshape(2, 3)
    other = LAYOUTS[layout](array)
    copied = contiguous(other)
    assert not other.flags.carray  # else the layout were none
    assert copied.flags.carray and not np.shares_memory(copied, other)
    np.testing.assert_array_equal(copied, array)


numbers = st.integers(1, 9)


@given(numbers, numbers, st.integers(1, 4), st.integers(0, 3))
def test_positions_of_windows_are_as_many_as_can_be_counted(size, kernel, stride, padding):
    axis = (size, size), (kernel, kernel), (stride, stride), (padding, padding)
    if kernel > size + 2 * padding:
        with pytest.raises(ValueError, match=r"^f: expected a kernel no larger than the padded input"):
            window_positions("f", *axis)
    else:
        assert window_positions("f", *axis) == window_counts(*axis)


def test_rows_and_columns_are_kept_apart():
    assert window_positions("f", (7, 4), (3, 2), (2, 1), (0, 1)) == (3, 5)
    with refuses(ValueError, "f: expected a kernel no larger than the padded input (2, 9), got (3, 3)"):
        window_positions("f", (2, 7), (3, 3), (1, 1), (0, 1))


@pytest.mark.parametrize("value", [2**31, (1, 10**30)])
def test_a_pair_too_large_for_the_kernels_is_refused(value):
    with refuses(ValueError, f"f: expected stride below 2^31, got {value!r}"):
        pair("f", "stride", value, 1)


def test_padding_counts_among_the_pixels_that_are_too_many():
    many = "f: expected images of at least one and fewer than 2^31 pixels, got (3, 4) with padding (1000000000, 0)"
    with refuses(ValueError, many):
        window_positions("f", (3, 4), (1, 1), (1, 1), (10**9, 0))


def test_whole_numbers():
    assert whole("f", "count", np.int8(3), 0) == 3
    for wrong in (-1, 2**31, 1.5, "2", None, (1,)):
        with refuses(ValueError, f"f: expected count to be an integer from 0 to below 2^31, got {wrong!r}"):
            whole("f", "count", wrong, 0)
