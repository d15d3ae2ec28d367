"""The checker, checked: it must find every mistake planted in the library's backward passes."""

import importlib
import pkgutil

import numpy as np
import pytest
from mistakes import DOCUMENT, MARK, MISTAKES, SAMPLES, checked, passes_plainly, planted, table

from npstn import ops
from npstn.autograd import Function
from npstn.gradcheck.subject import Subject

name_of = {mistake: f"{mistake.where} {mistake.what}" for mistake in MISTAKES}
pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # a wrong backward may divide by zero
]
each_mistake = pytest.mark.parametrize("mistake", MISTAKES, ids=name_of.get)


@each_mistake
def test_found(mistake):
    report = checked(mistake)
    assert report is not None, "the checker finds nothing wrong"
    assert "raises" not in report.faults[0], f"an exception gave it away, which proves little: {report}"


@each_mistake
def test_gone_afterwards(mistake):
    with planted(mistake):
        pass
    assert all(sample.check() for sample in mistake.samples[:1])


def test_planted_in_every_file():
    """At least 25, and some in each operation's file that has a backward pass."""
    files = {
        module.name
        for module in pkgutil.iter_modules(ops.__path__)
        if any(
            isinstance(value, type) and issubclass(value, Function) and value.__module__ == f"npstn.ops.{module.name}"
            for value in vars(importlib.import_module(f"npstn.ops.{module.name}")).values()
        )
    }
    assert {mistake.where.split(":")[0].removesuffix("_fast") for mistake in MISTAKES} == files
    assert len(set(MISTAKES)) == len(MISTAKES) >= 25


def test_table_in_the_document_is_up_to_date():
    before, after = MARK
    page = DOCUMENT.read_text()
    assert page.partition(before)[2].partition(after)[0].strip() == table(), "run python -m tests.mistakes"


@each_mistake
def test_plain_check_is_pytorchs(torch, mistake):
    """What the table says of PyTorch's defaults is what PyTorch itself says."""
    for sample in mistake.samples:
        right = passes_plainly(sample)
        with planted(mistake):
            assert by_torch(torch, sample) == passes_plainly(sample), f"the right one: {right}"


def test_plain_check_is_pytorchs_on_right_gradients(torch):
    for sample in SAMPLES:
        if sample.operation != "stn":
            assert by_torch(torch, sample) == passes_plainly(sample), sample.operation


def by_torch(torch, sample):
    """The verdict of torch.autograd.gradcheck on an operation of npstn."""
    subject = Subject(sample.fn, sample.inputs)

    class Bridge(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *xs):
            ctx.save_for_backward(*xs)
            return torch.tensor(np.array(subject.value([x.detach().numpy().copy() for x in xs])))

        @staticmethod
        def backward(ctx, dy):
            arrays = [x.detach().numpy().copy() for x in ctx.saved_tensors]
            return tuple(torch.tensor(dx) for dx in subject.gradients(arrays, np.array(dy.numpy(), order="C")))

    xs = tuple(torch.tensor(x, requires_grad=True) for x in subject.arrays)
    try:
        return torch.autograd.gradcheck(Bridge.apply, xs, raise_exception=False)
    except (ValueError, TypeError):
        return False
