"""Without Numba's private parts, plain threads give the same bits, and nothing is compiled in advance."""

import numba
import pytest
from processes import run_python
from trained import TRAINED

pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="NUMBA_DISABLE_JIT: plain Python has no threads")

TAKEN_AWAY = {
    "the whole file": "import sys; sys.modules['npstn.backend.numba_internals'] = None",
    "a name that it imports": "import numba._dispatcher as dispatcher; del dispatcher.compute_fingerprint",
    "a function that it calls": "from npstn.backend import numba_internals; numba_internals.compute_fingerprint = None",
    "a function that it links": "import llvmlite.binding as llvm; llvm.address_of_symbol = lambda name: None",
}

USE = """
import concurrent.futures
class Pool(concurrent.futures.ThreadPoolExecutor):
    used = 0
    def submit(self, *given):
        Pool.used += 1
        return super().submit(*given)
npstn.backend.parallel.ThreadPoolExecutor = Pool

print(*(gradients(seed) for seed in range(2)))
print(Pool.used > 0)
print(in_threads(2, 3) == [{gradients(seed)} for seed in range(2)])

@npstn.backend.compiler.kernel
def refuse_the_last(first, end, x):
    for i in range(first, end):
        if i == x.size - 1:
            raise ValueError("the last")
        x[i] = 1

for count in (3, 4):
    x = np.zeros(4)
    try:
        npstn.backend.parallel.share_out(refuse_the_last, count, x)
        print(x.tolist())
    except ValueError as error:
        print(error)
try:
    npstn.backend.parallel.share_out(refuse_the_last, 4, "no array")
except numba.core.errors.TypingError:
    print("TypingError")
"""


@pytest.fixture(scope="module")
def usual():
    """The gradients that Numba's threads give."""
    gradients, plain, *_ = run_python(TRAINED + USE, NUMBA_NUM_THREADS=2).splitlines()
    assert plain == "False"
    return gradients


@pytest.mark.parametrize("away", TAKEN_AWAY)
def test_plain_threads_take_over_and_give_the_same_bits(away, usual):
    out = run_python(f"{TAKEN_AWAY[away]}\n{TRAINED}{USE}", NUMBA_NUM_THREADS=2)
    assert out.splitlines() == [usual, "True", "True", "[1.0, 1.0, 1.0, 0.0]", "the last", "TypingError"]


FIRST_START = """
import subprocess
from npstn.training.first_start import compile_at_first_start
def refuse(*given, **options):
    raise SystemExit("a process was started")
subprocess.Popen = refuse
model = {"transformer": "rotation", "image": [1, 28, 28], "classes": 10, "dropout": 0.0}
compile_at_first_start(model, {"optimizer": "sgd", "lr": 0.1, "batch_size": 2})
print("nothing compiled")
"""


@pytest.mark.parametrize("away", ["the whole file", "a name that it imports"])
def test_nothing_is_compiled_in_advance(away, tmp_path):
    out = run_python(f"{TAKEN_AWAY[away]}\n{FIRST_START}", NUMBA_CACHE_DIR=tmp_path)
    assert out == "nothing compiled"
