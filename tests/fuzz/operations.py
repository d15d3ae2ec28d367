"""Calls of each function of `npstn.functional` and each operator of a Tensor, derived from the samples.

A call starts from a sample of the operation and walks away from it, step by step: another length, another rank, another
option. A step that makes the arguments invalid is taken back, except for the last one now and then. The arrays get any
numbers in any memory layout. `Call.spoil` then spoils one argument of every third call.
"""

from __future__ import annotations

import copy
import inspect
import math
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

import npstn
import npstn.functional as F
from npstn import Tensor
from npstn.gradcheck.samples import Sample, samples
from tests.fuzz.calls import Call
from tests.fuzz.documented import DOCUMENTED
from tests.fuzz.draws import Draws

MAY_SHARE = {"reshape", "transpose", "index", "dropout", "dropout2d"}
STEPS = 12  # at most, from the sample to the call
LARGE = 2**20  # entries of a result: a larger one may be refused for want of memory

SAMPLES: dict[str, list[Sample]] = {}
for sample in samples(network=False):
    SAMPLES.setdefault(sample.operation, []).append(sample)


def call_of_function(d: Draws, name: str) -> Call:
    function = getattr(F, name)
    return drawn_call(d, name, joining(function) if name in ("cat", "stack") else function).spoil(d)


