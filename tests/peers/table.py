"""The tables of docs/gradcheck.md that show what other projects' checkers refuse; `python -m tests.mistakes --peers`.

Each checker runs in a virtual environment of its own, in one temporary folder. The folder is removed at the end. An
interrupted run leaves it, and the next run keeps the verdicts in it: remove the folder after a change to the cases.
"""

import configparser
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import numpy as np

from tests.mistakes import DOCUMENT, MISTAKES, checked
from tests.peers.cases import CASES, RIGHT, WRONG, Case
from tests.peers.checkers import CHECKERS, Checker, title

import npstn
from npstn.autograd import Function
from npstn.gradcheck import check_op

ROOT = Path(__file__).parents[2]
FOLDER = Path(tempfile.gettempdir()) / "npstn-peers"
MARK = "<!-- from here: python -m tests.mistakes --peers -->", "<!-- to here, from the peers -->"
PLANTED = [title(mistake) for mistake in MISTAKES]

Verdicts = dict[str, str]  # of one checker, by case and by planted mistake


def write() -> None:
    """Run all checkers, and write the section of the document anew."""
    FOLDER.mkdir(exist_ok=True)
    found = {name: _verdicts(name, checker) for name, checker in CHECKERS.items()}
    before, after = MARK
    head, _, rest = DOCUMENT.read_text().partition(before)
    DOCUMENT.write_text(f"{head}{before}\n{_section(found)}\n{after}{rest.partition(after)[2]}")
    shutil.rmtree(FOLDER)


def _verdicts(name: str, checker: Checker) -> Verdicts | str:
    """The verdicts of one checker, or the reason why there are none."""
    environment, kept = FOLDER / checker.package, FOLDER / f"{name}.json"
    print(f"{checker.title}: {checker.package}", file=sys.stderr, flush=True)
    if not kept.exists():
        if not _installed(environment, checker.package):
            return "could not be installed"
        run = [environment / "bin" / "python", "-m", "tests.peers.checkers", name]
        variables = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(FOLDER / "numba")}
        done = subprocess.run(run, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            return "could not be run"
        kept.write_text(done.stdout.splitlines()[-1])
    return json.loads(kept.read_text())


def _installed(environment: Path, package: str) -> bool:
    """Make the environment, with the package and what npstn needs, unless an earlier run did; whether it is there."""
    ready = environment / "ready"
    if not ready.exists():
        venv.create(environment, with_pip=True, clear=True)
        setup = configparser.ConfigParser()
        setup.read(ROOT / "setup.cfg")
        own = setup["options"]["install_requires"].split()
        pip = [environment / "bin" / "python", "-m", "pip", "install", "--quiet", package, *own]
        if subprocess.run(pip, check=False).returncode == 0:
            ready.touch()
    return ready.exists()


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


def _section(found: dict[str, Verdicts | str]) -> str:
    columns = {CHECKERS[name].title: one for name, one in found.items()}
    columns["npstn"] = {case.name: by_npstn(case) for case in CASES}
    columns["npstn"] |= {title(mistake): "accepted" if checked(mistake) is None else "refused" for mistake in MISTAKES}
    versions = {checker.title: checker.version for checker in CHECKERS.values()} | {"npstn": npstn.__version__}
    wrong, right = [case.name for case in WRONG], [case.name for case in RIGHT]
    ran = [column for column in columns.values() if isinstance(column, dict)]
    missed = [name for name in PLANTED if any(column[name] != "refused" for column in ran)]

    lines = [
        f"| checker | version | wrong gradients accepted, of {len(wrong)} | right ones not accepted, of {len(right)} "
        f"| planted mistakes accepted, of {len(PLANTED)} |",
        "|---|---|---|---|---|",
    ]
    for checker, column in columns.items():
        counts = [_count(column, names) for names in (wrong, right, PLANTED)]
        lines.append(f"| {checker} | {versions[checker]} | {' | '.join(counts)} |")
    lines += ["", "What was called:", ""]
    lines += [f"- {checker.title}: {checker.how}" for checker in CHECKERS.values()]
    lines += ["- npstn: `npstn.check_op`."]
    lines += ["", "A wrong verdict is bold.", ""]
    lines += ["### Wrong gradients", "", *_table(columns, wrong), ""]
    lines += ["In PyTorch, autograd and npstn a backward pass gets the upstream gradient itself, elsewhere a copy:"]
    lines += ["there it does no harm to write into it.", ""]
    lines += ["### Right gradients", "", "An error is no verdict; here it counts as a wrong one.", ""]
    lines += [*_table(columns, right), ""]
    lines += ["### Mistakes planted in this library", ""]
    lines += [f"Of the {len(PLANTED)} from above, the {len(missed)} that some checker does not refuse."]
    lines += ["A dash: the checker refuses the right gradients, too.", "", *_table(columns, missed)]
    return "\n".join(lines)


def _is_bad(name: str, verdict: str) -> bool:
    """Whether a verdict on this case is wrong."""
    right = any(case.right for case in CASES if case.name == name)
    return verdict != "accepted" if right else verdict == "accepted"


def _count(column: Verdicts | str, names: list[str]) -> str:
    return column if isinstance(column, str) else str(sum(_is_bad(name, column[name]) for name in names))


def _table(columns: dict[str, Verdicts | str], names: list[str]) -> list[str]:
    """One row a case, one column a checker; a checker without verdicts has its reason in each row."""

    def cell(column: Verdicts | str, name: str) -> str:
        if isinstance(column, str):
            return column
        return f"**{column[name]}**" if _is_bad(name, column[name]) else column[name]

    rows = [[name.replace("|", r"\|"), *(cell(column, name) for column in columns.values())] for name in names]
    return [f"| {' | '.join(row)} |" for row in (["case", *columns], ["---"] * (len(columns) + 1), *rows)]
