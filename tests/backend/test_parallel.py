"""Work divided among threads: all of it is done, once, with the right arguments, and errors arrive. Rehearsals."""

import re
import threading
import warnings

import numba
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from processes import run_python
from trained import TRAINED

import npstn
import npstn.functional as F
from npstn import Tensor, models, optim
from npstn.backend.compiler import kernel
from npstn.backend.parallel import LEAST, get_num_threads, rehearsing, share_out
from npstn.backend.random import generator

compiled_only = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="NUMBA_DISABLE_JIT: nothing is compiled")
two_cores = pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one core: there is no second thread")


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
def test_an_index_out_of_bounds_is_raised_with_any_number_of_threads(threads):
    with pytest.raises(IndexError):
        share_out(past_the_end, 4, np.ones(4), np.ones(4))


def test_an_error_in_any_part_is_raised_and_the_next_call_works(threads):
    x = np.zeros(4)
    for _ in range(2):
        with pytest.raises(ValueError, match="^the last$"):
            share_out(refuse_the_last, 4, x)
        share_out(refuse_the_last, 3, x)
        assert_array_equal(x, [1, 1, 1, 0])


def test_any_number_of_threads_up_to_that_of_the_cores():
    before = get_num_threads()
    try:
        for threads in range(1, numba.config.NUMBA_NUM_THREADS + 1):
            npstn.set_num_threads(threads)
            assert get_num_threads() == threads
    finally:
        npstn.set_num_threads(before)


def test_an_impossible_number_of_threads_is_refused():
    before, most = get_num_threads(), numba.config.NUMBA_NUM_THREADS
    for threads in (0, -1, most + 1, 10**9, None, "2", 1.0, (1,)):
        message = re.escape(f"set_num_threads: expected 1 to {most} threads on this machine, got {threads!r}")
        with pytest.raises(ValueError, match=f"^{message}$"):
            npstn.set_num_threads(threads)
    assert get_num_threads() == before


def two_steps_of_training():
    """Every array of two training steps with dropout: outputs, loss, gradients, weights."""
    npstn.manual_seed(5)
    net = models.STNClsNet()
    net.loc_net.cnn.fc2.weight.data[...] = generator().normal(0, 0.3, (1, 50))
    opt = optim.Adam(net.parameters(), lr=1e-2)
    images = Tensor(generator().random((37, 1, 28, 28), np.float32), requires_grad=True)
    labels = generator().integers(0, 10, 37)
    arrays = {}
    for step in range(2):
        opt.zero_grad()
        output = net(images)
        loss = F.nll_loss(output, labels)
        loss.backward()
        opt.step()
        arrays.update({f"output {step}": output.data, f"loss {step}": loss.data, f"images {step}": images.grad})
        arrays.update({f"grad {step} {name}": p.grad for name, p in net.named_parameters()})
        arrays.update({f"weight {step} {name}": array for name, array in net.state_dict().items()})
    return arrays


def test_training_does_not_depend_on_the_number_of_threads_to_the_last_bit(two_threads):
    one, two = two_threads(two_steps_of_training)
    assert one.keys() == two.keys()
    for name, array in one.items():
        assert array.tobytes() == two[name].tobytes(), name
    assert all(np.any(array) for name, array in one.items() if name.startswith("grad"))


@pytest.mark.parametrize("steps", [optim.SGD, optim.AdamW, optim.MuonWithAuxAdam])
def test_a_step_of_an_optimiser_does_not_depend_on_the_number_of_threads_to_the_last_bit(two_threads, steps):
    rng = np.random.default_rng(0)
    p, g = rng.normal(size=(2, 1_000_003)).astype(np.float32)  # enough for two threads

    def run():
        parameter = npstn.nn.Parameter(p)
        parameter.grad = g
        optimizer = steps([parameter], lr=0.1, weight_decay=0.1)
        for _ in range(2):
            optimizer.step()
        return parameter.data.tobytes()

    one, two = two_threads(run)
    assert one == two


