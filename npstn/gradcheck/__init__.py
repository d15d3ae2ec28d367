"""The gradient checker: is a backward pass the derivative of its forward pass, and does it keep its contracts?

    gradcheck   compares the gradients with slopes by finite differences: see `slopes` and `gradients`
    check_op    also checks the contracts of a backward pass, and the adjoint of a linear function: see `contracts` and
                `adjoint`

The checker knows `npstn.autograd` only. It works on the operations of the library, which `samples` lists, and on yours.
"""

from __future__ import annotations

import dataclasses
import difflib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from npstn.autograd import Tensor
from npstn.gradcheck.adjoint import adjoint_error
from npstn.gradcheck.contracts import ABOUT_SLOPES, CONTRACTS, broken_contracts
from npstn.gradcheck.gradients import compare
from npstn.gradcheck.pairs import Options
from npstn.gradcheck.report import Curve, Entry, GradcheckError, Gradient, Report
from npstn.gradcheck.subject import Subject

__all__ = [
    "CONTRACTS",
    "Curve",
    "Entry",
    "GradcheckError",
    "Gradient",
    "Report",
    "check_op",
    "gradcheck",
]


def gradcheck(
    fn: Callable[..., Tensor],
    inputs: Any,
    *,
    eps: float = Options.eps,
    atol: float = Options.atol,
    rtol: float = Options.rtol,
    raise_exception: bool = True,
    seed: int = Options.seed,
    max_entries: int = Options.max_entries,
    directions: int = Options.directions,
    max_kinks: float = Options.max_kinks,
    max_unseen: float = Options.max_unseen,
    curve: bool = Options.curve,
    name: str | None = None,
) -> Report:
    """Compare the gradients of backward with finite differences of fn's values.

    Args:
        fn: takes Tensors and returns one, with the same numbers each time for the same inputs. The parameters of a
            Module are checked too, in place, under their dotted names.
        inputs: the arguments of fn. float64 arrays, and Tensors that require grad, are checked: a gradient must come to
            each. Other Tensors are constants. Anything else (labels, options) is passed on unchanged.
        eps: the largest step, relative to the entry that moves. Near a kink, steps down to eps / 1000 are tried.
        atol, rtol: the allowed error, absolute and relative to the size of the slope, on top of the noise floor.
        raise_exception: whether to raise if a check fails; if False, the report is returned in any case.
        seed: of the random cotangent and the random directions.
        max_entries: each entry of an input moves alone, unless the input has more entries than this. Then all of them
            move together, along random directions.
        directions: how many random directions such a large input moves along.
        max_kinks: the largest share of an input's entries that may lie at a kink, and the same for jumps.
        max_unseen: the largest share of an input's entries whose slopes rounding may hide.
        curve: whether to measure, for each input, how the error depends on the step.
        name: the name of fn in the report; by default fn's own.

    Returns the report, which is true if every check passes. Raises GradcheckError with the report's text if one fails,
    and TypeError for inputs that are not float64. The defaults stand in `npstn.gradcheck.pairs.Options`.

    >>> from npstn.functional import tanh
    >>> bool(gradcheck(tanh, np.linspace(-1, 1, 5)))
    True
    """
    options = Options(eps, atol, rtol, seed, max_entries, directions, max_kinks, max_unseen, curve)
    return _run(Subject(fn, inputs, name), options, raise_exception)


