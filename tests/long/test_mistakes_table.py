"""The table of planted mistakes in docs/gradcheck.md is up to date, and PyTorch's own checker agrees with it."""

import numpy as np
import pytest
from mistakes import DOCUMENT, MARK, MISTAKES, SAMPLES, passes_plainly, planted, reaches, table, verdict

from npstn.gradcheck.subject import Subject

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # a wrong backward may divide by zero
]
each_mistake = pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: f"{mistake.where} {mistake.what}")


def test_table_in_the_document_is_up_to_date():
    before, after = MARK
    page = DOCUMENT.read_text()
    assert page.partition(before)[2].partition(after)[0].strip() == table(), "run python -m tests.mistakes"


@each_mistake
def test_plain_check_is_pytorchs(torch, mistake):
    """PyTorch itself gives the verdicts that the table gives for PyTorch's defaults."""
    for sample in mistake.samples:
        if not (reaches(sample, mistake) and verdict(passes_plainly, sample)):
            continue  # as in the table: it tells nothing of the mistake
        ours = verdict(passes_plainly, sample, mistake)
        with planted(mistake):
            assert by_torch(torch, sample) == ours
        if not ours:
            break  # refused


def test_plain_check_is_pytorchs_on_right_gradients(torch):
    for sample in SAMPLES:
        if sample.operation != "stn":
            assert by_torch(torch, sample) == verdict(passes_plainly, sample), sample.operation


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
