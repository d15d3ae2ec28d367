"""The gradient checker: is a backward pass the derivative of its forward pass, and does it keep its contracts?

    gradcheck   compares the gradients with slopes by finite differences: see `slopes` and `gradients`
    check_op    also checks the contracts of a backward pass, and the adjoint of a linear function: see `contracts`

The checker knows `npstn.autograd` only. It works on the operations of the library, which `samples` lists, and on yours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from npstn.autograd import Tensor
from npstn.gradcheck.contracts import ADJOINT, adjoint_error, broken_contracts
from npstn.gradcheck.gradients import Options, compare
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
        fn: takes Tensors and returns one, with the same numbers each time for the same inputs.
        inputs: the arguments of fn. float64 arrays, and Tensors that require grad, are checked. Other Tensors are
            constants. Anything else (labels, options) is passed on unchanged.
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
    and TypeError for inputs that are not float64. The defaults stand in `npstn.gradcheck.gradients.Options`.

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
    raise_exception: bool = True,
    name: str | None = None,
    **options: Any,
) -> Report:
    """Check the gradients as `gradcheck` does, the contracts of a backward pass, and the adjoint of a linear function.

    Args:
        fn, inputs, raise_exception, name: as for `gradcheck`.
        linear: the positions of the inputs in which fn is linear, each while the others are fixed. fn may add a
            constant.
        batch: the positions of the inputs whose first axis is the batch. fn is also called with an empty batch.
        options: eps, atol, rtol, seed, max_entries, directions, max_kinks, max_unseen, curve: as
            for `gradcheck`, with the same
            defaults.

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
            input_name = subject.names[place]
            error = report.adjoints[input_name] = adjoint_error(subject, place, rng)
            if not error <= ADJOINT:
                what = f"<A x, y> and <x, A^T y> differ by {error:.1e}, relative to |A x| |y|"
                report.faults.append(f"backward is not the adjoint of forward in {input_name}: {what}")

    return _run(Subject(fn, inputs, name), Options(**options), raise_exception, contracts)


def _run(
    subject: Subject,
    options: Options,
    raise_exception: bool,
    *further: Callable[[Subject, Report], None],
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
        for check in further:
            check(subject, report)
    except Exception as error:  # noqa: BLE001 - any error of backward belongs in the report
        report.faults.append(f"raises {type(error).__name__}: {error}")
        cause = error
    report.seconds = time.perf_counter() - start
    if report.faults and raise_exception:
        raise GradcheckError(str(report)) from cause
    return report
