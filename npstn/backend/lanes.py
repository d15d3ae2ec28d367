"""Lanes: several neighbouring numbers of an array in one vector register, for kernels that must stay there.

A compiler keeps the single numbers of an inner loop in registers. A product of matrices is fast if a whole tile of the
result stays there, and a loop over single numbers cannot say so. So kernels have a type of their own: `lanes(x, p)`
are the N numbers x[p], ..., x[p + N - 1], and an operation acts on each of them. Lanes are 64 bytes where a processor
computes with such registers in one piece (AVX-512): 16 numbers of float32, or 8 of float64. Elsewhere they are 32
bytes, a register of AVX2, and processors with shorter registers take two for one. Short lanes are 32 bytes everywhere.

Each function stands here twice: the instructions of LLVM that kernels get, and below them plain Python, which runs
where Numba is switched off. With NUMBA_BOUNDSCHECK=1 the instructions, too, raise IndexError outside of the array. They
need what Numba documents for extensions, with `numba.core.cgutils`: the oldest and the newest Numba are tested. Its
cache on disk does not see a change of this file: after one, touch the files of the kernels that use it.
Source: https://numba.readthedocs.io/en/stable/extending/low-level.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

SHORT_BYTES = 32  # bytes of short lanes


def register_bytes() -> int:
    """The bytes of lanes that suit the processor that Numba compiles for: they follow from its name and features."""
    config: Any = numba.config
    processor, features = config.CPU_NAME or binding.get_host_cpu_name(), config.CPU_FEATURES
    if features is None:  # neither NUMBA_CPU_FEATURES nor NUMBA_CPU_NAME=generic
        try:
            features = binding.get_host_cpu_features().flatten()
        except RuntimeError:  # LLVM knows none of this kind of processor
            features = ""
    # A Zen 4 computes with such registers in two halves, and nothing is gained. An LLVM older than it may take it for
    # a Zen 3, which has none.
    wide = "+avx512f" in features.split(",") and config.ENABLE_AVX and processor not in ("znver3", "znver4")
    return 64 if wide else SHORT_BYTES


BYTES = register_bytes()
WORD, PLACE = ir.IntType(64), ir.IntType(32)


class Lanes(types.Type):
    """The type of lanes in kernels."""

    def __init__(self, dtype: Any, length: int) -> None:
        self.dtype, self.count = dtype, length * 8 // dtype.bitwidth
        super().__init__(name=f"Lanes({dtype}, {length})")


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Lanes) -> None:
        number = manager.lookup(kind.dtype).get_value_type()
        super().__init__(manager, kind, ir.VectorType(number, kind.count))


def in_kernels(instructions: Callable[..., Any]) -> Callable[[Any], Any]:
    """Decorate a function in plain Python: in kernels these instructions take its place."""
    jit = not numba.config.DISABLE_JIT  # type: ignore[attr-defined]
    return lambda plain: intrinsic(instructions) if jit else plain


def _address(context: Any, builder: Any, kind: Any, place: Any, vector: ir.Type, count: ir.Value) -> ir.Value:
    """The address of a place, an array of this kind and an index; of the vector there, `count` numbers are used."""
    x, p = place
    array = cgutils.create_struct_proxy(kind)(context, builder, x)
    if context.enable_boundscheck:
        ends = p, builder.add(p, count)  # where nothing is asked for, they may be the end of the array
        outside = builder.or_(*(builder.icmp_unsigned(">", end, array.nitems) for end in ends))
        with builder.if_then(outside, likely=False):
            context.call_conv.return_user_exc(builder, IndexError, ("lanes are out of bounds",))
    return builder.bitcast(builder.gep(array.data, [p]), vector.as_pointer())


def _same(builder: Any, number: ir.Value, vector: ir.Type) -> ir.Value:
    """A vector of the same number."""
    nothing, places = ir.Constant(vector, ir.Undefined), ir.VectorType(PLACE, vector.count)
    return builder.shuffle_vector(
        builder.insert_element(nothing, number, PLACE(0)), nothing, ir.Constant(places, [0] * vector.count)
    )


def _call(builder: Any, name: str, result: ir.Type, *values: ir.Value) -> ir.Value:
    """Call a function of LLVM."""
    function = ir.FunctionType(result, [value.type for value in values])
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), values)


def _lane_count(length: int) -> Any:  # known when the kernel is compiled
    return lambda _, x: (types.int64(x), lambda *_: WORD(Lanes(x.dtype, length).count))


@in_kernels(_lane_count(BYTES))
def lane_count(x: np.ndarray) -> int:
    """N for an array of this dtype."""
    return BYTES // x.itemsize


@in_kernels(_lane_count(SHORT_BYTES))
def short_count(x: np.ndarray) -> int:
    """N of short lanes."""
    return SHORT_BYTES // x.itemsize


def _lanes(length: int = 0, count: int = 0) -> Any:
    def instructions(_: Any, x: Any, p: Any) -> Any:
        kind = Lanes(x.dtype, length or count * x.dtype.bitwidth // 8)

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            vector = context.get_value_type(kind)
            address = _address(context, builder, signature.args[0], values, vector, WORD(kind.count))
            return builder.load(address, align=x.dtype.bitwidth // 8)

        return kind(x, types.intp), generate

    return instructions


@in_kernels(_lanes(BYTES))
def lanes(x: np.ndarray, p: int) -> np.ndarray:
    """The numbers x[p], ..., x[p + N - 1] of a contiguous array (n)."""
    return _checked(x, p, lane_count(x))


@in_kernels(_lanes(SHORT_BYTES))
def short_lanes(x: np.ndarray, p: int) -> np.ndarray:
    """The same, as short lanes."""
    return _checked(x, p, short_count(x))


@in_kernels(_lanes(count=2))
def pair(x: np.ndarray, p: int) -> np.ndarray:
    """The numbers x[p] and x[p + 1], as lanes."""
    return _checked(x, p, 2)


@in_kernels(_lanes(count=4))
def four(x: np.ndarray, p: int) -> np.ndarray:
    """The numbers x[p], ..., x[p + 3], as lanes."""
    return _checked(x, p, 4)


def _checked(x: np.ndarray, p: int, count: int) -> np.ndarray:
    """A copy of the numbers x[p], ..., x[p + count - 1]."""
    if not 0 <= p <= len(x) - count:
        raise IndexError("lanes are out of bounds")
    return x[p : p + count].copy()


def _first_lanes(_: Any, x: Any, p: Any, count: Any) -> Any:
    kind = Lanes(x.dtype, BYTES)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        vector, places = context.get_value_type(kind), ir.VectorType(WORD, kind.count)
        address = _address(context, builder, signature.args[0], values[:2], vector, values[2])
        there = builder.icmp_signed(
            "<", ir.Constant(places, list(range(kind.count))), _same(builder, values[2], places)
        )
        name = f"llvm.masked.load.v{kind.count}f{x.dtype.bitwidth}.p0"
        return _call(builder, name, vector, address, PLACE(x.dtype.bitwidth // 8), there, ir.Constant(vector, None))

    return kind(x, types.intp, types.intp), generate


@in_kernels(_first_lanes)
def first_lanes(x: np.ndarray, p: int, count: int) -> np.ndarray:
    """The numbers x[p], ..., x[p + count - 1], and zeros behind them: where fewer than N are left."""
    return np.concatenate([_checked(x, p, count), np.zeros(lane_count(x) - count, x.dtype)])


def _put(_: Any, x: Any, p: Any, v: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        vector = context.get_value_type(v)
        address = _address(context, builder, signature.args[0], values[:2], vector, WORD(v.count))
        builder.store(values[2], address, align=x.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(x, types.intp, v), generate


@in_kernels(_put)
def put(x: np.ndarray, p: int, v: np.ndarray) -> None:
    """x[p], ..., x[p + N - 1] = v."""
    if not 0 <= p <= len(x) - len(v):
        raise IndexError("lanes are out of bounds")
    x[p : p + len(v)] = v


def _every(length: int = 0, count: int = 0) -> Any:
    def instructions(_: Any, number: Any) -> Any:
        kind = Lanes(number, length or count * number.bitwidth // 8)
        return kind(number), lambda context, builder, _, values: _same(builder, values[0], context.get_value_type(kind))

    return instructions


@in_kernels(_every(BYTES))
def every(number: Any) -> np.ndarray:
    """N times the same number, of a NumPy dtype."""
    return np.full(BYTES // number.itemsize, number)


@in_kernels(_every(SHORT_BYTES))
def short_every(number: Any) -> np.ndarray:
    """The same, as short lanes."""
    return np.full(SHORT_BYTES // number.itemsize, number)


@in_kernels(_every(count=4))
def four_times(number: Any) -> np.ndarray:
    """Four times the same number, as lanes."""
    return np.full(4, number)


def _add_product(_: Any, v: Any, a: Any, b: Any) -> Any:
    def generate(context: Any, builder: Any, _: Any, values: Any) -> Any:
        name = f"llvm.fmuladd.v{v.count}f{v.dtype.bitwidth}"
        return _call(builder, name, context.get_value_type(v), values[1], values[2], values[0])

    return v(v, v, v), generate


@in_kernels(_add_product)
@np.errstate(all="ignore")  # as the instructions do; some lanes of a tile hold what happens to be in memory
def add_product(v: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """v + a b, lane by lane; rounded once, where the processor can."""
    return v + a * b


def _plus(_: Any, v: Any, w: Any) -> Any:
    add = "fadd" if isinstance(v.dtype, types.Float) else "add"
    return v(v, v), lambda _context, builder, _, values: getattr(builder, add)(*values)


@in_kernels(_plus)
@np.errstate(all="ignore")  # as the instructions do
def plus(v: np.ndarray, w: np.ndarray) -> np.ndarray:
    """v + w, lane by lane."""
    return v + w


def _transposed(_: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        def alternate(v: ir.Value, w: ir.Value) -> Any:  # v[0], w[0], v[1], w[1] and v[2], w[2], v[3], w[3]
            for places in ([0, 4, 1, 5], [2, 6, 3, 7]):
                yield builder.shuffle_vector(v, w, ir.Constant(ir.VectorType(PLACE, 4), places))

        (ac0, ac1), (bd0, bd1) = alternate(values[0], values[2]), alternate(values[1], values[3])
        columns = *alternate(ac0, bd0), *alternate(ac1, bd1)
        return context.make_tuple(builder, signature.return_type, columns)

    return types.UniTuple(a, 4)(a, b, c, d), generate


@in_kernels(_transposed)
def transposed(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> tuple:
    """The columns of a matrix with these four rows, of four numbers each."""
    return tuple(np.stack([a, b, c, d]).T)


def _not_zero(_: Any, v: Any) -> Any:
    def generate(context: Any, builder: Any, _: Any, values: Any) -> Any:
        flags = builder.fcmp_unordered("!=", values[0], ir.Constant(context.get_value_type(v), None))
        return builder.zext(builder.bitcast(flags, ir.IntType(v.count)), WORD)

    return types.int64(v), generate


@in_kernels(_not_zero)
def not_zero(v: np.ndarray) -> int:
    """Which lanes are not zero, as an integer: its bit n for lane n. NaN is not zero."""
    return sum(1 << n for n, number in enumerate(v) if number != 0)


def _total(_: Any, v: Any) -> Any:
    def generate(_context: Any, builder: Any, _: Any, values: Any) -> Any:
        vector, count = values[0], v.count
        while count > 1:
            count //= 2
            nothing, places = ir.Constant(vector.type, ir.Undefined), ir.VectorType(PLACE, count)
            halves = (ir.Constant(places, list(range(first, first + count))) for first in (0, count))
            vector = builder.fadd(*(builder.shuffle_vector(vector, nothing, half) for half in halves))
        return builder.extract_element(vector, PLACE(0))

    return v.dtype(v), generate


@in_kernels(_total)
def total(v: np.ndarray) -> Any:
    """The sum of the lanes: one half is added to the other, until one number is left."""
    while len(v) > 1:
        v = v[: len(v) // 2] + v[len(v) // 2 :]
    return v[0]
