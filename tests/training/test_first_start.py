"""The first start: forks compile exactly what a training step needs; and what may go wrong with them."""

import dataclasses
import gc
import importlib.util
import json
import os
import signal
import time

import numba
import numpy as np
import pytest
from processes import read_only_copy, run_python

import npstn.functional as F
from npstn import Tensor, models, nn
from npstn.backend.parallel import rehearsing, share_out
from npstn.backend.random import generator
from npstn.ops import affine_grid, conv2d_fast, conv2d_sparse, linear_fast, projective_grid
from npstn.training import RECIPES, first_start

compiled_only = pytest.mark.skipif(
    bool(numba.config.DISABLE_JIT) or not hasattr(os, "fork"), reason="nothing is compiled, or there are no forks"
)

MODEL = {"transformer": "rotation", "image": (1, 28, 28), "classes": 10}
RECIPE = dataclasses.asdict(RECIPES["fast"])
WARNED = "error::DeprecationWarning:npstn.training.first_start"  # newer Pythons warn of forks beside threads

START = """
import json, os, sys
import numpy as np, npstn, npstn.functional as F
from numba.core.event import install_recorder
from npstn import models
from npstn.training import Recipe
from npstn.training.first_start import compile_at_first_start

threads, model, recipe = map(json.loads, sys.argv[1:])
npstn.set_num_threads(threads)
forks, fork = 0, os.fork
def counting():
    global forks
    forks += 1
    return fork()
os.fork = counting

compile_at_first_start(model, recipe)
with install_recorder("numba:compile") as real:
    net, B = models.build(**{**model, "image": (1, 28, 28)}), recipe["batch_size"]
    recipe = Recipe(**recipe)
    optimizer, _ = recipe.optimizer_for(net, B)
    log_p = net(npstn.Tensor(np.ones((B, 1, 28, 28), np.float32)))
    F.cross_entropy(log_p, np.ones(B, int), label_smoothing=0.1).backward()
    optimizer.step()
    average = recipe.average_for(net)
    average.update_parameters(net)
    average.update_parameters(net)
print(forks, len(real.buffer))
"""


@compiled_only
@pytest.mark.parametrize("threads", [2] if "NPSTN_FEW_EXAMPLES" in os.environ else [1, 2])
def test_the_first_step_compiles_nothing_after_a_first_start(tmp_path, threads):
    if threads > numba.config.NUMBA_NUM_THREADS:
        pytest.skip("needs two cores")

    def start(**changes):
        model = {name: changes.get(name, value) for name, value in MODEL.items()}
        recipe = {name: changes.get(name, value) for name, value in RECIPE.items()}
        given = [json.dumps(value) for value in (threads, model, recipe)]
        settings = {"NUMBA_CACHE_DIR": tmp_path, "NUMBA_BOUNDSCHECK": None, "PYTHONWARNINGS": WARNED}
        return run_python(START, *given, **settings)

    cores = numba.config.NUMBA_DEFAULT_NUM_THREADS
    forks, compiled = map(int, start().split())
    assert 1 <= forks <= cores and (cores == 1 or forks > 1) and compiled == 0
    assert start() == "0 0"
    assert start(transformer="none", batch_size=10) == "0 0"
    assert start(optimizer="sgd", batch_size=10) == "1 0"  # the step of SGD is missing


@compiled_only
def test_nothing_is_forked_where_machine_code_cannot_be_kept(tmp_path):
    root, nowhere = read_only_copy(tmp_path)
    code = (
        "import os\n"
        "from npstn.training.first_start import compile_at_first_start\n"
        "os.fork = None\n"  # to call it would raise TypeError
        f"compile_at_first_start({MODEL}, {RECIPE})"
    )
    run_python(code, root=root, **nowhere)


def test_nothing_is_done_where_nothing_is_compiled():
    code = (
        "from npstn.training import first_start\n"
        "first_start._step = None\n"
        "first_start.compile_at_first_start({}, {})"  # an error, if anything is read from these
    )
    run_python(code, NUMBA_DISABLE_JIT="1")


