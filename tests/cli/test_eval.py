"""`npstn eval`: the accuracy of a run, and what it answers to runs that are damaged."""

import json
import math
import os
import struct

import numba
import numpy as np
import pytest
from command import change_config, few_digits, last_accuracy, npstn_, refusal, snapshot, use_mnist

import npstn
from npstn import models, runs, storage, training
from npstn.cli.eval import confusion_table
from npstn.data import Source
from npstn.tasks import Rotated

pytestmark = pytest.mark.usefixtures("small_world")


@pytest.fixture
def mnist(monkeypatch):
    """MNIST is at hand, and looks like digits that were drawn with other seeds."""
    use_mnist(monkeypatch, lambda folder=None, train=True: few_digits(5_000, 8))


def test_eval_gives_what_training_ended_with(trained):
    folder, _ = trained
    before = snapshot(folder)
    said = npstn_("eval", folder)
    assert said.status == 0
    assert said.out == f"{last_accuracy(folder):.2f} %\n"
    last = {name: column[-1] for name, column in runs.read_metrics(folder).items()}
    assert said.err == (
        f"100 drawn digits, turned within ±30° (seed 3); angle correlation {last['angle_correlation']:.2f}; "
        f"spread within a class {last['residual_std_deg']:.1f}°; "
        f"without the transformer {last['input_std_deg']:.1f}°\n"
    )
    assert snapshot(folder) == before


@pytest.mark.usefixtures("mnist")
@pytest.mark.parametrize(
    ("options", "angle", "seed", "digits"),
    [
        (["--angle", "90"], 90, 3, (10_000, 1)),
        (["--angle", "0"], 0, 3, (10_000, 1)),
        (["--seed", "11"], 30, 11, (10_000, 1)),
        (["--seed", "0"], 30, 0, (10_000, 1)),
        (["--data", "drawn", "--angle", "90"], 90, 3, (10_000, 1)),
        (["--data", "mnist"], 30, 3, (5_000, 8)),
        (["--data", "auto", "--angle", "60", "--seed", "2"], 60, 2, (5_000, 8)),
    ],
)
def test_eval_elsewhere(trained, options, angle, seed, digits):
    net = models.STNClsNet()
    net.load_state_dict(npstn.load(trained[0] / "weights.safetensors"))
    source = Source("few", "few", lambda train: few_digits(*digits), (28, 28), tuple("0123456789"))
    test = Rotated(source, seed, angle=angle).test()
    said = npstn_("eval", trained[0], *options)
    assert said.status == 0
    assert said.out == f"{training.evaluate(net, test).accuracy:.2f} %\n"
    how = f"turned within ±{angle}°" if angle else "upright"
    assert f"{how} (seed {seed})" in said.err
    assert f"{len(test.labels)} {'drawn' if digits[0] == 10_000 else 'MNIST'} digits" in said.err


def test_eval_has_nothing_but_the_accuracy_on_standard_output(trained):
    """Also where it falls back to drawn digits: a program that reads the number must not read a remark."""
    said = npstn_("eval", trained[0], "--data", "auto")
    assert said.status == 0
    assert said.out == f"{last_accuracy(trained[0]):.2f} %\n"
    assert "drawn digits" in said.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--angle", "-5"], "argument --angle: expected a number from 0 to 180, got -5"),
        (["--seed", "-5"], "argument --seed: expected a whole number of at least 0, got -5"),
        (["--epochs", "3"], "unrecognized arguments: --epochs 3"),
        (
            ["--data-dir", "x"],
            "argument --data-dir: expected no folder of files for drawn digits, got x: leave --data-dir out",
        ),
        (
            ["--threads", "9999"],
            f"argument --threads: expected 1 to {numba.config.NUMBA_NUM_THREADS} threads on this machine, got 9999",
        ),
    ],
    ids=" ".join,
)
def test_wrong_arguments_of_eval(trained, arguments, message):
    before = snapshot(trained[0])
    assert refusal(2, "eval", trained[0], *arguments) == message
    assert snapshot(trained[0]) == before


# What is wrong with the run


def test_eval_of_what_is_no_run(tmp_path):
    (tmp_path / "file").write_text("mine")
    assert refusal(1, "eval", tmp_path) == f"expected a run folder, got {tmp_path}, with no config.json in it"
    for folder in (tmp_path / "none", tmp_path / "file"):
        assert refusal(1, "eval", folder) == f"expected a run folder, got {folder}: there is no such folder"


def damage(change):
    """The weights, after a change to their bytes."""

    def apply(path):
        path.write_bytes(change(path.read_bytes()))

    return apply


def in_another_dtype(name):
    """A well-formed safetensors file whose weights are all zero, of the dtype with this name and 2 bytes."""

    def apply(path):
        header, end = {}, 0
        for key, array in models.STNClsNet().state_dict().items():
            header[key] = {"dtype": name, "shape": array.shape, "data_offsets": [end, end := end + 2 * array.size]}
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(end))

    return apply


def in_python(change):
    """The weights, saved again after a change to the dict of arrays."""

    def apply(path):
        state = npstn.load(path)
        change(state)
        storage.write(state, path)

    return apply


def put_nan(state):
    state["loc_net.cnn.fc1.bias"][7] = np.nan


def by_torch(path):
    pytest.importorskip("torch").save({"a": 1}, path)


