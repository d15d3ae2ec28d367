"""Every task with every transformer, through the command. Minutes, so marked slow."""

import pytest
from pairs import trained_and_shown

from npstn.tasks import TASKS
from npstn.transformers import TRANSFORMERS

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_world")]


@pytest.mark.filterwarnings("error::RuntimeWarning", "error::UserWarning")
@pytest.mark.parametrize("parallel", [1, 2])
@pytest.mark.parametrize("transformer", [*TRANSFORMERS, "none"])
@pytest.mark.parametrize("task", TASKS)
def test_a_task_with_a_transformer(tmp_path, task, transformer, parallel):
    if transformer == "none" and parallel > 1:
        pytest.skip("refused; see tests/cli/test_pairs.py")
    options = "--task", task, "--transformer", transformer, "--parallel", parallel
    trained_and_shown(tmp_path / "run", *options)
