"""load_mnist on small stand-ins for the four files, and on MNIST itself."""

import gzip
import os
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from mirrors import COMPRESSED, FILES, IMAGES, LABELS, PAYLOADS, TEST_IMAGES, altered, assert_stand_ins, fill, refusal
from processes import run_python

from npstn.data import MnistNotFound, load_mnist, mnist, mnist_folder

REAL_MNIST = Path(__file__).resolve().parents[3] / "shared" / "mnist"


@pytest.fixture(autouse=True)
def no_real_mnist(request):
    if request.node.get_closest_marker("slow") is None:
        request.getfixturevalue("stand_ins")


# Files on disk


@pytest.mark.parametrize("suffix", ["", ".gz"], ids=["plain", "gz"])
@pytest.mark.parametrize("train", [True, False], ids=["train", "test"])
def test_plain_and_compressed_files_are_read(tmp_path, suffix, train):
    images, labels = load_mnist(fill(tmp_path / "digits", suffix), train=train)
    assert_stand_ins((images, labels), train)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    for array in (images, labels):
        assert array.flags.writeable
        assert array.flags.owndata
        assert array.flags.c_contiguous


def test_a_plain_file_that_kept_the_name_of_the_compressed_one_is_read(tmp_path):
    fill(tmp_path)
    (tmp_path / f"{IMAGES}.gz").write_bytes(PAYLOADS[IMAGES])
    assert_stand_ins(load_mnist(tmp_path))


def test_the_root_may_be_a_string(tmp_path):
    assert_stand_ins(load_mnist(str(fill(tmp_path))))


def test_the_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    fill(tmp_path / "digits")
    assert_stand_ins(load_mnist("~/digits"))
    monkeypatch.setenv("NPSTN_DATA_DIR", "~/digits")
    assert_stand_ins(load_mnist())


def test_the_variable_names_the_folder(tmp_path, cache, monkeypatch):
    folder = fill(tmp_path / "variable")
    cache.mkdir(parents=True)
    (cache / IMAGES).write_bytes(b"never looked at")
    monkeypatch.setenv("NPSTN_DATA_DIR", str(folder))
    assert mnist_folder() == folder
    assert_stand_ins(load_mnist())


def test_the_argument_precedes_the_variable(tmp_path, monkeypatch):
    folder = fill(tmp_path / "argument")
    monkeypatch.setenv("NPSTN_DATA_DIR", str(tmp_path / "missing"))
    assert mnist_folder(folder) == folder
    assert_stand_ins(load_mnist(folder))


@pytest.mark.parametrize("variable", [None, ""], ids=["unset", "empty"])
def test_the_cache_is_read_where_no_folder_is_named(cache, monkeypatch, variable):
    if variable is not None:
        monkeypatch.setenv("NPSTN_DATA_DIR", variable)
    fill(cache)
    assert mnist_folder() == cache
    assert_stand_ins(load_mnist())
    assert_stand_ins(load_mnist(download=False))


@pytest.mark.parametrize("by_variable", [False, True], ids=["argument", "variable"])
@pytest.mark.parametrize("absent", [IMAGES, LABELS])
def test_a_named_folder_must_hold_the_files(tmp_path, cache, server, mirrors, monkeypatch, absent, by_variable):
    """Neither a filled cache nor a good mirror stands in for a file that the named folder lacks."""
    fill(cache)
    mirrors("good")
    folder = fill(tmp_path / "named")
    (folder / f"{absent}.gz").unlink()
    before = sorted(folder.iterdir())
    if by_variable:
        monkeypatch.setenv("NPSTN_DATA_DIR", str(folder))
    message = refusal(None if by_variable else folder)
    assert f"neither {absent} nor {absent}.gz in {folder};" in message
    assert sorted(folder.iterdir()) == before
    assert server.requests == []


def test_a_named_folder_that_does_not_exist_is_refused(tmp_path):
    folder = tmp_path / "no" / "such"
    assert f"in {folder}, which is no readable folder" in refusal(folder)
    assert not folder.exists()


def test_a_file_in_the_place_of_the_named_folder_is_refused(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"")
    assert f"in {file}, which is no readable folder" in refusal(file)


