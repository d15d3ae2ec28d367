"""Which class is taken for which: the numbers in the cells, and their colours."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from pictures import check_texts, is_png

from npstn.figures.confusion import confusion_figure


def test_the_cells_have_the_numbers_and_the_mistakes_have_colours(tmp_path):
    counts = np.array([[1000, 1, 0], [3, 7, 0], [0, 0, 0]])
    figure = confusion_figure(counts, ("cat", "dog", "none"))
    axes, _ = figure.axes
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {(0, 0): "1,000", (1, 0): "1", (0, 1): "3", (1, 1): "7"}
    (image,) = axes.get_images()
    assert_allclose(image.get_array(), [[0, 100 / 1001, 0], [30, 0, 0], [0, 0, 0]])
    texts = check_texts(figure)
    assert {"4 of 1,011 test images are misread", "what the image shows", "the network's answer", "dog"} <= set(texts)
    assert is_png(figure, tmp_path / "x.png")


@pytest.mark.parametrize("classes", [2, 19, 20, 21, 200, 1000])
def test_any_number_of_classes(classes, tmp_path, rng):
    counts = rng.integers(0, 3, (classes, classes))
    figure = confusion_figure(counts, tuple(f"class {k}" for k in range(classes)))
    assert bool(figure.axes[0].texts) == (classes <= 20)
    check_texts(figure)
    assert is_png(figure, tmp_path / "x.png") and max(figure.get_size_inches()) < 30


def test_no_mistake_at_all(tmp_path):
    figure = confusion_figure(np.diag([4, 5]), ("0", "1"))
    assert "0 of 9 test images are misread" in check_texts(figure)
    assert is_png(figure, tmp_path / "x.png")
