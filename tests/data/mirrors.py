"""Stand-ins for MNIST's four files, and a server that gives them or misbehaves in every way."""

import contextlib
import gzip
import hashlib
import http.server
import socket
import struct
import threading

import numpy as np
import pytest

from npstn.data import DataError, load_mnist

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


def idx(values):
    """The IDX form of an uint8 array, by its definition."""
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
FILES = {name: (len(payload), hashlib.sha256(payload).hexdigest()) for name, payload in PAYLOADS.items()}
BOMB = gzip.compress(bytes(1 << 21), mtime=0)  # two megabytes, in fewer bytes than a mirror may send
HTML = b"<!DOCTYPE html><html><body>Please log in to the network.</body></html>"


# Files


def fill(folder, suffix=".gz"):
    """Put the four stand-ins into the folder, plain or compressed."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in PAYLOADS:
        (folder / f"{name}{suffix}").write_bytes(COMPRESSED[name] if suffix else PAYLOADS[name])
    return folder


def altered(name):
    """A payload of the right length with one wrong bit, the last."""
    return PAYLOADS[name][:-1] + bytes([PAYLOADS[name][-1] ^ 1])


def contents(folder):
    """Name and bytes of all that is in the folder, of which nothing may be there in part."""
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


TRAINING_FILES = {f"{name}.gz": COMPRESSED[name] for name in (IMAGES, LABELS)}


# What load_mnist gives


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


# The server


def closed_port():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/"


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
        """64 MiB: a client that takes all of it fails the test and does not fill the disk."""
        self.reply(b"", Content_Length=None)
        try:
            for _ in range(1 << 10):
                self.wfile.write(bytes(1 << 16))
        except OSError:
            pass  # the client hung up, as it should

    def log_message(self, *_):
        pass


def reset(handler, name):
    """Send a part, then reset the connection."""
    handler.reply(COMPRESSED[name][:10], Content_Length=len(COMPRESSED[name]))
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def trickle(handler, data):
    """Send a byte now and then, each one in time."""
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


# Answers that give a good file: what the handler does, given the name of the file.
HARMLESS = {
    "good": (lambda h, name: h.reply(COMPRESSED[name]),),
    "without length": (lambda h, name: h.reply(COMPRESSED[name], Content_Length=None),),
    "unpacked on the way": (lambda h, name: h.reply(COMPRESSED[name], Content_Encoding="gzip"),),
    "compressed again": (lambda h, name: h.reply(gzip.compress(PAYLOADS[name], 1, mtime=12345)),),
}
# Answers that do not: what the handler does, and what the message says about it.
FAULTS = {
    "altered": (lambda h, name: h.reply(gzip.compress(altered(name), mtime=0)), "has SHA-256"),
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
    "trickles": (trickle_the_body, "TimeoutError: it sent "),
    "trickles its headers": (lambda h, name: trickle(h, b"HTTP/1.1 200 OK\r\n" * 99), "TimeoutError: it sent 0 bytes"),
    "stalls at once": (lambda h, name: h.stall(), "timed out"),
    "stalls halfway": (stall_halfway, "timed out"),
    "endless": (lambda h, name: h.send_without_end(), "it sent more than"),
}


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 64  # many clients may come at once

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = []
        self.closing = threading.Event()

    def mirror(self, answer):
        return f"http://127.0.0.1:{self.server_port}/{answer.replace(' ', '%20')}/"
