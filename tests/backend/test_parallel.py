"""Work shared out to threads: all of it is done, once, with the right arguments, and errors arrive."""

import numba
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import npstn
from npstn.backend.compiler import kernel
from npstn.backend.parallel import LEAST, get_num_threads, share_out


@kernel
def count_up(first, end, done, parts):
    for i in range(first, end):
        done[i] += 1
        parts[i] = end - first


@kernel
def combine(first, end, x, y, numbers, shift, scale, double, y_out):
    for i in range(first, end):
        y_out[i] = (x[i] * numbers[0] + y[i] * numbers[1] + shift) * scale
        if double:
            y_out[i] *= 2


@kernel
def past_the_end(first, end, x, y):
    for i in range(first, end):
        y[i] = x[i + 1]


@kernel
def refuse_the_last(first, end, x):
    for i in range(first, end):
        if i == x.size - 1:
            raise ValueError("the last")
        x[i] = 1


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def threads(request):
    if request.param > numba.config.NUMBA_NUM_THREADS:
        pytest.skip("needs two cores")
    before = get_num_threads()
    npstn.set_num_threads(request.param)
    yield request.param
    npstn.set_num_threads(before)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 64])
def test_all_is_done_once_in_parts_of_equal_size(threads, count):
    done, parts = np.zeros(count, np.int64), np.zeros(count, np.int64)
    share_out(count_up, count, done, parts)
    assert_array_equal(done, 1)
    sizes = {count} if numba.config.DISABLE_JIT or threads == 1 else {count // 2, -(-count // 2)}
    assert set(parts) <= sizes


@pytest.mark.parametrize("work, one_part", [(0, True), (2 * LEAST - 1, True), (2 * LEAST, False), (10**18, False)])
def test_little_work_stays_on_one_thread(threads, work, one_part):
    done, parts = np.zeros(8, np.int64), np.zeros(8, np.int64)
    share_out(count_up, 8, done, parts, work=work)
    assert_array_equal(done, 1)
    assert_array_equal(parts, 8 if one_part or threads == 1 or numba.config.DISABLE_JIT else 4)


def test_arguments_of_every_kind_arrive(threads):
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64, np.float32):  # one kernel has an address for each
        x, y, result = rng.random(9).astype(dtype), rng.random(9).astype(dtype), np.zeros(9, dtype)
        x.flags.writeable = False
        for double in (False, True):
            share_out(combine, 9, x, y, (2, 3), 5, 0.25, double, result)
            assert_allclose(result, (2 * x + 3 * y + 5) * 0.25 * (1 + double), rtol=1e-6)


@pytest.mark.skipif(
    not numba.config.BOUNDSCHECK or bool(numba.config.DISABLE_JIT), reason="only with NUMBA_BOUNDSCHECK=1"
)
def test_an_index_out_of_bounds_is_raised_whatever_the_threads(threads):
    with pytest.raises(IndexError):
        share_out(past_the_end, 4, np.ones(4), np.ones(4))


def test_an_error_in_any_part_is_raised_and_the_next_call_works(threads):
    x = np.zeros(4)
    for _ in range(2):
        with pytest.raises(ValueError, match="^the last$"):
            share_out(refuse_the_last, 4, x)
        share_out(refuse_the_last, 3, x)
        assert_array_equal(x, [1, 1, 1, 0])
