"""Files of arrays and notes: what is saved comes back, PyTorch reads it, nothing is half written or half believed."""

import io
import json
import os
import pickle
import socket
import stat
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from processes import run_python

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


def refusal(path, read=load, **options):
    """The message with which a file is refused: one short line that names the file."""
    with pytest.raises(ValueError, match="^load: expected ") as error:
        read(path, **options)
    message = str(error.value)
    assert str(path) in message
    assert message.isprintable()
    assert len(message) < 400 + len(str(path))
    return message


# What is saved comes back


@pytest.mark.parametrize("kind", [str, Path])
def test_arrays_come_back_as_they_were(tmp_path, kind):
    path = kind(tmp_path / "weights.safetensors")
    state = example()
    save(state, path)
    assert_same(state, example())
    assert_same(load(path), state)
    assert os.listdir(tmp_path) == ["weights.safetensors"]


def test_the_weights_of_a_network_come_back_as_they_were(tmp_path):
    state = models.STNClsNet().state_dict()
    save(state, tmp_path / "w")
    assert_same(load(tmp_path / "w"), state)


@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (2, 1, 0), (1,) * 40])
def test_shapes_without_axes_or_elements_or_with_many_axes_come_back(tmp_path, shape):
    state = {"a": np.full(shape, 2.5, np.float32)}
    save(state, tmp_path / "w")
    assert_same(load(tmp_path / "w"), state)


@pytest.mark.parametrize("dtype", "? b h i q B H I Q e f d".split())
def test_every_dtype_of_numbers_comes_back(tmp_path, dtype):
    state = {"a": np.array([0, 1, 1]).astype(dtype)}
    save(state, tmp_path / "w")
    assert_same(load(tmp_path / "w"), state)


ROWS = np.arange(12.0).reshape(3, 4)


@pytest.mark.parametrize(
    "view",
    [ROWS.T, ROWS[::-1, ::-2], np.broadcast_to(ROWS, (2, 3, 4)), np.asfortranarray(ROWS)],
    ids=["transposed", "reversed", "broadcast", "column-major"],
)
def test_arrays_in_other_layouts_come_back(tmp_path, view):
    save({"a": view}, tmp_path / "w")
    assert_array_equal(load(tmp_path / "w")["a"], view)


def test_arrays_in_the_byte_order_of_other_machines_come_back_in_ours(tmp_path):
    save({"a": np.array([1.5, 2], ">f4")}, tmp_path / "w")
    assert_same(load(tmp_path / "w"), {"a": np.array([1.5, 2], "=f4")})


def test_a_state_without_arrays_comes_back(tmp_path):
    save({}, tmp_path / "w")
    assert load(tmp_path / "w") == {}


def test_loaded_arrays_can_be_changed_and_share_no_memory(tmp_path):
    save(example(), tmp_path / "w")
    first, second = load(tmp_path / "w"), load(tmp_path / "w")
    for array in first.values():
        array[...] = 7
    assert_same(second, example())


