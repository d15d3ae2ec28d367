"""That the kernels are what the run says they are: compiled, bounds-checked, or plain Python."""

import importlib
import types

import numba
import numpy as np
import pytest

from npstn.backend.compiler import kernel

WITH_KERNELS = ["affine_grid", "avg_pool2d", "conv2d", "grid_sample", "max_pool2d"]


@kernel
def read_past_the_end(x):
    return x[x.size]


def kernels_of(module):
    """The functions of an operation that DESIGN.md names: ..._forward, ..._backward, ..._backward_input and so on."""
    return {name: f for name, f in vars(module).items() if ("_forward" in name or "_backward" in name) and callable(f)}


@pytest.mark.parametrize("operation", WITH_KERNELS)
def test_kernels_are_compiled_or_plain_functions_as_asked(operation):
    kernels = kernels_of(importlib.import_module(f"npstn.ops.{operation}"))
    passes = {name.removeprefix(f"{operation}_").split("_")[0] for name in kernels}
    assert passes == {"forward", "backward"}
    for f in kernels.values():
        plain = isinstance(f, types.FunctionType) and not hasattr(f, "py_func")
        assert plain == bool(numba.config.DISABLE_JIT)


bounds_checked = pytest.mark.skipif(
    not numba.config.BOUNDSCHECK or bool(numba.config.DISABLE_JIT), reason="only with NUMBA_BOUNDSCHECK=1"
)


@bounds_checked
def test_the_canary_reading_past_the_end_is_caught():
    with pytest.raises(IndexError):
        read_past_the_end(np.ones(3))
