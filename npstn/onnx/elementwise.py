"""Nodes of the operations that go element by element: ONNX has one for each, with the same broadcasting.

| npstn                                 | ONNX                                                       |
|---------------------------------------|------------------------------------------------------------|
| a + b, a - b, a b, a / b, a^b         | Add, Sub, Mul, Div, Pow                                    |
| exp, log, sqrt, sin, cos              | Exp, Log, Sqrt, Sin, Cos                                   |
| relu, tanh                            | Relu, Tanh                                                 |
| abs: max(x, -x)                       | Neg, Max: OpenVINO takes Abs through a MaxPool before it   |
| sigmoid: 1 / (1 + e^-x)               | Neg, Exp, Add, Div: onnxruntime's Sigmoid is 0 from -18 on |
| clamp: min(max(x, low), high)         | Max, Min                                                   |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from npstn.onnx.graph import Graph, Table, Value
from npstn.ops import activation, arithmetic, clamp, elementary

ONE = np.float32(1)


def same(operator: str) -> Callable[..., str]:
    """The row of an operation that ONNX has as it is."""
    return lambda graph, *inputs: graph.node(operator, *inputs)


def sigmoid(graph: Graph, x: Value) -> str:
    return graph.node("Div", ONE, graph.node("Add", graph.node("Exp", graph.node("Neg", x)), ONE))


@np.errstate(over="ignore")  # a limit that no float32 reaches
def clamp_nodes(graph: Graph, x: Value, low: Any, high: Any) -> str:
    y: Any = x
    if low is not None:
        y = graph.node("Max", y, np.float32(graph.fixed("limits", low)))
    if high is not None:
        y = graph.node("Min", y, np.float32(graph.fixed("limits", high)))
    return y


ELEMENTWISE: Table = {
    arithmetic.Add: same("Add"),
    arithmetic.Sub: same("Sub"),
    arithmetic.Mul: same("Mul"),
    arithmetic.Div: same("Div"),
    arithmetic.Pow: same("Pow"),
    elementary.Exp: same("Exp"),
    elementary.Log: same("Log"),
    elementary.Sqrt: same("Sqrt"),
    elementary.Sin: same("Sin"),
    elementary.Cos: same("Cos"),
    activation.Relu: same("Relu"),
    activation.Tanh: same("Tanh"),
    activation.Sigmoid: sigmoid,
    clamp.Abs: lambda graph, x: graph.node("Max", x, graph.node("Neg", x)),
    clamp.Clamp: clamp_nodes,
}
