"""What the kernels run on: seeds, threads, the compiler's cache, the BLAS, and what `import npstn` brings along."""

import gc
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numba
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import npstn
import npstn.functional as F
from npstn import Tensor, compiling, models, nn, optim, runtime

PACKAGE = Path(npstn.__file__).parent
compiled_only = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="NUMBA_DISABLE_JIT: nothing is compiled")


def run_python(code, *arguments, root=PACKAGE.parent, **changes):
    """Run code in a process of its own, with a changed environment; None takes a variable out. Gives its output."""
    env = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    for name, value in changes.items():
        env.pop(name, None)
        if value is not None:
            env[name] = str(value)
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


# Seeds


def draw():
    ones = Tensor(np.ones((4, 5, 3, 3)))
    return [
        *nn.Conv2d(2, 3, 3).state_dict().values(),
        *nn.Linear(7, 5).state_dict().values(),
        F.dropout(ones, 0.5).data,
        F.dropout2d(ones, 0.5).data,
        generator().random(3),
    ]


def test_manual_seed_repeats_everything():
    npstn.manual_seed(7)
    first, going_on = draw(), draw()
    npstn.manual_seed(7)
    second = draw()
    npstn.manual_seed(8)
    other = draw()
    for a, b, c, d in zip(first, second, going_on, other, strict=True):
        assert_array_equal(a, b)
        assert not np.array_equal(a, c)
        assert not np.array_equal(a, d)


def test_manual_seed_leaves_numpys_own_random_numbers_alone():
    np.random.seed(3)
    wanted = np.random.random(4)
    np.random.seed(3)
    npstn.manual_seed(0)
    draw()
    assert_array_equal(np.random.random(4), wanted)


@pytest.mark.parametrize("seed", [-1, 1.5, None, "2", (1, -1)])
def test_what_is_no_seed_is_refused(seed):
    message = f"manual_seed: expected an integer of at least 0, got {seed!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        npstn.manual_seed(seed)


# Threads


def test_set_num_threads_within_bounds():
    before = npstn.backend.parallel.get_num_threads()
    try:
        for threads in range(1, numba.config.NUMBA_NUM_THREADS + 1):
            npstn.set_num_threads(threads)
            assert npstn.backend.parallel.get_num_threads() == threads
    finally:
        npstn.set_num_threads(before)


def test_set_num_threads_out_of_bounds():
    before, most = npstn.backend.parallel.get_num_threads(), numba.config.NUMBA_NUM_THREADS
    for threads in (0, -1, most + 1, 10**9, None, "2", 1.0, (1,)):
        message = re.escape(f"set_num_threads: expected 1 to {most} threads on this machine, got {threads!r}")
        with pytest.raises(ValueError, match=f"^{message}$"):
            npstn.set_num_threads(threads)
    assert npstn.backend.parallel.get_num_threads() == before


def training_step(threads):
    """Every array that comes of two steps of training with dropout: outputs, loss, gradients, weights."""
    before = npstn.backend.parallel.get_num_threads()
    npstn.set_num_threads(threads)
    try:
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
    finally:
        npstn.set_num_threads(before)


@compiled_only
@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one core: there is no second thread")
def test_training_does_not_depend_on_the_number_of_threads_to_the_last_bit():
    one, two = training_step(1), training_step(2)
    assert one.keys() == two.keys()
    for name, array in one.items():
        assert array.tobytes() == two[name].tobytes(), name
    assert all(np.any(array) for name, array in one.items() if name.startswith("grad"))


BLAS = """
import numpy as np, scipy.linalg.cython_blas, threadpoolctl
import npstn, npstn.functional as F
def threads():
    blas = threadpoolctl.ThreadpoolController().select(user_api="blas").info()
    of_scipy = [lib for lib in blas if "scipy.libs" in lib["filepath"]] or blas
    return [lib["num_threads"] for lib in of_scipy]
before = threads()
F.linear(npstn.Tensor(np.ones((1, 1))), npstn.Tensor(np.ones((1, 1))))
print(*before, *threads())
"""


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one core: the BLAS has one thread anyway")
def test_scipys_blas_has_one_thread_after_the_operation_that_needs_it():
    variables = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), 2)
    assert run_python(BLAS, **variables) == "2 1"


