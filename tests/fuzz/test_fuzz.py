"""The fuzz target, for seconds instead of hours: it leaves out no public function, and it sees planted faults."""

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
from npstn import Tensor, data, models, nn, optim
from tests.fuzz.calls import Call, Fault, judge
from tests.fuzz.documented import DOCUMENTED
from tests.fuzz.draws import LAYOUTS, Draws
from tests.fuzz.operations import drawn_call, joining, largest
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def little_memory():
    """An awkward size may ask for more memory than the machine has: then a MemoryError comes instead."""
    try:
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):  # not on Linux
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (4 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(choices=st.data())
def test_awkward_arguments(name, choices, one_thread, little_memory):
    TARGETS[name](Draws(lambda low, high: choices.draw(st.integers(low, high))))


CORNERS = np.array([[-1.0, -1], [1, -1], [-1, 1], [1, 1]])
U, FILTERS, GRID, THETA = (np.ones(shape) for shape in ((2, 1, 4, 3), (1, 1, 2, 2), (2, 3, 4, 2), (2, 2, 3)))
AWKWARD = [
    *[(name, (U, FILTERS)[: 1 + (name == "conv2d")], {**window, option: value})
      for name, window in (("conv2d", {}), ("max_pool2d", {"kernel_size": 2}), ("avg_pool2d", {"kernel_size": 2}))
      for option in ("stride", "padding")
      for value in (0, -1, 2**30, 10**9, 2**63, 10**30, (2**31, 1), (1, 10**30), [1, 1], (), "2", 1.5)],
    *[("affine_grid", (THETA,), {"size": size})
      for size in ((2, 1, 0, 3), (2, 1, 2**31, 1), [2, 1, 10**30, 3], np.array([2, 1, 4, 3]), (2, 1, 1.5, 3), 10**30)],
    *[(name, inputs, {"size": size, **fixed})
      for name, inputs, fixed in (("projective_grid", (np.ones((2, 3, 3)),), {}),
                                  ("tps_grid", (np.ones((2, 4, 2)),), {"control_points": CORNERS}))
      for size in ((0, 3), (3,), (1, 2, 3), (2**31, 1), (2**16, 2**16), 10**30, (10**30, 1), (2, 1.5), None, "23")],
    *[("tps_grid", (np.ones((2, 4, 2)),), {"control_points": c, "size": (2, 3)})
      for c in (None, "a", [[0, 1], [2]], CORNERS[:2], CORNERS[:3], CORNERS * np.nan, CORNERS * 0, CORNERS * [1, 0],
                CORNERS * 1e300, CORNERS * 1e-300, CORNERS * 1j, CORNERS[None], [10**30], {}, CORNERS.tolist())],
    *[(name, (U,), {"dim": dim}) for name in ("softmax", "log_softmax", "max", "cat", "stack")
      for dim in (4, 5, -5, 10**30, 1.5, "1", True, [1], (0, 1))],
    *[("transpose", (U, *dims), {}) for dims in ((0, 4), (-5, 1), (10**30, 0), (0.0, 1), ("a", 1), (None, 1), ([], 0))],
    *[("clamp", (U,), {"min": low, "max": high})
      for low, high in ((None, None), ("a", 1), (0, 1j), ([0], 1), (10**400, 1), (0, float("nan")), (U, 1), ({}, 1))],
    *[("mse_loss", (U, other), {}) for other in (U[:1], U[..., 0], GRID, U.astype(np.float32))],
    *[(name, arrays, {"dim": dim}) for name in ("cat", "stack") for dim in (0, -1)
      for arrays in ((U, GRID), (U, U[0]), (U, U.astype(np.float32)), (U[..., :2], U), (np.ones(()), np.ones(())))],
    *[("grid_sample", (U, GRID), {"align_corners": value}) for value in ([], {}, None, 10**30, "2", float("nan"))],
    *[("grid_sample", (U, GRID), {option: value}) for option in ("mode", "padding_mode") for value in ("a", [], None)],
    *[(name, (U,), {"dim": value}) for name in ("sum", "mean") for value in (4, (0, 0), 2**63, 1.5, [2, 1], "2")],
    *[("reshape", (U, shape), {}) for shape in ((-1, 5), (-1, -1), 10**30, 1.5, "2", (2**63,), [24])],
    *[("index", (U, key), {}) for key in (100, -100, "a", 1.5, [100], (0,) * 9, {}, 10**30, [True], slice("a"))],
    *[("dropout", (U,), {"p": value}) for value in (-1, 2, float("nan"), "2", None, 10**30)],
    *[("nll_loss", (np.zeros((2, 3)), np.array(target)), {}) for target in ([0, 3], [-1, 0], [0], [[0, 1]], [0.5, 1])],
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "options"), AWKWARD, ids=str)
def test_arguments_that_were_awkward_before(name, arguments, options, one_thread, little_memory):
    """They are refused in the library's words, or accepted with the documented result, in each example again."""
    special = {"index": Tensor.__getitem__, "max": largest, "cat": joining(F.cat), "stack": joining(F.stack)}
    function = special.get(name) or getattr(F, name, None) or getattr(Tensor, name)
    may_share = name in ("reshape", "transpose", "index", "dropout")
    call = Call(function, list(arguments), options, DOCUMENTED[name], valid=False, may_share=may_share)
    judge(call, Draws(lambda low, high: low))


