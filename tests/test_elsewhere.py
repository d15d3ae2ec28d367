"""docs/elsewhere.md: its formulas give here what the other libraries gave, and its snippets print what it says.

tests/elsewhere.json holds their numbers; `python -m tests.elsewhere` asks the libraries again.
"""

import doctest
import json
import re
from pathlib import Path

import elsewhere
import numpy as np
import pytest
from elsewhere import OUT, RECORDED, SIZE, THETA, VOLUME, P, Q, U

import npstn.functional as F
from npstn import Tensor

PAGE = Path(__file__).parent.parent / "docs" / "elsewhere.md"
TEXT = PAGE.read_text(encoding="utf-8")
GIVEN = {name: found["gives"] for name, found in json.loads(RECORDED.read_text()).items()}


@pytest.fixture(scope="module")
def page():
    """The names that the page's snippets define, after they have run."""
    snippets = "\n".join(re.findall(r"^```python\n(.*?)^```$", TEXT, re.M | re.S))
    example = doctest.DocTestParser().get_doctest(snippets, {}, "docs/elsewhere.md", "docs/elsewhere.md", 0)
    report = []
    names = example.globs
    doctest.DocTestRunner().run(example, out=report.append, clear_globs=False)
    assert not report, "".join(report)
    return names


def same(name, found):
    np.testing.assert_allclose(found, GIVEN[name], rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", ["torch_warp", "onnx_warp"])
def test_pytorch_and_onnx(page, name):
    same(name, page["warp"](U, THETA, OUT))


def test_paddle(page):
    same("paddle_warp", page["warp"](U, THETA, OUT, align_corners=True))


def test_keras(page):
    theta = page["from_keras"](P.ravel()[:8], SIZE)
    same("keras_affine_transform", page["warp"](U, theta, SIZE))
    np.testing.assert_allclose(page["to_keras"](theta, SIZE), P.ravel()[:8], atol=1e-12)
    coordinates = np.stack(np.meshgrid(np.linspace(0.3, 5.7, 4), np.linspace(0.1, 3.9, 3), indexing="ij"))
    G = page["grid_from_coordinates"](coordinates, SIZE)
    same("keras_map_coordinates", F.grid_sample(Tensor(U[None, None].astype(np.float64)), Tensor(G)).data[0, 0])


def test_monai(page):
    normalised = np.vstack([THETA[0], [0, 0, 1]])
    same("monai_normalised", page["warp"](U, page["from_monai"](normalised), OUT, align_corners=True))
    theta = page["from_scipy"](page["reversed_axes"](P), SIZE, OUT)  # in pixels: rows first, as in SciPy
    same("monai_pixels", page["warp"](U, theta, OUT))


def test_opencv(page):
    theta = page["from_opencv"](P[:2], SIZE, OUT, inverse_map=True)
    same("opencv_warp_affine", page["warp"](U, theta, OUT))
    forward = np.linalg.inv(P)[:2]
    same("opencv_forward", page["warp"](U, page["from_opencv"](forward, SIZE, OUT), OUT))
    np.testing.assert_allclose(page["to_opencv"](theta, SIZE, OUT), forward, atol=1e-12)


def test_scikit_image(page):
    same("scikit_image_warp", page["warp"](U, page["theta_from_pixels"](P, SIZE, OUT), OUT))


def test_scipy(page):
    same("scipy_affine_transform", page["warp"](U, page["from_scipy"](elsewhere.swapped(P), SIZE, OUT), OUT))


def test_kornia(page):
    same("kornia_warp_affine", page["warp"](U, page["from_opencv"](np.linalg.inv(P)[:2], SIZE, OUT), OUT))


def test_itk(page):
    S = page["physical"](elsewhere.SPACING, elsewhere.ORIGIN)
    theta = page["from_itk"](Q, (11.0, 1.0, 9.0), S, S, VOLUME.shape, VOLUME.shape)
    same("simpleitk_resample", page["warp_as_itk"](VOLUME, theta, VOLUME.shape))


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(("size", "out"), [((7, 5), (6, 8)), ((4, 5, 6), (3, 7, 2))])
def test_either_convention_leads_to_the_same_pixels_and_back(page, size, out, align_corners):
    matrix = P if len(size) == 2 else Q
    theta = page["theta_from_pixels"](matrix, size, out, align_corners)
    np.testing.assert_allclose(page["pixels_from_theta"](theta, size, out, align_corners), matrix, atol=1e-12)
    image = np.random.default_rng(0).standard_normal(size)
    found = page["warp"](image, theta, out, align_corners=align_corners)
    other = page["warp"](image, page["theta_from_pixels"](matrix, size, out), out)
    np.testing.assert_allclose(found, other, atol=1e-12)


def test_signs_of_a_rotation():
    """Where a dot right of the middle goes by +90 degrees, here and where it is recorded."""

    def ours():
        grid = F.affine_grid(F.rotation_theta(Tensor(np.array([np.pi / 2], np.float32))), (1, 1, 5, 5))
        return F.grid_sample(Tensor(elsewhere.DOT[None, None]), grid).data[0, 0]

    assert elsewhere.turned(ours) == "up"
    turns = {turn.__name__: GIVEN[turn.__name__] for turn in elsewhere.TURNS}
    assert [name for name, way in turns.items() if way == "down"] == ["monai_rotate"]


def test_every_record_has_its_library_and_its_place_in_the_page():
    versions = {found["by"] for found in json.loads(RECORDED.read_text()).values()}
    script = (PAGE.with_suffix(".sh")).read_text()
    assert {function.__name__ for function in elsewhere.WARPS + elsewhere.TURNS} == set(GIVEN)
    for version in versions:
        assert version.replace(" ", "==") in script, version


def test_links_lead_somewhere():
    targets = re.findall(r"\]\(([^)]*)\)", re.sub(r"^```.*?^```$", "", TEXT, flags=re.M | re.S))
    assert len(targets) > 20
    for target in targets:
        file, _, title = target.partition("#")
        page = PAGE.parent / file if file else PAGE
        assert page.exists(), target
        if title:
            titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
            assert title in {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in titles}, target