AT_ONCE = """
found = in_threads(3, 15)  # the first kernel of all is called by three threads at once
print(found == [{gradients(seed)} for seed in range(3)])
"""


@compiled_only
def test_kernels_in_several_python_threads_at_once():
    assert run_python(TRAINED + AT_ONCE, NUMBA_THREADING_LAYER="workqueue", NUMBA_NUM_THREADS=2) == "True"


def rehearsed(code):
    """The names of the kernels that a rehearsal finds missing."""
    names = []
    with rehearsing(lambda kernel, signature: names.append(kernel.py_func.__name__)):
        code()
    return names


def test_a_rehearsal_runs_nothing_in_its_thread_and_all_in_others(threads):
    here, there = np.zeros(8, np.int64), np.zeros(8, np.int64)

    def code():
        for work in (1, 10**9):
            share_out(count_up, 8, here, here.copy(), work=work)
            other = threading.Thread(target=share_out, args=(count_up, 8, there, there.copy()), kwargs={"work": work})
            other.start()
            other.join()

    rehearsed(code)
    assert_array_equal(here, 0)
    assert_array_equal(there, 2)
    share_out(count_up, 8, here, here.copy(), work=1)
    assert_array_equal(here, 1)


def test_a_rehearsal_that_fails_is_over():
    done = np.zeros(4, np.int64)
    with pytest.raises(ZeroDivisionError), rehearsing(lambda *missing: None):
        raise ZeroDivisionError
    share_out(count_up, 4, done, done.copy())
    assert_array_equal(done, 1)


def test_a_rehearsal_does_not_warn_of_the_numbers_that_happen_to_be_there():
    with warnings.catch_warnings(), rehearsing(lambda *missing: None):
        warnings.simplefilter("error")
        np.float32(0) / np.float32(0)


MISSING = """
import sys; sys.path.insert(0, sys.argv[1])
import mine, numpy as np, npstn
from npstn.backend.parallel import rehearsing, share_out
npstn.set_num_threads(1)
x = np.ones(4, sys.argv[2])
def missing():
    found = []
    with rehearsing(lambda kernel, signature: found.append((kernel.py_func.__name__, *map(str, signature)))):
        for _ in range(2):
            share_out(mine.double, 4, x)
    return found
print(missing())
share_out(mine.double, 4, x)
print(missing(), x.tolist())
"""


@compiled_only
def test_a_rehearsal_finds_each_kernel_once_that_is_missing_or_older_than_its_source(tmp_path):
    source = tmp_path / "mine.py"
    source.write_text(
        "from npstn.backend.compiler import kernel\n"
        "@kernel\ndef double(first, end, x):\n    for i in range(first, end):\n        x[i] *= 2\n"
    )
    settings = {"NUMBA_CACHE_DIR": tmp_path / "cache"}

    def run(dtype):
        first, then = run_python(MISSING, str(tmp_path), dtype, **settings).splitlines()
        assert then == "[] [2.0, 2.0, 2.0, 2.0]"
        return first

    assert run("float32").count("float32") == 1
    assert run("float32") == "[]"
    assert run("float64").count("float64") == 1
    source.write_text(source.read_text() + "# changed\n")
    assert run("float32").count("float32") == 1


@compiled_only
@two_cores
def test_a_rehearsal_on_several_threads_finds_what_calls_the_kernel_on_them(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from npstn.backend.compiler import kernel\n"
        "@kernel\ndef double(first, end, x):\n    for i in range(first, end):\n        x[i] *= 2\n"
    )
    code = MISSING.replace("set_num_threads(1)", "set_num_threads(2)")
    before, after = run_python(code, str(tmp_path), "float32", NUMBA_CACHE_DIR=tmp_path / "cache").splitlines()
    assert before.count("float32") == 2 and after.startswith("[]")
