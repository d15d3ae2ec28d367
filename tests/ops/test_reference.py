"""npstn.reference(): the loops of the formulas against the fast kernels and the oracles; who runs them, and when."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numba
import numpy as np
import oracles
import pytest
from assertions import assert_close, dtypes, geometries, normal, refuses, seeds
from finite_differences import differentiate
from hypothesis import example, given
from hypothesis import strategies as st

import npstn
import npstn.functional as F
from npstn import Tensor
from npstn.ops import conv2d_fast, max_pool2d_fast

CLOSE = {np.float32: 1e-5, np.float64: 1e-13}
PIXEL_UNDER_LARGE_KERNEL = ((1, 1), (3, 3), (1, 1), (1, 1))
STRIDE_BEYOND_IMAGE = ((3, 2), (1, 2), (3, 3), (0, 0))

channels = st.tuples(st.integers(0, 3), st.integers(1, 2), st.integers(1, 5))  # B, C, O


def convolution(geometry):
    *_, stride, padding = geometry
    return lambda U, weight, bias=None: F.conv2d(U, weight, bias, stride, padding)


def pooling(geometry):
    _, kernel, stride, padding = geometry
    return lambda U: F.max_pool2d(U, kernel, stride, padding)


def fast_and_reference(fn, *arrays):
    """(y, gradients, dy) of the fast kernels, and of the reference with the same dy."""
    fast = differentiate(fn, *arrays)
    with npstn.reference():
        return fast, differentiate(fn, *arrays, cotangent=fast[2])


def conv2d_arrays(geometry, channels, seed, dtype=np.float64):
    size, kernel, *_ = geometry
    B, C, O = channels
    return normal(seed, (B, C, *size), (O, C, *kernel), (O,), dtype=dtype)


@given(geometries(), channels, seeds, dtypes)
@example(PIXEL_UNDER_LARGE_KERNEL, (2, 1, 1), 0, np.float32)
@example(STRIDE_BEYOND_IMAGE, (2, 1, 2), 0, np.float64)
@example(((6, 5), (3, 2), (2, 1), (1, 2)), (0, 2, 3), 0, np.float32)
def test_conv2d_fast_and_reference_are_the_formula(geometry, channels, seed, dtype):
    arrays = conv2d_arrays(geometry, channels, seed, dtype)
    fast, reference = fast_and_reference(convolution(geometry), *arrays)
    U, weight, bias, dV = (x.astype(np.float64) for x in (*arrays, fast[2]))
    V = oracles.conv2d(U, weight, bias, *geometry[2:])
    gradients = oracles.conv2d_gradients(U, weight, dV, *geometry[2:])
    for found_V, found_gradients, _ in (fast, reference):
        assert_close(found_V, V, CLOSE[dtype])
        for found, expected in zip(found_gradients, gradients, strict=True):
            assert_close(found, expected, CLOSE[dtype])
    assert reference[0].dtype == dtype and all(dx.dtype == dtype for dx in reference[1])


@given(geometries(), channels, st.lists(st.booleans(), min_size=3, max_size=3).filter(any), seeds)
def test_conv2d_reference_gives_each_gradient_alone(geometry, channels, asked, seed):
    arrays = conv2d_arrays(geometry, channels, seed)
    with npstn.reference():
        _, every_gradient, dV = differentiate(convolution(geometry), *arrays)
        _, gradients, _ = differentiate(convolution(geometry), *arrays, asked=tuple(asked), cotangent=dV)
    for dx, expected, wanted in zip(gradients, every_gradient, asked, strict=True):
        np.testing.assert_array_equal(dx, expected if wanted else None)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@given(geometries(), seeds, dtypes)
@example(PIXEL_UNDER_LARGE_KERNEL, 0, np.float64)
def test_conv2d_nan_and_inf_spread_alike(geometry, seed, dtype):
    """Padding is 0, and 0 times NaN is NaN: a bad filter spoils what it reads of the padding too."""
    rng = np.random.default_rng(seed)
    U, weight, bias = conv2d_arrays(geometry, (3, 2, 5), seed, dtype)
    for array in (U, weight, bias):
        array[rng.random(array.shape) < 0.05] = np.nan
        array[rng.random(array.shape) < 0.05] = np.inf
    fast, reference = fast_and_reference(convolution(geometry), U, weight, bias)
    for found, expected in zip((reference[0], *reference[1]), (fast[0], *fast[1]), strict=True):
        assert_close(found, expected, CLOSE[dtype])


@given(geometries(pooling=True), st.integers(0, 2), seeds, dtypes)
@example(((1, 1), (3, 3), (2, 2), (1, 1)), 1, 0, np.float32)
def test_max_pool2d_fast_and_reference_are_the_formula(geometry, B, seed, dtype):
    """With ties, NaN and -inf; and the two are equal to the last bit."""
    rng = np.random.default_rng(seed)
    U = rng.integers(-2, 1, (B, 2, *geometry[0])).astype(dtype)
    U[rng.random(U.shape) < 0.2] = -np.inf
    U[rng.random(U.shape) < 0.2] = np.nan
    (V, (dU,), dV), (reference_V, (reference_dU,), _) = fast_and_reference(pooling(geometry), U)
    expected_V, winners = oracles.max_pool2d(U, *geometry[1:])
    expected_dU = np.zeros(U.shape)
    for window, winner in winners.items():
        expected_dU[winner] += dV[window]
    np.testing.assert_array_equal(reference_V, expected_V)
    assert_close(reference_dU, expected_dU, CLOSE[dtype])
    assert reference_V.dtype == reference_dU.dtype == dtype
    np.testing.assert_array_equal(reference_V, V)
    np.testing.assert_array_equal(reference_dU, dU)


def test_a_filter_under_reference_is_refused_as_ever():
    with npstn.reference(), refuses(ValueError, "conv2d: expected stride of at least 1, got 0"):
        F.conv2d(Tensor(np.ones((1, 1, 3, 3))), Tensor(np.ones((1, 1, 2, 2))), stride=0)


OPERATIONS = {
    "conv2d": (lambda U, weight, bias: F.conv2d(U, weight, bias, 2, 1), [(33, 3, 12, 11), (5, 3, 3, 4), (5,)]),
    "max_pool2d": (lambda U: F.max_pool2d(U, 3, 2, 1), [(33, 3, 12, 11)]),
}
each_operation = pytest.mark.parametrize("name", OPERATIONS)


@each_operation
def test_one_thread_and_two_give_the_same_bits(name, two_threads):
    fn, shapes = OPERATIONS[name]
    arrays = normal(0, *shapes, dtype=np.float32)

    def run():
        with npstn.reference():
            y, gradients, _ = differentiate(fn, *arrays)
        return [array.tobytes() for array in (y, *gradients)]

    one, two = two_threads(run)
    assert one == two


@pytest.fixture
def fast_calls(monkeypatch):
    """The list of the fast passes that ran: (file, "forward" or "backward")."""
    calls = []
    for file in (conv2d_fast, max_pool2d_fast):
        for name in ("forward", "backward"):
            original = getattr(file, name)

            def spy(*given, called=(file.__name__.split(".")[-1], name), original=original):
                calls.append(called)
                return original(*given)

            monkeypatch.setattr(file, name, spy)
    return calls


@each_operation
def test_backward_takes_the_way_of_its_forward(name, fast_calls):
    fn, shapes = OPERATIONS[name]
    inputs = [Tensor(x, requires_grad=True) for x in normal(0, *shapes)]
    with npstn.reference():
        inside = fn(*inputs)
    inside.backward(np.ones(inside.shape))
    assert fast_calls == []
    outside = fn(*inputs)
    with npstn.reference():
        outside.backward(np.ones(outside.shape))
    assert fast_calls == [(f"{name}_fast", "forward"), (f"{name}_fast", "backward")]


def pool_once():
    F.max_pool2d(Tensor(np.ones((1, 1, 2, 2))), 2)


def test_nested_and_ended_by_an_error_and_as_a_decorator(fast_calls):
    with npstn.reference():
        with npstn.reference():
            pool_once()
        pool_once()
    with pytest.raises(KeyError), npstn.reference():
        raise KeyError
    npstn.reference()(pool_once)()
    assert fast_calls == []
    pool_once()
    assert fast_calls == [("max_pool2d_fast", "forward")]


def test_another_thread_keeps_its_own_choice(fast_calls):
    with npstn.reference():
        thread = threading.Thread(target=pool_once)
        thread.start()
        thread.join()
    assert fast_calls == [("max_pool2d_fast", "forward")]


def plain_python(code, typed=""):
    """What a fresh process prints that runs the code with NUMBA_DISABLE_JIT=1, with lines typed into it."""
    root = str(Path(npstn.__file__).parent.parent)
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": root}
    run = subprocess.run([sys.executable, "-c", code], input=typed, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


CONVOLVE = """
import numpy as np, npstn, npstn.functional as F
U = npstn.Tensor(np.arange(9.0).reshape(1, 1, 3, 3), requires_grad=True)
weight = npstn.Tensor(np.ones((1, 1, 2, 2)), requires_grad=True)
def convolve():
    F.conv2d(U, weight).sum().backward()
