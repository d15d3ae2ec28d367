"""All there is to fuzz, under its public name."""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz.calls import Fault, judge
from tests.fuzz.draws import Draws
from tests.fuzz.operations import CALLS
from tests.fuzz.others import TRIALS


def try_call(name: str, d: Draws) -> None:
    call = CALLS[name](d)
    told = str(call)  # before it is made
    try:
        judge(call, d)
    except Exception as error:
        raise Fault(f"{told}\n{error}") from error


TARGETS: dict[str, Callable[[Draws], None]] = {
    **{name: lambda d, name=name: try_call(name, d) for name in CALLS},
    **TRIALS,
}
