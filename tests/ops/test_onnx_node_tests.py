"""ONNX's own node tests of GridSample and AffineGrid, which ship in the onnx package, run against npstn.

GridSample has 18. AffineGrid has 8: 4 cases, each as a node and as the standard's expansion of it into other nodes,
with the same inputs and outputs.
"""

import importlib
import inspect
from typing import NamedTuple

import numpy as np
import pytest
from assertions import assert_close

import npstn.functional as F
from npstn import Tensor

MODES = {"linear": "bilinear", "bilinear": "bilinear", "nearest": "nearest", "cubic": "bicubic", "bicubic": "bicubic"}
# The expected values of the cubic cases are written with four decimals.
WRITTEN = {"test_gridsample_bicubic", "test_gridsample_bicubic_align_corners_0_additional_1",
           "test_gridsample_bicubic_align_corners_1_additional_1"}  # fmt: skip


class Case(NamedTuple):
    attributes: dict
    inputs: list
    expected: np.ndarray


def cases(module_name, class_name):
    """The cases of an operator by their names: what the package's functions hand to its `expect`."""
    pytest.importorskip("onnx")
    module = importlib.import_module(f"onnx.backend.test.case.node.{module_name}")
    helper = importlib.import_module("onnx.helper")
    found = {}

    def expect(node, inputs, outputs, name, **_):
        attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        found[name] = Case(attributes, inputs, outputs[0])

    before, module.expect = module.expect, expect
    try:
        for name, export in inspect.getmembers(getattr(module, class_name), inspect.isfunction):
            if name.startswith("export"):
                export()
    finally:
        module.expect = before
    return found


@pytest.fixture(scope="module")
def grid_sample_cases():
    return cases("gridsample", "GridSample")


@pytest.fixture(scope="module")
def affine_grid_cases():
    return cases("affinegrid", "AffineGrid")


def test_all_cases_of_grid_sample(grid_sample_cases):
    assert len(grid_sample_cases) >= 18
    for name, (attributes, (U, G), expected) in grid_sample_cases.items():
        V = F.grid_sample(
            Tensor(U),
            Tensor(G),
            mode=MODES[attributes.get("mode", b"linear").decode()],
            padding_mode=attributes.get("padding_mode", b"zeros").decode(),
            align_corners=bool(attributes.get("align_corners", 0)),
        ).data
        assert V.dtype == expected.dtype
        np.testing.assert_allclose(V, expected, rtol=0, atol=5.1e-5 if name in WRITTEN else 1e-5, err_msg=name)


def test_all_cases_of_affine_grid(affine_grid_cases):
    assert len(affine_grid_cases) >= 4
    for name, (attributes, (theta, size), expected) in affine_grid_cases.items():
        G = F.affine_grid(Tensor(theta), tuple(size), bool(attributes.get("align_corners", 0))).data
        assert G.dtype == expected.dtype
        assert_close(G, expected, 1e-6, name)


def test_there_are_volumes_among_them(grid_sample_cases, affine_grid_cases):
    assert sum(case.inputs[0].ndim == 5 for case in grid_sample_cases.values()) >= 4
    assert sum(len(case.inputs[1]) == 5 for case in affine_grid_cases.values()) >= 2
