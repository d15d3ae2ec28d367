"""The README is true: its Python runs, its commands and links exist, and its listing is the house."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest

import npstn
from npstn.cli.parser import main

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8")
HOUSE = Path(npstn.__file__).parent
LISTING = re.findall(r"^    ([\w.]+)", re.search(r"```text\nnpstn/\n(.*?)```", TEXT, re.DOTALL)[1], re.MULTILINE)
COMMANDS = re.findall(r"^    (npstn .*?)(?: *#.*)?$", TEXT, re.MULTILINE) + re.findall(r"`(npstn [^`]*)`", TEXT)


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) == 3
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


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_has_each_option_that_the_readme_gives_it(command, capsys):
    _, name, *arguments = command.split()
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    explained = capsys.readouterr().out
    options = [argument for argument in arguments if argument.startswith("--")]
    assert all(re.search(rf"^ .*{option}(?=[ ,\n])", explained, re.MULTILINE) for option in options)


@pytest.mark.parametrize("name", ["README.md", "docs/performance.md", "docs/gradcheck.md"])
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
