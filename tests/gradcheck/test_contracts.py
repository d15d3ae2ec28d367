"""The contracts of a backward pass, and the adjoint test."""

import numpy as np
import pytest
from small_operations import report_on, square

from npstn.autograd import Function, Tensor
from npstn.gradcheck import check_op


pytestmark = pytest.mark.usefixtures("one_thread")


class Spoiled(Function):
    """y = 2 x for a batch of rows; `how` names the way in which it breaks a contract."""

    @staticmethod
    def forward(ctx, x, how):
        ctx.save_for_backward(x, np.ones(3))
        ctx.how = how
        y = 2 * x
        if how == "forward writes":
            x[...] = 0
        if how == "float64 out":
            y = y.astype(np.float64)
        if how == "rough in float32":
            y = y.astype(np.float16).astype(x.dtype) if x.dtype == np.float32 else y
        if how == "batch of one at least":
            y[0]
        return y

    @staticmethod
    def backward(ctx, dy):
        x, ones = ctx.saved
        how = ctx.how
        if how == "writes what it saved":
            ones[0] = 0
        if how == "writes upstream":
            dy *= 2
            return dy, None
        if how == "never twice the same":
            Spoiled.calls = getattr(Spoiled, "calls", 0) + 1
            return 2 * dy + 1e-14 * Spoiled.calls * abs(dy), None
        if how == "a constant":
            return 2 * dy + 1e-300, None
        if how == "order of memory":
            return 2 * dy.ravel(order="K").reshape(dy.shape), None
        return 2 * dy, None


@pytest.mark.parametrize("how, contract", [
    ("forward writes", "changes no array"),
    ("writes what it saved", "changes no array"),
    ("writes upstream", "changes no array"),
    ("never twice the same", "same again"),
    ("a constant", "linear in the upstream gradient"),
    ("order of memory", "any layout"),
    ("float64 out", "float32"),
    ("rough in float32", "float32"),
    ("batch of one at least", "empty batch"),
    ("not at all", None),
])  # fmt: skip
def test_contracts(how, contract):
    x = np.arange(1.0, 13).reshape(4, 3) / 7
    report = report_on(Spoiled.apply, (x, how), check_op, batch=(0,))
    broken = [name for name, what in report.contracts.items() if what]
    assert (contract in broken and not report) if contract else (not broken and report), str(report)
    assert list(report.contracts) == [
        "changes no array",
        "same again",
        "linear in the upstream gradient",
        "each gradient alone",
        "any layout",
        "float32",
        "empty batch",
    ]


def test_each_gradient_alone():
    class Product(Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return a * b

        @staticmethod
        def backward(ctx, dy):
            a, b = ctx.saved
            return dy * b, dy * a if all(ctx.needs_input_grad) else 0 * dy

    report = report_on(Product.apply, (np.ones(2), np.ones(2)), check_op)
    assert [name for name, what in report.contracts.items() if what] == ["each gradient alone"]


def test_weights_get_nothing_from_an_empty_batch():
    class Sum(Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(x)
            return x * w

        @staticmethod
        def backward(ctx, dy):
            (x,) = ctx.saved
            return None, (dy * x).sum(axis=0) + (len(x) == 0)

    report = report_on(Sum.apply, (Tensor(np.ones((2, 3))), np.ones(3)), check_op, batch=(0,))
    assert report.contracts["empty batch"] == "the gradient of w is not zero"


def test_the_adjoint():
    x, weight = np.random.default_rng(0).normal(size=(2, 3, 4))
    report = check_op(lambda x: x * 3.0 + 1.0, x, linear=(0,))
    assert report.adjoints["x"] <= 1e-12
    report = report_on(square, x, check_op, linear=(0,))
    assert "backward is not the adjoint of forward in x: <A x, y> and <x, A^T y> differ by" in report.faults[-1]
