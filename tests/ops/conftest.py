"""What the tests of the operations share."""

import pytest


@pytest.fixture(autouse=True)
def small_arrays(one_thread):
    """All tests run on one thread; test_any_threads.py starts more in a process of its own."""
