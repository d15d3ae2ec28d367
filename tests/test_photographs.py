"""The table of the photographs: made by the command, and put into its page."""

import pytest
from PIL import Image

from benchmarks import photographs, tables
from benchmarks.camera import KINDS

pytestmark = pytest.mark.usefixtures("small_world")


def test_the_page_has_a_line_for_each_kind_and_both_pictures(trained, tmp_path, monkeypatch):
    few = {name: KINDS[name] for name in ("plain paper", "chalk on a board")}
    monkeypatch.setattr(photographs, "KINDS", few)
    page, kept = tmp_path / "predict.md", tmp_path / "kept"
    page.write_text(f"before\n{photographs.START}old\n{tables.END}\nafter\n")
    given = [str(trained[0]), "--digits", "3", "--docs", str(tmp_path), "--keep", str(kept)]
    photographs.main(given)
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert "3 drawn digits that the network reads from their own pixels" in text
    for kind in (photographs.OWN, *few):
        cells = next(line for line in text.splitlines() if line.startswith(f"| {kind} |")).split("|")[2:5]
        nothing, misread, right = (float(cell.strip(" %")) for cell in cells)
        assert nothing + misread + round(3 * right / 100) == 3
    assert len(list(kept.glob("*/*.jpg"))) == 6 and len(list(kept.glob("*/*.png"))) == 3
    assert Image.open(tmp_path / photographs.STEPS).size[0] > 300
    photographs.main(given)
    assert page.read_text() == text