"""


def test_a_debugger_stops_in_the_loops_of_the_formula_and_shows_their_letters():
    code = CONVOLVE + (
        "from npstn.ops.conv2d import conv2d_forward, conv2d_backward_weight\n"
        "breakpoint()\n"
        "convolve()\n"
        "with npstn.reference():\n"
        "    convolve()\n"
    )
    source = Path(npstn.ops.conv2d.__file__).read_text().splitlines()
    stop = next(number for number, line in enumerate(source, 1) if "V[b, o, i, j] = total" in line)
    typed = (
        f"break npstn/ops/conv2d.py:{stop}\n"
        "break conv2d_backward_weight\n"
        "continue\n"
        "p 'forward', b, o, i, j, c, k, l, n, m, float(total)\n"
        "clear 1\n"
        "continue\n"
        "p 'backward', dV.shape\n"
        "continue\n"
    )
    shown = re.findall(r"\('(?:forward|backward)'.*\)", plain_python(code, typed))
    assert shown == ["('forward', 0, 0, 0, 0, 0, 1, 1, 1, 1, 8.0)", "('backward', (1, 1, 2, 2))"]


def test_plain_python_enters_the_loops_under_reference_only():
    code = CONVOLVE + (
        "import sys\n"
        "entered = []\n"
        "def trace(frame, event, argument):\n"
        "    if frame.f_code.co_filename.endswith(('conv2d.py', 'conv2d_fast.py')):\n"
        "        entered.append(frame.f_code.co_name)\n"
        "sys.settrace(trace)\n"
        "convolve()\n"
        "fast, entered = entered, []\n"
        "with npstn.reference():\n"
        "    convolve()\n"
        "sys.settrace(None)\n"
        "print(*sorted(name for name in set(fast) if name.startswith('conv2d_')))\n"
        "print(*sorted(name for name in set(entered) if name.startswith('conv2d_')))\n"
    )
    fast, plain = plain_python(code).splitlines()
    assert fast == "conv2d_fast_backward conv2d_fast_forward"
    assert plain == "conv2d_backward_input conv2d_backward_weight conv2d_forward"


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="plain Python compiles nothing")
def test_the_loops_are_compiled_too():
    for file, name in [("conv2d", "conv2d_forward"), ("max_pool2d", "max_pool2d_backward")]:
        assert hasattr(vars(sys.modules[f"npstn.ops.{file}"])[name], "py_func")