def test_a_folder_with_an_impossible_name_is_refused():
    assert "no readable folder" in refusal("x" * 5000)


# Damaged files


def with_byte(name, position, value):
    compressed = bytearray(COMPRESSED[name])
    compressed[position] = value
    return bytes(compressed)


# What happened to the file: its suffix, its bytes, what the message says.
DAMAGES = {
    "altered": ("", altered, "has SHA-256"),
    "too long": ("", lambda name: PAYLOADS[name] + b"\0", "has more than"),
    "too short": ("", lambda name: PAYLOADS[name][:-1], "has {short} bytes"),
    "empty": ("", lambda name: b"", "has 0 bytes"),
    "gz, altered": (".gz", lambda name: gzip.compress(altered(name), mtime=0), "has SHA-256"),
    "gz, too long": (".gz", lambda name: gzip.compress(PAYLOADS[name] + b"\0", mtime=0), "has more than"),
    "gz, too short": (".gz", lambda name: gzip.compress(PAYLOADS[name][:-1], mtime=0), "has {short} bytes"),
    "gz, truncated": (".gz", lambda name: COMPRESSED[name][:-20], "Compressed file ended"),
    "gz, without checksum": (".gz", lambda name: COMPRESSED[name][:-8], "Compressed file ended"),
    "gz, only its mark": (".gz", lambda name: COMPRESSED[name][:2], "Compressed file ended"),
    "gz, wrong checksum": (".gz", lambda name: with_byte(name, -5, COMPRESSED[name][-5] ^ 1), "CRC check failed"),
    "gz, no such block": (".gz", lambda name: with_byte(name, 10, 0xFF), "invalid block type"),
    "gz, more behind it": (".gz", lambda name: COMPRESSED[name] + b"more", "Not a gzipped file"),
    "html": (".gz", lambda name: b"<html></html>", "has 13 bytes"),
}