TRAINED = """
import hashlib, multiprocessing, os, signal, sys, threading
import numba, numpy as np
import npstn, npstn.functional as F
from npstn import models

net = models.STNClsNet().eval()
net.loc_net.cnn.fc2.bias.data[...] = 0.3
weights = {name: array.copy() for name, array in net.state_dict().items()}

def gradients(seed):
    'A hash of all gradients of a net of its own, for the images of that seed.'
    own = models.STNClsNet().eval()
    own.load_state_dict(weights)
    rng = np.random.default_rng(seed)
    images = npstn.Tensor(rng.random((20, 1, 28, 28), np.float32))
    F.nll_loss(own(images), rng.integers(0, 10, 20)).backward()
    return hashlib.sha256(b"".join(p.grad.tobytes() for p in own.parameters())).hexdigest()

def in_threads(count, repeat):
    'What each thread got, seed by seed, all of them at once.'
    found, start = [None] * count, threading.Barrier(count)
    def work(seed):
        start.wait()
        found[seed] = {gradients(seed) for _ in range(repeat)}
    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(count)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    return found

def in_child(work):
    'Whether work() is true in a forked process.'
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # one that hangs must not outlive the test
        os._exit(0 if work() else 1)
    return os.waitpid(child, 0)[1] == 0
"""

AT_ONCE = """
found = in_threads(3, 15)  # not one kernel ran before: the threads come first, all three
print(numba.threading_layer(), found == [{gradients(seed)} for seed in range(3)])
"""

FORKED = """
def in_forked_child(seed):
    npstn.set_num_threads(2)  # allowed, where it cannot be done too
    alone, others = gradients(seed) == wanted[seed], in_threads(2, 2) == [{wanted[0]}, {wanted[1]}]
    return alone and others

def nested():
    return in_child(lambda: in_forked_child(1)) and in_forked_child(0) and in_child(lambda: in_forked_child(1))

read, write = os.pipe()
before = in_child(lambda: os.write(write, gradients(0).encode()) == 64)  # a child runs the first kernel of all
wanted = [gradients(seed) for seed in range(2)]
print(numba.threading_layer(), before and os.read(read, 64).decode() == wanted[0])
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
print(all(in_child(lambda: gradients(0) == wanted[0]) for _ in range(10)))  # with a thread amid the kernels
stop.set()
thread.join()
print(in_forked_child(0))  # and the parent itself goes on as before
"""


def has_openmp():
    return importlib.util.find_spec("numba.np.ufunc.omppool") is not None


layers = pytest.mark.parametrize(
    "layer", ["workqueue", pytest.param("omp", marks=pytest.mark.skipif(not has_openmp(), reason="no OpenMP"))]
)


@compiled_only
@layers
def test_kernels_in_several_python_threads_at_once(layer):
    settings = {"NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": 2}
    assert run_python(TRAINED + AT_ONCE, **settings) == f"{layer} True"


@compiled_only
@layers
@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_kernels_after_a_fork(layer):
    settings = {"NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": 2}
    assert run_python(TRAINED + FORKED, **settings) == f"{layer} True\n" + "\n".join(["True"] * 4)


OWN = """
@numba.njit(parallel=True)
def own(x):
    for i in numba.prange(x.size): x[i] = 1
own(np.zeros(8))
print(in_child(lambda: len(gradients(0)) == 64))
"""


@compiled_only
@layers
@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_kernels_after_a_fork_from_a_process_whose_own_loops_use_numbas_threads(layer):
    assert run_python(TRAINED + OWN, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS=2) == "True"


STARTING = """
held, forking = threading.Event(), threading.Event()
def start():
    with npstn.backend.parallel._turn:  # as a thread that starts Numba's does
        held.set()
        forking.wait()
thread = threading.Thread(target=start)
thread.start()
held.wait()
os.register_at_fork(before=forking.set)
print(in_child(lambda: len(gradients(0)) == 64))
thread.join()
"""


@compiled_only
@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_kernels_after_a_fork_while_another_thread_starts_numbas():
    assert run_python(TRAINED + STARTING, NUMBA_NUM_THREADS=2) == "True"


