"""Every task of digits with every transformer, through the command; `rotated` is `R` with another angle."""

import pytest
from family import trained_and_shown
from matplotlib.figure import Figure
from PIL import Image

from npstn.tasks import TASKS
from npstn.transformers import TRANSFORMERS

pytestmark = pytest.mark.usefixtures("small_world")


@pytest.fixture(autouse=True)
def unpainted(monkeypatch):
    """Figures are made, and the film; that they can be painted is seen in tests/cli/test_family.py."""
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, dpi: Image.new("L", (400, 400)).save(path))


@pytest.mark.filterwarnings("error::RuntimeWarning", "error::UserWarning")
@pytest.mark.parametrize("transformer", [*TRANSFORMERS, "none"])
@pytest.mark.parametrize("task", sorted(TASKS.keys() - {"rotated", "pictures"}))
def test_a_task_with_a_transformer(tmp_path, task, transformer):
    trained_and_shown(tmp_path / "run", "--task", task, "--transformer", transformer)
