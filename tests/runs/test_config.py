"""config.json: what is read back, and that every damage to it is refused in one line before anything is built."""

import copy as copying
import dataclasses
import json

import pytest
from command import change_config, read_config, refusal, snapshot

from npstn import models, runs
from npstn.tasks import Rotated
from npstn.training import Recipe

pytestmark = pytest.mark.usefixtures("small_world")


def test_what_is_written_is_read(trained, tmp_path):
    config = runs.read_config(trained[0])
    assert config.model == {
        "transformer": "rotation",
        "image": (1, 28, 28),
        "classes": 10,
        "network": "blog",
        "parallel": 1,
    }
    assert (config.recipe.epochs, config.recipe.batch_size, config.seed) == (2, 32, 3)
    assert config.build_net().state_dict().keys() == models.STNClsNet().state_dict().keys()
    task = config.open_task(trained[0])
    assert isinstance(task, Rotated) and (task.angle, task.seed, task.source.name) == (30, 3, "drawn")
    changed = config.open_task(trained[0], seed=8, angle=90)
    assert (changed.angle, changed.seed) == (90, 8)
    runs.write_config(tmp_path, config)
    assert runs.read_config(tmp_path) == config
    assert (tmp_path / "config.json").read_bytes() == (trained[0] / "config.json").read_bytes()


WRONG = {
    "format": [1, "3", None, True],
    "task": ["rotated", None, [], {}, {"name": "rotated"}],
    "task.name": ["cluttered", ["rotated"], None],
    "task.source": ["cifar", "digits", ["drawn"], None],
    "task.angle": [-45.0, 180.5, float("nan"), None, "45", True, [45.0]],
    "task.seed": [1],  # an entry that a task does not have
    "model": ["stn", None, [], {}],
    "model.transformer": ["vit", "stn", ["rotation"], None],
    "model.image": [[1, 28], [1, 28, 28.5], [1, 65_000, 65_000], [3, 28, 28], [1, 0, 28], 28, None, "abc"],
    "model.classes": [0, 11, 10.5, 2**40, "10", None],
    "model.depth": [2],
    "model.network": ["vit", None, ["blog"], "cnn "],
    "model.parallel": [0, 17, 1.5, True, "2", None],
    "model.span": [0.9],  # a setting of another transformer
    "recipe": ["fast", None, [], {}],
    "recipe.optimizer": ["rmsprop", None, ["sgd"]],
    "recipe.lr": ["fast", -1.0, 0, float("nan"), float("inf"), None],
    "recipe.batch_size": [0, 2.5, "32", None],
    "recipe.epochs": [None, 10**12, 0, 1.5],
    "recipe.dropout": [1.0, -0.1, float("nan"), "none"],
    "recipe.patience": [0, -1, 1.5, "2", [2]],
    "recipe.warmup": [0, 1.5, "750"],
    "recipe.average": [0, 1.5, float("nan"), "0.1"],
    "recipe.label_smoothing": [-0.1, 1, float("nan"), None],
    "recipe.weight_decay": [-0.1, float("nan"), "0.2"],
    "recipe.momentum": [0.5],
    "recipe_name": [5, None, ["fast"]],
    "seed": [-1, 0.5, "3", float("inf"), True, None],
    "data_folder": [5, ["x"], False, "../mnist", "a\0b"],  # drawn digits have none
    "data_sha256": [5, None],
    "versions": ["new", [], None, {"npstn": 1}],
    "later": ["x"],
}


@pytest.mark.parametrize(
    ("path", "value"), [(path, value) for path, values in WRONG.items() for value in values], ids=repr
)
def test_each_wrong_entry_is_refused(copy, path, value):
    change_config(copy, path, value)
    with pytest.raises(runs.RunError) as caught:
        runs.read_config(copy)
    assert str(caught.value) == f"expected what a run writes in {copy / 'config.json'}, got something else"


def test_a_run_of_a_newer_npstn(copy):
    change_config(copy, "format", 3)
    change_config(copy, "later", "what this npstn does not know")
    what = f"expected a run of format 2 in {copy}, got format 3, which a newer npstn wrote: update npstn"
    for command in (["eval"], ["train", "--resume"], ["show"], ["compare"]):
        assert refusal(1, *command, copy) == what


def test_each_missing_entry_is_refused(copy):
    config = read_config(copy)
    names = [(None, name) for name in config]
    names += [(part, name) for part in ("task", "model", "recipe") for name in config[part]]
    usual = {("recipe", f.name) for f in dataclasses.fields(Recipe) if f.default is not dataclasses.MISSING}
    names = [name for name in names if name not in usual]  # early runs do not have these
    assert len(names) > 15
    for part, name in names:
        damaged = copying.deepcopy(config)
        del (damaged[part] if part else damaged)[name]
        (copy / "config.json").write_text(json.dumps(damaged))
        with pytest.raises(runs.RunError, match="expected what a run writes"):
            runs.read_config(copy)


EARLY = [
    ("localiser_factor", 1, 0.25),
    ("patience", None, 3),
    ("warmup", None, 750),
    ("average", None, 1.0),
    ("label_smoothing", 0, 0.2),
    ("weight_decay", None, 0.2),
]


@pytest.mark.parametrize(("entry", "usual", "value"), EARLY)
def test_an_entry_that_early_runs_do_not_have_is_written_unless_it_is_the_usual(copy, entry, usual, value):
    """Their checkpoints hold the config as it was written."""
    config = read_config(copy)
    config["recipe"].pop(entry, None)
    (copy / "config.json").write_text(json.dumps(config))
    assert getattr(runs.read_config(copy).recipe, entry) == usual
    assert runs.read_config(copy).as_json() == config
    config["recipe"][entry] = value
    (copy / "config.json").write_text(json.dumps(config))
    assert runs.read_config(copy).as_json() == config


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"3", b"\xff\xfe\x00", b"{}", b'{"model": ' * 100_000],
    ids=lambda content: content.decode(errors="replace")[:20] or "empty",
)
@pytest.mark.parametrize("command", [["eval"], ["train", "--resume"], ["show"], ["compare"]], ids=" ".join)
def test_what_is_no_config_is_refused_by_every_command(copy, command, content):
    (copy / "config.json").write_bytes(content)
    before = snapshot(copy)
    assert refusal(1, *command, copy) == f"expected what a run writes in {copy / 'config.json'}, got something else"
    assert snapshot(copy) == before


def test_a_config_that_is_much_too_long_is_refused(copy):
    path = copy / "config.json"
    path.write_text(path.read_text().replace('"seed": 3', f'"seed": {"9" * 2**20}'))
    assert refusal(1, "eval", copy) == f"expected what a run writes in {path}, got something else"
