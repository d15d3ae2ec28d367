"""Nodes of the operations that sum, pick and rearrange elements.

| npstn              | ONNX                                                                                      |
|--------------------|-------------------------------------------------------------------------------------------|
| sum                | ReduceSum                                                                                 |
| max                | ReduceMax                                                                                 |
| reshape            | Reshape, with 0, "as in the input", or -1, "the rest", for the axis of the batch          |
| transpose          | Transpose, with the places of all axes                                                    |
| x[...]             | Slice for slices, Gather for an integer or a list of them, Unsqueeze for None             |
| cat                | Concat                                                                                    |
| stack              | Unsqueeze each, then Concat                                                               |
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npstn.onnx.graph import Graph, Table, Value, Varies
from npstn.ops.joining import Cat, Stack
from npstn.ops.maximum import MaxAlongAxis, MaxOfAll
from npstn.ops.shaping import Index, Reshape, Sum, Transpose

END = np.iinfo(np.int64).max  # of a slice that goes on to the end, as ONNX writes it; its negative is before the start


def sum_(graph: Graph, x: Value, dim: Any, keepdim: bool) -> str:
    dim = tuple(range(x.ndim)) if dim is None else graph.fixed("axes", dim)
    axes = list(dim) if isinstance(dim, tuple) else [dim]
    return graph.node("ReduceSum", x, axes, keepdims=int(keepdim), noop_with_empty_axes=1)


def max_of_all(graph: Graph, x: Value) -> str:
    return graph.node("ReduceMax", x, keepdims=0)


def max_along(graph: Graph, x: Value, indices: Any, dim: int) -> str:
    return graph.node("ReduceMax", x, [dim], keepdims=1)


def reshape(graph: Graph, x: Value, shape: Any) -> str:
    asked = shape if isinstance(shape, tuple) else (shape,)
    of_runs = []
    for run, before in enumerate(x.shapes):
        lengths = [length.values[run] if isinstance(length, Varies) else length for length in asked]
        of_runs.append(np.empty(before, bool).reshape(lengths).shape)
    written = []
    for axis, lengths_of_axis in enumerate(zip(*of_runs, strict=True)):
        if len(set(lengths_of_axis)) == 1:
            written.append(lengths_of_axis[0])
        else:  # it is that of the input in every run, or the rest
            as_in_input = axis < x.ndim and all(x.shapes[run][axis] == n for run, n in enumerate(lengths_of_axis))
            written.append(0 if as_in_input else -1)
    if 0 in np.array(of_runs):
        raise graph.refusal("lengths of at least 1", of_runs[0])  # 0 means another thing in ONNX
    if written.count(-1) > 1:
        raise graph.refusal("at most one length that is left open", "two")
    return graph.node("Reshape", x, written)


def transpose(graph: Graph, x: Value, dim0: int, dim1: int) -> str:
    perm = list(range(x.ndim))
    perm[dim0], perm[dim1] = perm[dim1], perm[dim0]
    return graph.node("Transpose", x, perm=perm)


def index(graph: Graph, x: Value, index: Any) -> str:
    """Axis by axis: first what keeps the axes, then the integers, which take theirs away, then the new ones."""
    entries = list(graph.fixed("indices", index)) if isinstance(index, tuple) else [graph.fixed("indices", index)]
    used = sum(entry is not None and entry is not Ellipsis for entry in entries)
    if not any(entry is Ellipsis for entry in entries):
        entries.append(Ellipsis)
    at = next(k for k, entry in enumerate(entries) if entry is Ellipsis)
    entries[at : at + 1] = [slice(None)] * (x.ndim - used)
    name, axis = x.name, 0  # axis: of the input
    taken: list[int] = []
    new: list[int] = []
    arrays = 0
    for entry in entries:
        if entry is None:
            new.append(axis - len(taken) + len(new))
            continue
        if isinstance(entry, slice):
            if entry != slice(None):
                start, stop, step = _ends(graph, entry, x.shape[axis])
                name = graph.node("Slice", name, [start], [stop], [axis], [step])
        else:
            places = np.asarray(entry)
            if places.dtype == bool and places.ndim == 1:
                places = np.flatnonzero(places)
            if not places.size:
                places = places.astype(np.int64)  # an empty list has no type
            arrays += places.ndim
            if places.dtype.kind not in "iu" or places.ndim > 1 or arrays > 1:
                raise graph.refusal("slices, integers, and one list of integers or booleans", repr(entry))
            if not places.ndim:
                taken.append(axis)
            name = graph.node("Gather", name, places.reshape(-1), axis=axis)
        axis += 1
    if arrays and taken:
        raise graph.refusal("integers or a list of integers", "both")  # NumPy may then move the axis to the front
    if taken:
        name = graph.node("Squeeze", name, taken)
    if new:
        name = graph.node("Unsqueeze", name, new)
    return name


def _ends(graph: Graph, entry: slice, length: int | None) -> tuple[int, int, int]:
    """Start, stop and step of a slice as ONNX counts, which has no place before the first element."""
    step = 1 if entry.step is None else entry.step
    if length is None:
        start = (0 if step > 0 else END) if entry.start is None else entry.start
        stop = (END if step > 0 else -END) if entry.stop is None else entry.stop
        if step < 0 and start < 0:
            raise graph.refusal("a slice of the images that goes backwards from a place counted from the front", entry)
        return start, stop, step
    start, stop, step = entry.indices(length)
    if start < 0:
        return 0, 0, 1  # backwards from before the first: nothing
    return start, stop if stop >= 0 else -END, step


def cat(graph: Graph, dim: int, *xs: Any) -> str:
    return graph.node("Concat", *xs, axis=dim)


def stack(graph: Graph, dim: int, *xs: Any) -> str:
    return graph.node("Concat", *[graph.node("Unsqueeze", x, [dim]) for x in xs], axis=dim)


SHAPING: Table = {
    Sum: sum_,
    MaxOfAll: max_of_all,
    MaxAlongAxis: max_along,
    Reshape: reshape,
    Transpose: transpose,
    Index: index,
    Cat: cat,
    Stack: stack,
}
