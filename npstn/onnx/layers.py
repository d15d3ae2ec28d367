"""Nodes of the layers: the arguments are npstn's, under ONNX's names.

| npstn              | ONNX                                                                                    |
|--------------------|-----------------------------------------------------------------------------------------|
| a @ b              | MatMul                                                                                  |
| linear             | Gemm with B transposed; for an input of other than two axes MatMul with W^T, then Add   |
| conv2d             | Conv; pads are top, left, bottom, right                                                 |
| max_pool2d         | MaxPool                                                                                 |
| avg_pool2d         | AveragePool, which counts the padding                                                   |
| softmax            | Softmax                                                                                 |
| log_softmax        | s - log sum exp s with s = x - max x; LogSoftmax is -inf below -103 in ONNX's evaluator |

In evaluation dropout is no operation. Losses have no nodes: they belong to the training.
"""

from __future__ import annotations

from typing import Any

from npstn.onnx.elementwise import same
from npstn.onnx.graph import Graph, Table, Value
from npstn.ops.arguments import pair
from npstn.ops.arithmetic import Matmul
from npstn.ops.avg_pool2d import AvgPool2d
from npstn.ops.conv2d import Conv2d
from npstn.ops.linear import Linear
from npstn.ops.log_softmax import LogSoftmax
from npstn.ops.max_pool2d import MaxPool2d
from npstn.ops.softmax import Softmax


def linear(graph: Graph, x: Any, W: Any, bias: Any) -> str:
    if x.ndim == 2:
        return graph.node("Gemm", x, W, bias, transB=1)
    y = graph.node("MatMul", x, graph.node("Transpose", W, perm=[1, 0]))
    return y if bias is None else graph.node("Add", y, bias)


def conv2d(graph: Graph, U: Value, weight: Any, bias: Any, stride: Any, padding: Any) -> str:
    window = _window(graph, stride, padding)
    return graph.node("Conv", U, weight, bias, **window)


def max_pool2d(graph: Graph, U: Value, kernel_size: Any, stride: Any, padding: Any) -> str:
    return _pool(graph, "MaxPool", U, kernel_size, stride, padding)


def avg_pool2d(graph: Graph, U: Value, kernel_size: Any, stride: Any, padding: Any) -> str:
    return _pool(graph, "AveragePool", U, kernel_size, stride, padding, count_include_pad=1)


def _pool(graph: Graph, operator: str, U: Value, kernel_size: Any, stride: Any, padding: Any, **more: Any) -> str:
    stride = kernel_size if stride is None else stride
    kernel = pair(graph.operation, "kernel_size", graph.fixed("windows", kernel_size), 1)
    return graph.node(operator, U, kernel_shape=kernel, **_window(graph, stride, padding), **more)


def _window(graph: Graph, stride: Any, padding: Any) -> dict[str, Any]:
    graph.fixed("windows", (stride, padding))
    stride, padding = pair(graph.operation, "stride", stride, 1), pair(graph.operation, "padding", padding, 0)
    return {"strides": stride, "pads": [*padding, *padding]}


def softmax(graph: Graph, x: Value, dim: Any) -> str:
    return graph.node("Softmax", x, axis=graph.fixed("axes", dim))


def log_softmax(graph: Graph, x: Value, dim: Any) -> str:
    axis = [graph.fixed("axes", dim)]
    s = graph.node("Sub", x, graph.node("ReduceMax", x, axis))
    return graph.node("Sub", s, graph.node("Log", graph.node("ReduceSum", graph.node("Exp", s), axis)))


LAYERS: Table = {
    Matmul: same("MatMul"),
    Linear: linear,
    Conv2d: conv2d,
    MaxPool2d: max_pool2d,
    AvgPool2d: avg_pool2d,
    Softmax: softmax,
    LogSoftmax: log_softmax,
}
