"""What the tests of the operations share."""

import pytest


@pytest.fixture(autouse=True)
def small_arrays(one_thread):
    """They all run on one thread; test_any_threads.py wakes the second."""
