"""What the tests of the data share: stand-ins in place of MNIST, and mirrors that serve them."""

import threading

import pooch
import pytest

pytest.register_assert_rewrite("mirrors")

from mirrors import FILES, Server, closed_port  # noqa: E402  (after its registration)

from npstn.data import mnist  # noqa: E402


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache" / "npstn"


@pytest.fixture
def stand_ins(tmp_path, monkeypatch):
    """The stand-ins in place of MNIST, an empty cache, no variable, no network: a closed port is the only mirror."""
    monkeypatch.delenv("NPSTN_DATA_DIR", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    monkeypatch.setattr(mnist, "MIRRORS", (closed_port(),))
    monkeypatch.setattr(mnist, "FILES", FILES)


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
def mirrors(server, stand_ins, monkeypatch):
    """A function that sets the mirrors: each is a URL, or what the server shall answer."""

    def of(*answers):
        urls = tuple(answer if answer.startswith("http") else server.mirror(answer) for answer in answers)
        monkeypatch.setattr(mnist, "MIRRORS", urls)

    return of
