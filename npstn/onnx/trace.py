"""From a network to a graph: the network runs, and each operation that it applies adds its nodes.

A run shows which operation read which result, and nothing else is asked of a network: any module of the library's
operations can be written. What a run does not show is what would change with other images. So the network runs twice,
on two images and on three others, and the two lists of steps are read side by side:

    - a tensor that came from the images in both runs is a value that flows between nodes;
    - a number or an array that is the same in both is a constant;
    - a length that is not the same follows from the number of images, which the graph leaves open;
    - an array of one row for each image, all rows the same, is a constant that is repeated;
    - anything else that differs is known for this run alone, and is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from npstn.autograd import Step, Tensor, no_grad, watch_steps
from npstn.nn import Module
from npstn.onnx.graph import INPUT, OUTPUT, ExportError, Graph, Table, Value, Varies

COUNTS = 2, 3  # images in the two runs


def trace(net: Module, image: tuple[int, ...], nodes: Table) -> tuple[Graph, Value]:
    """The graph of a network in evaluation, and its output.

    Args:
        net: from a tensor (B, *image) to one of (B, ...).
        image: the shape of one input, (C, H, W) of an image.
        nodes: of each operation that may be met.

    Raises ExportError for an operation that `nodes` lacks, and for what depends on the images in another way than
    through operations.
    """
    weights = {name: parameter.data for name, parameter in net.named_parameters()}
    dtype = next((array.dtype for array in weights.values()), np.dtype(np.float32))
    rng = np.random.default_rng(0)
    batches = [Tensor(rng.random((B, *image)).astype(dtype)) for B in COUNTS]
    runs = [_run(net, batch) for batch in batches]
    graph = Graph(weights)
    known = {_key(*batches): _never_empty(graph, image)}
    (steps, result), (other_steps, other_result) = runs
    if [(step.function, len(step.inputs)) for step in steps] != [(s.function, len(s.inputs)) for s in other_steps]:
        raise ExportError("onnx.save: expected a network that takes the same steps for all images, got others for some")
    for first, second in zip(steps, other_steps, strict=True):
        graph.operation = first.function.name
        inputs = [_input(graph, known, *pair) for pair in zip(first.inputs, second.inputs, strict=True)]
        if not any(isinstance(x, Value) for x in inputs):
            continue  # of constants alone: what comes out is a constant, too
        if first.function not in nodes:
            owner = first.function.__name__
            raise graph.refusal("an operation with nodes", f"none; write a function that adds them as NODES[{owner}]")
        name = nodes[first.function](graph, *inputs)
        known[_key(first.result, second.result)] = Value(name, _shape(first.result, second.result))
    graph.operation = OUTPUT
    if _key(result, other_result) not in known:
        raise graph.refusal("a Tensor that was computed from the images", type(result).__name__)
    return graph, _as_many(graph, known[_key(result, other_result)])


def _run(net: Module, batch: Tensor) -> tuple[list[Step], Any]:
    """The steps of the network on a batch, and what it gives. Dropout is off; afterwards it is as it was."""
    training = {module: module.training for module in net.modules()}
    try:
        with no_grad(), watch_steps() as steps:
            return steps, net.eval()(batch)
    finally:
        for module, was in training.items():
            module.training = was


def _key(first: Any, second: Any) -> tuple[int, int]:
    """By what a tensor of both runs is known: its arrays. Also where the network detached it, or took its array."""
    return id(_data(first)), id(_data(second))


def _data(x: Any) -> Any:
    return x.data if isinstance(x, Tensor) else x


def _shape(first: Tensor, second: Tensor) -> tuple[int | None, ...]:
    return tuple(n if n == m else None for n, m in zip(first.shape, second.shape, strict=True))


def _input(graph: Graph, known: Mapping[tuple[int, int], Value], first: Any, second: Any) -> Any:
    """An input of an operation: a Value, a constant, or what Varies; of a tuple, a tuple of these."""
    if _key(first, second) in known:
        return known[_key(first, second)]
    if isinstance(first, (tuple, list)) and isinstance(second, (tuple, list)) and len(first) == len(second):
        return tuple(_input(graph, known, *pair) for pair in zip(first, second, strict=True))
    x, y = _data(first), _data(second)
    if not (isinstance(x, np.ndarray) and isinstance(y, np.ndarray)):
        return x if type(x) is type(y) and x == y else Varies(x, y)
    if x is y or np.array_equal(x, y, equal_nan=x.dtype.kind == "f"):
        return x
    if x.dtype.kind != "f":
        return Varies(x, y)
    if (x.shape[:1], y.shape[:1]) == tuple((B,) for B in COUNTS) and all((rows == x[:1]).all() for rows in (x, y)):
        size = graph.node("Concat", "count", list(x.shape[1:]), axis=0)
        return Value(graph.node("Expand", x[:1], size), (None, *x.shape[1:]))
    return graph.fixed("constants", Varies(x, y))


def _never_empty(graph: Graph, image: tuple[int, ...]) -> Value:
    """The images, or a blank one in place of none: not every engine has every operator for an empty batch.

    The nodes "batch" and "count" are the number of images before and after.
    """
    graph.operation = "input"
    graph.node("Shape", INPUT, start=0, end=1, output="batch")
    graph.node("Max", "batch", [1], output="count")
    more = graph.node("Concat", INPUT, np.zeros((1, *image), np.float32), axis=0)
    return Value(graph.node("Slice", more, [0], "count", [0]), (None, *image))


def _as_many(graph: Graph, result: Value) -> Value:
    """As many rows of the result as there are images."""
    if not result.shape or result.shape[0] is not None:
        raise graph.refusal("a row for each image", f"a tensor of shape {result.shape}")
    return Value(graph.node("Slice", result, [0], "batch", [0], output=OUTPUT), result.shape)
