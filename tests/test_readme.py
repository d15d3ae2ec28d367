"""The README's Python runs as it stands."""

import re
from pathlib import Path

import numpy as np

import npstn

README = Path(__file__).parent.parent / "README.md"


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    npstn.manual_seed(0)
    names = {"torch_net": npstn.models.STNClsNet()}  # a state dict is one, whichever library it is from
    for block in blocks:
        exec(block, names)
    assert re.fullmatch(r"\[-?[\d.e-]+\]\n", capsys.readouterr().out)
    y = names["Square"].apply(npstn.Tensor([3.0]))
    assert y.item() == 9
    saved = npstn.load("weights.safetensors")
    for name, array in names["torch_net"].state_dict().items():
        np.testing.assert_array_equal(saved[name], array)


def test_every_link_of_the_readme_leads_somewhere():
    for link in re.findall(r"\]\((?!https?://)([^)#]+)", README.read_text(encoding="utf-8")):
        assert (README.parent / link).exists(), link
