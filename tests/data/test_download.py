"""Downloads of the stand-ins from mirrors that misbehave in every way."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pooch
import pytest
from mirrors import (
    ARRAYS,
    COMPRESSED,
    FAULTS,
    FILES,
    HARMLESS,
    IMAGES,
    LABELS,
    PAYLOADS,
    TRAINING_FILES,
    assert_stand_ins,
    closed_port,
    contents,
    refusal,
)
from processes import start_python

from npstn.data import MnistNotFound, download, load_mnist

pytestmark = pytest.mark.usefixtures("stand_ins")


@pytest.fixture
def impatient(request, monkeypatch):
    """Short times to wait, but only for what never comes: the rest may be slow on a busy machine."""
    if request.getfixturevalue("fault").startswith("stalls"):
        monkeypatch.setattr(download, "TIMEOUT", (0.5, 0.5))
    if request.getfixturevalue("fault").startswith("trickles"):
        monkeypatch.setattr(download, "SLOWEST", (1000, 1.0))


def test_a_download_fills_the_cache_once(cache, server, capfd, mirrors):
    mirrors("good", "html")
    assert_stand_ins(load_mnist())
    assert server.requests == [f"/good/{IMAGES}.gz", f"/good/{LABELS}.gz"]
    assert contents(cache) == TRAINING_FILES
    assert_stand_ins(load_mnist())
    assert len(server.requests) == 2
    assert_stand_ins(load_mnist(train=False), train=False)
    assert len(server.requests) == 4
    assert capfd.readouterr() == ("", "")  # no lines of pooch, and no progress bar where nobody looks


def test_only_what_is_missing_is_downloaded(cache, server, mirrors):
    mirrors("good")
    cache.mkdir(parents=True)
    (cache / IMAGES).write_bytes(PAYLOADS[IMAGES])
    assert_stand_ins(load_mnist())
    assert server.requests == [f"/good/{LABELS}.gz"]


def test_progress_is_shown_to_a_person(monkeypatch, capfd, mirrors):
    mirrors("good")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    load_mnist()
    assert IMAGES in capfd.readouterr().err


@pytest.mark.parametrize("harmless", HARMLESS)
def test_any_copy_of_the_payload_is_accepted(harmless, mirrors):
    mirrors(harmless)
    assert_stand_ins(load_mnist())
    assert_stand_ins(load_mnist(download=False))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.usefixtures("impatient")
def test_a_bad_mirror_is_followed_by_the_second(cache, server, fault, mirrors):
    mirrors(fault, "good")
    assert_stand_ins(load_mnist())
    assert f"/{fault}/{IMAGES}.gz" in server.requests
    assert f"/good/{IMAGES}.gz" in server.requests
    assert contents(cache) == TRAINING_FILES


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.usefixtures("impatient")
def test_the_reasons_of_all_mirrors_are_named(cache, server, fault, mirrors):
    refusing = closed_port()
    mirrors(fault, refusing)
    message = refusal(error=MnistNotFound)
    assert f"into {cache}: " in message
    first, second = message.split("; ")
    assert f"{server.mirror(fault)}{IMAGES}.gz: " in first
    assert FAULTS[fault][1] in first
    assert f"{refusing}{IMAGES}.gz: ConnectionRefusedError" in second
    assert contents(cache) == {}


def test_a_refused_connection_is_followed_by_the_second_mirror(cache, mirrors):
    mirrors(closed_port(), "good")
    assert_stand_ins(load_mnist())
    assert contents(cache) == TRAINING_FILES


def test_an_unknown_host_is_followed_by_the_second_mirror(cache, monkeypatch, mirrors):
    resolve = socket.getaddrinfo

    def without_a_name_server(host, *rest, **options):
        if host == "mirror.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", without_a_name_server)
    mirrors("http://mirror.invalid/", "good")
    assert_stand_ins(load_mnist())
    mirrors("http://mirror.invalid/")
    assert "Name or service not known" in refusal(error=MnistNotFound, train=False)
    assert contents(cache) == TRAINING_FILES


def test_an_error_that_the_caller_handles_is_not_named(mirrors):
    """Python chains a new error to the error that is being handled, which is no cause of it here."""
    mirrors("not found", "truncated")
    try:
        raise KeyError("the caller's")
    except KeyError:
        message = refusal(error=MnistNotFound)
    assert "404 Client Error" in message
    assert "IncompleteRead" in message
    assert "the caller's" not in message


def test_a_cache_that_cannot_be_made_is_named(cache, mirrors):
    """A file lies where its parent folder should be: MNIST is missing, and no file is damaged."""
    cache.parent.write_bytes(b"")
    mirrors("good")
    assert str(cache) in refusal(error=MnistNotFound)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signal can be sent to a thread here")
def test_an_interrupted_download_leaves_nothing(cache, mirrors):
    def interrupt():
        while not any(contents(cache).values()):
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    mirrors("stalls halfway")
    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        load_mnist()
    assert contents(cache) == {}


@pytest.mark.parametrize("fault", ["good", "html"])
def test_the_logger_of_pooch_is_left_as_it_was(fault, mirrors):
    logger = pooch.get_logger()
    mirrors(fault)
    before = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        if fault == "good":
            load_mnist()
        else:
            refusal(error=MnistNotFound)
        assert logger.level == logging.DEBUG
    finally:
        logger.setLevel(before)


LOAD = """if True:
    import json, pathlib, sys
    import pooch
    from npstn.data import mnist
    cache, mirrors, files = json.loads(sys.argv[1])
    pooch.os_cache = lambda _: pathlib.Path(cache)
    mnist.MIRRORS, mnist.FILES = mirrors, files
    sys.stdin.readline()
    images, labels = mnist.load_mnist()
    print(int(images.sum()), labels.tolist())
"""


def start_loading(cache, server, answer, **options):
    """Start a process that waits for a line on its standard input and then loads the stand-ins."""
    settings = json.dumps([str(cache), [server.mirror(answer)], FILES])
    return start_python(LOAD, settings, stdin=subprocess.PIPE, **options)


def test_four_processes_fill_one_cache_at_once(tmp_path, server):
    cache, pipes = tmp_path / "shared", {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [start_loading(cache, server, "good", **pipes) for _ in range(4)]
    for process in processes:  # none begins before all have been started
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        assert out.strip() == f"{ARRAYS[IMAGES].sum()} {ARRAYS[LABELS].tolist()}"
    assert contents(cache) == TRAINING_FILES


def test_the_file_of_a_killed_download_disturbs_nobody_and_is_removed_later(cache, server, mirrors, monkeypatch):
    with start_loading(cache, server, "stalls halfway") as process:
        process.stdin.close()
        deadline = time.monotonic() + 60
        while not any(contents(cache).values()):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
        process.kill()
    ((left_over, half),) = contents(cache).items()
    assert COMPRESSED[IMAGES].startswith(half)
    mirrors("good")
    assert_stand_ins(load_mnist())
    assert contents(cache) == {**TRAINING_FILES, left_over: half}  # a process that goes on might write to it
    os.utime(cache / left_over, (0, time.time() - download.LEFT_OVER - 1))
    assert_stand_ins(load_mnist(train=False), train=False)
    assert contents(cache) == {f"{name}.gz": data for name, data in COMPRESSED.items()}


def test_eight_threads_fill_one_cache_at_once(cache, mirrors):
    mirrors("html", "good")
    start = threading.Barrier(8)
    loaded = []

    def load():
        start.wait()
        loaded.append(load_mnist())

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loaded) == 8
    for each in loaded:
        assert_stand_ins(each)
    assert contents(cache) == TRAINING_FILES
