"""The file of a graph. Only this module imports the package onnx."""

from __future__ import annotations

import numpy as np

from npstn.onnx.graph import INPUT, ExportError, Graph, Value
from npstn.version import __version__

OPSET = 20  # onnx's own evaluator knows GridSample's modes by their names of opset 20 alone, though 16 has others
IR_VERSION = 9  # the file format that came with it


def check_package() -> None:
    """Raise ExportError where the package onnx is not installed."""
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise ExportError("onnx.save: expected the package onnx, got none; pip install onnx") from None


def as_bytes(graph: Graph, image: tuple[int, ...], result: Value) -> bytes:
    """The content of the file. Raises ExportError where onnx.checker refuses it."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def tensor(name: str, shape: tuple[int | str | None, ...]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    nodes = [
        helper.make_node(node.operator, node.inputs, [node.output], name=node.output, **node.attributes)
        for node in graph.nodes
    ]
    constants = [numpy_helper.from_array(np.array(x, order="C"), name) for name, x in graph.constants.items()]
    inputs, outputs = [tensor(INPUT, ("batch", *image))], [tensor(result.name, ("batch", *result.shape[1:]))]
    model = helper.make_model(
        helper.make_graph(nodes, "npstn", inputs, outputs, constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="npstn",
        producer_version=__version__,
    )
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"onnx.save: expected nodes that onnx accepts, got some that it refuses: {error}") from None
    return model.SerializeToString(deterministic=True)
