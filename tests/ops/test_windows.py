"""The positions of windows against a count one by one; the arguments of pooling."""

import numpy as np
import pytest
from assertions import refuses
from hypothesis import given
from hypothesis import strategies as st
from oracles import window_counts

from npstn.ops.windows import pooling_windows, window_positions

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


def test_padding_counts_among_the_pixels_that_are_too_many():
    many = "f: expected images of at least one and fewer than 2^31 pixels, got (3, 4) with padding (1000000000, 0)"
    with refuses(ValueError, many):
        window_positions("f", (3, 4), (1, 1), (1, 1), (10**9, 0))


def test_pooling_windows_are_for_rows_and_columns_and_the_stride_is_the_kernel_unless_given():
    U = np.zeros((1, 1, 6, 7))
    assert pooling_windows("f", U, 2, None, 0) == ((2, 2), (2, 2), (0, 0), (3, 3))
    assert pooling_windows("f", U, (3, 2), (1, 2), (1, 0)) == ((3, 2), (1, 2), (1, 0), (6, 3))