@pytest.mark.parametrize("in_cache", [False, True], ids=["named", "cache"])
@pytest.mark.parametrize("name", [IMAGES, LABELS])
@pytest.mark.parametrize(("suffix", "damage", "reason"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_refused(tmp_path, cache, server, mirrors, suffix, damage, reason, name, in_cache):
    """Even where the cache could be filled anew; the message has the path and what to do."""
    mirrors("good")
    folder = fill(cache if in_cache else tmp_path / "named", suffix)
    path = folder / f"{name}{suffix}"
    path.write_bytes(damage(name))
    message = refusal(None if in_cache else folder)
    length, sha256 = FILES[name]
    assert message.startswith(f"{path}: ")
    assert reason.format(short=length - 1) in message
    assert f"expected {length} bytes with SHA-256 {sha256}" in message
    assert f"delete this file and download {mnist.MIRRORS[0]}{name}.gz" in message
    assert path.read_bytes() == damage(name)
    assert server.requests == []


def test_files_in_the_place_of_one_another_are_refused(tmp_path):
    fill(tmp_path)
    (tmp_path / f"{IMAGES}.gz").write_bytes(COMPRESSED[TEST_IMAGES])
    assert str(tmp_path / f"{IMAGES}.gz") in refusal(tmp_path)


def test_a_file_is_checked_at_each_reading(tmp_path):
    fill(tmp_path)
    load_mnist(tmp_path)
    (tmp_path / f"{LABELS}.gz").write_bytes(gzip.compress(altered(LABELS), mtime=0))
    assert "has SHA-256" in refusal(tmp_path)


@pytest.mark.parametrize("suffix", ["", ".gz"], ids=["plain", "gz"])
def test_no_more_bytes_are_read_than_expected(tmp_path, suffix):
    """64 MiB of zeros, in the .gz a bomb of 64 kB."""
    zeros = bytes(1 << 26)
    fill(tmp_path, suffix)
    (tmp_path / f"{IMAGES}{suffix}").write_bytes(gzip.compress(zeros, 1) if suffix else zeros)
    del zeros
    tracemalloc.start()
    try:
        message = refusal(tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "has more than" in message
    assert peak < 1 << 22


@pytest.mark.parametrize("in_cache", [False, True], ids=["named", "cache"])
def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path, cache, in_cache):
    folder = fill(cache if in_cache else tmp_path / "named")
    (folder / f"{IMAGES}.gz").unlink()
    (folder / f"{IMAGES}.gz").mkdir()
    message = refusal(None if in_cache else folder)
    assert str(folder / f"{IMAGES}.gz") in message
    assert "not a regular file" in message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_in_the_place_of_a_file_is_refused(tmp_path):
    fill(tmp_path)
    pipe = tmp_path / f"{IMAGES}.gz"
    pipe.unlink()
    os.mkfifo(pipe)
    # If the pipe were opened, the timer would end the wait: the test would fail instead of hanging.
    timer = threading.Timer(5, lambda: os.close(os.open(pipe, os.O_RDWR)))
    timer.start()
    try:
        assert "not a regular file" in refusal(tmp_path)
    finally:
        timer.cancel()


def test_a_dangling_link_is_refused(tmp_path):
    fill(tmp_path)
    (tmp_path / f"{IMAGES}.gz").unlink()
    (tmp_path / f"{IMAGES}.gz").symlink_to(tmp_path / "gone")
    assert "not a regular file" in refusal(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_missing_permission_is_named(tmp_path):
    path = fill(tmp_path) / f"{IMAGES}.gz"
    path.chmod(0)
    message = refusal(tmp_path)
    assert str(path) in message
    assert "Permission denied" in message
    tmp_path.chmod(0)
    try:
        assert "no readable folder" in refusal(tmp_path)
    finally:
        tmp_path.chmod(0o700)


def test_an_input_error_is_one_line(tmp_path, monkeypatch):
    """The error is simulated: a test cannot make a disk fail."""

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(gzip.GzipFile, "read", fail)
    message = refusal(fill(tmp_path))
    assert str(tmp_path / f"{IMAGES}.gz") in message
    assert "Input/output error" in message


def test_pooch_is_not_imported_until_it_is_needed():
    program = """if True:
        import sys
        before = set(sys.modules)
        from npstn.data import mnist
        mnist.mnist_folder("named")
        print({"pooch", "requests"} & set(sys.modules) - before)
    """
    assert run_python(program) == "set()"


def test_no_download_if_told_so(cache, server, mirrors):
    mirrors("good")
    message = refusal(error=MnistNotFound, download=False)
    assert f"neither {IMAGES} nor {IMAGES}.gz in {cache}" in message
    assert server.requests == []
    assert not cache.exists()


# MNIST itself


@pytest.mark.slow
@pytest.mark.skipif(not REAL_MNIST.is_dir(), reason=f"MNIST is not in {REAL_MNIST}")
@pytest.mark.parametrize(
    ("train", "counts", "first", "mean"),
    [
        (True, [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949], [5, 0, 4, 1, 9, 2, 1, 3], 0.1306604),
        (False, [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009], [7, 2, 1, 0, 4, 1, 4, 9], 0.1325148),
    ],
    ids=["train", "test"],
)
def test_mnist_is_read_upright_and_whole(train, counts, first, mean):
    images, labels = load_mnist(REAL_MNIST, train=train)
    assert images.shape == (sum(counts), 28, 28)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert np.bincount(labels).tolist() == counts
    assert labels[:8].tolist() == first
    # The mean brightness, and white margins on all sides of the mean digit, which is upright and not transposed.
    assert images.mean() / 255 == pytest.approx(mean, abs=1e-6)
    ones = images[labels == 1].mean(axis=0)
    assert ones.max(axis=1)[4:24].min() > 2 * ones.max(axis=0)[[4, 23]].max()


@pytest.mark.slow
def test_the_table_of_files_is_that_of_the_published_ones():
    readme = REAL_MNIST / "README.md"
    if not readme.exists():
        pytest.skip(f"there is no {readme}")
    text = readme.read_text()
    assert len(mnist.FILES) == 4
    for name, (_, sha256) in mnist.FILES.items():
        assert any(name in line and sha256 in line for line in text.splitlines())
