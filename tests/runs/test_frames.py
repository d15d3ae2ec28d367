"""The frames that a run keeps for its film."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import npstn
from npstn.runs import frames
from npstn.runs.frames import Moment

SHAPE = 6, 2, 24, 40


def images(rng):
    return rng.random(SHAPE, np.float32)


def in_bytes(images):
    return np.rint(255 * images).astype(np.uint8)


def test_frames_are_kept_by_epoch_and_step(tmp_path, rng):
    moments = [Moment(0), Moment(0, 9), Moment(0, 10), *map(Moment, range(1, 12)), Moment(11, 3)]
    handed_on = [images(rng) for _ in moments]
    for moment, after in zip(moments, handed_on, strict=True):
        frames.keep(tmp_path, moment, after)
    kept = frames.read(tmp_path, SHAPE)
    assert list(kept) == moments  # in their order, not in the alphabet's
    for frame, after in zip(kept.values(), handed_on, strict=True):
        assert frame.dtype == np.uint8
        assert_array_equal(frame, in_bytes(after))
    assert [path.name for path in tmp_path.iterdir()] == [frames.FILE]


def test_the_frames_of_an_older_run_have_the_names_of_epochs(tmp_path):
    shape = 1, 1, 2, 2
    npstn.save({str(epoch): np.full(shape, epoch, np.uint8) for epoch in range(3)}, tmp_path / frames.FILE)
    assert {moment: frame[0, 0, 0, 0] for moment, frame in frames.read(tmp_path, shape).items()} == {
        Moment(0): 0, Moment(1): 1, Moment(2): 2
    }


@pytest.mark.parametrize(
    ("of", "early"), [(1875, [117, 234, 352, 469, 938]), (19, [1, 2, 4, 5, 10]), (2, [1]), (1, [])]
)
def test_early_frames_are_spread_over_the_first_epoch(of, early):
    assert [steps for steps in range(of + 1) if frames.is_early(steps, of)] == early


def test_an_epoch_that_is_gone_through_again_replaces_its_own(tmp_path, rng):
    first, second, again = images(rng), images(rng), images(rng)
    frames.keep(tmp_path, Moment(1), first)
    frames.keep(tmp_path, Moment(2), second)
    frames.keep(tmp_path, Moment(1), again)
    kept = frames.read(tmp_path, SHAPE)
    assert_array_equal(kept[Moment(1)], in_bytes(again))
    assert_array_equal(kept[Moment(2)], in_bytes(second))


def test_what_is_beyond_black_and_white_stays_there(tmp_path):
    frames.keep(tmp_path, Moment(0), np.full((1, 1, 28, 28), 1.01, np.float32))
    frames.keep(tmp_path, Moment(1), np.full((1, 1, 28, 28), -0.01, np.float32))
    kept = frames.read(tmp_path, (1, 1, 28, 28))
    assert (kept[Moment(0)] == 255).all() and (kept[Moment(1)] == 0).all()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: npstn.save({"one": np.zeros(SHAPE, np.uint8)}, path),
        lambda path: npstn.save({"1+2+3": np.zeros(SHAPE, np.uint8)}, path),
        lambda path: npstn.save({"1": np.zeros(SHAPE, np.float32)}, path),
        lambda path: npstn.save({"1": np.zeros((5, *SHAPE[1:]), np.uint8)}, path),
        lambda path: npstn.save({"1": np.zeros(3, np.uint8)}, path),
    ],
    ids=["none", "empty", "cut", "name", "moment", "dtype", "count", "shape"],
)
def test_frames_that_are_damaged_cost_no_run(tmp_path, rng, spoil):
    frames.keep(tmp_path, Moment(1), images(rng))
    spoil(tmp_path / frames.FILE)
    assert frames.read(tmp_path, SHAPE) == {}
    later = images(rng)
    frames.keep(tmp_path, Moment(2), later)
    kept = frames.read(tmp_path, SHAPE)
    assert list(kept) == [Moment(2)]
    assert_array_equal(kept[Moment(2)], in_bytes(later))
