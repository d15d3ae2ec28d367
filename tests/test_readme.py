"""The README is true: its Python runs, its commands and links exist, and its listing is the house."""

import ast
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from command import npstn_, small_world
from numpy.testing import assert_allclose
from processes import run_python

import npstn
from npstn.cli.parser import main
from npstn.tasks import TASKS
from npstn.transformers import TRANSFORMERS, Affine

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8")
HOUSE = Path(npstn.__file__).parent
LISTING = re.findall(r"^    ([\w.]+)", re.search(r"```text\nnpstn/\n(.*?)```", TEXT, re.DOTALL)[1], re.MULTILINE)
RUNS = "".join((README.parent / "docs" / name).read_text(encoding="utf-8") for name in ("runs.md", "sweep.md"))
COMMANDS = [
    *re.findall(r"^    (npstn .*?)(?: *#.*)?$", TEXT + RUNS, re.MULTILINE),
    *re.findall(r"`(npstn [^`]*)`", TEXT + RUNS),
]
LINKING = "performance", "gradcheck", "export", "sweep"


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) == 5
    npstn.manual_seed(0)
    names = {"torch_net": npstn.models.STNClsNet()}  # a state dict is the same in both libraries
    for block in blocks:
        exec(block, names)
    assert re.fullmatch(r"\[-?[\d.e-]+\]\n", capsys.readouterr().out)
    y = names["Square"].apply(npstn.Tensor([3.0]))
    assert y.item() == 9
    saved = npstn.load("weights.safetensors")
    for name, array in names["torch_net"].state_dict().items():
        np.testing.assert_array_equal(saved[name], array)
    monkeypatch.setitem(TRANSFORMERS, "shear", names["Shear"])
    check_shear(names["Shear"], tmp_path)


def test_the_transformer_of_the_readme_is_a_file_that_a_row_can_import(tmp_path):
    """It imports nothing that imports the table of transformers, which would import it in turn."""
    root = tmp_path / "site"
    shutil.copytree(HOUSE, root / "npstn", ignore=shutil.ignore_patterns("__pycache__"))
    own = root / "npstn" / "transformers"
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    own.joinpath("shear.py").write_text(next(block for block in blocks if "class Shear" in block))
    table = own.joinpath("__init__.py").read_text()
    first = "from npstn.transformers.tps"
    table = table.replace(first, f"from npstn.transformers.shear import Shear\n{first}")
    own.joinpath("__init__.py").write_text(table.replace('    "tps": Tps,', '    "shear": Shear,\n    "tps": Tps,'))
    code = "from npstn import models; print(models.build('shear', (1, 28, 28), 10).transformer.name)"
    assert run_python(code, root=root) == "shear"


def check_shear(Shear, folder):
    """The README's transformer against the affine map that it is; then through the command."""
    s = np.array([[0.4], [-0.7]])
    theta = np.zeros((2, 6)) + Affine.identity
    theta[:, 1] = s[:, 0]
    for size in ((5, 7), (28, 28)):
        grid, wanted = (kind.grid(npstn.Tensor(p), size).data for kind, p in ((Shear(), s), (Affine(), theta)))
        assert_allclose(grid, wanted, atol=1e-12)
        assert_allclose(Shear().describe(s, size)["shear"], Affine().describe(theta, size)["shear"])
    with small_world():
        said = npstn_("train", "--transformer", "shear", "--data", "drawn", "--epochs", "1", "--out", folder / "run")
    assert (said.status, said.err) == (0, "")


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("npstn train")])
def test_the_command_takes_what_the_readme_gives_it(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_pictures").mkdir()
    monkeypatch.setitem(TRANSFORMERS, "shear", Affine)  # as if the README's row were in the file
    monkeypatch.setattr("npstn.cli.train.run", lambda options: 0)
    _, *arguments = command.split()
    said = npstn_(*arguments)
    assert (said.status, said.err) == (0, "")


def test_the_tables_have_every_task_transformer_and_network():
    for option, known in (
        ("--task", TASKS.keys() - {"pictures"}),
        ("--transformer", {*TRANSFORMERS, "none"}),
        ("--network", npstn.models.NETWORKS.keys()),
    ):
        rows = re.search(rf"\| `{option}` \|.*\n\|[-|]*\n((?:\|.*\n)*)", TEXT)[1]
        assert set(re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE)) == set(known)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_has_each_option_that_the_readme_gives_it(command, capsys):
    _, name, *arguments = command.split()
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    explained = capsys.readouterr().out
    options = [argument for argument in arguments if argument.startswith("--")]
    assert all(re.search(rf"^ .*{option}(?=[ ,\n])", explained, re.MULTILINE) for option in options)


@pytest.mark.parametrize("name", ["README.md", *(f"docs/{name}.md" for name in LINKING)])
def test_every_link_leads_somewhere(name):
    file = README.parent / name
    links = re.findall(r"\]\((?!https?://)([^)#]+)", file.read_text(encoding="utf-8"))
    assert links and all((file.parent / link).exists() for link in links)


def test_the_listing_has_every_part_of_the_house():
    parts = [path.name for path in HOUSE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    assert sorted(LISTING) == sorted(part for part in parts if not part.startswith("__"))


def imported(path):
    """The parts of the house that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (module.split(".")[1] for module in modules if module.startswith("npstn."))


@pytest.mark.parametrize("number", range(len(LISTING)), ids=LISTING)
def test_each_part_imports_only_parts_above_it(number):
    part = HOUSE / LISTING[number]
    below = {name.removesuffix(".py") for name in LISTING[number + 1 :]}
    for file in part.rglob("*.py") if part.is_dir() else [part]:
        assert not below & set(imported(file)), file
