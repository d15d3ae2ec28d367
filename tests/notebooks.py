"""Notebooks run in a real kernel of this Python, as it is when it has just been started."""

import json
import sys

import pytest
from command import ROOT

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")


def execute(notebook, folder, monkeypatch):
    """Run a notebook in a folder, with a kernel that knows no settings of the user; gives the outputs of each cell."""
    kernel = folder / ".jupyter" / "kernels" / "of_the_tests"
    kernel.mkdir(parents=True)
    start = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": start, "display_name": "tests", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(folder / ".jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(folder / ".jupyter" / "ipython"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the kernel sets its own
    client = nbclient.NotebookClient(notebook, kernel_name="of_the_tests", timeout=300)
    return [cell.get("outputs", []) for cell in client.execute(cwd=str(folder)).cells]
