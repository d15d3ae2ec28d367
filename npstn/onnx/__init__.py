"""A network as an ONNX file, which onnxruntime, OpenVINO and others run without npstn.

    trace.py        from a network to a graph: runs the network, and lets each operation add its nodes
    graph.py        nodes, constants and values
    elementwise.py, layers.py, shaping.py, grids.py     the nodes of each operation, one group a file
    file.py         from a graph to the bytes of the file

What the engines make of it, and where they differ: docs/export.md.
"""

from __future__ import annotations

import os
from pathlib import Path

from npstn.messages import one_line
from npstn.nn import Module
from npstn.onnx.elementwise import ELEMENTWISE
from npstn.onnx.file import OPSET, as_bytes, check_package
from npstn.onnx.graph import ExportError, Graph, Table, Value, Varies
from npstn.onnx.grids import GRIDS
from npstn.onnx.layers import LAYERS
from npstn.onnx.shaping import SHAPING
from npstn.onnx.trace import trace
from npstn.ops.arguments import whole
from npstn.storage import write_whole

__all__ = ["NODES", "OPSET", "ExportError", "Graph", "Value", "Varies", "save"]

# From each operation to the function that adds its nodes. An operation of your own needs a row, too.
NODES: Table = {**ELEMENTWISE, **LAYERS, **SHAPING, **GRIDS}


def save(net: Module, path: str | os.PathLike[str], image: tuple[int, ...]) -> None:
    """Write a network, in evaluation, as an ONNX model of the opset `OPSET`; whole or not at all.

    The model has one input, "images" (batch, *image) in float32, and one output, "output" (batch, ...); any batch. Its
    weights are float32, also those of a network of float64: engines have no float64 convolution.

    Args:
        net: takes a Tensor (B, *image), and gives one of (B, ...). It is run, and left as it was.
        path: the file; one that is there is replaced.
        image: the shape of an input, (C, H, W) for images.

    Raises ExportError, a ValueError, where the package onnx is missing, for an operation that `NODES` lacks, for nodes
    that onnx refuses, and for a network whose constants depend on the images, or that writes to its arrays; ValueError
    or TypeError for another `net` or `image`; OSError where the file cannot be written.

    >>> import onnx, tempfile, npstn
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(npstn.models.STNClsNet(), Path(folder, "model.onnx"), (1, 28, 28))
    ...     model = onnx.load(Path(folder, "model.onnx"))
    >>> model.producer_name, [output.name for output in model.graph.output]
    ('npstn', ['output'])
    """
    check_package()
    if not isinstance(net, Module):
        raise TypeError(f"onnx.save: expected net to be a Module, got {type(net).__name__}")
    if not isinstance(image, (tuple, list)):
        raise TypeError(f"onnx.save: expected image to be a shape such as (1, 28, 28), got {one_line(image)}")
    shape = tuple(whole("onnx.save", "each length of image", length, 1) for length in image)
    graph, result = trace(net, shape, NODES)
    write_whole(Path(path), as_bytes(graph, shape, result))