def check_op(
    fn: Callable[..., Tensor],
    inputs: Any,
    *,
    linear: Sequence[int] = (),
    batch: Sequence[int] = (),
    contracts: Iterable[str] = tuple(CONTRACTS),
    raise_exception: bool = True,
    name: str | None = None,
    **options: Any,
) -> Report:
    """Check the gradients as `gradcheck` does, the contracts of a backward pass, and the adjoint of a linear function.

    Args:
        fn, inputs, raise_exception, name: as for `gradcheck`.
        linear: the positions of the inputs in which fn is linear, each while the others are fixed. fn may add a
            constant.
        batch: the positions of the inputs whose first axis is the batch. fn is also called with a batch of
            one, and with an empty batch.
        contracts: the names of the contracts to check, among `CONTRACTS`; by default all. "batch of one" and
            "empty batch" need `batch`.
        options: eps, atol, rtol, seed, max_entries, directions, max_kinks, max_unseen, curve: as for `gradcheck`, with
            the same defaults.

    Raises also TypeError for an unknown option, and ValueError for an unknown contract or position.

    >>> from npstn.functional import linear
    >>> x, weight = np.eye(3, 2), np.ones((4, 2))
    >>> bool(check_op(linear, (x, weight), linear=(0, 1), batch=(0,)))
    True
    """
    for option in options:
        _expect_one_of("an option", option, [f.name for f in dataclasses.fields(Options)], TypeError)
    chosen = [contracts] if isinstance(contracts, str) else list(contracts)
    for contract in chosen:
        _expect_one_of("a contract", contract, CONTRACTS, ValueError)
    subject = Subject(fn, inputs, name)
    linear = _positions("linear", linear, subject, subject.places)
    batch = _positions("batch", batch, subject, range(subject.count))
    if not batch:
        chosen = [contract for contract in chosen if contract not in ("batch of one", "empty batch")]

    numbers = Options(**options)

    def further(report: Report) -> None:
        rng = np.random.default_rng(report.seed)
        # Gradients that are wrong here are wrong elsewhere, too: one text for each mistake is enough.
        judged = [contract for contract in chosen if not report.faults or contract not in ABOUT_SLOPES]
        report.contracts, notes = broken_contracts(subject, judged, batch, rng, numbers)
        report.notes += notes
        report.faults += [f"breaks the contract {name!r}: {what}" for name, what in report.contracts.items() if what]
        for place in linear:
            report.adjoints[subject.names[place]], fault = adjoint_error(subject, place, rng)
            report.faults += [fault] if fault else []

    return _run(subject, numbers, raise_exception, further)


def _run(
    subject: Subject,
    options: Options,
    raise_exception: bool,
    further: Callable[[Report], None] | None = None,
) -> Report:
    start, cause = time.perf_counter(), None
    report = Report(subject.name, options.seed, options.rtol)
    subject.value(subject.arrays)  # an error here is about fn's arguments, so it is not caught
    try:
        report.gradients += compare(subject, options)
        report.faults += [
            fault for g in report.gradients for fault in g.faults(options.rtol, options.max_kinks, options.max_unseen)
        ]
        if not report.gradients:
            report.faults.append("there is nothing to check: all inputs are empty")
        report.faults += [
            f"no gradient comes to {name}: does fn use it? If it needs none, pass Tensor({name}), which is a constant"
            for name in subject.without_gradient()
        ]
        report.notes += [f"{g.name} moves no output, and its gradient is 0" for g in report.gradients if g.idle]
        if further is not None:
            further(report)
    except Exception as error:  # noqa: BLE001 - any error of backward belongs in the report
        report.faults.append(f"raises {type(error).__name__}: {error}")
        cause = error
    report.seconds = time.perf_counter() - start
    if report.faults and raise_exception:
        raise GradcheckError(str(report)) from cause
    return report


def _expect_one_of(what: str, given: str, known: Iterable[str], error: type[Exception]) -> None:
    known = list(known)
    if given not in known:
        close = difflib.get_close_matches(str(given), known, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise error(f"check_op: expected {what} among {', '.join(known)}; got {given!r}{hint}")


def _positions(what: str, given: Any, subject: Subject, allowed: Sequence[int]) -> tuple[int, ...]:
    """The positions of inputs, as a tuple; a single one may stand alone."""
    positions = (given,) if isinstance(given, int) else tuple(given)
    for position in positions:
        if position not in allowed:
            known = ", ".join(f"{k} ({subject.names[k]})" for k in allowed)
            raise ValueError(f"check_op: expected {what} among the positions {known}; got {position!r}")
    return positions
