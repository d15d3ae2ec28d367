"""Weights on disk: what is saved comes back, PyTorch reads it, and nothing is half written or half believed."""

import io
import json
import os
import pickle
import socket
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import npstn
from npstn import load, models, save, storage


def example():
    rng = np.random.default_rng(0)
    return {
        "net.weight": rng.normal(size=(3, 4)).astype(np.float32),
        "net.bias": rng.normal(size=5),
        "special": np.array([-0.0, 1e-45, np.finfo(np.float32).max], np.float32),
        "numbers": np.arange(3),
    }


def assert_same(got, wanted):
    assert got.keys() == wanted.keys()
    for name, array in wanted.items():
        assert got[name].dtype == array.dtype, name
        assert got[name].shape == array.shape, name
        assert got[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize("kind", [str, Path])
def test_round_trip(tmp_path, kind):
    path = kind(tmp_path / "weights.safetensors")
    state = example()
    save(state, path)
    assert_same(load(path), state)
    assert os.listdir(tmp_path) == ["weights.safetensors"]


def test_round_trip_of_a_model(tmp_path):
    state = models.STNClsNet().state_dict()
    save(state, tmp_path / "w")
    assert_same(load(tmp_path / "w"), state)


@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (2, 1, 0)])
def test_round_trip_keeps_shapes_without_axes_or_elements(tmp_path, shape):
    state = {"a": np.full(shape, 2.5, np.float32)}
    save(state, tmp_path / "w")
    assert_same(load(tmp_path / "w"), state)


@pytest.mark.parametrize("name", ["transposed", "reversed", "broadcast", "column-major"])
def test_round_trip_of_other_layouts(tmp_path, name):
    array = np.arange(12.0).reshape(3, 4)
    view = {
        "transposed": array.T,
        "reversed": array[::-1, ::-2],
        "broadcast": np.broadcast_to(array, (2, 3, 4)),
        "column-major": np.asfortranarray(array),
    }[name]
    save({"a": view}, tmp_path / "w")
    assert_array_equal(load(tmp_path / "w")["a"], view)


def test_empty_state(tmp_path):
    save({}, tmp_path / "w")
    assert load(tmp_path / "w") == {}


def test_loaded_arrays_can_be_written_and_do_not_alias(tmp_path):
    state = example()
    save(state, tmp_path / "w")
    first, second = load(tmp_path / "w"), load(tmp_path / "w")
    first["net.weight"][...] = 7
    assert_same(second, state)


def test_saving_does_not_change_the_state(tmp_path):
    state = example()
    save(state, tmp_path / "w")
    assert_same(state, example())


def test_saving_replaces_an_older_file(tmp_path):
    path = tmp_path / "w"
    save({"old": np.ones(1000)}, path)
    save(example(), path)
    assert_same(load(path), example())
    assert os.listdir(tmp_path) == ["w"]


def test_pytorch_reads_what_was_saved(tmp_path):
    pytest.importorskip("torch")
    from safetensors.torch import load_file

    path = tmp_path / "w.safetensors"
    state = example()
    save(state, path)
    assert_same({name: tensor.numpy() for name, tensor in load_file(path).items()}, state)


