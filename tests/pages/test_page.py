"""The file of a page: its tables, its size, and what it asks of others: nothing."""

import base64
import gzip
import json
import re

import numpy as np
import pytest
from command import npstn_
from numpy.testing import assert_allclose, assert_array_equal

from npstn import pages, runs
from npstn.pages import states
from npstn.pages.page import Tables

pytestmark = pytest.mark.usefixtures("small_world")


def unpacked(contents, packed):
    """The tables as the script of a page gets them."""
    data = gzip.decompress(base64.b64decode(packed))
    return {
        table["name"]: np.frombuffer(data, table["dtype"], table["length"], table["start"]).reshape(
            -1, contents["widths"][table["name"]]
        )
        for table in contents["tables"]
    }


def parts(path):
    """The contents and the tables of a page."""
    text = path.read_text(encoding="utf-8")
    contents = json.loads(re.search(r'<script type="application/json" id="contents">(.*?)</script>', text)[1])
    return contents, unpacked(contents, re.search(r'id="tables">(.*?)</script>', text)[1])


def test_tables_come_out_as_they_went_in(rng):
    tables = Tables()
    first, second = rng.integers(0, 256, (3, 5, 7), np.uint8), rng.integers(0, 256, (2, 5, 7), np.uint8)
    places, losses = rng.integers(-99, 99, (5, 3, 2), np.int16), rng.random(4)
    assert tables.add("images", first) == 0
    assert tables.add("images", second) == 3
    assert tables.add("places", places) == tables.add("losses", losses) == 0
    found = unpacked(tables.contents(), tables.packed())
    assert_array_equal(found["images"], np.concatenate([first, second]).reshape(5, 35))
    assert_array_equal(found["places"], places.reshape(5, 6))
    assert_array_equal(found["losses"], losses[:, None])
    assert all(table["start"] % 8 == 0 for table in tables.contents()["tables"])


def test_the_page_of_a_run(trained, tmp_path):
    path, said = tmp_path / "page.html", []
    pages.write_run_page(path, trained[0], [5, 3], say=said.append)
    assert len(said) == 2 and said[0] == "reading test image 5 at 181 positions of each slider (1 of 2)"
    assert path.stat().st_size < 5e6
    contents, tables = parts(path)
    assert [digit["title"].split(":")[0] for digit in contents["digits"]] == ["5", "3"]
    assert len(tables["losses"]) == len(contents["words"]) == 2 * 181
    assert contents["digits"][1]["sliders"][0]["start"] == 181
    assert np.isfinite(tables["slopes"]).all()


def test_the_arrows_are_the_forces_in_one_scale(trained, tmp_path):
    """The longest of both images is 0.4 of the width; those below a fiftieth of it are left out."""
    pages.write_run_page(tmp_path / "page.html", trained[0], [5, 3])
    _, tables = parts(tmp_path / "page.html")
    arrows = (tables["tips"].astype(float) - tables["grids"]).reshape(-1, 10, 10, 2) / 64
    config = runs.read_config(trained[0])
    net, test = runs.load_net(trained[0], config), config.open_task(trained[0]).test()
    forces = np.concatenate([states.play(net, test, k, 181).sliders[0].states.forces for k in (5, 3)])
    lengths = np.linalg.norm(forces, axis=3)
    wanted = forces * (0.4 * 28 / lengths.max())
    drawn = lengths > 0.021 * lengths.max()
    assert 0 < drawn.sum() < drawn.size
    assert_allclose(arrows[drawn], wanted[drawn], atol=1.01 / 64)
    assert not arrows[lengths < 0.019 * lengths.max()].any()


@pytest.mark.parametrize("kind", ["run", "pixel"])
def test_a_page_needs_nothing_else(trained, tmp_path, kind):
    path = tmp_path / "page.html"
    pages.write_run_page(path, trained[0], [5]) if kind == "run" else pages.write_pixel_page(path)
    text = path.read_text(encoding="utf-8")
    assert path.stat().st_size < 5e6
    tags = re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", text)
    assert tags and not any("src=" in tag or "href=" in tag for tag in tags)


def test_the_same_run_gives_the_same_numbers(trained, tmp_path):
    pages.write_run_page(tmp_path / "a.html", trained[0], [5])
    pages.write_run_page(tmp_path / "b.html", trained[0], [5])
    (one, first), (other, second) = parts(tmp_path / "a.html"), parts(tmp_path / "b.html")
    assert one == other
    for name, table in first.items():
        assert_array_equal(second[name], table)


def test_a_name_from_outside_is_text(trained, tmp_path, copy):
    """A run's folder, and the classes of the user's pictures, may be called anything."""
    folder = copy.rename(copy.with_name("<b>&run"))
    assert npstn_("play", folder, "--out", tmp_path / "page.html").status == 0
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;&amp;run" in text and "<b>&run" not in text


def test_a_page_of_numbers_that_are_not_finite_is_still_a_page(trained, tmp_path, monkeypatch):
    """As where a horizon goes through the image: the curve has gaps, and its axes end where it does."""
    follow = states.read_at

    def with_gaps(*given):
        read = follow(*given)
        read.losses[: len(read.losses) // 2] = np.nan
        read.slopes[:] = np.inf
        return read

    monkeypatch.setattr(states, "read_at", with_gaps)
    pages.write_run_page(tmp_path / "page.html", trained[0], [5])
    contents, tables = parts(tmp_path / "page.html")
    whole = contents["digits"][0]["sliders"][0]["curve"]["whole"]
    finite = tables["curve_losses"][np.isfinite(tables["curve_losses"])]
    assert len(finite) == len(tables["curve_losses"]) - len(tables["curve_losses"]) // 2
    assert whole["loss"][0] < finite.min() <= finite.max() < whole["loss"][1]
    assert whole["slope"] == [-1, 1]
