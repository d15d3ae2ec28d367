"""Pictures and the command in a notebook: a real Jupyter kernel, as it is when it has just been started."""

import base64
import io
import re
import sys

import numpy as np
import pytest
from command import COMMAND, FEW_DIGITS
from PIL import Image

notebooks = pytest.importorskip("notebooks")


@pytest.fixture
def cells(tmp_path, monkeypatch):
    """A function that runs cells in a fresh kernel, and gives the outputs of each."""
    v4 = notebooks.nbformat.v4

    def run(*sources):
        notebook = v4.new_notebook(cells=[v4.new_code_cell(source) for source in sources])
        return notebooks.execute(notebook, tmp_path, monkeypatch)

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


@pytest.mark.parametrize("widgets", [True, False])
def test_a_training_in_the_kernel_itself_has_a_bar_where_there_are_widgets(cells, widgets):
    """Without them there is none, and no warning of it."""
    pytest.importorskip("ipywidgets")
    hidden = "" if widgets else "import sys; sys.modules['ipywidgets'] = None\n"
    train = "train --data drawn --transformer none --epochs 1 --batch-size 50 --threads 1 --out run"
    ready, trained = cells(f"{hidden}{FEW_DIGITS}", f"main({train.split()}) or None")
    assert ready == []
    bars = [output for output in trained if "application/vnd.jupyter.widget-view+json" in output.get("data", {})]
    assert [output.data["text/plain"].startswith("epoch 1/1, ") for output in bars] == [True] * widgets
    others = [output for output in trained if output not in bars]
    assert {(output.output_type, output.get("name")) for output in others} == {("stream", "stdout")}, others
