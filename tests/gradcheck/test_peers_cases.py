"""The cases of the peers' table that only a contract shows: check_op refuses them, gradcheck alone cannot."""

import pytest

from tests.peers.cases import CASES, WRONG
from tests.peers.table import by_npstn

pytestmark = pytest.mark.usefixtures("one_thread")
HIDDEN = [case for case in WRONG if case.name.startswith("x²")]


@pytest.mark.parametrize("case", HIDDEN, ids=lambda case: case.name)
def test_mistakes_that_only_a_contract_shows(case):
    assert by_npstn(case) == "refused"


def test_the_cases_have_names_of_their_own():
    assert len({case.name for case in CASES}) == len(CASES) and len(HIDDEN) >= 6
