"""`npstn gradcheck`: the table, the JSON, the pictures and the exit status."""

import argparse
import json

import numpy as np
import pytest

from npstn.cli import gradcheck
from npstn.cli.errors import BadArgument
from npstn.ops.activation import Relu

pytestmark = pytest.mark.usefixtures("one_thread")


def run(*arguments):
    parser = argparse.ArgumentParser()
    gradcheck.add_arguments(parser.add_subparsers())
    options = parser.parse_args(["gradcheck", *map(str, arguments)])
    return options.run(options)


@pytest.fixture
def wrong_relu(monkeypatch):
    monkeypatch.setattr(Relu, "backward", staticmethod(lambda ctx, dy: 2 * dy))


def test_a_row_for_each_operation(capsys):
    assert run("relu", "linear") == 0
    header, relu, linear, _, summary = capsys.readouterr().out.splitlines()
    assert header.split() == "operation slopes kinks worst error adjoint error contracts verdict seconds".split()
    assert relu.split()[0] == "relu" and relu.split()[2] == "1" and "ok" in relu
    assert linear.split()[0] == "linear" and "ok" in linear
    assert summary.startswith("none of 2 operations failed, in ")


def test_a_failure(capsys, wrong_relu):
    assert run("exp", "relu") == 1
    out = capsys.readouterr().out
    assert "FAILED" in out and "relu: the gradient of input is wrong" in out and "1 of 2 operations failed" in out


def test_json(capsys):
    assert run("relu", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["ok"] is True and [report["ok"] for report in result["operations"]["relu"]] == [True, True]


def test_json_of_a_failure(capsys, monkeypatch):
    monkeypatch.setattr(Relu, "backward", staticmethod(lambda ctx, dy: np.nan * dy))
    assert run("relu", "--json") == 1

    def no_constant(name):
        raise AssertionError(f"{name} is no JSON")

    assert json.loads(capsys.readouterr().out, parse_constant=no_constant)["ok"] is False


def test_pictures(tmp_path, capsys):
    assert run("sin", "relu", "--plot", tmp_path / "new") == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["relu.png", "sin.png"]


def test_an_unknown_operation():
    message = r"^gradcheck: expected operations among add, sub, .*; got 'conv3d'; did you mean conv2d\?$"
    with pytest.raises(BadArgument, match=message):
        run("conv3d")
