"""The film of a training, made of its frames."""

import numpy as np
import pytest
from PIL import Image
from pictures import check_texts

from npstn.figures import film
from npstn.runs.frames import Moment


def shown(path, mode="L"):
    """The pictures of a film, as arrays, and how long each is shown."""
    pictures, pauses = [], []
    with Image.open(path) as gif:
        assert (gif.format, gif.info["loop"]) == ("GIF", 0)  # again and again
        for frame in range(gif.n_frames):
            gif.seek(frame)
            pictures.append(np.asarray(gif.convert(mode)))
            pauses.append(gif.info["duration"])
    return pictures, pauses


@pytest.mark.parametrize("image", [(1, 28, 28), (2, 24, 40)])
def test_a_film_has_a_picture_for_each_frame(tmp_path, image):
    before = np.zeros((6, *image), np.float32)
    moments = Moment(0), Moment(0, 5), Moment(1)
    frames = {moment: np.full((6, *image), 100 * k, np.uint8) for k, moment in enumerate(moments)}
    film.write(tmp_path / "x.gif", before, frames, 19, {1: 50.0})
    pictures, pauses = shown(tmp_path / "x.gif")
    assert pauses == [800, 800, 3000]
    height, width = pictures[0].shape
    for number, picture in enumerate(pictures):
        above, below = picture[height // 3, width // 2], picture[4 * height // 5, width // 2]
        assert above == 0  # the images as they come in are the same throughout
        assert abs(int(below) - 100 * number) <= 8
    # The title is another each time.
    titles = [picture[: height // 14] for picture in pictures]
    assert (titles[0] != titles[1]).any() and (titles[1] != titles[2]).any()


def test_images_of_another_size_than_those_handed_on(tmp_path, rng):
    film.write(tmp_path / "x.gif", rng.random((3, 1, 40, 24)), {Moment(0): np.zeros((3, 1, 9, 14), np.uint8)}, 19, {})
    assert len(shown(tmp_path / "x.gif")[0]) == 1


def test_a_film_of_colours_is_coloured(tmp_path):
    red = np.zeros((3, 3, 16, 16), np.float32)
    red[:, 0] = 1
    frames = {Moment(0): np.uint8(255 * red), Moment(1): np.uint8(255 * red[:, ::-1])}
    film.write(tmp_path / "x.gif", red, frames, 19, {})
    (first, second), _ = shown(tmp_path / "x.gif", "RGB")
    height, width, _ = first.shape
    for picture, colour in ((first, [255, 0, 0]), (second, [0, 0, 255])):
        assert np.abs(picture[height // 3, width // 2].astype(int) - [255, 0, 0]).max() < 20
        assert np.abs(picture[4 * height // 5, width // 2].astype(int) - colour).max() < 20


def test_the_film_of_a_run_that_lost_its_first_frames(tmp_path, rng):
    before = rng.random((6, 1, 28, 28), np.float32)
    film.write(tmp_path / "x.gif", before, {Moment(7): np.zeros((6, 1, 28, 28), np.uint8)}, 19, {})
    pictures, pauses = shown(tmp_path / "x.gif")
    assert len(pictures) == 1


def test_titles_say_what_is_seen_and_nothing_is_cut_off(rng):
    images, accuracies = rng.random((6, 1, 28, 28), np.float32), {12: 98.765}
    for moment, title in (
        (Moment(0), "before training"),
        (Moment(0, 937), "in epoch 1, after 937 of 1875 steps"),
        (Moment(5), "after epoch 5"),
        (Moment(12), "after epoch 12: 98.8 % of the test images are read right"),
    ):
        assert film.title(moment, 1875, accuracies) == title
        assert title in check_texts(film.picture(images, images, title))
