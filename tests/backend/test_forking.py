"""A forked process can run kernels and draw random numbers, even if other threads were doing so at the fork."""

import importlib.util
import os

import numba
import pytest
from processes import run_python
from trained import TRAINED

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
compiled_only = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="NUMBA_DISABLE_JIT: no kernels")
no_openmp = importlib.util.find_spec("numba.np.ufunc.omppool") is None
layers = pytest.mark.parametrize(
    "layer", ["workqueue", pytest.param("omp", marks=pytest.mark.skipif(no_openmp, reason="no OpenMP"))]
)

FORKED = """
def in_forked_child(seed):
    npstn.set_num_threads(2)  # allowed, even where it has no effect
    alone, others = gradients(seed) == wanted[seed], in_threads(2, 2) == [{wanted[0]}, {wanted[1]}]
    return alone and others

def nested():
    return in_child(lambda: in_forked_child(1)) and in_forked_child(0) and in_child(lambda: in_forked_child(1))

read, write = os.pipe()
before = in_child(lambda: os.write(write, gradients(0).encode()) == 64)  # a child runs the first kernel of all
wanted = [gradients(seed) for seed in range(2)]
print(before and os.read(read, 64).decode() == wanted[0])
print(nested())
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(gradients, [0, 1, 0, 1]) == wanted * 2)

stop, busy = threading.Event(), threading.Event()
def keep_busy():
    while not stop.is_set():
        gradients(1)
        busy.set()
thread = threading.Thread(target=keep_busy)
thread.start()
busy.wait()
print(all(in_child(lambda: gradients(0) == wanted[0]) for _ in range(10)))  # while a thread runs kernels
stop.set()
thread.join()
print(in_forked_child(0))  # and the parent itself goes on as before
"""


@compiled_only
@layers
def test_kernels_after_a_fork(layer):
    settings = {"NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": 2}
    out = run_python(TRAINED + FORKED + "print(numba.threading_layer())", **settings)
    assert out.split() == ["True"] * 5 + [layer]


@compiled_only
def test_kernels_after_a_fork_without_numbas_private_parts():
    away = "import sys; sys.modules['npstn.backend.numba_internals'] = None"
    assert run_python(away + TRAINED + FORKED, NUMBA_NUM_THREADS=2).split() == ["True"] * 5


OTHERS_LOOP = """
@numba.njit(parallel=True)
def ones(x):
    for i in numba.prange(x.size): x[i] = 1
ones(np.zeros(8))
print(in_child(lambda: len(gradients(0)) == 64))
"""


@compiled_only
@layers
def test_kernels_after_a_fork_from_a_process_whose_own_loops_use_numbas_threads(layer):
    assert run_python(TRAINED + OTHERS_LOOP, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS=2) == "True"


STARTING = """
starting, forking = threading.Event(), threading.Event()
get_num_threads = numba.get_num_threads
def slowly():  # Numba starts its threads here
    starting.set()
    forking.wait(10)
    return get_num_threads()
numba.get_num_threads = slowly
thread = threading.Thread(target=gradients, args=(0,))
thread.start()
starting.wait()
os.register_at_fork(before=forking.set)  # what is registered last is called first
print(in_child(lambda: len(gradients(0)) == 64))
thread.join()
"""


@compiled_only
def test_kernels_after_a_fork_while_another_thread_starts_numbas():
    assert run_python(TRAINED + STARTING, NUMBA_NUM_THREADS=2) == "True"


COMPILING = """
from numba.core import event
from npstn.backend.compiler import kernel

class Compiling(event.Listener):
    started = threading.Event()
    def on_start(self, event): self.started.set()
    def on_end(self, event): pass

with event.install_listener("numba:compile", Compiling()):
    thread = threading.Thread(target=lambda: kernel(lambda x: (x + 1).sum())(np.ones(2)))
    thread.start()
    Compiling.started.wait()
    print(in_child(lambda: kernel(lambda x: x + 2)(1) == 3))
    thread.join()
"""


@compiled_only
def test_kernels_after_a_fork_while_another_thread_compiles():
    assert run_python(TRAINED + COMPILING, NUMBA_NUM_THREADS=2) == "True"


HELD = """
import os, signal, threading, time
import npstn
from npstn.backend.random import generator

held = threading.Event()
def hold():
    with generator().bit_generator.lock:  # as a thread that draws does
        held.set()
        time.sleep(0.3)
threading.Thread(target=hold).start()
held.wait()
child = os.fork()
if child == 0:
    signal.alarm(10)
    generator().random()
    os._exit(0)
print(os.waitpid(child, 0)[1])
"""


def test_random_numbers_after_a_fork_while_another_thread_draws():
    assert run_python(HELD) == "0"
