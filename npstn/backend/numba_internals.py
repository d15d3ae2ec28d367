"""Everything that this package uses of Numba's private parts to run kernels; for what it keeps on disk see numba_cache.

`npstn.backend.parallel` also works without this file.

Kernels run on Numba's threads, but not as its parallel loops. Numba compiles the code in a `prange` loop three times,
in ever larger pieces, which takes 3 to 7 seconds for each kernel here. `run_in_parts` gives the threads the address of
a kernel that is already compiled: 0.2 seconds.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

import llvmlite.binding
import numba
from llvmlite import ir
from numba._dispatcher import compute_fingerprint
from numba.core import cgutils, types
from numba.core.callconv import excinfo_t
from numba.core.compiler_lock import global_compiler_lock
from numba.extending import intrinsic
from numba.np.ufunc import parallel as numba_threads

from npstn.backend.compiler import kernel, signature_of
from npstn.backend.forking import hold_while_forking

WORD, POINTER = ir.IntType(64), ir.IntType(8).as_pointer()
PARALLEL_FOR = "numba_parallel_for"  # the function that runs Numba's own parallel loops

_turn = threading.RLock()
_one_at_a_time: contextlib.AbstractContextManager | None = None  # None until Numba's threads have been started
_addresses: dict[tuple, int] = {}


def is_to_be_compiled(loop: Any, signature: tuple) -> bool:
    """Whether the kernel can be cached and its cache is missing, stale or damaged."""
    cache: Any = getattr(loop, "_cache", None)  # a plain function has none
    return hasattr(cache, "lacks") and cache.lacks(signature, loop.targetctx.codegen())


def threads_have_started() -> bool:
    """Whether Numba's threads have been started in this process, by this package or by another one."""
    return numba_threads._is_initialized


def address_of(loop: Any, arguments: tuple) -> int:
    """Where the machine code of loop(first, end, *arguments) starts. Compiles all that `run_in_parts` needs for it.

    Raises an Exception of any kind where Numba's private parts are not the expected ones.
    """
    key = loop, compute_fingerprint(arguments)  # half a microsecond; numba.typeof takes 90
    return _addresses.get(key) or _addresses.setdefault(key, _prepared(loop, arguments))


def run_in_parts(address: int, count: int, parts: int, arguments: tuple) -> None:
    """Run the kernel at an address on 0 .. count-1, in parts of nearly equal size, each on a thread of Numba's.

    Returns when all parts have ended, and then raises the error of the last part that failed.
    """
    with _one_at_a_time or _start():
        _call_in_parts(address, count, parts, arguments)


def launcher_of(arguments: tuple) -> tuple[Any, tuple]:
    """The kernel with which `run_in_parts` calls another kernel with these arguments, and arguments of its own."""
    _start()  # it cannot be linked before
    return _call_in_parts, (0, 0, 0, arguments)


def _prepared(loop: Any, arguments: tuple) -> int:
    with _turn:  # a fork waits for its end: before, this thread may hold locks of Numba, LLVM and Python's imports
        launcher, given = launcher_of(arguments)
        launcher.compile(signature_of(*given))
        signature = signature_of(0, 0, *arguments)
        loop.compile(signature)
        compiled = loop.overloads[signature]
        return compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)


def _start() -> contextlib.AbstractContextManager:
    """Start Numba's threads; returns what a call must hold while it uses them.

    Without TBB and OpenMP, Numba uses threads of its own, "workqueue". They abort the process if two Python threads use
    them at once.
    """
    global _one_at_a_time
    with _turn, _short_waits():
        numba.get_num_threads()
        if llvmlite.binding.address_of_symbol(PARALLEL_FOR) is None:  # linking would abort the process
            raise RuntimeError(f"expected Numba to have a function {PARALLEL_FOR}, got none")
        _one_at_a_time = _turn if numba.threading_layer() == "workqueue" else contextlib.nullcontext()
        return _one_at_a_time


@contextlib.contextmanager
def _short_waits() -> Iterator[None]:
    """Make the threads of GNU's OpenMP, if it is loaded inside, sleep soon after each loop.

    By default they wait thirty times as long, on a core that another program may need, or the very thread that they
    wait for. Next to one busy program a step of 64 took 144 ms on two threads, 42 with this, and 28 on one.
    """
    ours = not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys()
    if ours:
        os.environ["GOMP_SPINCOUNT"] = "10000"
    try:
        yield
    finally:
        if ours:
            del os.environ["GOMP_SPINCOUNT"]


@intrinsic
def _in_parts(_: Any, address: Any, count: Any, parts: Any, arguments: Any) -> Any:
    """Call the kernel at an address once for each part of 0 .. count-1, with the function that runs Numba's own loops:
    numba_parallel_for(task, numbers, how_many, steps, data, 0, 1, threads).
    """
    argument_types = arguments.types

    def task(context: Any, module: ir.Module, name: str, data_type: ir.Type) -> ir.Function:
        """The function that a thread runs: parts numbers[0] .. numbers[0] + how_many[0] - 1 of the data."""
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
            builder.store(status.excinfoptr, error)  # the last part that fails leaves its error
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
        parallel_for = cgutils.get_or_insert_function(builder.module, signature, PARALLEL_FOR)
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


# The lock that is registered last is acquired first: the turn before the compiler's, as in a first call of a kernel.
hold_while_forking(lambda: global_compiler_lock)
hold_while_forking(lambda: _turn)
