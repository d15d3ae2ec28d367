"""Every task of digits with every transformer, through the command."""

import pytest
from family import trained_and_shown
from matplotlib.figure import Figure

from npstn.tasks import TASKS
from npstn.transformers import TRANSFORMERS

pytestmark = pytest.mark.usefixtures("small_world")


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """Pictures of few pixels: there are hundreds of them."""
    savefig = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, dpi: savefig(figure, path, dpi=30))


@pytest.mark.filterwarnings("error::RuntimeWarning", "error::UserWarning")
@pytest.mark.parametrize("transformer", [*TRANSFORMERS, "none"])
@pytest.mark.parametrize("task", [name for name in TASKS if name != "pictures"])
def test_a_task_with_a_transformer(tmp_path, task, transformer):
    trained_and_shown(tmp_path / "run", "--task", task, "--transformer", transformer)
