"""Every fuzz target, under its public name."""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz import images, networks, others  # noqa: F401 - they register their trials
from tests.fuzz.calls import Fault, judge
from tests.fuzz.draws import Draws
from tests.fuzz.operations import CALLS
from tests.fuzz.trials import TRIALS


def try_call(name: str, d: Draws) -> None:
    call = CALLS[name](d)
    text = str(call)  # before the call, which may change its arguments
    try:
        judge(call, d)
    except Exception as error:
        raise Fault(f"{text}\n{error}") from error


TARGETS: dict[str, Callable[[Draws], None]] = {
    **{name: lambda d, name=name: try_call(name, d) for name in CALLS},
    **TRIALS,
}
