"""Images that several processes map into their memory."""

import os
import stat

import numpy as np
import pytest

from npstn.data import DataError, Source, draw_digits, shared


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@pytest.fixture
def source():
    images, labels = draw_digits(30)
    return Source("few", "few digits", lambda train: (images[:20], labels[:20]), (28, 28), tuple("0123456789"))


def test_a_source_comes_back_mapped_and_read_only(source):
    sha256 = source.sha256()
    shared.keep(shared.pack(source), sha256)
    back = shared.mapped(shared.about(source), sha256)
    assert shared.about(back) == shared.about(source)
    for mine, theirs in zip((*source.train, *source.test), (*back.train, *back.test), strict=True):
        assert np.array_equal(mine, theirs) and mine.dtype == theirs.dtype
    assert isinstance(back.train[0].base, np.memmap)  # no copy of its own
    with pytest.raises(ValueError):
        back.train[0][0] = 0


def test_keeping_twice_leaves_the_files_as_they_are(source):
    for _ in range(2):
        shared.keep(shared.pack(source), source.sha256())
    assert [path.name for path in shared.folder().iterdir()] == [source.sha256()]
    shared.forget(source.sha256())
    assert list(shared.folder().iterdir()) == []


def test_what_is_not_there_is_refused(source):
    with pytest.raises(DataError, match="got none"):
        shared.mapped(shared.about(source), source.sha256())


def test_others_can_neither_read_nor_write_the_folder():
    assert stat.S_IMODE(shared.folder().stat().st_mode) == 0o700


def test_a_link_in_place_of_the_folder_is_refused(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    place = shared.folder()
    place.rmdir()
    os.symlink(elsewhere, place)
    with pytest.raises(DataError, match="to be a folder of this user"):
        shared.folder()


@pytest.mark.parametrize("damage", ["cut", "other", "gone"])
def test_damaged_files_are_refused_and_removed(source, damage):
    sha256 = source.sha256()
    shared.keep(shared.pack(source), sha256)
    file = shared.folder() / sha256 / "train_images.npy"
    content = file.read_bytes()
    if damage == "cut":
        file.write_bytes(content[:100])
    elif damage == "other":
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:
        file.unlink()
    with pytest.raises(DataError, match=f"expected the images {sha256[:8]}"):
        shared.mapped(shared.about(source), sha256)
    assert list(shared.folder().iterdir()) == []
