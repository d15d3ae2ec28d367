"""What all tests share: Hypothesis' profile, seeded random numbers, the peer, the threads, a run."""

import os
import shutil
import signal
from pathlib import Path

import hypothesis
import numba
import numpy as np
import pytest

import npstn

HELPERS = "command", "damage", "oracles", "assertions", "finite_differences", "family", "kills", "pictures"
pytest.register_assert_rewrite(*HELPERS)  # their asserts say what they compare, too

# The same examples each time, and few of them: a test that fails does so on every machine.
hypothesis.settings.register_profile(
    "npstn",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=20 if numba.config.DISABLE_JIT or "NPSTN_FEW_EXAMPLES" in os.environ else 50,
)
hypothesis.settings.load_profile("npstn")


@pytest.fixture
def rng():
    return np.random.default_rng(1506_02025)


@pytest.fixture(scope="session")
def torch():
    """PyTorch, the peer; a test that takes it is skipped where it is not installed."""
    return pytest.importorskip("torch")


@pytest.fixture
def one_thread():
    """For small arrays: waking a second thread takes longer than the work, on a busy machine much longer."""
    before = npstn.backend.parallel.get_num_threads()
    npstn.set_num_threads(1)
    yield
    npstn.set_num_threads(before)


@pytest.fixture
def two_threads():
    """A function that runs another on 1 thread and on 2, and gives both results."""
    if numba.config.DISABLE_JIT:
        pytest.skip("plain Python has no threads")
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("needs two cores")

    def on_one_and_two(run):
        npstn.set_num_threads(1)
        one = run()
        npstn.set_num_threads(2)
        return one, run()

    before = npstn.backend.parallel.get_num_threads()
    yield on_one_and_two
    npstn.set_num_threads(before)


@pytest.fixture(scope="module")
def small_world():
    """Few drawn digits, no MNIST, no network, one thread; see `command.small_world`."""
    import command  # here, so that tests of operations do not wait for the command to be imported

    with command.small_world():
        yield


@pytest.fixture(scope="session", autouse=True)
def interrupts():
    """Ctrl-C interrupts, as in a terminal: a shell that runs the tests in the background lets them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder of a short run, which no test may change, and what the command said."""
    import command

    folder = tmp_path_factory.mktemp("trained") / "run"
    with command.small_world():
        return folder, command.npstn_("train", *command.QUICK, "--seed", "3", "--angle", "30", "--out", folder)


@pytest.fixture
def copy(trained, tmp_path):
    """A copy of that run, to be changed."""
    return Path(shutil.copytree(trained[0], tmp_path / "copy"))


@pytest.fixture(scope="session")
def driver():
    """A browser for the pages; a test that takes it is skipped where there is none."""
    import browser

    with browser.browser() as started:
        yield started
