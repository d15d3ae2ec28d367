"""The programs that run an ONNX model, each behind one call: images in, results out."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Run = Callable[[np.ndarray], np.ndarray]


def onnxruntime(path: Path) -> Run:
    """Microsoft's ONNX Runtime on the CPU."""
    from onnxruntime import InferenceSession, SessionOptions

    quiet = SessionOptions()
    quiet.log_severity_level = 4
    session = InferenceSession(path, quiet, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"images": images})[0]


def reference(path: Path) -> Run:
    """ONNX's own evaluator, plain Python: slow, and the standard's word on what a node means."""
    from onnx.reference import ReferenceEvaluator

    evaluator: Any = ReferenceEvaluator(str(path))
    return lambda images: evaluator.run(None, {"images": images})[0]


def openvino(path: Path) -> Run:
    """Intel's OpenVINO on the CPU. Where the processor has bfloat16, it is what OpenVINO computes in unless told."""
    from openvino import Core

    core = Core()
    compiled = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda images: compiled({"images": images})[0].copy()


ENGINES: dict[str, Callable[[Path], Run]] = {
    "onnxruntime": onnxruntime,
    "ONNX reference": reference,
    "OpenVINO": openvino,
}
PACKAGES = {"onnxruntime": "onnxruntime", "ONNX reference": "onnx", "OpenVINO": "openvino"}


def installed() -> list[str]:
    """The names of the engines that can be imported here."""
    found = []
    for name, package in PACKAGES.items():
        try:
            importlib.import_module(package)
        except ImportError:
            continue
        found.append(name)
    return found
