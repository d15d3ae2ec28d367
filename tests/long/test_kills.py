"""A run that is killed by SIGKILL at random instants."""

from kills import Runs


def test_a_run_that_is_killed_again_and_again_ends_as_if_it_had_not_been(tmp_path):
    """`python -m tests.kills` does it more often."""
    assert Runs(tmp_path, seed=5).kill_until_the_end(tmp_path / "run", kills=4) > 0
