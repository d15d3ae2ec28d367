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

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from npstn.autograd import Step, Tensor, no_grad, watch_steps
from npstn.nn import Module
from npstn.onnx.graph import BATCH, COUNT, INPUT, OUTPUT, ExportError, Graph, Table, Value, Varies

COUNTS = 2, 1, 3, 70  # images in the runs; the first has no more than others, and all are unlike


def batches(image: tuple[int, ...], dtype: np.dtype) -> list[np.ndarray]:
    """The images of the runs: noise, black, noise of either sign that is not small, and all of these in one batch."""
    rng = np.random.default_rng(0)
    noise, black, large, mixed = (rng.random((B, *image)) for B in COUNTS)
    mixed[::3] *= 0
    mixed[1::3] *= 300
    mixed[2] -= 200
    return [x.astype(dtype) for x in (noise, 0 * black, 20 * large - 10, mixed)]


def trace(net: Module, image: tuple[int, ...], nodes: Table) -> tuple[Graph, Value]:
    """The graph of a network in evaluation, and its output.

    Args:
        net: from a tensor (B, *image) to one of (B, ...).
        image: the shape of one input, (C, H, W) of an image.
        nodes: of each operation that may be met.

    Raises ExportError for an operation that `nodes` lacks, and for what depends on the images in another way than
    through operations.
    """
    weights = {name: parameter._array for name, parameter in net.named_parameters()}
    before = {name: array.copy() for name, array in weights.items()}
    dtype = next((array.dtype for array in weights.values()), np.dtype(np.float32))
    given = [Tensor(images) for images in batches(image, dtype)]
    runs = [_run(net, batch) for batch in given]
    for name, array in weights.items():
        if not _same(array, before[name]):
            array[...] = before[name]
            expected = "expected a network that leaves its parameters as they are"
            raise ExportError(f"onnx.save: {expected}, got one that changes {name}")
    if len({tuple((step.function, len(step.inputs)) for step in steps) for steps, _ in runs}) > 1:
        raise ExportError("onnx.save: expected a network that takes the same steps for all images, got others for some")
    graph = Graph(weights)
    known = {_key(given): _never_empty(graph, image)}
    for steps in zip(*(steps for steps, _ in runs), strict=True):
        function = steps[0].function
        graph.operation = function.name
        inputs = [_input(graph, known, x) for x in zip(*(step.inputs for step in steps), strict=True)]
        if not any(isinstance(x, Value) for x in _parts(inputs)):
            continue  # of constants that are repeated: what comes out is one, too
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
        raise graph.refusal("a Tensor that was computed from the images", type(results[0]).__name__)
    output = _as_many(graph, known[_key(results)])
    for steps, _ in runs:  # after all runs, as a run may change what others have read
        _replay(steps)
    return graph, output


def _run(net: Module, batch: Tensor) -> tuple[list[Step], Any]:
    """The steps of the network that its images go through, and what it gives. Dropout is off, and then as it was."""
    training = {module: module.training for module in net.modules()}
    images, before = batch._array, batch._array.copy()
    try:
        with no_grad(), np.errstate(all="ignore"), watch_steps() as all_steps:
            result = net.eval()(batch)
    finally:
        for module, was in training.items():
            module.training = was
    if batch._array is not images or not _same(images, before):
        expected = "expected a network that leaves the images as they are"
        raise ExportError(f"onnx.save: {expected}, got one that writes to them")
    steps, from_images = [], {id(images)}
    for step in all_steps:
        if any(id(_data(x)) in from_images for x in _parts(step.inputs)):
            steps.append(step)
            from_images.add(id(step.result._array))
    return steps, result


def _replay(steps: list[Step]) -> None:
    """Raise ExportError where a step would not give again what it gave: somebody wrote to an array."""
    for function, inputs, result in steps:
        with no_grad(), np.errstate(all="ignore"):
            again = function.apply(*inputs)._array
        if not _same(again, result._array):
            expected = "expected arrays that nobody writes to"
            raise ExportError(f"onnx.save: {function.name}: {expected}, got numbers that changed after the step")


def _same(x: np.ndarray, y: np.ndarray) -> bool:
    return np.array_equal(x, y, equal_nan=x.dtype.kind == "f")


def _parts(inputs: Any) -> Iterator[Any]:
    """The inputs of an operation, and what is in those that are tuples."""
    for x in inputs:
        yield from _parts(x) if isinstance(x, (tuple, list)) else [x]


def _key(of_runs: Sequence[Any]) -> tuple[int, ...]:
    """By what a tensor of all runs is known: its arrays. Also where the network detached it, or took its array."""
    return tuple(id(_data(x)) for x in of_runs)


def _data(x: Any) -> Any:
    return x._array if isinstance(x, Tensor) else x


def _input(graph: Graph, known: Mapping[tuple[int, ...], Value], of_runs: Sequence[Any]) -> Any:
    """An input of an operation: a Value, a constant, or what Varies; of a tuple, a tuple of these."""
    if _key(of_runs) in known:
        return known[_key(of_runs)]
    if all(isinstance(x, (tuple, list)) for x in of_runs) and len({len(x) for x in of_runs}) == 1:
        return tuple(_input(graph, known, parts) for parts in zip(*of_runs, strict=True))
    first, *others = arrays = [_data(x) for x in of_runs]
    if not all(isinstance(x, np.ndarray) for x in arrays):
        return first if all(type(x) is type(first) and x == first for x in others) else Varies(tuple(arrays))
    if all(x is first or _same(x, first) for x in others):
        return first
    if any(x.dtype.kind != "f" for x in arrays):
        return Varies(tuple(arrays))
    if all(x.shape == (B, *first.shape[1:]) and (x == first[:1]).all() for x, B in zip(arrays, COUNTS, strict=True)):
        size = graph.node("Concat", COUNT, list(first.shape[1:]), axis=0)
        return Value(graph.node("Expand", first[:1], size), tuple(x.shape for x in arrays))
    return graph.fixed("constants", Varies(tuple(arrays)))


def _never_empty(graph: Graph, image: tuple[int, ...]) -> Value:
    """The images, or a blank one in place of none: not every engine has every operator for an empty batch.

    The nodes BATCH and COUNT are the number of images before and after.
    """
    graph.operation = "input"
    graph.node("Shape", INPUT, start=0, end=1, output=BATCH)
    graph.node("Max", BATCH, [1], output=COUNT)
    more = graph.node("Concat", INPUT, np.zeros((1, *image), np.float32), axis=0)
    return Value(graph.node("Slice", more, [0], COUNT, [0]), tuple((B, *image) for B in COUNTS))


def _as_many(graph: Graph, result: Value) -> Value:
    """As many rows of the result as there are images."""
    if tuple(shape[:1] for shape in result.shapes) != tuple((B,) for B in COUNTS):
        counts = zip(COUNTS, result.shapes, strict=True)
        B, shape = next((B, shape) for B, shape in counts if shape[:1] != (B,))
        raise graph.refusal("a row for each image", f"a tensor of shape {shape} for {B} images")
    return Value(graph.node("Slice", result, [0], BATCH, [0], output=OUTPUT), result.shapes)