@pytest.mark.parametrize("operation", DOCUMENTED)
def test_most_calls_are_valid(operation):
    """A call that is refused at once tries the kernels no more."""
    valid = [drawn_call(Draws.seeded(0, k), operation, None).valid for k in range(200)]
    assert sum(valid) > 100


def public_names():
    """Every public name that can be called, except downloads and the tape, whose own tests are awkward enough."""
    names = {*F.__all__, *npstn._OPERATORS}
    for module in (nn, optim, models):
        short = module.__name__.removeprefix("npstn.")
        own = inspect.getmembers(module, lambda x, m=module: inspect.isclass(x) and x.__module__ == m.__name__)
        names |= {f"{short}.{name}" for name, _ in own}
    names |= {f"data.{name}" for name in data.__all__ if inspect.isfunction(getattr(data, name))}
    names |= {"tasks.rotate", "tasks.Rotated"}
    names |= {name for name in npstn.__all__ if callable(getattr(npstn, name))}
    without_arguments = {"Function", "GradcheckError", "models.Look", "models.Network", "no_grad", "reference"}
    return names - {"data.load_mnist", "data.mnist_folder", *without_arguments}


def test_every_public_function_is_a_target():
    assert set(TARGETS) == public_names()


def test_every_layout_keeps_to_its_promises():
    d = Draws.seeded(0, 0)
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    made = [layout(d, x) for layout in LAYOUTS.values()]
    assert all(y.shape == x.shape and y.dtype == x.dtype for y in made)
    bounds = [np.lib.array_utils.byte_bounds(y) for y in made]
    assert sum(high - low < x.nbytes for low, high in bounds) == 2  # overlapping
    assert any(s < 0 for _ in range(9) for s in LAYOUTS["some axes reversed"](d, x).strides)
    assert not all(y.flags.aligned for y in made) and not all(y.flags.writeable for y in made)


class Doubled(npstn.Function):
    """2 x, with a fault if one is named."""

    calls = itertools.count()

    @staticmethod
    def forward(ctx, x, fault):
        ctx.save_for_backward(x, fault)
        if fault == "refuses":
            raise ValueError("doubled: expected something else, got this")
        if fault == "refuses in another form":
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
    judge(call, Draws(lambda low, high: low))  # draws nothing awkward


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        ("refuses", "valid arguments are refused"),
        ("changes its input", "argument was changed"),
        ("is random", "second call differs"),
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


def test_the_judge_finds_nothing_wrong():
    doubled(None)
    doubled("refuses", valid=False)
    doubled("gives its input", may_share=True)


@pytest.mark.parametrize("fault", ["refuses in another form", "raises another error"])
def test_the_judge_reads_refusals(fault):
    with pytest.raises(Fault, match="does not have the library's form"):
        doubled(fault, valid=False)


def test_the_judge_sees_that_undocumented_arguments_are_accepted():
    with pytest.raises(Fault, match="without a documented result"):
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
    ("fault", "patience", "what"),
    [
        ("raise AssertionError('found')", 180, "fails. Again"),
        ("os.kill(os.getpid(), 9)", 180, "ends the process with status -9. Again"),
        ("time.sleep(1000)", 8, "hangs for 8 s. Again"),
    ],
    ids=["fault", "crash", "hang"],
)
def test_the_long_run_names_the_example_that_fails(fault, patience, what, tmp_path):
    # Every Python process runs sitecustomize.py first, so the worker process has the fault, too.
    (tmp_path / "sitecustomize.py").write_text(PLANTED.format(fault=fault))
    arguments = "--seed", "5", "--only", "relu", "--patience", str(patience)
    done = fuzz(*arguments, PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("example 4 of seed 5, relu, "), done.stdout
    assert what in done.stdout
    assert "python -m tests.fuzz --seed 5 --only relu --example 4" in done.stdout
