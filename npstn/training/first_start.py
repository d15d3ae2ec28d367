"""The first start: two processes share the kernels of a training step, and compile them in half the time.

Numba keeps machine code on disk, where one process finds what another has compiled. But a process compiles one kernel
at a time. A rehearsal of the step tells which kernels it needs.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np

import npstn.functional as F
from npstn import models
from npstn.autograd import Tensor
from npstn.backend.parallel import get_num_threads, rehearsing, set_num_threads
from npstn.backend.random import generator
from npstn.training.recipe import Recipe

# The other process finds the modules that this process finds. By default it would also find those in the folder where
# it is started.
OTHER_PROCESS = (
    "import sys; sys.path = sys.argv[2:]; "
    "from npstn.training import first_start; first_start.compile_in_other_process(sys.argv[1])"
)

Kernels = dict[str, list[tuple[Any, tuple]]]  # the missing kernels of each module, and their signatures


def compile_at_first_start(model: dict[str, Any], recipe: dict[str, Any]) -> None:
    """Compile the kernels of a training step, unless they have been compiled or their machine code cannot be kept.

    Args:
        model: the arguments of `models.build` without the dropout, as plain values that JSON can hold.
        recipe: the fields of the `Recipe`, likewise.

    If anything fails here, the training itself compiles what is missing. No random number is used up.
    """
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        return
    claims: Path | None = None
    with _without_garbage_collection(), contextlib.ExitStack() as until_the_end:

        def start_other_process() -> None:
            nonlocal claims
            with contextlib.suppress(OSError):  # no more processes allowed, or no temporary folder
                claims = until_the_end.enter_context(_other_process(model, recipe))

        missing = _missing_kernels(model, recipe, start_other_process)
        if claims is not None:
            _compile(missing, missing, claims)


def compile_in_other_process(job: str) -> None:
    """Compile kernels of the same step in the process that `compile_at_first_start` started, and end the process."""
    gc.disable()
    given = json.loads(job)
    set_num_threads(given["threads"])
    missing = _missing_kernels(given["model"], given["recipe"])
    _compile(reversed(missing), missing, Path(given["claims"]))  # from the last: the two meet in the middle
    os._exit(0)  # the ordinary end of the interpreter would take another half a second


@contextlib.contextmanager
def _other_process(model: dict[str, Any], recipe: dict[str, Any]) -> Iterator[Path]:
    """Start the other process, and wait for its end; an error ends it at once. Gives the folder for claims."""
    with tempfile.TemporaryDirectory(prefix="npstn-") as claims:
        job = {"claims": claims, "threads": get_num_threads(), "model": model, "recipe": recipe}
        other = subprocess.Popen(
            [sys.executable, "-c", OTHER_PROCESS, json.dumps(job), *sys.path],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # what it could not compile, this process will compile, or will say why not
        )
        try:
            yield Path(claims)
            other.wait()
        finally:
            other.kill()  # nothing happens if it has ended
            other.wait()


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """The compiler makes very many objects; looking for garbage among them takes a tenth of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _missing_kernels(
    model: dict[str, Any], recipe: dict[str, Any], at_the_first: Callable[[], None] = lambda: None
) -> Kernels:
    """The kernels of a training step whose machine code is not on disk, in the order in which the step needs them."""
    missing: Kernels = {}

    def note(kernel: Any, signature: tuple) -> None:
        if not missing:
            at_the_first()
        missing.setdefault(kernel.py_func.__module__, []).append((kernel, signature))

    random_numbers = generator().bit_generator
    state = random_numbers.state
    try:
        with contextlib.suppress(Exception), rehearsing(note):  # the real step will raise what is wrong with it
            _step(model, recipe)
    finally:
        random_numbers.state = state
    return missing


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


def _compile(modules: Iterable[str], missing: Kernels, claims: Path) -> None:
    """Compile the missing kernels of those modules that the other process has not claimed, and claim them.

    A module is claimed as a whole. Its kernels share helpers, which would be compiled twice; and where two processes
    add to a helper's index on disk at once, Numba loses an entry, or takes the machine code of one for the other's.
    """
    for module in modules:
        try:
            (claims / module).touch(exist_ok=False)
        except OSError:
            continue
        for kernel, signature in missing[module]:
            with contextlib.suppress(Exception):  # the real step will raise what is wrong with it
                kernel.compile(signature)
