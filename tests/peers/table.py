"""The table of docs/gradcheck.md that shows what other projects' checkers refuse; `python -m tests.mistakes --peers`.

Each checker runs in a virtual environment of its own, which is made in a temporary folder and removed at the end.
"""

import configparser
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.mistakes import DOCUMENT, MISTAKES, checked
from tests.peers.cases import CASES, RIGHT, WRONG, Case
from tests.peers.checkers import CHECKERS, Checker

from npstn.autograd import Function
from npstn.gradcheck import check_op

ROOT = Path(__file__).parents[2]
MARK = "<!-- from here: python -m tests.mistakes --peers -->", "<!-- to here, from the peers -->"


def write() -> None:
    """Run all checkers, and write the section of the document anew."""
    with tempfile.TemporaryDirectory() as folder:
        found = {name: _run(name, checker, Path(folder)) for name, checker in CHECKERS.items()}
    before, after = MARK
    head, _, rest = DOCUMENT.read_text().partition(before)
    DOCUMENT.write_text(f"{head}{before}\n{_section(found)}\n{after}{rest.partition(after)[2]}")


def _run(name: str, checker: Checker, folder: Path) -> dict:
    """The version and the verdicts of one checker; without verdicts, the "reason"."""
    place = folder / checker.package
    python = place / "bin" / "python"
    print(f"{checker.title}: {checker.package}", file=sys.stderr, flush=True)
    if not place.exists():
        venv.create(place, with_pip=True)
        setup = configparser.ConfigParser()
        setup.read(ROOT / "setup.cfg")
        own = setup["options"]["install_requires"].split()
        install = [python, "-m", "pip", "install", "--quiet", checker.package, *own]
        if subprocess.run(install, check=False).returncode:
            return {"reason": "could not be installed"}
    run = [python, "-m", "tests.peers.checkers", name]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(folder / "numba")}
    done = subprocess.run(run, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return {"reason": "could not be run"}
    return json.loads(done.stdout.splitlines()[-1])


def by_npstn(case: Case) -> str:
    """The verdict of `check_op`."""

    f, backward_of = case.f, case.backward

    class Operation(Function):
        @staticmethod
        def forward(ctx, *xs):  # type: ignore[no-untyped-def]
            ctx.save_for_backward(*xs)
            return f(xs)

        @staticmethod
        def backward(ctx, dy):  # type: ignore[no-untyped-def]
            return backward_of(ctx.saved, dy)

    Operation.gives_new_arrays = "buffer" in case.name
    with np.errstate(all="ignore"):
        return "accepted" if check_op(Operation.apply, tuple(case.inputs), raise_exception=False) else "refused"


def _section(found: dict[str, dict]) -> str:
    columns = {CHECKERS[name].title: one.get("verdicts") for name, one in found.items()}
    columns["npstn"] = {case.name: by_npstn(case) for case in CASES}
    columns["npstn"] |= {_name(mistake): "accepted" if checked(mistake) is None else "refused" for mistake in MISTAKES}
    planted = [_name(mistake) for mistake in MISTAKES]
    missed = [name for name in planted if any(column and column[name] != "refused" for column in columns.values())]
    lines = [_line(CHECKERS[name], one) for name, one in found.items()]
    lines += ["", "Wrong gradients. A checker that accepts one is wrong:", ""]
    lines += _table(columns, [case.name for case in WRONG], _accepts)
    lines += ["", "Right gradients. A checker that refuses one is wrong, and so is one that raises an error:", ""]
    lines += _table(columns, [case.name for case in RIGHT], _accepts_not)
    few = f"Of the {len(planted)} mistakes planted in this library, the {len(missed)} that not all checkers refuse."
    lines += ["", f"{few} A dash: the checker refuses the right gradients, too.", ""]
    lines += _table(columns, missed, _accepts)
    return "\n".join(lines)


def _name(mistake) -> str:  # type: ignore[no-untyped-def]
    return f"`{mistake.where}`: {mistake.what}"


def _line(checker: Checker, found: dict) -> str:
    state = f"version {found['version']}" if "version" in found else f"**{found['reason']}**"
    return f"- {checker.title}, {state}: {checker.how}."


def _accepts(verdict: str) -> bool:
    return verdict == "accepted"


def _accepts_not(verdict: str) -> bool:
    return verdict != "accepted"


def _table(columns: dict, names: list[str], is_wrong: Callable[[str], bool]) -> list[str]:
    """One row a case, one column a checker; wrong verdicts are bold, and counted in the last row."""

    def cell(column: dict | None, name: str) -> str:
        if column is None:
            return "not run"
        return f"**{column[name]}**" if is_wrong(column[name]) else column[name]

    def count(column: dict | None) -> str:
        return "not run" if column is None else str(sum(is_wrong(column[name]) for name in names))

    rows = [[name, *(cell(column, name) for column in columns.values())] for name in names]
    rows.append([f"wrong verdicts of {len(names)}", *map(count, columns.values())])
    return [f"| {' | '.join(row)} |" for row in (["case", *columns], ["---"] * (len(columns) + 1), *rows)]
