"""The first start: two processes compile exactly what a training step needs; and what may go wrong with the second."""

import dataclasses
import gc
import importlib.util
import json
import signal
import subprocess
import sys

import numba
import pytest
from processes import read_only_copy, run_python

import npstn.functional as F
from npstn import models, nn
from npstn.backend.parallel import share_out
from npstn.backend.random import generator
from npstn.training import RECIPES, first_start

compiled_only = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="NUMBA_DISABLE_JIT: nothing is compiled")

MODEL = {"transformer": "rotation", "image": (1, 28, 28), "classes": 10}
RECIPE = dataclasses.asdict(RECIPES["fast"])

START = """
import json, subprocess, sys
import numpy as np, npstn, npstn.functional as F
from numba.core.event import install_recorder
from npstn import models
from npstn.training import Recipe
from npstn.training.first_start import compile_at_first_start

threads, model, recipe = map(json.loads, sys.argv[1:])
npstn.set_num_threads(threads)
started, popen = [], subprocess.Popen
def counting(command, *given, **options):  # other packages may ask the system something
    started.extend([command] if sys.executable in command else [])
    return popen(command, *given, **options)
subprocess.Popen = counting

with install_recorder("numba:compile") as first:
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
print(len(first.buffer) > 0, len(started), len(real.buffer))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="uses POSIX's exit codes")
@compiled_only
@pytest.mark.parametrize("threads", [1, 2])
def test_the_first_step_compiles_nothing_after_a_first_start(tmp_path, threads):
    if threads > numba.config.NUMBA_NUM_THREADS:
        pytest.skip("needs two cores")

    def start(**changes):
        model = {name: changes.get(name, value) for name, value in MODEL.items()}
        recipe = {name: changes.get(name, value) for name, value in RECIPE.items()}
        given = [json.dumps(value) for value in (threads, model, recipe)]
        return run_python(START, *given, NUMBA_CACHE_DIR=tmp_path, NUMBA_BOUNDSCHECK=None)

    assert start() == "True 1 0"  # compiles; starts one process; the real step compiles nothing
    assert start() == "False 0 0"
    assert start(transformer="none", batch_size=10) == "False 0 0"
    assert start(optimizer="sgd", batch_size=10) == "True 1 0"  # the step of SGD is missing


@compiled_only
def test_no_process_is_started_where_machine_code_cannot_be_kept(tmp_path):
    root, nowhere = read_only_copy(tmp_path)
    code = (
        "import subprocess\n"
        "from npstn.training.first_start import compile_at_first_start\n"
        "subprocess.Popen = None\n"  # starting a process would raise TypeError
        f"compile_at_first_start({MODEL}, {RECIPE})"
    )
    run_python(code, root=root, **nowhere)


def test_nothing_is_done_where_nothing_is_compiled():
    code = (
        "import subprocess\n"
        "from npstn.training.first_start import compile_at_first_start\n"
        "subprocess.Popen = None\n"
        "compile_at_first_start({}, {})"  # an error, if anything is read from these
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

    def is_compiled(self):
        return len(self.file.new.signatures) > 0


@pytest.fixture
def net(tmp_path, monkeypatch):
    net = OneNewKernel(tmp_path)
    monkeypatch.setattr(models, "build", lambda **model: net)
    return net


@pytest.fixture
def others(monkeypatch):
    """The other processes that are started; by themselves they sleep. The code that they run instead can be changed."""
    started, popen = [], subprocess.Popen

    def start(command, **options):
        started.append(popen([sys.executable, "-c", others.code], **options))
        return started[-1]

    def others():
        return [process.returncode for process in started]

    others.code = "import time; time.sleep(600)"
    monkeypatch.setattr(subprocess, "Popen", start)
    return others


@compiled_only
@pytest.mark.parametrize("stopped", [KeyboardInterrupt, SystemExit])
def test_a_first_start_that_is_stopped_leaves_no_process(net, others, monkeypatch, stopped):
    def stop(*given):
        raise stopped

    monkeypatch.setattr(F, "cross_entropy", stop)
    with pytest.raises(stopped):
        first_start.compile_at_first_start(MODEL, RECIPE)
    assert others() == [-signal.SIGKILL] and gc.isenabled()


@compiled_only
@pytest.mark.parametrize("code, status", [("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", -9)])
def test_a_first_start_goes_on_without_the_other_process(net, others, code, status):
    others.code = code
    first_start.compile_at_first_start(MODEL, RECIPE)
    assert others() == [status] and gc.isenabled() and net.is_compiled()


@compiled_only
def test_the_training_itself_compiles_where_no_process_can_be_started(net, monkeypatch):
    def refuse(*given, **options):
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    first_start.compile_at_first_start(MODEL, RECIPE)
    assert gc.isenabled() and not net.is_compiled()


@compiled_only
def test_a_step_that_fails_is_left_to_the_training(net, others, monkeypatch):
    others.code = ""
    monkeypatch.setattr(F, "cross_entropy", lambda *given: 1 / 0)
    first_start.compile_at_first_start(MODEL, RECIPE)
    assert others() == [0] and net.is_compiled()  # the kernel that was found before


def test_a_first_start_uses_up_no_random_numbers():
    before = generator().bit_generator.state
    first_start.compile_at_first_start(MODEL, RECIPE)
    assert generator().bit_generator.state == before


@compiled_only
def test_the_other_process_imports_nothing_from_the_folder_where_a_person_is(net, tmp_path, monkeypatch):
    (tmp_path / "numba.py").write_text("raise SystemExit('a stranger')")
    monkeypatch.chdir(tmp_path)
    statuses, popen = [], subprocess.Popen

    class Other(popen):
        def wait(self, *given, **options):
            statuses.append(super().wait(*given, **options))

    monkeypatch.setattr(subprocess, "Popen", Other)
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder])
    first_start.compile_at_first_start(MODEL, RECIPE)
    assert set(statuses) == {0}
