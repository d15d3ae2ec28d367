"""The threads that an operation's work is shared out to: Numba's, but without its parallel loops.

For a loop written as `prange` Numba compiles the code in it three times over, in ever larger pieces: 3 to 7 seconds for
each kernel here. `share_out` gives the threads the address of a kernel that is compiled already, which takes 0.2.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.callconv import excinfo_t
from numba.core.compiler_lock import global_compiler_lock
from numba.extending import intrinsic

from npstn.backend.compiler import kernel
from npstn.backend.forking import hold_while_forking
from npstn.backend.memory import keep_freed_memory

LEAST = 30_000  # ns, of a part: to hand one to another thread, and its memory to another core, takes about as long
WORD, POINTER = ir.IntType(64), ir.IntType(8).as_pointer()

_most: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]  # of the cores, those that we may use
_threads = _most
# Plain Python has no address.
_alone = bool(numba.config.DISABLE_JIT)  # type: ignore[attr-defined]
_one_at_a_time: contextlib.AbstractContextManager | None = None  # None until Numba's threads have been started
_turn = threading.RLock()
_addresses: dict[tuple, int] = {}


def share_out(loop: Any, count: int, *arguments: Any, work: float = math.inf) -> None:
    """Have a kernel, loop(first, end, *arguments), do 0 .. count-1 in as many parts as there are threads, all at once.

    What a kernel computes must not depend on where a part begins. An error in any part is raised when all have ended.
    If `work`, the time in ns that all takes one thread, more or less, is small, there are fewer parts.

    >>> from npstn.backend.compiler import kernel
    >>> @kernel
    ... def square(first, end, x):
    ...     for i in range(first, end):
    ...         x[i] = i * i
    >>> x = np.zeros(6)
    >>> share_out(square, 6, x)
    >>> x.tolist()
    [0.0, 1.0, 4.0, 9.0, 16.0, 25.0]
    """
    keep_freed_memory()
    parts = min(_threads, count, work // LEAST)
    if parts <= 1 or _alone:
        loop(0, count, *arguments)
        return
    key = loop, numba._dispatcher.compute_fingerprint(arguments)  # half a microsecond; numba.typeof takes 90
    address = _addresses.get(key) or _addresses.setdefault(key, _address(loop, arguments))
    with _one_at_a_time or _start():
        _call_in_parts(address, count, parts, arguments)


def _address(loop: Any, arguments: tuple) -> int:
    """Where the machine code of a kernel for such arguments is, to be called as from C."""
    signature = (types.intp, types.intp, *map(numba.typeof, arguments))
    loop.compile(signature)
    compiled = loop.overloads[signature]
    return compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)


def _start() -> contextlib.AbstractContextManager:
    """Start Numba's threads.

    Where it finds neither TBB nor OpenMP they are its own, "workqueue", which abort the process if two Python threads
    set them to work at once.
    """
    global _one_at_a_time
    with _turn, _short_waits():
        numba.get_num_threads()
        _one_at_a_time = _turn if numba.threading_layer() == "workqueue" else contextlib.nullcontext()
        return _one_at_a_time


@contextlib.contextmanager
def _short_waits() -> Iterator[None]:
    """Let the threads of GNU's OpenMP, if it is loaded now, wait for work in a loop for a moment only, and then sleep.

    By itself it lets them wait thirty times as long, on a core that another program may need, or the very thread that
    they wait for: beside one busy program a step of 64 took 144 ms on two threads, with this 42, and 28 on one.
    """
    mine = not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys()
    if mine:
        os.environ["GOMP_SPINCOUNT"] = "10000"
    try:
        yield
    finally:
        if mine:
            del os.environ["GOMP_SPINCOUNT"]


@intrinsic
def _in_parts(_: Any, address: Any, count: Any, parts: Any, arguments: Any) -> Any:
    """Call the kernel at an address once for each part of 0 .. count-1, through the function that Numba's own parallel
    loops end in: numba_parallel_for(task, numbers, how_many, steps, data, 0, 1, threads)."""
    argument_types = arguments.types

    def task(context: Any, module: ir.Module, name: str, data_type: ir.Type) -> ir.Function:
        """What a thread runs: parts numbers[0] .. numbers[0] + how_many[0] - 1 of the data."""
        signature = ir.FunctionType(ir.VoidType(), [POINTER.as_pointer(), *[WORD.as_pointer()] * 2, POINTER])
        function = ir.Function(module, signature, name)
        function.linkage = "internal"
        numbers, how_many, _, data = function.args
        builder = ir.IRBuilder(function.append_basic_block())
        data = builder.load(builder.bitcast(data, data_type.as_pointer()))
        address, count, parts, arguments, code, error = cgutils.unpack_tuple(builder, data)
        number = builder.ptrtoint(builder.load(numbers), WORD)
        after = builder.add(number, builder.load(how_many))
        first, end = (builder.sdiv(builder.mul(n, count), parts) for n in (number, after))
        given = [first, end, *cgutils.unpack_tuple(builder, arguments)]
        kernel_types = [types.intp, types.intp, *argument_types]
        kernel_type = context.call_conv.get_function_type(types.none, kernel_types).as_pointer()
        loop = builder.inttoptr(address, kernel_type)
        status, _ = context.call_conv.call_function(builder, loop, types.none, kernel_types, given)
        with builder.if_then(status.is_error, likely=False):
            builder.store(status.excinfoptr, error)  # of whichever part is the last to fail
            builder.store(status.code, code)
        builder.ret_void()
        return function

    def generate(context: Any, builder: ir.IRBuilder, _: Any, values: list) -> Any:
        def in_memory(value: ir.Value) -> ir.Value:
            return builder.bitcast(cgutils.alloca_once_value(builder, value), POINTER)

        code = cgutils.alloca_once_value(builder, ir.Constant(ir.IntType(32), 0))
        excinfo_type = ir.PointerType(excinfo_t)
        error = cgutils.alloca_once_value(builder, ir.Constant(excinfo_type, None))
        data, parts = cgutils.pack_struct(builder, [*values, code, error]), values[2]
        function = task(context, builder.module, f"{builder.function.name}.task", data.type)
        signature = ir.FunctionType(ir.VoidType(), [POINTER] * 5 + [WORD] * 3)
        parallel_for = cgutils.get_or_insert_function(builder.module, signature, "numba_parallel_for")
        numbers, how_many, steps = in_memory(WORD(0)), in_memory(parts), in_memory(WORD(1))
        function = builder.bitcast(function, POINTER)
        builder.call(parallel_for, [function, numbers, how_many, steps, in_memory(data), WORD(0), WORD(1), parts])
        failed = context.call_conv._get_return_status(builder, builder.load(code), builder.load(error))
        with builder.if_then(failed.is_error, likely=False):
            context.call_conv.return_status_propagate(builder, failed)
        return context.get_dummy_value()

    return types.void(address, count, parts, arguments), generate


@kernel
def _call_in_parts(address, count, parts, arguments):
    _in_parts(address, count, parts, arguments)


def set_num_threads(threads: int) -> None:
    """Let operations run on `threads` threads; results do not depend on it, to the last bit.

    A process that was forked from one with threads at work stays on one, whatever is asked. Raises ValueError for a
    number outside 1 .. the number of cores (or of `NUMBA_NUM_THREADS`, where that is set).

    >>> set_num_threads(1)
    """
    global _threads
    if not isinstance(threads, (int, np.integer)) or not 1 <= threads <= _most:
        raise ValueError(f"set_num_threads: expected 1 to {_most} threads on this machine, got {threads!r}")
    _threads = int(threads)


def get_num_threads() -> int:
    """On how many threads operations run: at first, on as many as there are cores."""
    return _threads


# What is registered last is acquired first: the turn before the compiler's, as by a kernel that is called first.
hold_while_forking(lambda: global_compiler_lock)
hold_while_forking(lambda: _turn)


def _stay_alone() -> None:
    """A forked process has none of its parent's threads: OpenMP would wait for them for ever."""
    global _alone
    _alone = _alone or numba.np.ufunc.parallel._is_initialized  # by whatever loop of whomever


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_stay_alone)
