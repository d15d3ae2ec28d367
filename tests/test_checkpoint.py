"""Weights on disk: what is saved comes back, PyTorch reads it, and nothing is half written or half believed."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import npstn
from npstn import load, models, save


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


def test_damaged_header(tmp_path):
    content = saved_bytes(tmp_path)
    path = tmp_path / "damaged.safetensors"
    end_of_header = 8 + int.from_bytes(content[:8], "little")
    refusals = 0
    for at in range(end_of_header):
        for bits in (0x01, 0x20, 0xFF):
            damaged = bytearray(content)
            damaged[at] ^= bits
            path.write_bytes(damaged)
            try:
                load(path)  # damage to a name goes unseen
            except ValueError as error:
                refusals += 1
                assert str(path) in str(error)
                assert "\n" not in str(error)
    assert refusals > end_of_header


@pytest.mark.parametrize(
    "content",
    [
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"just a few words, and no weights at all\n" * 10,
        pickle.dumps({"a": 1.0}),
        (2**62).to_bytes(8, "little") + b"{}",
        bytes(8),
        b"\xff" * 64,
        (4).to_bytes(8, "little") + b"null",
        (2).to_bytes(8, "little") + b"[]",
        (8).to_bytes(8, "little") + b'{"a": 1}',
    ],
    ids=["png", "text", "pickle", "huge header", "zeros", "ones", "null", "list", "number"],
)
def test_foreign_file(tmp_path, content):
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(content)
    refused(path)


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
