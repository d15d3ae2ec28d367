"""`npstn gradcheck`: check the gradients of the library's operations, and print a table or JSON."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from npstn.backend.parallel import set_num_threads
from npstn.cli.arguments import path, suggestion
from npstn.cli.errors import BadArgument
from npstn.gradcheck import Report
from npstn.gradcheck.samples import Sample, samples


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("gradcheck", help="check the gradients of the library's operations")
    names = "the operations to check; by default all of them, and the whole network"
    parser.add_argument("operations", nargs="*", metavar="OP", help=names)
    parser.add_argument("--json", action="store_true", help="print the full reports as JSON")
    plot = "write a picture for each operation into DIR: the error of the gradients against the step"
    parser.add_argument("--plot", type=path, metavar="DIR", help=plot)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check the operations and print the results; 1 if any operation fails."""
    groups = _chosen(options.operations)
    set_num_threads(1)  # on such small inputs a second thread costs more time than it saves
    if options.plot:
        options.plot.mkdir(parents=True, exist_ok=True)
    if not options.json:
        print(_HEADER, flush=True)
    start, rows = time.perf_counter(), []
    for name, group in groups.items():
        row = _Row(name, [sample.check(curve=bool(options.plot)) for sample in group])
        rows.append(row)
        if not options.json:
            print(row, flush=True)
        if options.plot:
            _draw(row, options.plot)
    seconds = time.perf_counter() - start
    if options.json:
        _print_json(rows, seconds)
    else:
        _print_summary(rows, seconds)
    return 0 if all(row.ok for row in rows) else 1


def _chosen(names: list[str]) -> dict[str, list[Sample]]:
    """The samples of each operation that is to be checked. Raises BadArgument for an unknown name."""
    groups: dict[str, list[Sample]] = {}
    for sample in samples():
        groups.setdefault(sample.operation, []).append(sample)
    for name in names:
        if name not in groups:
            known, hint = ", ".join(groups), suggestion(name, groups)
            raise BadArgument(f"gradcheck: expected operations among {known}; got {name!r}{hint}")
    return {name: groups[name] for name in names or groups}


class _Row(NamedTuple):
    """A row of the table: an operation and the reports on all of its samples."""

    name: str
    reports: list[Report]

    @property
    def ok(self) -> bool:
        return all(self.reports)

    def __str__(self) -> str:
        worst = max((r.worst.error for r in self.reports if r.worst), default=np.nan)
        adjoints = [error for r in self.reports for error in r.adjoints.values()]
        kept = [not broken for r in self.reports for broken in r.contracts.values()]
        return (
            f"{self.name:15} {sum(r.entries for r in self.reports):7} {sum(len(r.kinks) for r in self.reports):6} "
            f"{worst:12.1e} {f'{max(adjoints):.1e}' if adjoints else '-':>14} {f'{sum(kept)}/{len(kept)}':>10} "
            f"{'ok' if self.ok else 'FAILED':>8} {sum(r.seconds for r in self.reports):8.1f}"
        )


_HEADER = "operation        slopes  kinks  worst error  adjoint error  contracts  verdict  seconds"


def _draw(row: _Row, folder: Path) -> None:
    from npstn.figures.error_curves import plot  # matplotlib takes half a second to import

    plot(row.reports).savefig(folder / f"{row.name}.png", dpi=120)


def _print_json(rows: list[_Row], seconds: float) -> None:
    operations = {row.name: [report.as_dict() for report in row.reports] for row in rows}
    result = {"ok": all(row.ok for row in rows), "seconds": seconds, "operations": operations}
    print(json.dumps(_finite(result), indent=2))


def _finite(value: Any) -> Any:
    """The value with null in place of inf and NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _print_summary(rows: list[_Row], seconds: float) -> None:
    for report in (report for row in rows for report in row.reports if not report):
        print(f"\n{report}")
    failed = sum(not row.ok for row in rows)
    print(f"\n{failed or 'none'} of {len(rows)} operations failed, in {seconds:.0f} s")
