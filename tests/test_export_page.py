"""docs/export.md is true: its Python runs, and its table is what the command writes."""

import re

import pytest
from benchmarks.engines import PAGE, written

import npstn

TEXT = PAGE.read_text(encoding="utf-8")


class Square(npstn.Function):
    @staticmethod
    def forward(ctx, x):
        return x * x


def test_the_python_of_the_page_runs(tmp_path, monkeypatch):
    onnx, _ = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(npstn.onnx, "NODES", dict(npstn.onnx.NODES))
    names = {"Square": Square}
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(block, names)
    assert names["log_probabilities"].shape == (5, 10)
    net = npstn.nn.Sequential()
    net.forward = Square.apply
    npstn.onnx.save(net, "square.onnx", (3,))
    assert "Mul" in [node.op_type for node in onnx.load("square.onnx").graph.node]


def test_a_row_takes_its_place_in_the_table():
    pytest.importorskip("openvino")
    row = "| P | tps | -1 | 1.0e-06 (2) | 1.0e-06 (2) | 1.0e-06 (2) | 1.0e-06 (2) |"
    page = written(TEXT, [row])
    assert row in page.splitlines() and written(page, [row]) == page
    assert len(page.splitlines()) - len(TEXT.splitlines()) in (0, 1)
