"""The graph of an ONNX model while it is built: nodes, the constants that they read, the values that flow between them.

A graph knows no operation of npstn and no file format: the tables of this folder add its nodes, `file.py` writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from npstn.autograd import Function

# For each operation the function that adds its nodes: called with a Graph and the inputs of the operation's forward,
# it gives the name of the result.
Table = dict[type[Function], Callable[..., str]]

INPUT, OUTPUT = "images", "output"
BATCH, COUNT = "input/batch", "input/count"  # nodes of lengths


class ExportError(ValueError):
    """Why a network cannot be written as ONNX, in one line."""


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor that flows between nodes."""

    name: str
    shapes: tuple[tuple[int, ...], ...]  # in each run of the network

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Its shape, with None for a length that the number of images decides."""
        return tuple(lengths[0] if len(set(lengths)) == 1 else None for lengths in zip(*self.shapes, strict=True))

    @property
    def ndim(self) -> int:
        return len(self.shapes[0])


@dataclass(frozen=True, eq=False)
class Varies:
    """What differed between the runs of a network: it depends on the images, or on how many there are."""

    values: tuple[Any, ...]  # in each run


def parts_of(inputs: Any) -> Iterator[Any]:
    """The inputs of an operation, and what is in those that are tuples or lists."""
    for x in inputs:
        yield from parts_of(x) if isinstance(x, (tuple, list)) else [x]


class Node(NamedTuple):
    operator: str
    inputs: list[str]
    output: str
    attributes: dict[str, Any]


class Graph:
    """Nodes in the order in which they run.

    Args:
        weights: the arrays of the network by the names of its state dict, which they keep.

    Attributes:
        nodes: what was added.
        constants: what the nodes read beside values, by name: float32, or int64 for shapes and indices.
        operation: the operation of npstn that the next nodes stand for; messages and the names of nodes begin with it.
    """

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}
        self.operation = ""
        # The names that are made up here have a slash, and those of attributes have none.
        taken = {INPUT: f"weights/{INPUT}", OUTPUT: f"weights/{OUTPUT}"}
        self._weights = {id(array): taken.get(name, name) for name, array in weights.items()}

    def node(self, operator: str, *inputs: Any, output: Any = None, **attributes: Any) -> str:
        """Add a node of an ONNX operator; gives the name of its output.

        Args:
            inputs: values, or the names that `node` gave; constants: arrays, numbers, lists of integers; None for an
                optional input that is left out.
            output: its name; one is made up where None.
            attributes: of the operator.

        Raises ExportError for a constant that varies.
        """
        output = output or f"{self.operation}/{operator}_{len(self.nodes)}"
        self.nodes.append(Node(operator, [self._name(x) for x in inputs], output, attributes))
        return output

    def _name(self, x: Any) -> str:
        if x is None:
            return ""
        if isinstance(x, (Value, str)):
            return x.name if isinstance(x, Value) else x
        array = np.asarray(self.fixed("constants", x), np.int64 if isinstance(x, list) else None)
        name = self._weights.get(id(x), f"{self.operation}/constant_{len(self.constants)}")
        self.constants[name] = array.astype(np.int64) if array.dtype.kind != "f" else self._single(array)
        return name

    def _single(self, array: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", under="ignore"):
            single = array.astype(np.float32)
        if (np.isinf(single) & ~np.isinf(array)).any():
            raise self.refusal("constants that float32 can hold", f"{np.abs(array).max():.3g}")
        return single

    def fixed(self, what: str, x: Any) -> Any:
        """Return x. Raises ExportError, which calls it `what`, where it varies or flows, or a part of it does."""
        if any(isinstance(part, (Varies, Value)) for part in parts_of([x])):
            raise self.varying(what)
        return x

    def varying(self, what: str) -> ExportError:
        """The error for something that is known for one run alone."""
        return self.refusal(f"{what} that do not depend on the images and their number", "one that does")

    def refusal(self, expected: str, got: Any) -> ExportError:
        """The error for something that has no nodes."""
        return ExportError(f"onnx.save: {self.operation}: expected {expected}, got {got}")
