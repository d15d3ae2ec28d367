"""The gradient checker: is a backward pass the derivative of its forward pass, and does it behave?

    gradcheck   compares the gradients with differences: see `slopes`
    check_op    checks the contracts of a backward pass too, and the adjoints: see `contracts`

It knows `npstn.autograd` only, and works on operations of one's own as on those of the library.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from npstn.autograd import Tensor
from npstn.gradcheck.judge import Options, compare
from npstn.gradcheck.contracts import ADJOINT, adjoint_error, broken_contracts
from npstn.gradcheck.report import Curve, Entry, GradcheckError, Gradient, Report
from npstn.gradcheck.subject import Subject

__all__ = [
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
    eps: float = 1e-3,
    atol: float = 0.0,
    rtol: float = 1e-8,
    raise_exception: bool = True,
    seed: int = 0,
    max_entries: int = 1000,
    directions: int = 16,
    max_kinks: float = 0.1,
    curve: bool = False,
    name: str | None = None,
) -> Report:
    """Compare the gradients that backward gives with differences of fn's values.

    Args:
        fn: takes Tensors, gives one; the same for the same inputs each time.
        inputs: its arguments. float64 arrays, and Tensors that require grad, are checked; other Tensors are constants;
            anything else (labels, options) is handed on as it is.
        eps: the largest step, relative to the entry that moves; where a kink is near, down to eps / 1000 is tried.
        atol, rtol: the error that is allowed, absolute and relative to the size of the slope, beside the noise floor.
        raise_exception: if False, a report that finds fault is returned like any other.
        seed: of the cotangent, of the directions.
        max_entries: an input with more is checked along so many random `directions` through all of its entries.
        max_kinks: the share of an input's slopes that may have a kink.
        curve: whether to measure how the error depends on the step, for each input.
        name: of fn, in the report.

    Returns the report, which is true if all is well; raises GradcheckError with its text if not. TypeError for inputs
    that are not float64.

    >>> from npstn.functional import tanh
    >>> bool(gradcheck(tanh, np.linspace(-1, 1, 5)))
    True
    """
    options = Options(eps, atol, rtol, seed, max_entries, directions, max_kinks, curve)
    return _run(Subject(fn, inputs, name), options, raise_exception)


def check_op(
    fn: Callable[..., Tensor],
    inputs: Any,
    *,
    linear: Sequence[int] = (),
    batch: Sequence[int] = (),
    raise_exception: bool = True,
    name: str | None = None,
    **options: Any,
) -> Report:
    """`gradcheck`, the contracts of a backward pass, and the adjoints of a linear one.

    Args:
        fn, inputs, raise_exception, name: as for `gradcheck`.
        linear: the positions of the inputs in which fn is linear, each with the others fixed; a constant may be added.
        batch: the positions of the inputs whose first axis is the batch: it is tried with none in it.
        options: any others of `gradcheck`'s.

    >>> from npstn.functional import linear
    >>> x, weight = np.eye(3, 2), np.ones((4, 2))
    >>> bool(check_op(linear, (x, weight), linear=(0, 1), batch=(0,)))
    True
    """

    def contracts(subject: Subject, report: Report) -> None:
        rng = np.random.default_rng(report.seed)
        report.contracts.update(broken_contracts(subject, batch, rng))
        report.faults += [f"breaks the contract {name!r}: {what}" for name, what in report.contracts.items() if what]
        for place in linear:
            error = report.adjoints[subject.names[place]] = adjoint_error(subject, place, rng)
            if not error <= ADJOINT:
                what = (
                    f"<A x, y> and <x, A^T y> are {error:.1e} apart, A being {subject.name} of {subject.names[place]}"
                )
                report.faults.append(f"backward is not the adjoint: {what}")

    return _run(Subject(fn, inputs, name), Options(**options), raise_exception, contracts)


def _run(
    subject: Subject,
    options: Options,
    raise_exception: bool,
    *further: Callable[[Subject, Report], None],
) -> Report:
    start, cause = time.perf_counter(), None
    report = Report(subject.name, options.seed, options.rtol)
    subject.value(subject.arrays)  # what is raised here is fn's own affair, and not caught
    try:
        report.gradients += compare(subject, options)
        report.faults += [
            fault for g in report.gradients for fault in g.faults(options.atol, options.rtol, options.max_kinks)
        ]
        if not report.gradients:
            report.faults.append("there is nothing to check: the inputs are empty")
        for check in further:
            check(subject, report)
    except Exception as error:  # noqa: BLE001 - whatever it is, it belongs in the report
        report.faults.append(f"raises {type(error).__name__}: {error}")
        cause = error
    report.seconds = time.perf_counter() - start
    if report.faults and raise_exception:
        raise GradcheckError(str(report)) from cause
    return report