HELD = """
import os, signal, threading, time
import npstn
from npstn import runtime

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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_random_numbers_after_a_fork_while_another_thread_draws():
    assert run_python(HELD) == "0"


# The cache of machine code

USE = """
import numpy as np, npstn, npstn.functional as F
theta = npstn.Tensor([[[1, 0, 0], [0, 1, 0]]], requires_grad=True)
grid = F.affine_grid(theta, (1, 1, 3, 3), align_corners=True)
grid.backward(np.ones(grid.shape, np.float32))
print(npstn.__file__, grid.data[0, 2, 1].tolist(), theta.grad[0, 0].tolist())
"""


@pytest.fixture
def read_only(tmp_path):
    """A copy of the package that nothing can be written into, and the variables of a user without a home."""
    copy = tmp_path / "site" / "npstn"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in [copy, *(path for path in copy.rglob("*") if path.is_dir())]:
        # A folder's permissions do not stop root, that tests may run as; a file in place of the cache's folder does.
        (folder / "__pycache__").write_text("not a folder")
    below_a_file = copy / "__init__.py" / "folder"
    nowhere = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), below_a_file)
    return copy, below_a_file, {**nowhere, "MPLCONFIGDIR": None, "NPSTN_DATA_DIR": None}


@pytest.mark.parametrize("cache", [None, "below a file", "/proc/npstn-cache"])
def test_runs_read_only_and_without_a_home(read_only, cache):
    copy, below_a_file, nowhere = read_only
    cache = below_a_file if cache == "below a file" else cache
    used = run_python(USE, root=copy.parent, NUMBA_CACHE_DIR=cache, **nowhere)
    assert used == f"{copy / '__init__.py'} [0.0, 1.0] [0.0, 0.0, 9.0]"


COMMANDS = """
import sys, npstn.cli, npstn.data.mnist as mnist
mnist.MIRRORS = ("http://127.0.0.1:9/",)  # nobody listens there
print(npstn.cli.main(["data"]))
print(npstn.cli.main(["gradcheck", "relu", "--plot", sys.argv[1]]))
"""


def test_the_command_works_read_only_and_without_a_home(read_only, tmp_path):
    copy, below_a_file, nowhere = read_only
    out = run_python(COMMANDS, str(tmp_path / "pictures"), root=copy.parent, NUMBA_CACHE_DIR=below_a_file, **nowhere)
    no_mnist, *_, checked = out.splitlines()
    assert (no_mnist, checked) == ("1", "0"), out
    assert (tmp_path / "pictures" / "relu.png").exists()


@compiled_only
def test_kernel_is_kept_on_disk_and_divides_as_numpy_does(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from npstn.backend.compiler import kernel\n"
        "@kernel\ndef divide(a, b):\n    return a / b\n"
        "@kernel\ndef halve(first, end, a):\n    for i in range(first, end):\n        a[i] /= 2\n"
    )
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import mine, numpy as np\n"
        "from npstn.backend.parallel import share_out\n"
        "x = np.full(4, 3.0); share_out(mine.halve, 4, x)\n"
        "print(mine.divide(1.0, 0.0), x.tolist(), sum(mine.halve.stats.cache_hits.values()))"
    )
    settings = {"NUMBA_CACHE_DIR": tmp_path / "cache", "NUMBA_BOUNDSCHECK": None}
    used = [run_python(code, **settings) for _ in range(2)]
    assert used == [f"inf [1.5, 1.5, 1.5, 1.5] {hits}" for hits in (0, 1)]
    kept = [path.name for path in (tmp_path / "cache").rglob("*.nbi") if path.name.startswith("mine")]
    assert sorted(name.split("-")[0] for name in kept) == ["mine.divide", "mine.halve"]


FIRST_START = """
import numpy as np, npstn, npstn.functional as F
from npstn import compiling, models
from npstn.ops import conv2d, grid_sample, max_pool2d
npstn.set_num_threads(1)  # on several, kernels are not called through what counts
compiling.compile_at_first_start()
net = models.STNClsNet()
images = npstn.Tensor(np.zeros((2, 1, 28, 28), np.float32), requires_grad=True)
F.nll_loss(net(images), np.zeros(2, int)).backward()
files = conv2d, grid_sample, max_pool2d
kernels = [f for file in files for name, f in vars(file).items() if name.endswith(("_forward", "_backward"))]
print(*(f"{sum(f.stats.cache_hits.values())}/{sum(f.stats.cache_misses.values())}" for f in kernels))
"""


@compiled_only
def test_the_first_start_compiles_in_two_processes_and_the_second_not_at_all(tmp_path):
    settings = {"NUMBA_CACHE_DIR": tmp_path, "NUMBA_BOUNDSCHECK": None}
    first, second = (run_python(FIRST_START, **settings) for _ in range(2))
    assert first == "1/0 1/0 0/1 0/1 1/0 1/0"  # found on disk / compiled here: convolution and pooling were found
    assert second == "1/0 1/0 1/0 1/0 1/0 1/0"


@compiled_only
def test_no_other_process_compiles_what_cannot_be_kept(read_only):
    copy, below_a_file, nowhere = read_only
    code = (
        "from npstn import compiling\n"
        "compiling.subprocess = None\n"  # an error, if it is used
        "compiling.compile_at_first_start()"
    )
    run_python(code, root=copy.parent, NUMBA_CACHE_DIR=below_a_file, **nowhere)


@pytest.fixture
def other_halves(monkeypatch):
    """The processes that compile_at_first_start starts, as if nothing were compiled. They sleep, by themselves."""
    started, popen = [], subprocess.Popen
    monkeypatch.setattr(compiling.numba.config, "DISABLE_JIT", 0)
    monkeypatch.setattr(compiling, "_is_to_be_compiled", lambda kernel: True)
    monkeypatch.setattr(compiling, "OTHER_HALF", "import time; time.sleep(600)")
    monkeypatch.setattr(compiling, "_once", lambda y: None)
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1])
    return started


def test_a_first_start_that_is_stopped_leaves_no_process(other_halves, monkeypatch):
    def stop(y):
        raise KeyboardInterrupt

    monkeypatch.setattr(compiling, "_once", stop)
    with pytest.raises(KeyboardInterrupt):
        compiling.compile_at_first_start()
    assert [process.returncode for process in other_halves] == [-signal.SIGKILL] and gc.isenabled()


def test_a_first_start_goes_on_without_its_other_half(other_halves, monkeypatch):
    monkeypatch.setattr(compiling, "OTHER_HALF", "raise SystemExit(3)")
    compiling.compile_at_first_start()
    assert [process.returncode for process in other_halves] == [3] and gc.isenabled()


def test_a_first_start_goes_on_where_no_process_can_be_started(other_halves, monkeypatch):
    def refuse(*given, **options):
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    compiling.compile_at_first_start()
    assert gc.isenabled()


def test_the_other_half_imports_nothing_from_the_folder_where_a_person_is(tmp_path):
    (tmp_path / "numba.py").write_text("raise SystemExit('a stranger')")
    code = compiling.OTHER_HALF.replace("compiling.other_half(int(sys.argv[1]))", "print(compiling.__file__)")
    command = [sys.executable, "-c", code, "1", *(folder for folder in sys.path if folder)]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert said == f"{compiling.__file__}\n"


def test_a_kernel_that_is_older_than_its_source_is_to_be_compiled(tmp_path):
    source = tmp_path / "mine.py"
    source.write_text("from npstn.backend.compiler import kernel\n@kernel\ndef double(x):\n    return x + x\n")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import mine; from npstn.compiling import _is_to_be_compiled\n"
        "before = _is_to_be_compiled(mine.double); mine.double(1.0); print(before, _is_to_be_compiled(mine.double))"
    )
    settings = {"NUMBA_CACHE_DIR": tmp_path / "cache", "NUMBA_DISABLE_JIT": None}
    assert run_python(code, str(tmp_path), **settings) == "True False"
    assert run_python(code, str(tmp_path), **settings) == "False False"
    os.utime(source, (time.time() + 100,) * 2)
    assert run_python(code, str(tmp_path), **settings) == "True True"  # what is compiled now is older than that, too


def test_import_brings_nothing_heavy_along():
    heavy = run_python("import sys, npstn; print(*{'matplotlib', 'torch', 'pooch', 'tqdm'} & set(sys.modules))")
    assert heavy == ""
