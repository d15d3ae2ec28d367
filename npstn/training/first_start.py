"""The first start: forked processes share the kernels of a training step, and compile them in a part of the time.

Numba keeps machine code on disk, where one process finds what another has compiled. A process compiles one kernel at a
time, and what the compiler needs for it stays in its memory to the end. So a rehearsal of the step tells which kernels
are missing, and a fork for each core compiles some of them. A fork has imported all that this process has, and its end
frees what its compiler took.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import warnings
from collections.abc import Sequence
from typing import Any

import numba
import numpy as np

import npstn.functional as F
from npstn import models
from npstn.autograd import Tensor
from npstn.backend.parallel import rehearsing
from npstn.backend.random import generator
from npstn.training.recipe import Recipe

Kernels = list[tuple[Any, tuple]]  # and their signatures


def compile_at_first_start(model: dict[str, Any], recipe: dict[str, Any]) -> None:
    """Compile the kernels of a training step, unless they have been compiled or their machine code cannot be kept.

    Args:
        model: the arguments of `models.build` without the dropout.
        recipe: the fields of the `Recipe`.

    What is missing afterwards, the training itself compiles: all of it on Windows, which has no forks. No random number
    is used up.
    """
    if hasattr(os, "fork") and not numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        _compile_in_forks(_missing_kernels(model, recipe))


def _missing_kernels(model: dict[str, Any], recipe: dict[str, Any]) -> list[Kernels]:
    """The kernels of a training step whose machine code is not on disk; those that share helpers together."""
    missing: dict[str, Kernels] = {}

    def note(kernel: Any, signature: tuple) -> None:
        missing.setdefault(_lender(kernel), []).append((kernel, signature))

    random_numbers = generator().bit_generator
    state = random_numbers.state
    try:
        with contextlib.suppress(Exception), rehearsing(note):  # the real step will raise what is wrong with it
            _step(model, recipe)
    finally:
        random_numbers.state = state
    return list(missing.values())


def _lender(kernel: Any) -> str:
    """The module that the kernel takes helpers from: another one, or its own."""
    function = kernel.py_func
    known = (getattr(known, "py_func", function).__module__ for known in function.__globals__.values())
    return min({module for module in known} - {function.__module__}, default=function.__module__)


def _step(model: dict[str, Any], recipe: dict[str, Any]) -> None:
    """A training step on zeros. The batch is as large as a real one: this decides which kernels use several threads."""
    image, chosen = tuple(model["image"]), Recipe(**recipe)
    net = models.build(**{**model, "image": image, "dropout": chosen.dropout})
    optimizer, _ = chosen.optimizer_for(net, chosen.batch_size)
    B = chosen.batch_size
    images, labels = Tensor(np.zeros((B, *image), np.float32)), np.zeros(B, np.int64)
    F.cross_entropy(net(images), labels).backward()  # also has all that F.nll_loss has
    optimizer.step()
    average = chosen.average_for(net)
    if average is not None:
        average.update_parameters(net)  # a mere copy
        average.update_parameters(net)


def _compile_in_forks(modules: Sequence[Kernels]) -> None:
    """Compile the kernels of each module, and wait for it; an error or an interruption ends the forks at once.

    Modules stand for all kernels that take helpers from them. They are compiled together, by the fork that takes their
    number out of a pipe: else the helpers would be compiled twice; and where two processes add to a helper's index on
    disk at once, Numba loses an entry, or takes the machine code of one for the other's.
    """
    numbers, end = os.pipe()
    os.write(end, bytes(range(len(modules))))
    os.close(end)
    forks: list[int] = []
    try:
        for _ in range(min(len(modules), numba.config.NUMBA_DEFAULT_NUM_THREADS)):  # type: ignore[attr-defined]
            with contextlib.suppress(OSError):  # no more processes allowed
                forks.append(_fork(numbers, modules))
        while forks:
            os.waitpid(forks[-1], 0)
            forks.pop()
    finally:
        os.close(numbers)
        for fork in forks:
            os.kill(fork, signal.SIGKILL)
            os.waitpid(fork, 0)


def _fork(numbers: int, modules: Sequence[Kernels]) -> int:
    """Start a fork that compiles modules while there are numbers to be read, and ends; its process number."""
    with warnings.catch_warnings():  # that other threads are missing in a fork: none is needed to compile
        warnings.simplefilter("ignore", DeprecationWarning)
        fork = os.fork()
    if fork:
        return fork
    try:
        gc.disable()  # the compiler makes very many objects; looking for garbage among them takes a tenth of the time
        gc.freeze()  # what the parent has is none of them: not looked at below
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for output in (1, 2):
            os.dup2(nowhere, output)
        while number := os.read(numbers, 1):
            for kernel, signature in modules[number[0]]:
                with contextlib.suppress(Exception):  # the real step will raise what is wrong with it
                    kernel.compile(signature)
            gc.collect()  # what one module has left, before the next: else 43 MB more at the peak
    finally:
        os._exit(0)