def test_the_same_arrays_give_the_same_file(tmp_path):
    for name in ("one", "two"):
        save(example(), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_pytorch_reads_what_was_saved(tmp_path, torch):
    from safetensors.torch import load_file

    save(example(), tmp_path / "w")
    assert_same({name: tensor.numpy() for name, tensor in load_file(tmp_path / "w").items()}, example())


def test_what_pytorch_saved_is_read(tmp_path, torch):
    from safetensors.torch import save_file

    tensors = {name: torch.from_numpy(array) for name, array in example().items()}
    save_file(tensors, tmp_path / "w", metadata={"format": "pt"})
    assert_same(load(tmp_path / "w"), example())


# Notes


NOTES = {
    "epoch": 3,
    "random": np.random.default_rng(5).bit_generator.state,  # holds integers of 128 bits
    "numbers": [0.1, -0.0, 5e-324, 1.7976931348623157e308, 1 / 3, 2**200, -(2**63), 0, True, None],
    "config": {"lr": 1e-3, "name": "é\n\0", "": {}, "nested": [[], [[{"deep": [1.5]}]]]},
}


def test_notes_come_back_exactly(tmp_path):
    storage.write(example(), tmp_path / "w", NOTES)
    notes = storage.read_notes(tmp_path / "w")
    del notes["sha256"]
    assert repr(notes) == repr(NOTES)  # tells 1 from 1.0 and from True, and 0.0 from -0.0
    again = np.random.default_rng()
    again.bit_generator.state = notes["random"]
    assert again.random() == np.random.default_rng(5).random()
    assert_same(load(tmp_path / "w"), example())


def test_tuples_in_notes_come_back_as_lists_and_numbers_as_names_become_text(tmp_path):
    storage.write({}, tmp_path / "w", {"shape": (1, 28), "of": {10: "ten", 9: "nine"}})
    notes = storage.read_notes(tmp_path / "w")
    assert (notes["shape"], notes["of"]) == ([1, 28], {"10": "ten", "9": "nine"})
    assert load(tmp_path / "w") == {}  # the hash is that of the notes as they are read


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, np.float32(1), np.arange(2), {1, 2}, b"bytes"], ids=repr)
def test_notes_that_are_not_strict_json_are_refused(tmp_path, bad):
    with pytest.raises((TypeError, ValueError), match="^write: cannot put the notes into JSON: "):
        storage.write(example(), tmp_path / "w", {"config": [bad]})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "notes",
    ["", "{", "[]", "null", "1", '{"a": NaN}', '{"a": [-Infinity]}', '{"a": 1e999}', '{"a": "\n"}', "[" * 100_000],
    ids=lambda notes: notes[:20],
)
def test_damaged_notes_are_refused(tmp_path, notes):
    path = tmp_path / "w"
    path.write_bytes(file_of({"a": entry(), "__metadata__": {"npstn": notes}}, bytes(8)))
    for read in (load, storage.read_notes):
        assert "got one with damaged notes: " in refusal(path, read)


def test_a_change_of_the_notes_is_seen(tmp_path):
    path = tmp_path / "w"
    storage.write(example(), path, NOTES)
    content = path.read_bytes()
    path.write_bytes(content.replace(b'epoch\\": 3', b'epoch\\": 4'))
    assert path.read_bytes() != content
    assert "its content is not what was written" in refusal(path)


def test_a_file_of_another_program_has_no_notes(tmp_path):
    (tmp_path / "w").write_bytes(file_of({"a": entry(), "__metadata__": {"format": "pt"}}, bytes(8)))
    assert storage.read_notes(tmp_path / "w") == {}


# Files that are damaged, or no safetensors


def test_a_file_that_is_cut_off_or_too_long_is_refused(tmp_path):
    save(example(), tmp_path / "good")
    content = (tmp_path / "good").read_bytes()
    path = tmp_path / "bad"
    for length in [*range(0, len(content), 7), len(content) - 1]:
        path.write_bytes(content[:length])
        refusal(path)
    path.write_bytes(content + b"\0")
    refusal(path)


@pytest.mark.parametrize("bits", [0x01, 0x20, 0xFF])
def test_damage_to_any_byte_is_seen(tmp_path, bits):
    save(example(), tmp_path / "good")
    content = (tmp_path / "good").read_bytes()
    path = tmp_path / "damaged"
    unseen = 0
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= bits
        path.write_bytes(damaged)
        try:
            state = load(path)
        except ValueError:
            refusal(path)
        else:
            assert_same(state, example())  # only the name of the hash was damaged
            unseen += 1
    assert unseen <= len("npstn" + "sha256")


def zip_archive():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("archive/data.pkl", b"\x80\x02}.")
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (zip_archive(), "a zip archive, as torch.save writes it"),
        (pickle.dumps({"a": 1.0}), "a pickle, which is never read"),
        (b"<!DOCTYPE html>\n<html><body>404</body></html>", "a web page"),
        (b"\n  <html>not found</html>", "a web page"),
        (b"\x00\x08" + bytes(6) + b'{"a": ', "one that is cut off: it has 14 bytes, and its header alone 2,048"),
        ((2**62).to_bytes(8, "little") + b"{}", "one that is cut off"),
        (b"", "something else: its 0 bytes begin with b''"),
        (b"half", "something else: its 4 bytes begin with b'half'"),
        (b"just a few words, and no weights at all\n" * 10, "something else: its 400 bytes begin with b'just a f'"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), r"something else: its 108 bytes begin with b'\x89PNG\r\n\x1a\n'"),
        (bytes(8), "something else"),
        (b"\xff" * 64, "something else"),
    ],
    ids="zip pickle html indented-html cut huge-header empty short text png zeros ones".split(),
)
def test_a_foreign_file_is_named(tmp_path, content, says):
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    assert f"load: expected a safetensors file at {path}, got {says}" in refusal(path)


