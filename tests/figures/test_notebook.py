"""Pictures in a notebook: a real Jupyter kernel, as it is when it has just been started."""

import base64
import io
import os
import sys

import pytest
from PIL import Image
from processes import PACKAGE

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

pytestmark = pytest.mark.usefixtures("small_world")


@pytest.fixture
def cells(tmp_path, monkeypatch):
    """A function that runs cells in a fresh kernel of this Python, and gives the outputs of the last one."""
    kernel = tmp_path / "kernels" / "npstn_test"
    kernel.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(nbformat.json.dumps({"argv": command, "display_name": "x", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the kernel sets its own

    def run(*sources):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
        client = nbclient.NotebookClient(notebook, kernel_name="npstn_test", timeout=200, cwd=str(tmp_path))
        return client.execute().cells[-1].outputs

    return run
