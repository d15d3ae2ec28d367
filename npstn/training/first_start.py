"""The first start: two processes compile the kernels of a training, half of them each, and so in half the time.

Numba keeps machine code on disk, where a process finds what another has compiled; but in one process it compiles one
kernel at a time.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np

import npstn.functional as F
from npstn import nn, optim
from npstn.autograd import Tensor
from npstn.ops.conv2d import conv2d_backward
from npstn.backend.parallel import get_num_threads, set_num_threads

# It finds the modules that this process finds, and none that may lie in the folder where a person happens to be.
OTHER_HALF = "import sys; sys.path = sys.argv[2:]; from npstn.training import first_start; first_start.other_half(int(sys.argv[1]))"
SIZE = 200  # pixels: enough for two threads, as in a training


def compile_at_first_start(model: dict, recipe: dict) -> None:
    """See to it that what the layers of the models need is compiled, if it has not been and can be kept."""
    if numba.config.DISABLE_JIT or not _is_to_be_compiled(conv2d_backward):  # type: ignore[attr-defined]
        return
    try:
        other = subprocess.Popen(
            [sys.executable, "-c", OTHER_HALF, str(get_num_threads()), *sys.path],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # what it could not do, this process will, or will say why not
        )
    except OSError:  # no more processes allowed: the training compiles as it goes
        return
    collecting = gc.isenabled()
    gc.disable()  # the compiler makes objects without number: to look for garbage among them takes a tenth of the time
    try:
        grid = F.affine_grid(_zeros(2, 2, 3), (2, 1, SIZE, SIZE))
        _once(F.grid_sample(_zeros(2, 1, SIZE, SIZE), grid))
        weight = nn.Parameter(np.zeros((2, 2), np.float32))
        F.nll_loss(F.linear(_zeros(2, 2), weight), np.zeros(2, np.int64)).backward()
        optim.AdamW([weight]).step()
        other.wait()
    finally:
        other.kill()  # which changes nothing where it has ended
        other.wait()
        if collecting:
            gc.enable()


def _is_to_be_compiled(kernel: Any) -> bool:
    """Whether there is a folder to keep its machine code in, and none there that is as new as its source."""
    folder, source = kernel.stats.cache_path, Path(kernel.py_func.__code__.co_filename)
    if folder is None:
        return False
    kept = Path(folder).glob(f"{source.stem}.{kernel.py_func.__name__}-*.nbi")
    return all(index.stat().st_mtime < source.stat().st_mtime for index in kept)


def other_half(threads: int) -> None:
    """Convolution and pooling, in a process of its own, which ends with it."""
    set_num_threads(threads)
    gc.disable()
    _once(F.max_pool2d(F.conv2d(_zeros(2, 1, SIZE, SIZE), _zeros(1, 1, 3, 3), _zeros(1)), 2))
    os._exit(0)  # to take the interpreter apart would take another half a second


def _zeros(*shape: int) -> Tensor:
    return Tensor(np.zeros(shape, np.float32), requires_grad=True)


def _once(y: Tensor) -> None:
    y.backward(np.zeros(y.shape, y.dtype))