def file_of(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def test_a_header_written_by_hand_is_read(tmp_path):
    path = tmp_path / "w"
    path.write_bytes(file_of({"b": entry(offsets=(8, 16)), "a": entry(), "__metadata__": {"by": "hand"}}, bytes(16)))
    assert_same(load(path), {"a": np.zeros(2, np.float32), "b": np.zeros(2, np.float32)})


BAD_HEADERS = {  # of files with 16 bytes of arrays
    "two arrays in one place": {"a": entry(), "b": entry()},
    "arrays that overlap": {"a": entry(), "b": entry(offsets=(4, 12))},
    "a gap between arrays": {"a": entry(), "b": entry(shape=[1], offsets=(12, 16))},
    "bytes behind the arrays": {"a": entry()},
    "an array beyond the end": {"a": entry(shape=[8], offsets=(0, 32))},
    "an end before the start": {"a": entry(shape=[4], offsets=(16, 0))},
    "more bytes than the shape has": {"a": entry(shape=[3], offsets=(0, 16))},
    "negative sides": {"a": entry(shape=[-2, -2], offsets=(0, 16))},
    "a side that is a float": {"a": entry(shape=[4.0], offsets=(0, 16))},
    "a side that is a bool": {"a": entry(shape=[True, 4], offsets=(0, 16))},
    "more axes than NumPy has": {"a": entry(shape=[1] * 64 + [4], offsets=(0, 16))},
    "a size that overflows": {"a": entry(shape=[2**62, 2**62, 0], offsets=(0, 0)), "b": entry(shape=[4])},
    "a side of 2^64": {"a": entry(shape=[2**64, 0], offsets=(0, 0)), "b": entry(shape=[4], offsets=(0, 16))},
    "a side of 2^63": {"a": entry(shape=[2**63, 0], offsets=(0, 0)), "b": entry(shape=[4], offsets=(0, 16))},
    "a shape that is text": {"a": {**entry(), "shape": "22"}},
    "three offsets": {"a": entry(offsets=(0, 8, 16))},
    "a negative offset": {"a": entry(offsets=(-8, 8), shape=[4])},
    "an unknown dtype": {"a": entry("F32x")},
    "a dtype that is a list": {"a": entry(["F32"])},
    "an array without dtype": {"a": {"shape": [4], "data_offsets": [0, 16]}},
    "an array that is a list": {"a": [0, 16]},
    "an array that is a number": b'{"a": 1}',
    "a name of two lines": {"a\nb": entry(), "b": entry(offsets=(12, 16))},
    "a name that moves the cursor": {"\x1b[2J": entry(offsets=(8, 16))},
    "a very long name": {"n" * 10_000: entry(offsets=(8, 16))},
    "metadata that is no text": {"a": entry(shape=[4], offsets=(0, 16)), "__metadata__": {"x": 1}},
    "metadata that is a list": {"a": entry(shape=[4], offsets=(0, 16)), "__metadata__": ["x"]},
    "half a character": {"a": entry(shape=[4], offsets=(0, 16)), "__metadata__": {"npstn": "\ud800"}},
    "a field that is repeated": b'{"a": {"dtype": "F32", "dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}',
    "NaN": b'{"a": NaN}',
    "a number of 10,000 digits": b'{"a": ' + b"9" * 10_000 + b"}",
    "deep lists": b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"a": ' * 100_000,
    "bytes that are not UTF-8": b'{"\xff": 1}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "spaces": b" " * 20,
    "null": b"null",
    "a list": b"[]",
    "no arrays": b"{}",
}


@pytest.mark.parametrize("header", BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_a_bad_header_is_refused(tmp_path, header):
    path = tmp_path / "w"
    path.write_bytes(file_of(header, bytes(16)))
    assert f"load: expected a safetensors file at {path}, got a damaged one: " in refusal(path)


@pytest.mark.parametrize(("dtype", "width"), [("F8_E4M3", 1), ("F8_E5M2", 1)])
def test_a_dtype_that_numpy_does_not_have_is_named(tmp_path, dtype, width):
    path = tmp_path / "w"
    path.write_bytes(file_of({"a": entry(dtype, [2], [0, 2 * width])}, bytes(2 * width)))
    message = refusal(path)
    assert message.startswith(f"load: expected 'a' in {path} to be of I8, I16, ")
    assert message.endswith(f", got {dtype}: convert it before saving")


def sparse(path, length, header=b""):
    """A file that looks as long as that, and takes no room on the disk."""
    path.write_bytes(header)
    os.truncate(path, length)


def test_a_header_that_is_too_long_is_not_read(tmp_path):
    sparse(tmp_path / "w", 2**40, (2**39).to_bytes(8, "little") + b"{")
    assert "got a header of 549,755,813,888 bytes, more than 16,777,216" in refusal(tmp_path / "w")


def test_arrays_that_are_not_wanted_are_not_read(tmp_path):
    header = file_of({"a": entry(shape=[2**38], offsets=(0, 2**40))})
    sparse(tmp_path / "w", len(header) + 2**40, header)
    message = refusal(tmp_path / "w", like={"a": np.zeros(2, np.float32)})
    assert message == f"load: expected float32 (2,) as 'a' in {tmp_path / 'w'}, got float32 (274877906944,)"


@pytest.mark.parametrize(
    ("change", "expected", "got"),
    [
        (lambda state: state.pop("numbers"), "int64 (3,) as 'numbers'", "no array"),
        (lambda state: state.update(more=np.ones(1)), "no array as 'more'", "float64 (1,)"),
        (lambda state: state.update(numbers=np.arange(4)), "int64 (3,) as 'numbers'", "int64 (4,)"),
        (lambda state: state.update(numbers=np.arange(3.0)), "int64 (3,) as 'numbers'", "float64 (3,)"),
    ],
    ids=["missing", "unknown", "shape", "dtype"],
)
def test_arrays_that_are_not_like_those_wanted_are_named(tmp_path, change, expected, got):
    state, path = example(), tmp_path / "w"
    change(state)
    save(state, path)
    assert refusal(path, like=example()) == f"load: expected {expected} in {path}, got {got}"
    save(example(), path)
    assert_same(load(path, like=example()), example())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_is_no_regular_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(tmp_path / "socket"))
        for name in ("pipe", "zero", "socket"):
            assert refusal(tmp_path / name).endswith(f"{name}, got no regular file")


def test_a_path_that_leads_to_no_file_is_an_os_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="nowhere"):
        load(tmp_path / "nowhere")
    with pytest.raises(OSError, match="file"):
        load(tmp_path / "file" / "below")
    with pytest.raises(OSError, match="directory"):
        load(tmp_path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused_by_save_and_load_alone(tmp_path, bad):
    state, path = {"good": np.ones(2), "a": np.array([1, bad])}, tmp_path / "w"
    with pytest.raises(ValueError, match="^save: expected finite numbers in 'a', got NaN or infinity$"):
        save(state, path)
    assert os.listdir(tmp_path) == []
    storage.write(state, path)
    assert refusal(path) == f"load: expected finite numbers in {path}, got NaN or infinity in 'a'"
    assert_same(storage.read(path), state)
    assert storage.not_finite(state) == "a"
    assert storage.not_finite(example()) is None


CUT_WHILE_READING = """
import os, sys
import numpy as np
import npstn

class CutsTheFile(dict):
    def items(self):
        os.truncate(sys.argv[1], 100_000)
        return super().items()

arrays = CutsTheFile(a=np.ones(100_000))
npstn.save(arrays | {}, sys.argv[1])
try:
    npstn.load(sys.argv[1], like=arrays)  # looks at the arrays between the header and the body
except ValueError as error:
    print(error)
"""


def test_a_file_that_is_cut_while_it_is_read_is_refused(tmp_path):
    # Read from a memory map, the missing part would kill the process.
    message = run_python(CUT_WHILE_READING, tmp_path / "w")
    assert message.startswith(f"load: expected a safetensors file at {tmp_path / 'w'}, got a damaged one: ")


def test_a_file_that_is_replaced_while_it_is_read_is_the_old_or_the_new_one(tmp_path):
    path, done = tmp_path / "w", threading.Event()
    states = [{"a": np.zeros(2)}, {"a": np.ones(3), "b": np.ones(1)}]
    storage.write(states[0], path, {"arrays": 1})

    def replace():
        while not done.is_set():
            for state in states:
                storage.write(state, path, {"arrays": len(state)})

    writer = threading.Thread(target=replace)
    writer.start()
    try:
        for _ in range(300):
            state = load(path)
            assert_same(state, states[len(state) - 1])
    finally:
        done.set()
        writer.join()


# How a file is written


def test_the_content_reaches_the_disk_before_the_name_and_the_name_before_the_end(tmp_path, monkeypatch):
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


# What cannot be saved leaves the old file as it was, and nothing else


@pytest.fixture(params=[True, False], ids=["over a file", "new"])
def unchanged(request, tmp_path):
    """A path, with a file or without; after the test it must be as it was, and alone in its folder."""
    folder = tmp_path / "folder"
    folder.mkdir()
    if request.param:
        save(example(), folder / "w")
    yield folder / "w"
    assert os.listdir(folder) == (["w"] if request.param else [])
    if request.param:
        assert_same(load(folder / "w"), example())


@pytest.mark.parametrize(
    ("array", "dtype"), [(np.array([1j]), "complex128"), (np.array([object()]), "object"), (np.array(["a"]), "<U1")]
)
def test_arrays_that_hold_no_numbers_are_refused_by_dtype(unchanged, array, dtype):
    with pytest.raises(TypeError, match=f"^save: expected 'bad' to be an array of numbers, got {dtype}$"):
        save({**example(), "bad": array}, unchanged)


def test_the_name_that_the_format_reserves_is_refused(unchanged):
    with pytest.raises(ValueError, match="^save: expected a name that the format does not reserve, got '__metadata__'"):
        save({"__metadata__": np.ones(2)}, unchanged)


FULL_DISK = """
import resource, signal, sys
import numpy as np, npstn
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))  # a write beyond that fails, as on a full disk
try:
    npstn.save({"a": np.ones(100_000)}, sys.argv[1])
except OSError as error:
    print(error.filename)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of a file can be set here")
def test_a_full_disk_is_an_os_error_that_names_the_file(unchanged):
    assert run_python(FULL_DISK, unchanged) == str(unchanged)


def test_a_last_step_that_fails_is_an_os_error(unchanged, monkeypatch):
    def fail(*args):
        raise OSError("no more")

    for owner, name in ((os, "replace"), (Path, "replace"), (Path, "rename")):
        monkeypatch.setattr(owner, name, fail)
    with pytest.raises(OSError, match="no more"):
        save({"a": np.ones(3)}, unchanged)


def test_a_folder_that_does_not_exist_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        save(example(), tmp_path / "nowhere" / "w")
    assert os.listdir(tmp_path) == []


def test_a_folder_is_not_replaced_by_a_file(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="directory"):
        save(example(), tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]


@pytest.mark.parametrize("given", [models.ClsNet(), [np.ones(2)], "weights"], ids=["network", "list", "name"])
def test_save_says_what_it_expects(tmp_path, given):
    message = f"^save: expected arrays by name, such as net.state_dict\\(\\), got {type(given).__name__}$"
    with pytest.raises(TypeError, match=message):
        save(given, tmp_path / "x.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_saving_into_a_missing_folder_names_the_folder(tmp_path):
    (tmp_path / "file").write_text("mine")
    for name, kind in (("none", FileNotFoundError), ("file", NotADirectoryError)):
        with pytest.raises(kind) as caught:
            save({"w": np.ones(2)}, tmp_path / name / "x.safetensors")
        assert caught.value.filename == str(tmp_path / name)
    (tmp_path / "y.safetensors").mkdir()
    with pytest.raises(OSError) as caught:
        save({"w": np.ones(2)}, tmp_path / "y.safetensors")
    assert caught.value.filename == str(tmp_path / "y.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "y.safetensors"]
