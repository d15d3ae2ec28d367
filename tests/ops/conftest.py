"""What the tests of the operations share."""

import numba
import pytest

import npstn


@pytest.fixture(autouse=True)
def one_thread():
    """Their arrays are tiny: waking a second thread takes longer than the work. test_threads.py wakes it."""
    if numba.config.DISABLE_JIT:
        yield
        return
    before = numba.get_num_threads()
    npstn.set_num_threads(1)
    yield
    numba.set_num_threads(before)
