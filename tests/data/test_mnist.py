"""load_mnist on small stand-ins for the four files, on a server that misbehaves in every way, and on MNIST itself."""

import contextlib
import gzip
import hashlib
import http.server
import json
import logging
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pooch
import pytest

from npstn.data import mnist
from npstn.data.mnist import DataError, MnistNotFound, load_mnist, mnist_folder

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
REAL_MNIST = Path(__file__).resolve().parents[3] / "shared" / "mnist"


def idx(values):
    """The IDX form of an uint8 array: its definition, apart from the code under test."""
    return struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


RNG = np.random.default_rng(0)
ARRAYS = {
    IMAGES: RNG.integers(0, 256, (7, 28, 28), dtype=np.uint8),
    LABELS: RNG.integers(0, 10, 7, dtype=np.uint8),
    TEST_IMAGES: RNG.integers(0, 256, (3, 28, 28), dtype=np.uint8),
    TEST_LABELS: RNG.integers(0, 10, 3, dtype=np.uint8),
}
PAYLOADS = {name: idx(values) for name, values in ARRAYS.items()}
# Without a time in the header, so that each test's .gz has the same bytes.
COMPRESSED = {name: gzip.compress(payload, mtime=0) for name, payload in PAYLOADS.items()}
STAND_INS = {name: (len(payload), hashlib.sha256(payload).hexdigest()) for name, payload in PAYLOADS.items()}
BOMB = gzip.compress(bytes(1 << 21), mtime=0)  # two megabytes, in fewer bytes than a mirror may send
HTML = b"<!DOCTYPE html><html><body>Please log in to the network.</body></html>"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache" / "npstn"


