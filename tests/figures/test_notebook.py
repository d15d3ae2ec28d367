"""Pictures and the command in a notebook: a real Jupyter kernel, as it is when it has just been started."""

import base64
import io
import json
import re
import sys

import numpy as np
import pytest
from command import COMMAND, ROOT
from PIL import Image

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")


@pytest.fixture
def cells(tmp_path, monkeypatch):
    """A function that runs cells in a fresh kernel of this Python, and gives the outputs of each."""
    kernel = tmp_path / "kernels" / "of_the_tests"
    kernel.mkdir(parents=True)
    start = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": start, "display_name": "tests", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))  # without what the user has set there
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the kernel sets its own

    def run(*sources):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
        client = nbclient.NotebookClient(notebook, kernel_name="of_the_tests", timeout=200)
        return [cell.outputs for cell in client.execute(cwd=str(tmp_path)).cells]

    return run


def picture(outputs):
    """The only output of a cell, which is a picture: its pixels."""
    (output,) = outputs
    with Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))) as image:
        return np.asarray(image.convert("L"))


def test_figures_show_themselves_in_a_fresh_kernel(cells, trained):
    run = repr(str(trained[0]))
    outputs = cells(
        "from npstn.figures import compare, show",
        f"compare([{run}])",
        f"show({run}, [1])",
        "import matplotlib.pyplot",
        f"compare([{run}])",
    )
    compared, shown, pyplot, again = outputs[1:]
    assert pyplot == []
    for outputs in (compared, shown, again):  # the last as the notebook itself draws it
        pixels = picture(outputs)
        assert min(pixels.shape) > 200 and np.unique(pixels).size > 50
    assert picture(compared).shape == picture(again).shape


def test_the_command_trains_to_its_pictures_in_a_notebook(cells, tmp_path):
    """`!npstn train`: the program is given a backend that its Python may not have, and what looks like a terminal."""
    (tmp_path / "command.py").write_text(COMMAND)
    train = "train --data drawn --transformer none --epochs 1 --threads 1 --out run"
    backend, trained = cells(
        "import os; os.environ['MPLBACKEND'] = 'of another Python'",
        f"!{sys.executable} command.py {train}",
    )
    assert backend == []
    said = "".join(output.text for output in trained)
    assert re.search(r"^test accuracy \d+\.\d\d % after 1 epoch\r?\nrun/curves\.png\r?\n\Z", said, re.MULTILINE), said
    assert "|" not in said  # a notebook would keep every state of a bar
    assert (tmp_path / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")
