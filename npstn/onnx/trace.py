"""From a network to a graph: the network runs, and each operation that it applies adds its nodes.

A run shows which operation read which result, and nothing else is asked of a network: any module of the library's
operations can be written. What a run does not show is what would change with other images. So the network runs on
several batches, of one image and of many, of noise, of black, of large numbers. Their lists of steps are read side by
side:

    - a tensor that came from the images in all runs is a value that flows between nodes;
    - a number or an array that is the same in all is a constant;
    - a length that is not the same follows from the number of images, which the graph leaves open;
    - an array of one row for each image, all rows the same, is a constant that is repeated;
    - anything else that differs is known for one run alone, and is refused.

Steps of constants alone are left out: a network may make a grid once and keep it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from npstn.autograd import Function, Step, Tensor, no_grad, watch_steps
from npstn.nn import Module
from npstn.onnx.graph import BATCH, COUNT, INPUT, OUTPUT, ExportError, Graph, Table, Value, Varies, parts_of

MANY, FEWER = 72, 4  # images in the last run: more than a network might take at once, unless they are large
LARGE = 2**13  # numbers in an image


def batches(image: tuple[int, ...], dtype: np.dtype) -> list[np.ndarray]:
    """The images of the runs: dim like digits, black, of either sign and not small, and all of these in one batch."""
    rng = np.random.default_rng(0)
    counts = 2, 1, 3, MANY if math.prod(image) < LARGE else FEWER
    dim, black, large, mixed = (rng.random((B, *image)) for B in counts)
    mixed[::3] *= 0
    mixed[1::3] *= 300
    mixed[2] -= 200
    return [x.astype(dtype) for x in (dim**4, 0 * black, 20 * large - 10, mixed)]


def trace(net: Module, image: tuple[int, ...], nodes: Table) -> tuple[Graph, Value]:
    """The graph of a network in evaluation, and its output.

    Args:
        net: from a tensor (B, *image) to one of (B, ...).
        image: the shape of one input, (C, H, W) of an image.
        nodes: of each operation that may be met.

    Raises ExportError for an operation that `nodes` lacks, and for what depends on the images in another way than
    through operations.
    """
    dtype = next((parameter.dtype for parameter in net.parameters()), np.dtype(np.float32))
    given = [Tensor(images) for images in batches(image, dtype)]
    with _unchanged(net):
        runs = [_run(net, batch) for batch in given]
    if len({tuple((step.function, len(step.inputs)) for step in steps) for steps, _ in runs}) > 1:
        raise ExportError("onnx.save: expected a network that takes the same steps for all images, got others for some")
    graph = Graph({name: parameter._array for name, parameter in net.named_parameters()})
    known = {_key(given): _never_empty(graph, [batch.shape for batch in given])}
    for steps in zip(*(steps for steps, _ in runs), strict=True):
        function = steps[0].function
        graph.operation = function.name
        inputs = [_input(graph, known, given, x) for x in zip(*(step.inputs for step in steps), strict=True)]
        if function not in nodes:
            expected = f"none; write a function that adds them as NODES[{function.__name__}]"
            raise graph.refusal("an operation with nodes", expected)
        name = nodes[function](graph, *inputs)
        if not isinstance(name, str):
            raise graph.refusal("the function in NODES to return the name of a node", name)
        results = [step.result for step in steps]
        known[_key(results)] = Value(name, tuple(result.shape for result in results))
    graph.operation = OUTPUT
    results = [result for _, result in runs]
    if _key(results) not in known:
        got = "one that was not" if isinstance(results[0], Tensor) else type(results[0]).__name__
        raise graph.refusal("a Tensor that operations computed from the images", got)
    output = _as_many(graph, known[_key(results)], given)
    for steps, _ in runs:  # after all runs, as a run may change what others have read
        _replay(steps)
    return graph, output


@contextlib.contextmanager
def _unchanged(net: Module) -> Iterator[None]:
    """Afterwards the parameters are what they were. Raises ExportError where one was changed."""
    before = [(name, p, p._array, p._array.copy()) for name, p in net.named_parameters()]
    changed = []
    try:
        yield
    finally:
        for name, parameter, array, numbers in before:
            if parameter._array is not array or not _same(array, numbers):
                changed.append(name)
                parameter._array, array[...] = array, numbers
    if changed:
        expected = "expected a network that leaves its parameters as they are"
        raise ExportError(f"onnx.save: {expected}, got one that changes {changed[0]}")


def _run(net: Module, batch: Tensor) -> tuple[list[Step], Any]:
    """The steps of the network that its images go through, and what it gives. Dropout is off, and then as it was."""
    training = {module: module.training for module in net.modules()}
    images, before = batch._array, batch._array.copy()
    try:
        with no_grad(), np.errstate(all="ignore"), watch_steps() as all_steps:
            result = net.eval()(batch)
    except Exception as error:
        expected = f"expected a network for images of shape {batch.shape}"
        raise ExportError(f"onnx.save: {expected}, got one that raises {type(error).__name__}: {error}") from error
    finally:
        for module, was in training.items():
            module.training = was
    if batch._array is not images or not _same(images, before):
        expected = "expected a network that leaves the images as they are"
        raise ExportError(f"onnx.save: {expected}, got one that writes to them")
    steps, from_images = [], {id(images)}
    for step in all_steps:
        if any(id(_data(x)) in from_images for x in parts_of(step.inputs)):
            steps.append(step)
            from_images.add(id(step.result._array))
    return steps, result


def _replay(steps: list[Step]) -> None:
    """Raise ExportError where a step would not give again what it gave."""
    for function, inputs, result in steps:
        with no_grad(), np.errstate(all="ignore"):
            again = Function.apply.__func__(function, *inputs)  # type: ignore[attr-defined]  # not one of its own
        if not _same(again._array, result._array):
            got = "others: something wrote to an array, or it is random"
            raise ExportError(f"onnx.save: {function.name}: expected the same numbers when it is repeated, got {got}")


def _same(x: np.ndarray, y: np.ndarray) -> bool:
    return np.array_equal(x, y, equal_nan=x.dtype.kind == "f")


def _key(of_runs: Sequence[Any]) -> tuple[int, ...]:
    """By what a tensor of all runs is known: its arrays. Also where the network detached it, or took its array."""
    return tuple(id(_data(x)) for x in of_runs)


def _data(x: Any) -> Any:
    return x._array if isinstance(x, Tensor) else x


def _input(
    graph: Graph, known: Mapping[tuple[int, ...], Value], given: Sequence[Tensor], of_runs: Sequence[Any]
) -> Any:
    """An input of an operation: a Value, a constant, or what Varies; of a tuple or a list, one of these."""
    if _key(of_runs) in known:
        return known[_key(of_runs)]
    if all(isinstance(x, (tuple, list)) for x in of_runs) and len({len(x) for x in of_runs}) == 1:
        parts = [_input(graph, known, given, parts) for parts in zip(*of_runs, strict=True)]
        return parts if isinstance(of_runs[0], list) else tuple(parts)
    first, *others = arrays = [_data(x) for x in of_runs]
    if not all(isinstance(x, np.ndarray) for x in arrays):
        alike = all(type(x) is type(first) and (x == first or x != x and first != first) for x in others)  # NaN
        return first if alike else Varies(tuple(arrays))
    if all(x is first or _same(x, first) for x in others):
        return first
    if any(x.dtype.kind != "f" for x in arrays):
        return Varies(tuple(arrays))
    rows = [(len(batch), *first.shape[1:]) for batch in given]
    if all(x.shape == row and _same(x, np.broadcast_to(first[:1], row)) for x, row in zip(arrays, rows, strict=True)):
        size = graph.node("Concat", COUNT, list(first.shape[1:]), axis=0)
        return Value(graph.node("Expand", first[:1], size), tuple(x.shape for x in arrays))
    raise graph.varying("constants")


def _never_empty(graph: Graph, shapes: Sequence[tuple[int, ...]]) -> Value:
    """The images, or a blank one in place of none: not every engine has every operator for an empty batch.

    The nodes BATCH and COUNT are the number of images before and after.
    """
    graph.operation = "input"
    graph.node("Shape", INPUT, start=0, end=1, output=BATCH)
    graph.node("Max", BATCH, [1], output=COUNT)
    more = graph.node("Concat", INPUT, np.zeros((1, *shapes[0][1:]), np.float32), axis=0)
    return Value(graph.node("Slice", more, [0], COUNT, [0]), tuple(shapes))


def _as_many(graph: Graph, result: Value, given: Sequence[Tensor]) -> Value:
    """As many rows of the result as there are images."""
    for batch, shape in zip(given, result.shapes, strict=True):
        if shape[:1] != batch.shape[:1]:
            raise graph.refusal("a row for each image", f"a tensor of shape {shape} for {len(batch)} images")
    return Value(graph.node("Slice", result, [0], BATCH, [0], output=OUTPUT), result.shapes)