@pytest.fixture(autouse=True)
def isolated(request, tmp_path, cache, monkeypatch):
    """The stand-ins in place of MNIST, an empty cache, no variable, no network: a closed port is the only mirror."""
    monkeypatch.delenv("NPSTN_DATA_DIR", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    monkeypatch.setattr(mnist, "MIRRORS", (closed_port(),))
    if request.node.get_closest_marker("slow") is None:
        monkeypatch.setattr(mnist, "FILES", STAND_INS)


def closed_port():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/"


def fill(folder, suffix=".gz"):
    """Put the four stand-ins into the folder, plain or compressed."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in PAYLOADS:
        (folder / f"{name}{suffix}").write_bytes(COMPRESSED[name] if suffix else PAYLOADS[name])
    return folder


def assert_stand_ins(loaded, train=True):
    images, labels = loaded
    np.testing.assert_array_equal(images, ARRAYS[IMAGES if train else TEST_IMAGES])
    np.testing.assert_array_equal(labels, ARRAYS[LABELS if train else TEST_LABELS])


def refusal(root=None, error=DataError, **arguments):
    """The message of the error that load_mnist raises, of exactly this class, and in one line."""
    with pytest.raises(DataError) as caught:
        load_mnist(root, **arguments)
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Files on disk


@pytest.mark.parametrize("suffix", ["", ".gz"], ids=["plain", "gz"])
@pytest.mark.parametrize("train", [True, False], ids=["train", "test"])
def test_reads_plain_and_compressed_files(tmp_path, suffix, train):
    images, labels = load_mnist(fill(tmp_path / "digits", suffix), train=train)
    assert_stand_ins((images, labels), train)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    for array in (images, labels):
        assert array.flags.writeable
        assert array.flags.owndata
        assert array.flags.c_contiguous


def test_reads_a_plain_file_that_kept_the_name_of_the_compressed_one(tmp_path):
    fill(tmp_path)
    (tmp_path / f"{IMAGES}.gz").write_bytes(PAYLOADS[IMAGES])
    assert_stand_ins(load_mnist(tmp_path))


def test_root_may_be_a_string(tmp_path):
    assert_stand_ins(load_mnist(str(fill(tmp_path))))


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    fill(tmp_path / "digits")
    assert_stand_ins(load_mnist("~/digits"))
    monkeypatch.setenv("NPSTN_DATA_DIR", "~/digits")
    assert_stand_ins(load_mnist())


def test_variable_names_the_folder(tmp_path, cache, monkeypatch):
    folder = fill(tmp_path / "variable")
    cache.mkdir(parents=True)
    (cache / IMAGES).write_bytes(b"never looked at")
    monkeypatch.setenv("NPSTN_DATA_DIR", str(folder))
    assert mnist_folder() == folder
    assert_stand_ins(load_mnist())


def test_argument_precedes_the_variable(tmp_path, monkeypatch):
    folder = fill(tmp_path / "argument")
    monkeypatch.setenv("NPSTN_DATA_DIR", str(tmp_path / "missing"))
    assert mnist_folder(folder) == folder
    assert_stand_ins(load_mnist(folder))


@pytest.mark.parametrize("variable", [None, ""], ids=["unset", "empty"])
def test_cache_is_read_where_no_folder_is_named(cache, monkeypatch, variable):
    if variable is not None:
        monkeypatch.setenv("NPSTN_DATA_DIR", variable)
    fill(cache)
    assert mnist_folder() == cache
    assert_stand_ins(load_mnist())
    assert_stand_ins(load_mnist(download=False))


@pytest.mark.parametrize("by_variable", [False, True], ids=["argument", "variable"])
@pytest.mark.parametrize("absent", [IMAGES, LABELS])
def test_named_folder_must_hold_the_files(tmp_path, cache, server, monkeypatch, absent, by_variable):
    """Neither a filled cache nor a good mirror stands in for a file that the named folder lacks."""
    fill(cache)
    monkeypatch.setattr(mnist, "MIRRORS", (server.mirror("good"),))
    folder = fill(tmp_path / "named")
    (folder / f"{absent}.gz").unlink()
    before = sorted(folder.iterdir())
    if by_variable:
        monkeypatch.setenv("NPSTN_DATA_DIR", str(folder))
    message = refusal(None if by_variable else folder)
    assert f"neither {absent} nor {absent}.gz in {folder};" in message
    assert sorted(folder.iterdir()) == before
    assert server.requests == []


def test_named_folder_does_not_exist(tmp_path):
    folder = tmp_path / "no" / "such"
    assert f"in {folder}, which is no readable folder" in refusal(folder)
    assert not folder.exists()


def test_named_folder_is_a_file(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"")
    assert f"in {file}, which is no readable folder" in refusal(file)


def test_named_folder_has_an_impossible_name():
    assert "no readable folder" in refusal("x" * 5000)


# Damaged files


def altered(name):
    """A payload of the right length with one wrong bit, the last."""
    return PAYLOADS[name][:-1] + bytes([PAYLOADS[name][-1] ^ 1])


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
    "gz, altered": (".gz", lambda name: gzip.compress(altered(name)), "has SHA-256"),
    "gz, too long": (".gz", lambda name: gzip.compress(PAYLOADS[name] + b"\0"), "has more than"),
    "gz, too short": (".gz", lambda name: gzip.compress(PAYLOADS[name][:-1]), "has {short} bytes"),
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
def test_damaged_file_is_refused(tmp_path, cache, server, monkeypatch, suffix, damage, reason, name, in_cache):
    """It is an error, with the path and what to do, even where the cache could be filled anew."""
    monkeypatch.setattr(mnist, "MIRRORS", (server.mirror("good"),))
    folder = fill(cache if in_cache else tmp_path / "named", suffix)
    path = folder / f"{name}{suffix}"
    path.write_bytes(damage(name))
    message = refusal(None if in_cache else folder)
    length, sha256 = STAND_INS[name]
    assert message.startswith(f"{path}: ")
    assert reason.format(short=length - 1) in message
    assert f"expected {length} bytes with SHA-256 {sha256}" in message
    assert f"delete it and download {mnist.MIRRORS[0]}{name}.gz" in message
    assert path.read_bytes() == damage(name)
    assert server.requests == []


def test_files_exchanged(tmp_path):
    fill(tmp_path)
    (tmp_path / f"{IMAGES}.gz").write_bytes(COMPRESSED[TEST_IMAGES])
    assert str(tmp_path / f"{IMAGES}.gz") in refusal(tmp_path)


def test_file_is_checked_at_each_reading(tmp_path):
    fill(tmp_path)
    load_mnist(tmp_path)
    (tmp_path / f"{LABELS}.gz").write_bytes(gzip.compress(altered(LABELS)))
    assert "has SHA-256" in refusal(tmp_path)


@pytest.mark.parametrize("suffix", ["", ".gz"], ids=["plain", "gz"])
def test_no_more_is_read_than_expected(tmp_path, suffix):
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
def test_folder_in_the_place_of_a_file(tmp_path, cache, in_cache):
    folder = fill(cache if in_cache else tmp_path / "named")
    (folder / f"{IMAGES}.gz").unlink()
    (folder / f"{IMAGES}.gz").mkdir()
    message = refusal(None if in_cache else folder)
    assert str(folder / f"{IMAGES}.gz") in message
    assert "not a regular file" in message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipe_in_the_place_of_a_file(tmp_path):
    fill(tmp_path)
    pipe = tmp_path / f"{IMAGES}.gz"
    pipe.unlink()
    os.mkfifo(pipe)
    # Were the pipe opened, this would let go of it after a while: the test would fail instead of hanging.
    timer = threading.Timer(5, lambda: os.close(os.open(pipe, os.O_RDWR)))
    timer.start()
    try:
        assert "not a regular file" in refusal(tmp_path)
    finally:
        timer.cancel()


def test_dangling_link(tmp_path):
    fill(tmp_path)
    (tmp_path / f"{IMAGES}.gz").unlink()
    (tmp_path / f"{IMAGES}.gz").symlink_to(tmp_path / "gone")
    assert "not a regular file" in refusal(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_permission_denied(tmp_path):
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


def test_reading_that_fails_is_one_line(tmp_path, monkeypatch):
    """An input error in the middle of a file, which a test cannot bring about in earnest."""

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(gzip.GzipFile, "read", fail)
    message = refusal(fill(tmp_path))
    assert str(tmp_path / f"{IMAGES}.gz") in message
    assert "Input/output error" in message


# Downloads


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers /FAULT/NAME.gz with that fault."""

    disable_nagle_algorithm = True  # which would hold back each body for 40 ms

    def do_GET(self):
        path = self.path.replace("%20", " ")
        self.server.requests.append(path)
        _, fault, file = path.split("/")
        answer, *_ = (HARMLESS | FAULTS)[fault]
        answer(self, file.removesuffix(".gz"))

    def reply(self, body, status=200, **headers):
        """With `Content_Length=None` the body ends where the connection does."""
        self.send_response(status)
        for header, value in ({"Content_Length": len(body)} | headers).items():
            if value is not None:
                self.send_header(header.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def stall(self):
        self.server.closing.wait(20)

    def send_without_end(self):
        """Or nearly so: if the client does take all of it, the test shall fail and not fill the disk."""
        self.reply(b"", Content_Length=None)
        try:
            for _ in range(1 << 10):
                self.wfile.write(bytes(1 << 16))
        except OSError:
            pass  # the client had enough, as it should

    def log_message(self, *_):
        pass


def reset(handler, name):
    """Half of it, and then not an end but a refusal of all that was sent."""
    handler.reply(COMPRESSED[name][:10], Content_Length=len(COMPRESSED[name]))
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def trickle(handler, data):
    """A byte now and then: never late with the next one."""
    with contextlib.suppress(OSError):
        for i in range(len(data)):
            handler.wfile.write(data[i : i + 1])
            if handler.server.closing.wait(0.05):
                return


def trickle_the_body(handler, name):
    handler.reply(b"", Content_Length=len(COMPRESSED[name]))
    trickle(handler, COMPRESSED[name])


def stall_halfway(handler, name):
    handler.reply(COMPRESSED[name][: len(COMPRESSED[name]) // 2], Content_Length=len(COMPRESSED[name]))
    handler.stall()


# The answer, given the handler and the name of the file.
HARMLESS = {
    "good": (lambda h, name: h.reply(COMPRESSED[name]),),
    "without length": (lambda h, name: h.reply(COMPRESSED[name], Content_Length=None),),
    "unpacked on the way": (lambda h, name: h.reply(COMPRESSED[name], Content_Encoding="gzip"),),
    "compressed again": (lambda h, name: h.reply(gzip.compress(PAYLOADS[name], 1, mtime=12345)),),
}
# The answer, and what the message says of it.
FAULTS = {
    "altered": (lambda h, name: h.reply(gzip.compress(altered(name))), "has SHA-256"),
    "another file": (lambda h, name: h.reply(COMPRESSED[TEST_LABELS]), f"has {len(PAYLOADS[TEST_LABELS])} bytes"),
    "html": (lambda h, name: h.reply(HTML, Content_Type="text/html"), f"has {len(HTML)} bytes"),
    "empty": (lambda h, name: h.reply(b""), "has 0 bytes"),
    "truncated": (
        lambda h, name: h.reply(COMPRESSED[name][:-9], Content_Length=len(COMPRESSED[name])),
        "IncompleteRead",
    ),
    "longer than its length": (
        lambda h, name: h.reply(COMPRESSED[name], Content_Length=len(COMPRESSED[name]) - 9),
        "EOFError",
    ),
    "truncated without length": (lambda h, name: h.reply(COMPRESSED[name][:-9], Content_Length=None), "EOFError"),
    "forbidden": (lambda h, name: h.reply(COMPRESSED[name], 403), "403 Client Error"),
    "not found": (lambda h, name: h.reply(COMPRESSED[name], 404), "404 Client Error"),
    "unavailable": (lambda h, name: h.reply(COMPRESSED[name], 503), "503 Server Error"),
    "redirects in a circle": (lambda h, name: h.reply(b"", 302, Location=h.path), "TooManyRedirects"),
    "hangs up": (lambda h, name: None, "RemoteDisconnected"),
    "not http": (lambda h, name: h.wfile.write(b"SSH-2.0-OpenSSH\r\n"), "BadStatusLine"),
    "no gzip in it": (lambda h, name: h.reply(b"\x1f\x8b" + bytes(range(200))), "BadGzipFile"),
    "damaged gzip": (lambda h, name: h.reply(COMPRESSED[name][:-8] + bytes(8)), "CRC check failed"),
    "gzip bomb": (lambda h, name: h.reply(BOMB), "has more than"),
    "resets": (reset, "ConnectionResetError"),
    "trickles": (trickle_the_body, "TimeoutError: sends "),
    "trickles its headers": (lambda h, name: trickle(h, b"HTTP/1.1 200 OK\r\n" * 99), "TimeoutError: sends 0 bytes"),
    "stalls at once": (lambda h, name: h.stall(), "timed out"),
    "stalls halfway": (stall_halfway, "timed out"),
    "endless": (lambda h, name: h.send_without_end(), "sends more than"),
}


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 64  # else, of many clients at once, some would be made to wait

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = []
        self.closing = threading.Event()

    def mirror(self, answer):
        return f"http://127.0.0.1:{self.server_port}/{answer.replace(' ', '%20')}/"


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def impatient(request, monkeypatch):
    """Short waiting, but only for what is never to come: what does come may be slow on a busy machine."""
    if request.getfixturevalue("fault").startswith("stalls"):
        monkeypatch.setattr(mnist, "TIMEOUT", (0.5, 0.5))
    if request.getfixturevalue("fault").startswith("trickles"):
        monkeypatch.setattr(mnist, "SLOWEST", (1000, 1.0))


def contents(folder):
    """Name and bytes of all that is in the folder, of which nothing may be there in part."""
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


TRAINING_FILES = {f"{name}.gz": COMPRESSED[name] for name in (IMAGES, LABELS)}


def test_download_fills_the_cache_once(cache, server, monkeypatch, capfd):
    monkeypatch.setattr(mnist, "MIRRORS", (server.mirror("good"), server.mirror("html")))
    assert_stand_ins(load_mnist())
    assert server.requests == [f"/good/{IMAGES}.gz", f"/good/{LABELS}.gz"]
    assert contents(cache) == TRAINING_FILES
    assert_stand_ins(load_mnist())
    assert len(server.requests) == 2
    assert_stand_ins(load_mnist(train=False), train=False)
    assert len(server.requests) == 4
    assert capfd.readouterr() == ("", "")  # pooch says nothing, and no progress bar where nobody is watching


def test_only_what_is_missing_is_downloaded(cache, server, monkeypatch):
    monkeypatch.setattr(mnist, "MIRRORS", (server.mirror("good"),))
    cache.mkdir(parents=True)
    (cache / IMAGES).write_bytes(PAYLOADS[IMAGES])
    assert_stand_ins(load_mnist())
    assert server.requests == [f"/good/{LABELS}.gz"]


def test_progress_is_shown_to_a_person(server, monkeypatch, capfd):
    monkeypatch.setattr(mnist, "MIRRORS", (server.mirror("good"),))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    load_mnist()
    assert IMAGES in capfd.readouterr().err


@pytest.mark.parametrize("harmless", HARMLESS)
def test_any_copy_of_the_payload_is_accepted(cache, server, monkeypatch, harmless):
    monkeypatch.setattr(mnist, "MIRRORS", (server.mirror(harmless),))
    assert_stand_ins(load_mnist())
    assert_stand_ins(load_mnist(download=False))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.usefixtures("impatient")
def test_second_mirror_is_tried(cache, server, monkeypatch, fault):
    monkeypatch.setattr(mnist, "MIRRORS", (server.mirror(fault), server.mirror("good")))
    assert_stand_ins(load_mnist())
    assert f"/{fault}/{IMAGES}.gz" in server.requests
    assert f"/good/{IMAGES}.gz" in server.requests
    assert contents(cache) == TRAINING_FILES


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.usefixtures("impatient")
def test_all_mirrors_fail(cache, server, monkeypatch, fault):
    refusing = closed_port()
    monkeypatch.setattr(mnist, "MIRRORS", (server.mirror(fault), refusing))
    message = refusal(error=MnistNotFound)
    assert f"into {cache}: " in message
    first, second = message.split("; ")
    assert f"{server.mirror(fault)}{IMAGES}.gz: " in first
    assert FAULTS[fault][1] in first
    assert f"{refusing}{IMAGES}.gz: ConnectionRefusedError" in second
    assert contents(cache) == {}


def test_refused_connection_is_followed_by_the_second_mirror(cache, server, monkeypatch):
    monkeypatch.setattr(mnist, "MIRRORS", (closed_port(), server.mirror("good")))
    assert_stand_ins(load_mnist())
    assert contents(cache) == TRAINING_FILES


def test_unknown_host_is_followed_by_the_second_mirror(cache, server, monkeypatch):
    resolve = socket.getaddrinfo

    def without_a_name_server(host, *rest, **options):
        if host == "mirror.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", without_a_name_server)
    monkeypatch.setattr(mnist, "MIRRORS", ("http://mirror.invalid/", server.mirror("good")))
    assert_stand_ins(load_mnist())
    monkeypatch.setattr(mnist, "MIRRORS", ("http://mirror.invalid/",))
    assert "Name or service not known" in refusal(error=MnistNotFound, train=False)
    assert contents(cache) == TRAINING_FILES


def test_reason_is_the_download_s_own(server, monkeypatch):
    """Python chains what is raised within an `except` to the error being handled there, which explains nothing here."""
    monkeypatch.setattr(mnist, "MIRRORS", (server.mirror("not found"), server.mirror("truncated")))
    try:
        raise KeyError("the caller's")
    except KeyError:
        message = refusal(error=MnistNotFound)
    assert "404 Client Error" in message
    assert "IncompleteRead" in message
    assert "the caller's" not in message


def test_no_download_if_told_so(cache, server, monkeypatch):
    monkeypatch.setattr(mnist, "MIRRORS", (server.mirror("good"),))
    message = refusal(error=MnistNotFound, download=False)
    assert f"neither {IMAGES} nor {IMAGES}.gz in {cache}" in message
    assert server.requests == []
    assert not cache.exists()


def test_cache_that_cannot_be_made(cache, server, monkeypatch):
    """A file where its parent folder should be: MNIST is not at hand, but nothing of it is damaged."""
    cache.parent.write_bytes(b"")
    monkeypatch.setattr(mnist, "MIRRORS", (server.mirror("good"),))
    assert str(cache) in refusal(error=MnistNotFound)


def test_interrupted_download_leaves_nothing(cache, server, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(mnist, "MIRRORS", (server.mirror("good"),))
    monkeypatch.setattr(mnist._BoundedFile, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load_mnist()
    assert contents(cache) == {}


@pytest.mark.parametrize("fault", ["good", "html"])
def test_logger_of_pooch_is_left_as_it_was(server, monkeypatch, fault):
    logger = pooch.get_logger()
    monkeypatch.setattr(mnist, "MIRRORS", (server.mirror(fault),))
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


def test_processes_at_once(tmp_path, server):
    """Four processes fill one empty cache; each gets the digits, and the cache whole files."""
    cache = tmp_path / "shared"
    argument = json.dumps([str(cache), [server.mirror("good")], STAND_INS])
    repository = Path(mnist.__file__).parents[2]
    command = [sys.executable, "-c", LOAD, argument]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, cwd=repository, **pipes) for _ in range(4)]
    for process in processes:  # none begins before all have been started
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        assert out.strip() == f"{ARRAYS[IMAGES].sum()} {ARRAYS[LABELS].tolist()}"
    assert contents(cache) == TRAINING_FILES


def test_killed_amid_a_download(cache, server, monkeypatch):
    """What it leaves disturbs nobody, and is gone in the end."""
    command = [sys.executable, "-c", LOAD, json.dumps([str(cache), [server.mirror("stalls halfway")], STAND_INS])]
    with subprocess.Popen(command, cwd=Path(mnist.__file__).parents[2], stdin=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not any(contents(cache).values()):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
        process.kill()
    ((left_over, half),) = contents(cache).items()
    assert COMPRESSED[IMAGES].startswith(half)
    monkeypatch.setattr(mnist, "MIRRORS", (server.mirror("good"),))
    assert_stand_ins(load_mnist())
    assert contents(cache) == {**TRAINING_FILES, left_over: half}  # it might have been of a process that goes on
    os.utime(cache / left_over, (0, time.time() - mnist.LEFT_OVER - 1))
    assert_stand_ins(load_mnist(train=False), train=False)
    assert contents(cache) == {f"{name}.gz": data for name, data in COMPRESSED.items()}


def test_threads_at_once(cache, server, monkeypatch):
    monkeypatch.setattr(mnist, "MIRRORS", (server.mirror("html"), server.mirror("good")))
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


def test_pooch_is_not_imported_until_needed():
    program = """if True:
        import sys
        before = set(sys.modules)
        from npstn.data import mnist
        mnist.mnist_folder("named")
        print({"pooch", "requests"} & set(sys.modules) - before)
    """
    repository = Path(mnist.__file__).parents[2]
    result = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


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
def test_mnist(train, counts, first, mean):
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
def test_table_of_files_is_that_of_the_published_ones():
    readme = REAL_MNIST / "README.md"
    if not readme.exists():
        pytest.skip(f"there is no {readme}")
    text = readme.read_text()
    assert len(mnist.FILES) == 4
    for name, (_, sha256) in mnist.FILES.items():
        assert any(name in line and sha256 in line for line in text.splitlines())
