"""The first start: two processes compile the kernels of a training, half of them each, and so in half the time.

Numba keeps machine code on disk, where a process finds what another has compiled; but in one process it compiles one
kernel at a time.
"""

from __future__ import annotations

import subprocess
import sys

import numba
import numpy as np

import npstn.functional as F
from npstn.autograd import Tensor
from npstn.ops.affine_grid import affine_grid_forward
from npstn.threads import get_num_threads, set_num_threads

CONVOLUTIONS = "import sys; from npstn import compiling; compiling.convolutions(int(sys.argv[1]))"


def compile_at_first_start() -> None:
    """See to it that what the layers of the models need is compiled; where it already is, this takes milliseconds."""
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        return
    before = sum(affine_grid_forward.stats.cache_misses.values())
    grid = F.affine_grid(_zeros(2, 2, 3), (2, 1, 4, 4))
    if sum(affine_grid_forward.stats.cache_misses.values()) == before:
        return
    other = subprocess.Popen(
        [sys.executable, "-c", CONVOLUTIONS, str(get_num_threads())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # what it could not do, this process will, or will say why not
    )
    try:
        _once(F.max_pool2d(F.grid_sample(_zeros(2, 1, 4, 4), grid), 2))
    except BaseException:
        other.kill()
        raise
    finally:
        other.wait()


def convolutions(threads: int) -> None:
    """The other half."""
    set_num_threads(threads)
    _once(F.conv2d(_zeros(2, 1, 4, 4), _zeros(1, 1, 3, 3), _zeros(1)))


def _zeros(*shape: int) -> Tensor:
    return Tensor(np.zeros(shape, np.float32), requires_grad=True)


def _once(y: Tensor) -> None:
    y.backward(np.zeros(y.shape, y.dtype))