def joining(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function of a list of Tensors as one of several arguments."""
    return lambda *tensors, **options: function(tensors, **options)


def call_of_operator(d: Draws, name: str) -> Call:
    """A call of a Tensor's method; a reflected one, such as `__rsub__`, gets the operands of `__sub__` exchanged."""
    plain = "__" + name.removeprefix("__r")
    reflected = name.startswith("__r") and plain in npstn._OPERATORS
    operation = npstn._OPERATORS[plain if reflected else name].__name__
    methods = {"__getitem__": item, "max": largest}
    call = drawn_call(d, operation, methods.get(name) or getattr(Tensor, name))
    call.method = True
    if operation == "index" and d.chance(20):
        call.arguments[1], call.valid = Tensor([0]), False
    if operation in ("add", "sub", "mul", "div", "pow"):
        if d.chance(3):
            call.arguments[1] = operand(d)
        if not isinstance(call.arguments[1], np.ndarray):
            call.valid = is_number(call.arguments[1])
    if reflected and all(isinstance(x, np.ndarray) for x in call.arguments):
        call.arguments.reverse()
        call.documented = exchanged(call.documented)
    return call.spoil(d)


def item(x: Tensor, key: Any) -> Tensor:
    return x[key]


def largest(x: Tensor, *arguments: Any, **options: Any) -> Tensor:
    found = x.max(*arguments, **options)
    return found if isinstance(found, Tensor) else found.values


def exchanged(shape: Callable[..., tuple] | None) -> Callable[..., tuple] | None:
    return shape and (lambda a, b: shape(b, a))


def operand(d: Draws) -> Any:
    """A number in place of a Tensor, or what is none."""
    numbers = [2, -1, 0, 0.5, 1e300, float("nan"), np.float64(3), np.int8(2), True]
    return d.choice([[1, 2], None, "2", 1j, 10**30]) if d.chance(2) else d.choice(numbers)


def is_number(x: Any) -> bool:
    return isinstance(x, (int, float, np.number)) and np.asarray(x).dtype != object


CALLS: dict[str, Callable[[Draws], Call]] = {
    **{name: lambda d, name=name: call_of_operator(d, name) for name in npstn._OPERATORS},
    **{name: lambda d, name=name: call_of_function(d, name) for name in F.__all__},
}


def drawn_call(d: Draws, operation: str, function: Callable[..., Any]) -> Call:
    """A call with arguments that are drawn anew; most of them are valid."""
    sample, documented, dtype = d.choice(SAMPLES[operation]), DOCUMENTED.get(operation), d.dtype()
    if documented is None:
        arguments = Arguments(sample).with_batch(d.length())
        valid = not d.chance(3)
        arguments = arguments if valid else arguments.step(d)
        expected = arguments.expected_shape() if valid else None
    else:
        arguments, expected = Arguments(sample), None
        for _ in range(d.integer(0, STEPS)):
            after = arguments.step(d)
            arguments = after if after.are_documented(documented) else arguments
        arguments = arguments.step(d) if d.chance(10) else arguments
        valid = arguments.are_documented(documented)
    return Call(
        function,
        arguments.inputs(lambda shape: d.array(shape, dtype), d.choice([np.int64, np.uint8, np.int32])),
        arguments.options_in_full(),
        documented,
        expected,
        valid,
        may_share=operation in MAY_SHARE,
        same_in_any_layout=operation == "linear" or has_kernels(sample),
    )


class Arguments:
    """The shapes, the other inputs and the options of a call; at first those of the sample."""

    def __init__(self, sample: Sample) -> None:
        self.sample = sample
        self.shapes = {k: x.shape for k, x in enumerate(sample.inputs) if isinstance(x, np.ndarray)}
        self.others = {k: x for k, x in enumerate(sample.inputs) if k not in self.shapes}
        self.options = dict(sample.options)

    def changed(self, shapes: Any = (), others: Any = (), options: Any = ()) -> Arguments:
        other = copy.copy(self)
        other.shapes = {k: tuple(shape) for k, shape in {**self.shapes, **dict(shapes)}.items()}
        other.others = {**self.others, **dict(others)}
        other.options = {**self.options, **dict(options)}
        return other

    def inputs(self, array: Callable[[tuple[int, ...]], np.ndarray], label_dtype: Any = np.int64) -> list[Any]:
        """The positional arguments, with these arrays for the Tensors, and labels repeated from the sample."""
        return [
            self.others[k]
            if k in self.others
            else array(self.shapes[k])
            if k in self.sample.arrays
            else np.resize(x, self.shapes[k]).astype(label_dtype)
            for k, x in enumerate(self.sample.inputs)
        ]

    def options_in_full(self) -> dict[str, Any]:
        """The options; one that the sample computes from the inputs is computed from these."""
        blank = self.inputs(np.zeros)
        try:
            return {name: value(*blank) if callable(value) else value for name, value in self.options.items()}
        except TypeError:  # an input has no axes
            return self.sample.options_for(*self.sample.inputs)

    def are_documented(self, documented: Callable[..., tuple]) -> bool:
        try:
            with np.errstate(all="ignore"):
                shape = documented(*self.inputs(np.zeros), **self.options_in_full())
        except Exception:  # noqa: BLE001 - then there is no documented result
            return False
        return math.prod(shape) < LARGE

    def expected_shape(self) -> tuple[int, ...]:
        """The shape of the sample's result, with the batch of these arguments."""
        shape = own_shape(self.sample)
        return (self.shapes[self.sample.batch[0]][0], *shape[1:]) if self.sample.batch and shape else shape

    # --- steps

    def step(self, d: Draws) -> Arguments:
        """Change one thing."""
        steps = [self.with_another_batch, self.with_another_length, self.with_another_axis, self.with_other_ranks]
        steps += [self.with_another_option] * 2 if self.parameters() else []
        steps += [self.with_another_input] if self.others else []
        return d.choice(steps)(d)

    def with_another_batch(self, d: Draws) -> Arguments:
        return self.with_batch(d.length())

    def with_batch(self, B: int) -> Arguments:
        batch = [k for k in self.sample.batch if self.shapes[k]]
        return self.changed({k: (B, *self.shapes[k][1:]) for k in batch})

    def with_another_length(self, d: Draws) -> Arguments:
        """Axes of the same length keep the same length: they may have to."""
        lengths = sorted({n for shape in self.shapes.values() for n in shape})
        if not lengths:
            return self
        before, after = d.choice(lengths), length(d)
        return self.changed({k: [after if n == before else n for n in shape] for k, shape in self.shapes.items()})

    def with_another_axis(self, d: Draws) -> Arguments:
        k = d.choice(list(self.shapes))
        shape = list(self.shapes[k])
        if shape:
            shape[d.integer(0, len(shape) - 1)] = length(d)
        return self.changed({k: shape})

    def with_other_ranks(self, d: Draws) -> Arguments:
        if d.chance(2):  # shapes that broadcast, mostly
            full = d.shape()
            new = {k: [1 if d.chance(4) else n for n in full[d.integer(0, 4) :]] for k in self.shapes}
            return self.changed({k: d.shape() if d.chance(8) else shape for k, shape in new.items()})
        drop, lead, k = d.integer(0, 2), d.shape(0, 2), d.choice(list(self.shapes))
        return self.changed({k: (*lead, *self.shapes[k][drop:])})

    def with_another_option(self, d: Draws) -> Arguments:
        """A value that another sample uses, the default, or a variant of one of these."""
        parameter = d.choice(self.parameters())
        name = parameter.name
        values = [other.options[name] for other in SAMPLES[self.sample.operation] if name in other.options]
        if parameter.default is not parameter.empty:
            values.append(parameter.default)
        value = d.choice(values)
        if callable(value):
            value = self.options_in_full()[name]
        value = variant(d, value) if not d.chance(3) else value
        if isinstance(value, list) and d.chance(3) and all(isinstance(n, int) and n < 2**63 for n in value):
            value = np.array(value)
        return self.changed(options={name: value})

    def with_another_input(self, d: Draws) -> Arguments:
        k = d.choice(list(self.others))
        return self.changed(others={k: variant(d, d.choice([self.others[k], self.sample.inputs[k]]))})

    def parameters(self) -> list[inspect.Parameter]:
        """The parameters of the function that are options."""
        parameters = list(inspect.signature(self.sample.function).parameters.values())
        behind = [p for p in parameters[len(self.sample.inputs) :] if p.kind is not p.VAR_POSITIONAL]
        return behind or [p for p in parameters if p.kind is p.KEYWORD_ONLY]


@cache
def own_shape(sample: Sample) -> tuple[int, ...]:
    """The shape of the sample's result."""
    return sample.fn(*[Tensor(x) if k in sample.arrays else x for k, x in enumerate(sample.inputs)]).shape


def length(d: Draws) -> int:
    return d.choice([0, 1, 1, 2, 3, 4, 5, 6])


def has_kernels(sample: Sample) -> bool:
    """Whether the operation has kernels of its own: they see one layout only, unlike the functions of NumPy."""
    file = sys.modules[sample.function.__module__]
    return any(name.startswith(f"{sample.operation}_") for name in vars(file))


# --- other values


def variant(d: Draws, value: Any) -> Any:
    """Another value of this kind, valid or not."""
    if isinstance(value, bool):
        return d.choice([False, True])
    if isinstance(value, int):
        return whole_number(d, value)
    if isinstance(value, float):
        return d.choice([0, 1, 1.0, value, 1e-30, np.float32(value)])
    if isinstance(value, slice):
        return d.choice([slice(None), slice(None, None, -1), slice(1, -1), slice(-100, 100, 3)])
    if isinstance(value, np.ndarray):
        if value.ndim == 2:  # control points
            return d.choice([value[:2], value[:3], value.tolist(), value[:, :1], value * [1, 0], [[0, 1], [2]]])
        return d.choice([value[:0], value[:1], np.array([-1, 0]), np.array([[0], [1]]), np.arange(3) % 2 == 0])
    if isinstance(value, tuple) and value:
        return variant_of_tuple(d, value)
    return value


def whole_number(d: Draws, n: int) -> Any:
    """Numbers near n, as a caller may write one or two of them, or a huge number."""
    one, other = (d.choice([n, n + 1, n - 1, 0, 1, 2, 3]) for _ in range(2))
    return d.choice([one, one, np.int64(one), (one, one), [one, other], (one, other), (one, other), 2**30, 10**9])


def variant_of_tuple(d: Draws, value: tuple) -> Any:
    entries = [variant_of_entry(d, entry) if d.chance(2) else entry for entry in value]
    if d.chance(8):
        entries.insert(d.integer(0, len(entries)), d.choice([None, Ellipsis, 0, 1, [0, 0]]))
    if d.chance(8):
        del entries[d.integer(0, len(entries) - 1) :]
    if any(isinstance(entry, (slice, np.ndarray)) for entry in entries):
        return tuple(entries)
    return d.choice([tuple, tuple, list])(entries)


def variant_of_entry(d: Draws, entry: Any) -> Any:
    if not isinstance(entry, int) or isinstance(entry, bool):
        return variant(d, entry)
    if d.chance(10):
        return d.choice([-1, 2**31, 2**63, 10**30, 1.5, "2", None])
    return d.choice([entry + 1, entry - 1, 0, 1, 1, 2, 3, np.int64(entry) if entry < 2**63 else entry])
