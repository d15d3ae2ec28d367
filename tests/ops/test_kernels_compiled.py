"""The kernels are compiled, bounds-checked or plain Python, as the run says; and the samples run every kernel."""

import ast
import importlib
import inspect
import pkgutil
import sys
import types

import numba
import numpy as np
import pytest

import npstn
from npstn import Tensor, ops
from npstn.backend.compiler import kernel
from npstn.gradcheck.samples import samples

SAMPLES = samples(network=False)


def kernels():
    """Every function of npstn.ops under a decorator @kernel or @kernel(...), by its module and name."""
    found = {}
    for module_name in [module.name for module in pkgutil.iter_modules(ops.__path__, "npstn.ops.")]:
        module = importlib.import_module(module_name)
        for node in ast.parse(inspect.getsource(module)).body:
            for decorator in getattr(node, "decorator_list", []):
                if ast.unparse(decorator).split("(")[0] == "kernel":
                    found[f"{module_name}.{node.name}"] = getattr(module, node.name)
    return found


KERNELS = kernels()


def run_every_sample():
    """Forward and backward of every sample, with the fast kernels and with the loops of the formulas."""
    for sample in SAMPLES:
        run_forward_and_backward(sample)
        with npstn.reference():
            run_forward_and_backward(sample)


def run_forward_and_backward(sample):
    inputs = [Tensor(x, requires_grad=True) if k in sample.arrays else x for k, x in enumerate(sample.inputs)]
    y = sample.fn(*inputs)
    y.backward(np.ones(y.shape))


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_are_compiled_or_plain_functions_as_asked(name):
    f = KERNELS[name]
    plain = isinstance(f, types.FunctionType) and not hasattr(f, "py_func")
    assert plain == bool(numba.config.DISABLE_JIT)


@pytest.mark.skipif(not numba.config.DISABLE_JIT, reason="only plain Python can be watched while it runs")
def test_every_kernel_runs_in_a_sample():
    ran = set()

    def watch(frame, event, _):
        if event == "call":
            ran.add(frame.f_code)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        run_every_sample()
    finally:
        sys.setprofile(before)
    assert {name for name, f in KERNELS.items() if f.__code__ not in ran} == set()


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="plain Python compiles nothing")
def test_what_the_samples_launch_is_machine_code():
    """A kernel that Python calls has machine code for its arguments afterwards; its helpers are part of that."""
    run_every_sample()
    launched = {name for name, f in KERNELS.items() if f.signatures}
    files_with_kernels = {name.rpartition(".")[0] for name in KERNELS}
    assert {name.rpartition(".")[0] for name in launched} == files_with_kernels


@kernel
def read_past_the_end(x):
    return x[x.size]


bounds_checked = pytest.mark.skipif(
    not numba.config.BOUNDSCHECK or bool(numba.config.DISABLE_JIT), reason="only with NUMBA_BOUNDSCHECK=1"
)


@bounds_checked
def test_reading_past_the_end_is_caught():
    """The canary: a warm cache of machine code silently ignores NUMBA_BOUNDSCHECK."""
    with pytest.raises(IndexError):
        read_past_the_end(np.ones(3))
