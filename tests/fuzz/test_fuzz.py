"""The fuzz target for seconds instead of hours; that it leaves out no public function; that it sees what it is for."""

import inspect
import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import npstn
import npstn.functional as F
from npstn import data, models, nn, optim
from tests.fuzz.calls import Call, Fault, judge
from tests.fuzz.draws import LAYOUTS, Draws
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(choices=st.data())
def test_awkward_arguments(name, choices, one_thread):
    TARGETS[name](Draws(lambda low, high: choices.draw(st.integers(low, high))))


def public_names():
    """Everything that a user may call, but what its own tests fuzz: what is downloaded, and the tape."""
    names = {*F.__all__, *npstn._OPERATORS}
    for module in (nn, optim, models):
        short = module.__name__.removeprefix("npstn.")
        own = inspect.getmembers(module, lambda x, m=module: inspect.isclass(x) and x.__module__ == m.__name__)
        names |= {f"{short}.{name}" for name, _ in own}
    names |= {f"data.{name}" for name in data.__all__ if not inspect.isclass(getattr(data, name))}
    names |= {name for name in npstn.__all__ if not inspect.ismodule(getattr(npstn, name))}
    return names - {"data.load_mnist", "data.mnist_folder", "Function", "GradcheckError", "no_grad"}


def test_every_public_function_is_a_target():
    assert set(TARGETS) == public_names()


def test_every_layout_keeps_to_its_promises():
    d = Draws.seeded(0, 0)
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    made = [layout(d, x) for layout in LAYOUTS]
    assert all(y.shape == x.shape and y.dtype == x.dtype for y in made)
    bounds = [np.lib.array_utils.byte_bounds(y) for y in made]
    assert sum(high - low < x.nbytes for low, high in bounds) == 2  # overlapping
    assert any(s < 0 for _ in range(9) for s in LAYOUTS[2](d, x).strides)
    assert not all(y.flags.aligned for y in made) and not all(y.flags.writeable for y in made)


class Doubled(npstn.Function):
    """2 x, with a fault where it is asked for one."""

    calls = itertools.count()

    @staticmethod
    def forward(ctx, x, fault):
        ctx.save_for_backward(x, fault)
        if fault == "refuses":
            raise ValueError("doubled: expected something else, got this")
        if fault == "refuses in words of its own":
            raise ValueError("cannot be")
        if fault == "raises another error":
            raise ZeroDivisionError("doubled: expected something else, got this")
        if fault == "changes its input":
            x *= 2
        if fault == "is random":
            return 2 * x + next(Doubled.calls)
        results = {"gives its input": x, "another shape": np.ones(7), "another dtype": x.astype(np.float32)}
        return results.get(fault, 2 * x)

    @staticmethod
    def backward(ctx, dy):
        x, fault = ctx.saved
        if fault == "changes dy":
            dy *= 2
        if fault == "changes its input in backward":
            x *= 2
        return None if fault == "no gradient" else 2 * dy, None


def doubled(fault, shape=lambda x: x.shape, **promises):
    call = Call(lambda x: Doubled.apply(x, fault), [np.ones((2, 3))], {}, shape, **promises)
    judge(call, Draws(lambda low, high: low))  # with nothing awkward about the arguments themselves


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        ("refuses", "valid arguments are refused"),
        ("changes its input", "argument was changed"),
        ("is random", "second call is another"),
        ("gives its input", "memory of an argument"),
        ("another shape", "has shape"),
        ("another dtype", "has dtype"),
        ("changes dy", "upstream gradient was changed"),
        ("changes its input in backward", "argument, by backward, was changed"),
        ("no gradient", "has no gradient"),
    ],
)
def test_the_judge_sees(fault, what):
    with pytest.raises(Fault, match=what):
        doubled(fault)


def test_the_judge_is_content():
    doubled(None)
    doubled("refuses", valid=False)
    doubled("gives its input", may_share=True)


@pytest.mark.parametrize("fault", ["refuses in words of its own", "raises another error"])
def test_the_judge_reads_refusals(fault):
    with pytest.raises(Fault, match="words that are not the library's"):
        doubled(fault, valid=False)


def test_the_judge_sees_that_something_undocumented_is_accepted():
    with pytest.raises(Fault, match="no result is documented"):
        doubled(None, shape=lambda x: x.no_such_thing)


def fuzz(*arguments, **env):
    command = [sys.executable, "-m", "tests.fuzz", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, timeout=100, check=False
    )


def test_the_long_run():
    done = fuzz("--minutes", "0.02", "--seed", "1", "--only", "relu", "reshape")
    assert done.returncode == 0, done.stderr
    assert "examples of 2 functions, seed 1: no fault" in done.stdout
    assert int(done.stdout.split()[0]) > 0


PLANTED = """
import os, time
from tests.fuzz import targets
def planted(d):
    if d.integer(0, 20) == 3:
        {fault}
targets.TARGETS["relu"] = planted
"""


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        ("raise AssertionError('found')", "fails. Again"),
        ("os.kill(os.getpid(), 9)", "ends the process with status -9. Again"),
        ("time.sleep(1000)", "hangs for 1 s. Again"),
    ],
    ids=["fault", "crash", "hang"],
)
def test_the_long_run_names_the_example_that_fails(fault, what, tmp_path):
    # What a process of Python runs first: so the fault is in the process that works, too.
    (tmp_path / "sitecustomize.py").write_text(PLANTED.format(fault=fault))
    arguments = "--seed", "5", "--only", "relu", "--patience", "1"
    done = fuzz(*arguments, PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("example 4 of seed 5, relu, "), done.stdout
    assert what in done.stdout
    assert "python -m tests.fuzz --seed 5 --only relu --example 4" in done.stdout