def test_reads_what_pytorch_saved(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    path = tmp_path / "w.safetensors"
    state = example()
    save_file({name: torch.from_numpy(array) for name, array in state.items()}, path, metadata={"format": "pt"})
    assert_same(load(path), state)


# Files that are none


def refused(path):
    with pytest.raises(ValueError, match="^load: ") as error:
        load(path)
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message


def saved_bytes(tmp_path):
    save(example(), tmp_path / "good")
    return (tmp_path / "good").read_bytes()


def test_truncated_file(tmp_path):
    content = saved_bytes(tmp_path)
    path = tmp_path / "cut.safetensors"
    for length in [*range(0, len(content), 7), len(content) - 1]:
        path.write_bytes(content[:length])
        refused(path)


def test_file_with_something_behind_it(tmp_path):
    path = tmp_path / "long.safetensors"
    path.write_bytes(saved_bytes(tmp_path) + b"\0")
    refused(path)


@pytest.mark.parametrize("bits", [0x01, 0x20, 0xFF])
def test_damage_to_any_byte_is_seen(tmp_path, bits):
    content = saved_bytes(tmp_path)
    path = tmp_path / "damaged.safetensors"
    unseen = 0
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= bits
        path.write_bytes(damaged)
        try:
            state = load(path)
        except ValueError as error:
            assert str(error).startswith("load: expected ") and str(path) in str(error) and "\n" not in str(error)
        else:
            assert_same(state, example())  # only the name of the hash was damaged
            unseen += 1
    assert unseen <= len("npstn" + "sha256")


@pytest.mark.parametrize(
    "content",
    [
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"just a few words, and no weights at all\n" * 10,
        pickle.dumps({"a": 1.0}),
        b"<!DOCTYPE html>\n<html><body>404</body></html>",
        (2**62).to_bytes(8, "little") + b"{}",
        bytes(8),
        b"\xff" * 64,
        (4).to_bytes(8, "little") + b"null",
        (2).to_bytes(8, "little") + b"[]",
        (8).to_bytes(8, "little") + b'{"a": 1}',
    ],
    ids=["png", "text", "pickle", "html", "huge header", "zeros", "ones", "null", "list", "number"],
)
def test_foreign_file(tmp_path, content):
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(content)
    refused(path)


def archive():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("archive/data.pkl", b"\x80\x02}.")
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (archive(), "a zip archive, as torch.save writes it"),
        (pickle.dumps({"a": 1.0}), "a pickle, which is never read"),
        (b"\n  <html>not found</html>", "a web page"),
        (b"", "its 0 bytes begin with b''"),
        (b"half", "its 4 bytes begin with b'half'"),
        (b"\x00\x08" + bytes(6) + b'{"a": ', "one that is cut off: it has 14 bytes, and its header alone 2,048"),
    ],
    ids=["zip", "pickle", "html", "empty", "short", "cut"],
)
def test_the_usual_foreign_files_are_named(tmp_path, content, says):
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=says):
        load(path)


