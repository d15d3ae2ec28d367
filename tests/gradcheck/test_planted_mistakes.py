"""The checker must find every mistake that is planted in the library's backward passes."""

import importlib
import inspect

import pytest
from mistakes import MISTAKES, checked, planted

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
    module = importlib.import_module(f"npstn.ops.{mistake.where.split(':')[0]}")
    owners = [module, *(x for x in vars(module).values() if inspect.isclass(x))]
    before = [dict(vars(owner)) for owner in owners]
    with planted(mistake):
        assert [dict(vars(owner)) for owner in owners] != before
    assert [dict(vars(owner)) for owner in owners] == before


def test_there_are_many_mistakes():
    """They stand for every kind of operation; a new operation may do without."""
    assert len(set(MISTAKES)) == len(MISTAKES) >= 50
    assert len({mistake.where.split(":")[0] for mistake in MISTAKES}) >= 10
