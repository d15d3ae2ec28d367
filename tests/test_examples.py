"""Each example runs by itself, in an empty folder, and finds what it says; most also as a notebook."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from numpy.testing import assert_array_equal

import npstn
from npstn import models

EXAMPLES = Path(__file__).parent.parent / "examples"
SKIPPED = "skipped: there is no torch here (pip install torch)\n"


def run(name, folder, **variables):
    """Run an example; return what it prints. It must succeed, and print nothing on standard error."""
    env = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent), **variables}
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout


def numbers(pattern, said):
    """The numbers that the groups of the pattern match."""
    found = re.findall(pattern, said, re.MULTILINE)
    assert found, pattern
    return [float(number) for number in found]


def one_pixel(said, folder):
    by_hand, by_npstn, by_difference = numbers(r"(-?\d+\.\d+)   by (?:hand|npstn|the difference)", said)
    assert by_hand == by_npstn == by_difference != 0
    ((by_hand, by_npstn),) = re.findall(r"all 784 pixels: da = (\S+) by hand, (\S+) by npstn", said)
    assert by_hand == by_npstn


def own_operation(said, folder):
    well, *caught = said.split("caught:\n")
    assert well.startswith("swish: all 12 slopes are right")
    assert "changes no array" in well
    half, step, writes = caught
    assert half.startswith("half_the_rule: the gradient of x is wrong in 12 of 12 entries")
    assert "right_minus_left: the gradient of x is wrong in 3 of 12 entries, at [:, 3]" in step
    assert writes.startswith("writes_into_dy: breaks the contract 'changes no array'")


def own_images(said, folder):
    assert re.match(r"\d+ images of 28 x 28 pixels, classes 0, 1, 2, 3, 4, 5, 6, 7, 8, 9\n", said)
    assert sum(numbers(r"^(\d+) (?:images|others)", said)) == 1200
    assert "turned into light ink on black" in said
    accuracies = numbers(r"epoch \d+: (\S+) %", said)
    assert accuracies[-1] > 70 > 50 > accuracies[0]
    assert numbers(r"angle correlation (\S+)", said)[-1] < -0.4
    net = models.STNClsNet()
    net.load_state_dict(npstn.load(folder / "weights.safetensors"))
    assert (folder / "before_after.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def pytorch_weights(said, folder):
    if importlib.util.find_spec("torch") is None:
        assert said == SKIPPED
        pytest.skip("no torch")
    assert said.count("320 of 320 predictions are the same") == 4
    assert said.endswith("another network: load_state_dict: expected an entry 'cnn.conv1.weight', got none\n")
    for name, array in npstn.load(folder / "from_npstn.safetensors").items():
        assert_array_equal(array, npstn.load(folder / "from_torch.safetensors")[name])


def feature_maps(said, folder):
    first, *epochs = numbers(r"(\S+) % of the test digits are right", said)
    assert epochs[-1] > 70 > 30 > first
    shifts = numbers(r"^(?:affine|attention), shift_[xy]_px: correlation (\S+)$", said)
    assert len(shifts) == 4 and max(shifts) < -0.7
    read, looked_at, both = numbers(r"conv1 through .*: length (\S+)", said)
    assert min(read, looked_at) > 0 and both <= read + looked_at + 1e-4
    assert said.endswith("the first two add up to the third\n")


def reuse_localiser(said, folder):
    (alone,) = numbers(r"turned within 45 degrees: (\S+) %", said)
    (behind,) = numbers(r"behind the frozen localiser: (\S+) %", said)
    assert behind > alone + 3
    assert "to the last bit" in said
    assert (folder / "loss_over_angle.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


FINDS = {check.__name__: check for check in (one_pixel, own_operation, own_images, pytorch_weights, feature_maps)}
FINDS["reuse_localiser"] = reuse_localiser
NOTEBOOKS = [name for name in FINDS if name not in ("pytorch_weights", "feature_maps")]  # long, and without a figure


def test_every_example_has_a_check():
    assert sorted(FINDS) == sorted(path.stem for path in EXAMPLES.iterdir() if path.suffix == ".py")


@pytest.mark.parametrize("name", FINDS)
def test_example(name, tmp_path):
    FINDS[name](run(name, tmp_path), tmp_path)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_an_example_as_a_notebook(name, tmp_path, monkeypatch):
    """In a kernel, which is not to warn; the example finds the same as the script, and its figure shows itself."""
    jupytext, notebooks = pytest.importorskip("jupytext"), pytest.importorskip("notebooks")
    notebook = jupytext.read(EXAMPLES / f"{name}.py")
    assert [cell.cell_type for cell in notebook.cells].count("markdown") >= 3
    outputs = [output for cell in notebooks.execute(notebook, tmp_path, monkeypatch) for output in cell]
    printed = [output for output in outputs if output.output_type == "stream"]
    assert {output.name for output in printed} <= {"stdout"}, printed
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == (name in ("own_images", "reuse_localiser"))
    FINDS[name]("".join(output.text for output in printed), tmp_path)


@pytest.mark.parametrize("name", FINDS)
def test_an_example_is_a_lesson_in_cells(name):
    text = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    assert text.startswith("# %% [markdown]\n# # ")
    assert text.count("\n# %%\n") >= 4
    # Editors start a cell at each of these lines; anything behind the marker would be its title.
    assert set(re.findall(r"^# ?%%.*", text, re.MULTILINE)) == {"# %%", "# %% [markdown]"}


def test_without_torch_the_example_says_so(tmp_path):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n")
    path = os.pathsep.join([str(tmp_path), str(EXAMPLES.parent)])
    assert run("pytorch_weights", tmp_path, PYTHONPATH=path) == SKIPPED
