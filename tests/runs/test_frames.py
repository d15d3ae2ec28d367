"""The frames that a run keeps for its film."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import npstn
from npstn.runs import frames

SHAPE = 6, 2, 24, 40


def images(rng):
    return rng.random(SHAPE, np.float32)


def in_bytes(images):
    return np.rint(255 * images).astype(np.uint8)


def test_frames_are_kept_by_epoch(tmp_path, rng):
    handed_on = [images(rng) for _ in range(12)]
    for epoch, after in enumerate(handed_on):
        frames.keep(tmp_path, epoch, after)
    kept = frames.read(tmp_path, SHAPE)
    assert list(kept) == list(range(12))  # in their order, not in the alphabet's
    for frame, after in zip(kept.values(), handed_on, strict=True):
        assert frame.dtype == np.uint8
        assert_array_equal(frame, in_bytes(after))
    assert [path.name for path in tmp_path.iterdir()] == [frames.FILE]


def test_an_epoch_that_is_gone_through_again_replaces_its_own(tmp_path, rng):
    first, second, again = images(rng), images(rng), images(rng)
    frames.keep(tmp_path, 1, first)
    frames.keep(tmp_path, 2, second)
    frames.keep(tmp_path, 1, again)
    kept = frames.read(tmp_path, SHAPE)
    assert_array_equal(kept[1], in_bytes(again))
    assert_array_equal(kept[2], in_bytes(second))


def test_what_is_beyond_black_and_white_stays_there(tmp_path):
    frames.keep(tmp_path, 0, np.full((1, 1, 28, 28), 1.01, np.float32))
    frames.keep(tmp_path, 1, np.full((1, 1, 28, 28), -0.01, np.float32))
    kept = frames.read(tmp_path, (1, 1, 28, 28))
    assert (kept[0] == 255).all() and (kept[1] == 0).all()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: npstn.save({"one": np.zeros(SHAPE, np.uint8)}, path),
        lambda path: npstn.save({"1": np.zeros(SHAPE, np.float32)}, path),
        lambda path: npstn.save({"1": np.zeros((5, *SHAPE[1:]), np.uint8)}, path),
        lambda path: npstn.save({"1": np.zeros(3, np.uint8)}, path),
    ],
    ids=["none", "empty", "cut", "name", "dtype", "count", "shape"],
)
def test_frames_that_are_damaged_cost_no_run(tmp_path, rng, spoil):
    frames.keep(tmp_path, 1, images(rng))
    spoil(tmp_path / frames.FILE)
    assert frames.read(tmp_path, SHAPE) == {}
    later = images(rng)
    frames.keep(tmp_path, 2, later)
    kept = frames.read(tmp_path, SHAPE)
    assert list(kept) == [2]
    assert_array_equal(kept[2], in_bytes(later))