def as_pipe(path):
    path.unlink()
    os.mkfifo(path)


def huge(path):
    """A sparse file, well-formed, in which one layer has 2^40 bytes more than it should."""
    header, end = {}, 0
    for key, array in models.STNClsNet().state_dict().items():
        shape = [2**38] if key == "cls_net.cnn.fc2.bias" else list(array.shape)
        header[key] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end := end + 4 * math.prod(shape)]}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    os.truncate(path, 8 + len(text) + end)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (damage(lambda content: b""), "expected a safetensors file"),
        (damage(lambda content: content[:-1]), "expected a safetensors file"),
        (damage(lambda content: content[:100]), "expected a safetensors file"),
        (damage(lambda content: b"\xff" * 8 + content[8:]), "expected a safetensors file"),
        (damage(lambda content: content + b"more"), "expected a safetensors file"),
        (damage(lambda content: b"not weights at all"), "expected a safetensors file"),
        (in_python(lambda state: state.pop("cls_net.cnn.fc2.bias")), "cls_net.cnn.fc2.bias"),
        (lambda path: npstn.save(models.ClsNet().state_dict(), path), "loc_net.cnn.conv1.weight"),
        (in_another_dtype("F16"), "float16"),
        (damage(lambda content: content[:-5] + b"?" + content[-4:]), "its content is not what was written"),
        (damage(lambda content: b"<html>404</html>"), "a web page"),
        (damage(lambda content: b"\x80\x04}."), "a pickle, which is never read"),
        (by_torch, "a zip archive, as torch.save writes it, which is never read"),
        (in_python(put_nan), "NaN or infinity in 'loc_net.cnn.fc1.bias'"),
        (in_python(lambda state: state.update(more=np.ones(1))), "'more'"),
        (huge, "274877906944"),
        (as_pipe, "no regular file"),
    ],
    ids=["empty", "cut by a byte", "cut", "header", "longer", "text", "one missing", "of a cnn", "float16"]
    + ["a byte", "html", "pickle", "torch.save", "NaN", "one more", "huge", "pipe"],
)
def test_eval_of_damaged_or_foreign_weights(copy, spoil, says):
    spoil(copy / "weights.safetensors")
    before = None if spoil is huge else snapshot(copy)  # which reads every file
    message = refusal(1, "eval", copy)
    assert message.startswith(f"the weights in {copy} do not fit its network (--transformer rotation): ")
    assert says in message
    assert spoil is huge or snapshot(copy) == before


def test_eval_of_a_config_that_names_the_other_network(copy):
    change_config(copy, "model.transformer", "none")
    assert refusal(1, "eval", copy).startswith(f"the weights in {copy} do not fit its network (--transformer none): ")


def test_eval_of_a_run_without_weights(copy):
    (copy / "weights.safetensors").unlink()
    message = refusal(1, "eval", copy)
    assert message == f"expected weights in {copy}, got none: is the run still in its first epoch?"


def test_eval_of_a_run_on_mnist_where_there_is_none(copy):
    change_config(copy, "task.source", "mnist")
    assert refusal(1, "eval", copy) == "could not download MNIST: no network"


def test_which_class_was_taken_for_which(trained, tmp_path):
    """The table has the accuracy in it: what stands on the diagonal was read right."""
    folder, _ = trained
    said = npstn_("eval", folder, "--confusion", "--draw", tmp_path / "taken.png")
    first, heading, names, *rows, last = said.out.splitlines()
    assert said.status == 0 and first == f"{last_accuracy(folder):.2f} %" and last == str(tmp_path / "taken.png")
    assert heading == "a row for each class, a column for what its images were taken for"
    assert names.split() == [*"0123456789", "right"]
    cells = [row.replace(",", "").replace(".  ", "0  ").split() for row in rows]
    counts = np.array([[int(cell) for cell in row[1:11]] for row in cells])
    assert [row[0] for row in cells] == list("0123456789") and counts.sum() == 100
    assert np.trace(counts) == round(last_accuracy(folder))
    shares = [f"{100 * counts[k, k] / counts[k].sum():.1f}" for k in range(10)]
    assert [row[11] for row in cells] == shares and all(row[12] == "%" for row in cells)
    assert (tmp_path / "taken.png").read_bytes().startswith(b"\x89PNG")


def test_of_many_classes_the_most_frequent_mistakes_are_listed():
    classes = tuple(f"c{k}" for k in range(25))
    counts = 1000 * np.eye(25, dtype=int)
    assert confusion_table(counts, classes) == "no image is misread"
    counts[3, 4], counts[24, 0] = 1, 1500
    assert confusion_table(counts, classes).splitlines() == [
        "1,500 of 2,500 images of c24 are taken for c0",
        "1 of 1,001 images of c3 are taken for c4",
    ]
    assert len(confusion_table(counts + 1, classes).splitlines()) == 30


def test_a_picture_of_the_confusion_in_a_missing_folder(trained, tmp_path):
    """The message names the option that chooses the place."""
    path = tmp_path / "none" / "x.png"
    said = npstn_("eval", trained[0], "--draw", path)
    expected = f"cannot write {path}: No such file or directory; choose another place with --draw"
    assert said.status == 1 and said.err.splitlines()[-1] == f"npstn: error: {expected}"