class OneNewKernel(nn.Module):
    """A network with a kernel whose machine code is not on disk."""

    def __init__(self, folder):
        (folder / "new_kernel.py").write_text(
            "from npstn.backend.compiler import kernel\n@kernel\ndef new(first, end, x):\n    x[first] = end\n"
        )
        spec = importlib.util.spec_from_file_location("new_kernel", folder / "new_kernel.py")
        self.file = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.file)
        self.layer = nn.Linear(784, 10)

    def forward(self, x):
        share_out(self.file.new, 1, x.data.reshape(-1))
        return F.log_softmax(self.layer(x.reshape(len(x), 784)), dim=1)

    def is_on_disk(self):
        """Whether the kernel's machine code is there: nothing is missing, and this process has compiled nothing."""
        missing = []
        with rehearsing(lambda kernel, signature: missing.append(kernel)):
            self(Tensor(np.ones((2, 1, 28, 28), np.float32)))
        return self.file.new not in missing and not self.file.new.signatures


@pytest.fixture
def net(tmp_path, monkeypatch):
    net = OneNewKernel(tmp_path)
    monkeypatch.setattr(models, "build", lambda **model: net)
    return net


@pytest.fixture
def forks(monkeypatch):
    """The processes that are forked. What a fork does first can be changed."""
    pids, fork = [], os.fork

    def noting():
        pid = fork()
        pids.extend([pid] if pid else [])
        return pid

    def first(do):
        monkeypatch.setattr(gc, "disable", do)  # this process does not call it

    noting.first, noting.pids = first, pids
    monkeypatch.setattr(os, "fork", noting)
    yield noting
    for pid in pids:  # each was waited for
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


@compiled_only
def test_a_kernel_that_is_missing_is_compiled_by_a_fork(net, forks):
    assert not net.is_on_disk()
    first_start.compile_at_first_start(MODEL, RECIPE)
    before = len(forks.pids)  # others may have been missing, too
    assert before >= 1 and net.is_on_disk()
    first_start.compile_at_first_start(MODEL, RECIPE)
    assert len(forks.pids) == before and gc.isenabled()


@compiled_only
def test_kernels_that_share_helpers_are_compiled_by_one_fork():
    """Two at once would write to one index on disk."""
    of_tiles = conv2d_fast.conv2d_fast_backward, conv2d_sparse.conv2d_sparse_backward, linear_fast.multiply
    of_grids = affine_grid.affine_grid_forward, projective_grid.projective_grid_backward
    assert {first_start._lender(kernel) for kernel in of_tiles} == {"npstn.ops.conv2d_fast"}
    assert {first_start._lender(kernel) for kernel in of_grids} == {"npstn.ops.affine_grid"}


@compiled_only
@pytest.mark.parametrize("stopped", [KeyboardInterrupt, SystemExit])
def test_a_first_start_that_is_stopped_leaves_no_process(net, forks, monkeypatch, stopped):
    waitpid = os.waitpid

    def stop(pid, options):
        monkeypatch.setattr(os, "waitpid", waitpid)
        raise stopped

    forks.first(lambda: time.sleep(600))
    monkeypatch.setattr(os, "waitpid", stop)
    with pytest.raises(stopped):
        first_start.compile_at_first_start(MODEL, RECIPE)
    assert forks.pids and not net.is_on_disk()


@compiled_only
@pytest.mark.parametrize("end", [lambda: 1 / 0, lambda: os.kill(os.getpid(), signal.SIGKILL)], ids=["error", "killed"])
def test_a_first_start_goes_on_without_a_fork_that_ends_early(net, forks, end, capfd):
    forks.first(end)
    first_start.compile_at_first_start(MODEL, RECIPE)
    assert forks.pids and not net.is_on_disk()
    assert capfd.readouterr() == ("", "")
    net(Tensor(np.ones((2, 1, 28, 28), np.float32)))  # the training itself compiles


@compiled_only
def test_the_training_itself_compiles_where_no_process_can_be_started(net, monkeypatch):
    def refuse():
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(os, "fork", refuse)
    first_start.compile_at_first_start(MODEL, RECIPE)
    assert not net.is_on_disk()


@compiled_only
def test_a_step_that_fails_is_left_to_the_training(net, forks, monkeypatch):
    monkeypatch.setattr(F, "cross_entropy", lambda *given: 1 / 0)
    first_start.compile_at_first_start(MODEL, RECIPE)
    assert forks.pids and net.is_on_disk()  # the kernel that was found before


def test_a_first_start_uses_up_no_random_numbers():
    before = generator().bit_generator.state
    first_start.compile_at_first_start(MODEL, RECIPE)
    assert generator().bit_generator.state == before
