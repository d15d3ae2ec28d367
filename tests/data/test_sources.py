"""Sources of images: loaded when they are needed, once, and told apart by their hash."""

import hashlib

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from npstn.data import SOURCES, DataError, MnistNotFound, Source, draw_digits
from npstn.data.sources import drawn


class Loading:
    """Two images for training, one for testing; counts how often it is asked."""

    def __init__(self, shift=0):
        self.images, self.calls = np.arange(3 * 2 * 3, dtype=np.uint8).reshape(3, 2, 3) + np.uint8(shift), []

    def __call__(self, train):
        self.calls.append(train)
        return (self.images[:2], np.array([0, 1])) if train else (self.images[2:], np.array([1]))

    def source(self, name="own"):
        return Source(name, "blots", self, (2, 3), ("zero", "one"))


def test_a_set_is_loaded_once_and_only_when_it_is_needed():
    load = Loading()
    source = load.source()
    assert load.calls == []
    assert_array_equal(source.test[0], load.images[2:])
    assert load.calls == [False]
    assert source.train[0] is source.train[0]
    assert_array_equal(source.train[1], [0, 1])
    assert load.calls == [False, True]


@pytest.mark.parametrize(("train", "calls"), [(True, [True, False]), (False, [False])])
def test_loaded_loads_what_is_asked_for(train, calls):
    load = Loading()
    source = load.source()
    assert source.loaded(train) is source
    assert sorted(load.calls) == sorted(calls)


def test_what_loading_raises_comes_from_loaded():
    def load(train):
        raise MnistNotFound("not here")

    with pytest.raises(MnistNotFound):
        Source("none", "nothing", load, (2, 3), ()).loaded()


def test_the_hash_is_that_of_both_sets_with_their_dtypes_and_shapes():
    load = Loading()
    digest = hashlib.sha256()
    for array in (load.images[:2], np.array([0, 1]), load.images[2:], np.array([1])):
        digest.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    assert load.source().sha256() == digest.hexdigest()
    assert load.source("another name").sha256() == load.source().sha256()
    assert Loading(shift=1).source().sha256() != load.source().sha256()


def test_drawn_digits_are_those_of_the_seeds(monkeypatch):
    monkeypatch.setattr("npstn.data.sources.draw_digits", lambda count, seed: draw_digits(count // 1000, seed))
    source = SOURCES["drawn"](None)
    assert (source.name, source.size, source.classes) == ("drawn", (28, 28), tuple("0123456789"))
    for found, wanted in ((source.train, draw_digits(60, 0)), (source.test, draw_digits(10, 1))):
        for a, b in zip(found, wanted, strict=True):
            assert_array_equal(a, b)


def test_drawn_digits_have_no_folder(tmp_path):
    with pytest.raises(DataError, match="^expected no folder of files for drawn digits, got .*leave --data-dir out$"):
        drawn(tmp_path)


def test_mnist_says_where_it_looked_for_its_files(tmp_path, monkeypatch):
    monkeypatch.delenv("NPSTN_DATA_DIR", raising=False)
    source = SOURCES["mnist"](tmp_path)
    assert (source.name, source.title, source.size) == ("mnist", "MNIST digits", (28, 28))
    with pytest.raises(DataError, match=str(tmp_path)):
        source.test  # noqa: B018 - loads it


def test_every_source_is_known_by_its_own_name():
    assert list(SOURCES) == [make(None).name for make in SOURCES.values()]
