"""The frames of a run, and the film made of them."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

import npstn
from npstn import film


def digits(rng, count=6):
    return rng.random((count, 1, 28, 28), np.float32)


def grey(images):
    return np.rint(255 * images[:, 0]).astype(np.uint8)


# keep and read


def test_frames_are_kept_by_epoch(tmp_path, rng):
    turned = [digits(rng) for _ in range(12)]
    for epoch, images in enumerate(turned):
        film.keep(tmp_path, epoch, images)
    frames = film.read(tmp_path, 6)
    assert list(frames) == list(range(12))  # in their order, not in the alphabet's
    for frame, images in zip(frames.values(), turned, strict=True):
        assert frame.dtype == np.uint8
        assert_array_equal(frame, grey(images))
    assert [path.name for path in tmp_path.iterdir()] == [film.FRAMES]


def test_an_epoch_that_is_gone_through_again_replaces_its_own(tmp_path, rng):
    first, second, again = digits(rng), digits(rng), digits(rng)
    film.keep(tmp_path, 1, first)
    film.keep(tmp_path, 2, second)
    film.keep(tmp_path, 1, again)
    frames = film.read(tmp_path, 6)
    assert_array_equal(frames[1], grey(again))
    assert_array_equal(frames[2], grey(second))


def test_what_is_beyond_black_and_white_stays_there(tmp_path):
    film.keep(tmp_path, 0, np.full((1, 1, 28, 28), 1.01, np.float32))
    film.keep(tmp_path, 1, np.full((1, 1, 28, 28), -0.01, np.float32))
    frames = film.read(tmp_path, 1)
    assert (frames[0] == 255).all() and (frames[1] == 0).all()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: npstn.save({"one": np.zeros((6, 28, 28), np.uint8)}, path),
        lambda path: npstn.save({"1": np.zeros((6, 28, 28), np.float32)}, path),
        lambda path: npstn.save({"1": np.zeros((5, 28, 28), np.uint8)}, path),
        lambda path: npstn.save({"1": np.zeros(3, np.uint8)}, path),
    ],
    ids=["none", "empty", "cut", "name", "dtype", "count", "shape"],
)
def test_frames_that_are_damaged_cost_no_run(tmp_path, rng, spoil):
    film.keep(tmp_path, 1, digits(rng))
    spoil(tmp_path / film.FRAMES)
    assert film.read(tmp_path, 6) == {}
    later = digits(rng)
    film.keep(tmp_path, 2, later)
    frames = film.read(tmp_path, 6)
    assert list(frames) == [2]
    assert_array_equal(frames[2], grey(later))


# write


def shown(path):
    """The pictures of a film, as arrays, and how long each is shown."""
    pictures, pauses = [], []
    with Image.open(path) as gif:
        assert gif.info["loop"] == 0  # again and again
        for frame in range(gif.n_frames):
            gif.seek(frame)
            pictures.append(np.asarray(gif.convert("L")))
            pauses.append(gif.info["duration"])
    return pictures, pauses


def test_a_film_has_a_picture_for_each_epoch(tmp_path):
    before = np.zeros((6, 1, 28, 28), np.float32)
    frames = {epoch: np.full((6, 28, 28), 100 * epoch, np.uint8) for epoch in range(3)}
    film.write(tmp_path / "x.gif", before, frames, {1: 50.0, 2: 75.0})
    pictures, pauses = shown(tmp_path / "x.gif")
    assert pauses == [800, 800, 3000]
    height, width = pictures[0].shape
    for epoch, picture in enumerate(pictures):
        above, below = picture[height // 3, width // 2], picture[4 * height // 5, width // 2]
        assert above == 0  # the digits as they come in are the same throughout
        assert abs(int(below) - 100 * epoch) <= 4
    # The title is another each time.
    titles = [picture[: height // 14] for picture in pictures]
    assert (titles[0] != titles[1]).any() and (titles[1] != titles[2]).any()


def test_the_film_of_a_run_that_lost_its_first_frames(tmp_path, rng):
    film.write(tmp_path / "x.gif", digits(rng), {7: np.zeros((6, 28, 28), np.uint8)}, {})
    pictures, pauses = shown(tmp_path / "x.gif")
    assert len(pictures) == 1


def test_titles_say_what_is_seen_and_nothing_is_cut_off(rng):
    from pictures import check_texts

    for epoch, accuracy, title in (
        (0, None, "before training"),
        (5, None, "epoch 5"),
        (12, 98.765, "epoch 12: 98.8 % of the test digits are read right"),
    ):
        assert title in check_texts(film.picture(digits(rng), digits(rng), epoch, accuracy))