def file_of(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def test_the_example_of_a_header_is_a_good_one(tmp_path):
    path = tmp_path / "w"
    path.write_bytes(file_of({"b": entry(offsets=(8, 16)), "a": entry(), "__metadata__": {"by": "hand"}}, bytes(16)))
    assert_same(load(path), {"a": np.zeros(2, np.float32), "b": np.zeros(2, np.float32)})


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ({"a": entry(), "b": entry()}, "'b' begins at byte 0, expected at 8"),
        ({"a": entry(), "b": entry(offsets=(4, 12))}, "'b' begins at byte 4, expected at 8"),
        ({"a": entry(), "b": entry(shape=[1], offsets=(12, 16))}, "'b' begins at byte 12, expected at 8"),
        ({"a": entry()}, "one of 16 bytes of arrays, where its header has 8"),
        ({"a": entry(shape=[8], offsets=(0, 32))}, "one of 16 bytes of arrays, where its header has 32"),
        ({"a": entry(shape=[4], offsets=(16, 0))}, "has -16 bytes"),
        ({"a": entry(shape=[3], offsets=(0, 16))}, "F32 of shape [3], has 16 bytes"),
        ({"a": entry(shape=[-2, -2], offsets=(0, 16))}, "has the shape [-2, -2]"),
        ({"a": entry(shape=[4.0], offsets=(0, 16))}, "has the shape [4.0]"),
        ({"a": entry(shape=[True, 4], offsets=(0, 16))}, "has the shape [True, 4]"),
        ({"a": entry(shape=[1] * 33 + [4], offsets=(0, 16))}, "has the shape [1, 1"),
        ({"a": entry(shape=[2**62, 2**62, 0], offsets=(0, 0))}, "one of 16 bytes"),
        ({"a": entry(shape=[2**64, 0], offsets=(0, 0))}, "has the shape [18446744073709551616, 0]"),
        ({"a": {**entry(), "shape": "22"}}, "has the shape '22'"),
        ({"a": entry(offsets=(0, 8, 16))}, "lies at [0, 8, 16]"),
        ({"a": entry(offsets=(-8, 8), shape=[4])}, "lies at [-8, 8]"),
        ({"a": entry("F32x")}, "is of 'F32x', which NumPy does not have"),
        ({"a": entry(["F32"])}, "is of ['F32'], which NumPy does not have"),
        ({"a": {**entry(), "more": 1}}, "is not given by dtype, shape and data_offsets"),
        ({"a": [0, 16]}, "is not given by dtype, shape and data_offsets"),
        ({"a\nb": [0, 16]}, r"'a\nb' is not given"),
        ({"n" * 10_000: [0, 16]}, "nnn...nnn"),
        ({"a": entry(), "__metadata__": {"x": 1}}, "__metadata__ is not texts by name"),
        ({"a": entry(), "__metadata__": ["x"]}, "__metadata__ is not texts by name"),
        ({"a": entry(shape=[4], offsets=(0, 16)), "__metadata__": {"npstn": "{"}}, "header is damaged"),
        ({"a": entry(shape=[4], offsets=(0, 16)), "__metadata__": {"npstn": "[]"}}, "header is damaged"),
        ({"a": entry(shape=[4], offsets=(0, 16)), "__metadata__": {"npstn": "\ud800"}}, "header is damaged"),
        (b'{"a": 1, "a": 2}', "a name stands twice in it"),
        (b'{"a": {"dtype": "F32", "dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}', "stands twice in it"),
        (b'{"a": NaN}', "NaN is no JSON"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "header is damaged"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "header is damaged"),
        (b'{"a": ' * 100_000, "header is damaged"),
        (b'{"\xff": 1}', "header is damaged"),
        ('{"a": 1}'.encode("utf-16"), "header is damaged"),
        (b" " * 20, "header is damaged"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_header_that_is_wrong(tmp_path, header, says):
    path = tmp_path / "w"
    path.write_bytes(file_of(header, bytes(16)))
    with pytest.raises(ValueError, match="^load: expected a safetensors file at ") as error:
        load(path)
    message = str(error.value)
    assert says in message and str(path) in message
    assert "\n" not in message and len(message) < 400 + len(str(path))


def sparse(path, length, header=b""):
    """A file that looks as long as that, and takes no room on the disk."""
    path.write_bytes(header)
    os.truncate(path, length)


def test_header_that_is_too_long_is_not_read(tmp_path):
    path = tmp_path / "w"
    sparse(path, 2**40, (2**39).to_bytes(8, "little") + b"{")
    with pytest.raises(ValueError, match="a header of 549,755,813,888 bytes, more than 16,777,216"):
        load(path)


def test_arrays_that_are_not_wanted_are_not_read(tmp_path):
    header = file_of({"a": entry(shape=[2**38], offsets=(0, 2**40))})
    path = tmp_path / "w"
    sparse(path, len(header) + 2**40, header)
    with pytest.raises(ValueError, match=r"'a' has the shape \(274877906944,\), expected \(2,\)"):
        load(path, like={"a": np.zeros(2, np.float32)})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state: state.pop("numbers"), "one without 'numbers'"),
        (lambda state: state.update(more=np.ones(1)), "one with 'more', which is unknown"),
        (lambda state: state.update(numbers=np.arange(4)), r"'numbers' has the shape (4,), expected (3,)"),
        (lambda state: state.update(numbers=np.arange(3.0)), "'numbers' is of float64, expected int64"),
    ],
    ids=["missing", "unknown", "shape", "dtype"],
)
def test_arrays_that_are_not_like_those_wanted(tmp_path, change, says):
    state, path = example(), tmp_path / "w"
    change(state)
    save(state, path)
    with pytest.raises(ValueError, match="^load: expected a safetensors file at .*/w, got one ") as error:
        load(path, like=example())
    assert says in str(error.value)
    save(example(), path)
    assert_same(load(path, like=example()), example())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_what_is_no_regular_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(tmp_path / "socket"))
        for name in ("pipe", "zero", "socket"):
            with pytest.raises(ValueError, match=f"{name}, got no regular file$"):
                load(tmp_path / name)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite(tmp_path, bad):
    with pytest.raises(ValueError, match="^save: expected finite numbers in 'a', got NaN or infinity$"):
        save({"a": np.array([1, bad])}, tmp_path / "w")
    assert os.listdir(tmp_path) == []
    (tmp_path / "w").write_bytes(file_of({"a": entry()}, np.array([1, bad], np.float32).tobytes()))
    with pytest.raises(ValueError, match="/w, got NaN or infinity in 'a'$"):
        load(tmp_path / "w")


def test_notes_beside_the_arrays(tmp_path):
    notes = {"epochs": 3, "config": {"lr": 0.1, "name": "é\n"}}
    storage.write(example(), tmp_path / "w", notes)
    assert storage.read_notes(tmp_path / "w") == {**notes, "sha256": storage.read_notes(tmp_path / "w")["sha256"]}
    assert_same(load(tmp_path / "w"), example())
    content = (tmp_path / "w").read_bytes()
    (tmp_path / "w").write_bytes(content.replace(b"epochs\\\": 3", b"epochs\\\": 4"))
    assert (tmp_path / "w").read_bytes() != content
    with pytest.raises(ValueError, match="its content is not what was written"):
        load(tmp_path / "w")


