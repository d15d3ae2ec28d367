"""The checker as a new user meets it: its arguments, its document, and a forgotten term."""

import inspect
import textwrap
from pathlib import Path

import numpy as np
import pytest
from small_operations import report_on

from npstn.autograd import Function
from npstn.gradcheck import GradcheckError, gradcheck
from npstn.gradcheck.pairs import Options


pytestmark = pytest.mark.usefixtures("one_thread")


def test_arguments_are_named_as_in_pytorch(torch):
    from torch.autograd.gradcheck import gradcheck as theirs

    shared = {"inputs", "eps", "atol", "rtol", "raise_exception"}
    assert shared <= set(inspect.signature(theirs).parameters) & set(inspect.signature(gradcheck).parameters)


def test_the_defaults_are_those_of_options():
    parameters = inspect.signature(gradcheck).parameters
    assert {name: parameters[name].default for name in vars(Options())} == vars(Options())


def test_the_example_of_the_document():
    """The code in docs/gradcheck.md raises the error that the document shows."""
    page = (Path(__file__).parents[2] / "docs" / "gradcheck.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    said = textwrap.dedent(page.split("with this text:\n\n")[1].split("\n\n")[0])
    with pytest.raises(GradcheckError) as caught:
        exec(code, {})
    assert str(caught.value) == said


def test_a_forgotten_term():
    """Layer normalisation without the variance's term: every entry is wrong, by no constant factor."""

    class LayerNorm(Function):
        @staticmethod
        def forward(ctx, x, gain):
            rstd = 1 / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
            normed = (x - x.mean(axis=1, keepdims=True)) * rstd
            ctx.save_for_backward(normed, rstd, gain)
            return normed * gain

        @staticmethod
        def backward(ctx, dy):
            normed, rstd, gain = ctx.saved
            dn = dy * gain
            return rstd * (dn - dn.mean(axis=1, keepdims=True)), (dy * normed).sum(axis=0)

    report = report_on(LayerNorm.apply, tuple(np.random.default_rng(1).normal(size=shape) for shape in ((3, 4), 4)))
    assert len(report.faults) == 1, "gain's gradient is right"
    assert report.name == "layer_norm"
    assert "the gradient of x is wrong in 12 of 12 entries; the worst" in report.faults[0]
