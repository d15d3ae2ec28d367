"""Lanes do in kernels what they do in plain Python, and stay inside of their arrays."""

import numba
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from processes import run_python

from npstn.backend import lanes as module
from npstn.backend.compiler import kernel
from npstn.backend.lanes import (
    BYTES,
    SHORT_BYTES,
    add_product,
    every,
    first_lanes,
    four,
    four_times,
    lane_count,
    lanes,
    pair,
    plus,
    put,
    short_count,
    short_every,
    short_lanes,
    total,
    transposed,
)

dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@kernel
def products(x, y, factor, out):
    """out = y + factor x, lane by lane; what fills no lanes is left."""
    N = lane_count(x)
    for p in range(0, len(x) - N + 1, N):
        put(out, p, add_product(lanes(y, p), every(factor), lanes(x, p)))


@kernel
def short_products(x, y, factor, out):
    """The same with short lanes."""
    N = short_count(x)
    for p in range(0, len(x) - N + 1, N):
        put(out, p, add_product(short_lanes(y, p), short_every(factor), short_lanes(x, p)))


@kernel
def sums_of_pairs(x, y, out):
    """out = x + y, two numbers at a time; an odd one at the end is left."""
    for p in range(0, len(x) - 1, 2):
        put(out, p, plus(pair(x, p), pair(y, p)))


@kernel
def products_of_four(x, y, factor, out):
    """out = y + factor x, four numbers at a time; what fills no four is left."""
    for p in range(0, len(x) - 3, 4):
        put(out, p, add_product(four(y, p), four_times(factor), four(x, p)))


@kernel
def transpose(x, out):
    """The transpose of a matrix of 4 x 4, row by row."""
    a, b, c, d = transposed(four(x, 0), four(x, 4), four(x, 8), four(x, 12))
    put(out, 0, a), put(out, 4, b), put(out, 8, c), put(out, 12, d)


@kernel
def sums(x, out):
    """The sums of the first 0 .. N - 1 numbers and of all N, at the end of x."""
    N = lane_count(x)
    for count in range(N):
        out[count] = total(first_lanes(x, len(x) - count, count))
    out[N] = total(lanes(x, len(x) - N))


@kernel
def read_at(x, p):
    return total(lanes(x, p))


@kernel
def read_some_at(x, p, count):
    return total(first_lanes(x, p, count))


@kernel
def read_short_at(x, p):
    return total(short_lanes(x, p))


@kernel
def read_pair_at(x, p):
    return total(pair(x, p))


@kernel
def put_at(x, p):
    put(x, p, every(x.dtype.type(1)))


@dtypes
@pytest.mark.parametrize(
    "loop, count",
    [
        (products, lambda dtype: BYTES // np.dtype(dtype).itemsize),
        (short_products, lambda dtype: SHORT_BYTES // np.dtype(dtype).itemsize),
        (products_of_four, lambda dtype: 4),
    ],
)
def test_each_number_of_the_lanes_is_treated_alike(rng, dtype, loop, count):
    x, y, out = rng.integers(-9, 9, (3, 21)).astype(dtype)
    N, before = count(dtype), out.copy()
    loop(x, y, dtype(3), out)
    end = 21 // N * N
    assert_array_equal(out[:end], (y + 3 * x)[:end])
    assert_array_equal(out[end:], before[end:])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint32])
def test_pairs_are_two_numbers(rng, dtype):
    x, y, out = rng.integers(0, 9, (3, 21)).astype(dtype)
    before = out.copy()
    sums_of_pairs(x, y, out)
    assert_array_equal(out, [*(x + y)[:20], before[20]])


@dtypes
def test_four_fours_are_transposed(dtype):
    x, out = np.arange(16, dtype=dtype), np.empty(16, dtype)
    transpose(x, out)
    assert_array_equal(out.reshape(4, 4), x.reshape(4, 4).T)


@dtypes
def test_lanes_that_are_not_there_are_zero(rng, dtype):
    x = rng.integers(-9, 9, 21).astype(dtype)
    N = BYTES // x.itemsize
    out = np.empty(N + 1, dtype)
    sums(x, out)
    assert_array_equal(out, [x[21 - count :].sum() for count in range(N + 1)])


@dtypes
def test_a_sum_of_lanes_adds_halves(dtype):
    """So that its bits do not depend on the compiler."""
    large = dtype(2 / np.finfo(dtype).eps)
    x = np.ones(BYTES // np.dtype(dtype).itemsize, dtype)
    x[0], x[len(x) // 2] = large, -large
    assert read_at(x, 0) == len(x) - 2  # one after the other, the ones beside `large` would be lost


class Features(dict):
    """As llvmlite gives them."""

    def flatten(self):
        return ",".join(("+" if there else "-") + name for name, there in self.items())


@pytest.mark.parametrize(
    "processor, has, settings, expected",
    [
        ("znver5", True, None, 64),
        ("generic", True, None, 64),  # a processor that is younger than this LLVM
        ("znver4", True, None, 32),  # has such registers, and computes with their halves
        ("znver3", True, None, 32),  # as an LLVM might call the same one that does not know it yet
        ("znver3", False, None, 32),
        ("znver5", True, "", 32),  # NUMBA_CPU_NAME=generic
        ("znver5", True, "+avx2,-avx512f", 32),
        ("haswell", False, "+avx2,+avx512f", 64),
        ("znver5", True, "+avx2,+avx512fp16", 32),
    ],
)
def test_lanes_are_as_long_as_the_registers(processor, has, settings, expected, monkeypatch):
    monkeypatch.setattr(module.binding, "get_host_cpu_name", lambda: processor)
    monkeypatch.setattr(numba.config, "CPU_NAME", None)
    monkeypatch.setattr(module.binding, "get_host_cpu_features", lambda: Features(avx2=True, avx512f=has))
    monkeypatch.setattr(numba.config, "CPU_FEATURES", settings)
    assert module.register_bytes() == expected
    monkeypatch.setattr(numba.config, "ENABLE_AVX", 0)  # NUMBA_ENABLE_AVX, or a processor where Numba leaves it out
    assert module.register_bytes() == 32


def test_lanes_of_a_processor_whose_features_are_not_known(monkeypatch):
    def unknown():
        raise RuntimeError("failed to get host cpu features")

    monkeypatch.setattr(module.binding, "get_host_cpu_features", unknown)
    monkeypatch.setattr(numba.config, "CPU_FEATURES", None)
    assert module.register_bytes() == 32


TOO_FAR = """
import sys
import numpy as np
sys.path[:0] = sys.argv[1:]
from test_lanes import BYTES, put_at, read_at, read_pair_at, read_short_at, read_some_at
N = BYTES // 4
x, refused = np.ones(N + 8, np.float32), []
for name, call in {
    "read": lambda: read_at(x, 9), "short": lambda: read_short_at(x, N + 1), "read below": lambda: read_at(x, -1),
    "put": lambda: put_at(x, 9), "some": lambda: read_some_at(x, N + 2, 7), "pair": lambda: read_pair_at(x, N + 7),
}.items():
    try:
        call()
    except IndexError:
        refused.append(name)
print(*refused, read_at(x, 8) / N, read_some_at(x, N + 2, 6))
"""


@pytest.mark.parametrize("setting", ["NUMBA_BOUNDSCHECK", "NUMBA_DISABLE_JIT"])
def test_bounds_are_checked(setting, tmp_path, request):
    environment = {setting: "1", "NUMBA_CACHE_DIR": tmp_path}
    folders = request.path.parent, request.path.parent.parent
    assert run_python(TOO_FAR, *folders, **environment) == "read short read below put some pair 1.0 6.0"
