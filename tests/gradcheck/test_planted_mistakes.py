"""The checker must find every mistake that is planted in the library's backward passes."""

import importlib
import pkgutil

import pytest
from mistakes import MISTAKES, checked, planted

from npstn import ops
from npstn.autograd import Function

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
    """At least 25 mistakes, and one or more in each operation's file that has a backward pass."""
    files = {
        module.name
        for module in pkgutil.iter_modules(ops.__path__)
        if any(
            isinstance(value, type) and issubclass(value, Function) and value.__module__ == f"npstn.ops.{module.name}"
            for value in vars(importlib.import_module(f"npstn.ops.{module.name}")).values()
        )
    }
    assert {mistake.where.split(":")[0] for mistake in MISTAKES} == files
    assert len(set(MISTAKES)) == len(MISTAKES) >= 25
