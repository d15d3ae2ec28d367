import pytest
from browser import browser


@pytest.fixture(scope="session")
def driver():
    with browser() as started:
        yield started