def test_the_same_arrays_give_the_same_file(tmp_path):
    for name in ("one", "two"):
        save(example(), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_byte_order_of_other_machines(tmp_path):
    save({"a": np.array([1.5, 2], ">f4")}, tmp_path / "w")
    assert_same(load(tmp_path / "w"), {"a": np.array([1.5, 2], "=f4")})


@pytest.mark.parametrize(("dtype", "width"), [("BF16", 2), ("F8_E4M3", 1), ("F8_E5M2", 1)])
def test_numbers_that_numpy_does_not_have(tmp_path, dtype, width):
    header = json.dumps({"a": {"dtype": dtype, "shape": [2], "data_offsets": [0, 2 * width]}}).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(2 * width))
    refused(path)


def test_missing_file(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        load(tmp_path / "nowhere.safetensors")
    with pytest.raises(OSError, match="file"):
        (tmp_path / "file").write_bytes(b"")
        load(tmp_path / "file" / "below.safetensors")


def test_folder_in_place_of_a_file(tmp_path):
    with pytest.raises(OSError, match="directory"):
        load(tmp_path)


# How it is written


def test_a_file_reaches_the_disk_before_its_name_and_its_name_before_the_end(tmp_path, monkeypatch):
    done, fsync, replace = [], os.fsync, Path.replace

    def flush(descriptor):
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(Path, "replace", lambda self, to: (done.append("rename"), replace(self, to)))
    save(example(), tmp_path / "w")
    assert done == ["file", "rename", "folder"]


def test_leftovers_are_those_of_our_own_files(tmp_path):
    ours = {".w.st.123.140", ".metrics.csv.1.2"}
    for name in {*ours, "w.st", ".w.st", ".w.st.123", ".w.st.123.140.5", ".wxst.123.140", ".w.st.a.1", "w.st.1.2"}:
        (tmp_path / name).write_text("")
    found = storage.leftovers(tmp_path, ["w.st", "metrics.csv"])
    assert {path.name for path in found} == ours


# A save that fails


@pytest.mark.parametrize(
    "array", [np.array([1j]), np.array([object()]), np.array(["a"])], ids=["complex", "object", "str"]
)
@pytest.mark.parametrize("exists", [True, False])
def test_state_that_cannot_be_saved_is_refused_by_dtype(tmp_path, array, exists):
    path = tmp_path / "w"
    if exists:
        save(example(), path)
    with pytest.raises((TypeError, ValueError), match="complex128|object|U1"):
        save({**example(), "bad": array}, path)
    assert os.listdir(tmp_path) == (["w"] if exists else [])
    if exists:
        assert_same(load(path), example())


def test_refused_state_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "w"
    save(example(), path)
    before = path.read_bytes()
    with pytest.raises(Exception, match="complex128"):
        save({**example(), "bad": np.array([1j])}, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["w"]


FULL_DISK = """
import resource, signal, sys
import numpy as np, npstn
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))  # a write beyond that fails, as on a full disk
try:
    npstn.save({"a": np.ones(100_000)}, sys.argv[1])
except OSError as error:
    print("OSError")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of a file can be set here")
@pytest.mark.parametrize("exists", [True, False])
def test_full_disk_leaves_the_old_file_whole_and_nothing_else(tmp_path, exists):
    path = tmp_path / "w"
    if exists:
        save(example(), path)
    env = {**os.environ, "PYTHONPATH": str(Path(npstn.__file__).parents[1]), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", FULL_DISK, str(path)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "OSError", done.stderr[-2000:]
    assert os.listdir(tmp_path) == (["w"] if exists else [])
    if exists:
        assert_same(load(path), example())


def test_last_step_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    path = tmp_path / "w"
    save(example(), path)

    def fail(*args):
        raise OSError("no more")

    monkeypatch.setattr(os, "replace", fail)
    monkeypatch.setattr(Path, "replace", fail)
    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="no more"):
        save({"a": np.ones(3)}, path)
    assert os.listdir(tmp_path) == ["w"]
    assert_same(load(path), example())


def test_save_into_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        save(example(), tmp_path / "nowhere" / "w")
    assert os.listdir(tmp_path) == []


def test_save_over_a_folder(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="directory"):
        save(example(), tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]


def test_the_name_that_the_format_keeps_to_itself_is_refused(tmp_path):
    with pytest.raises(ValueError, match="^save: expected a name that the format leaves free, got '__metadata__'$"):
        save({"__metadata__": np.ones(2)}, tmp_path / "w.safetensors")
    assert list(tmp_path.iterdir()) == []
