"""The benchmark: both libraries do the same work, in separate processes, and a ratio below its goal is marked."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

import npstn
from benchmarks import against, cases, command_timings, scaling, tables, worker
from npstn import data, models, optim, runs, tasks, training

ROW = {"name": "work", "threads": 1, "at_least": 2, "aim": 4}


def test_the_ratio_is_taken_turn_by_turn():
    row = {**ROW, "times": {"npstn": [1.0, 2.0, 1.0, 1.0, 1.0], "torch": [1.0, 4.0, 3.0, 4.0, 5.0]}}
    assert tables.ratio(row) == (3, 2, 4)


@pytest.mark.parametrize("theirs, short", [(0.0199, True), (0.02, False)])
def test_a_ratio_below_its_goal_is_marked(theirs, short):
    text = tables.table({"ratios": [{**ROW, "times": {"npstn": [0.01], "torch": [theirs]}}]})
    assert ("(short)" in text) is short
    assert "| work | 1 | 10.000 ms |" in text


@pytest.mark.parametrize("values, short", [([0.1, 0.7, 0.9], True), ([0.1, 0.6, 0.9], False)])
def test_a_value_above_its_limit_is_marked(values, short):
    text = tables.table({"limits": [command_timings.limit("start", "import", "s", 0.7, values)]})
    assert ("(short)" in text) is short


def test_npstn_alone_has_a_time_and_no_ratio():
    text = tables.table({"ratios": [{**ROW, "times": {"npstn": [0.01]}}]})
    assert text.splitlines()[-1] == "| work | 1 | 10.000 ms | | | | 2 | 4 |"


def test_the_tables_of_a_result_are_printed_again(tmp_path):
    found = {"machine": {}, "ratios": [{**ROW, "times": {"npstn": [0.01], "torch": [0.05]}}], "limits": []}
    (tmp_path / "found.json").write_text(json.dumps(found))
    command = [sys.executable, "-m", "benchmarks", "--table", str(tmp_path / "found.json")]
    printed = subprocess.check_output(command, cwd=command_timings.ROOT, text=True)
    assert printed == tables.table(found) + "\n"
    assert "5.00" in printed


def test_the_fitted_line_of_times_on_a_line():
    work = np.array([1, 2, 4, 16])
    assert scaling.line({"work": work, "seconds": 0.5 + 0.25 * work}) == pytest.approx((0.5, 0.25))


def test_turns_alternate_in_their_order():
    order = []
    blocks = [lambda calls, i=i: order.append((i, calls)) or 10.0**-i for i in range(3)]
    times = worker.take_turns(blocks, turns=2)
    calls = [1, 1, max(1, int(worker.BLOCK / 0.01))]
    assert order == [(0, 1), (1, 1), (2, 1)] + [(i, calls[i]) for i in (2, 1, 0, 0, 1, 2)]
    assert times == [[1, 1], [0.1, 0.1], [0.01, 0.01]]


def test_another_build_is_timed_in_turns_with_this_one(tmp_path):
    """The other one is a copy that rests before each grid of a map."""
    shutil.copytree(command_timings.ROOT / "npstn", tmp_path / "npstn", ignore=shutil.ignore_patterns("__pycache__"))
    with open(tmp_path / "npstn" / "ops" / "affine_grid.py", "a") as file:
        file.write("\nimport time\nquick = AffineGrid.forward\n")
        file.write("AffineGrid.forward = staticmethod(lambda *x: time.sleep(0.05) or quick(*x))\n")
    (case,) = (case for case in cases.cases() if case.group == "grid")
    assert against.ratio(case, tmp_path, threads=1) > 10


def test_an_unknown_commit_is_named(tmp_path):
    with pytest.raises(SystemExit, match="^benchmarks.against: error: .*no-such-commit"):
        against.sources("no-such-commit", tmp_path)


def test_the_first_epoch_with_the_accuracy_is_found_in_a_growing_file(tmp_path):
    metrics = tmp_path / "metrics.csv"
    assert command_timings.epoch_reached(metrics, 98.5) is None
    metrics.write_text("epoch,seconds,test_accuracy\n1,9.0,98.49\n2,9.0,98.")
    assert command_timings.epoch_reached(metrics, 98.5) is None
    assert command_timings.epoch_reached(metrics, 98.0) == 1
    metrics.write_text("epoch,seconds,test_accuracy\n1,9.0,98.49\n2,9.0,98.5\n3,9.0,98.9\n")
    assert command_timings.epoch_reached(metrics, 98.5) == 2


def test_the_steps_of_a_checkpoint_are_counted(tmp_path):
    assert command_timings.steps_saved(tmp_path) == 0
    recipe = training.RECIPES["fast"]
    state = training.State(models.STNClsNet(recipe.dropout), recipe, images=100)
    state.steps = 3
    task = {"name": "rotated", "source": "drawn"}
    model = {"transformer": "rotation", "image": (1, 28, 28), "classes": 10}
    config = runs.Config(task, model, recipe, "fast", seed=0, data_folder=None, data_sha256="", versions={})
    runs.save_checkpoint(tmp_path, config, state)
    assert command_timings.steps_saved(tmp_path) == 3


def test_a_command_that_ends_too_soon_is_an_error_with_its_output():
    with pytest.raises(RuntimeError, match="oh no"):
        command_timings.seconds_until([sys.executable, "-c", "print('oh no')"], {}, lambda: None)


def small_cases():
    x = cases.normal(2, 1, 8, 8)
    for work, arrays in (
        (cases.conv2d, [x, cases.normal(2, 1, 3, 3), cases.normal(2)]),
        (cases.max_pool2d, [x]),
        (cases.grid_sample, [x, cases.turned_grid(2, 8)]),
        (cases.affine_grid, [cases.normal(2, 2, 3)]),
    ):
        for way in ("forward", "backward"):
            yield cases.Case("small", f"{work.__name__} {way}", 1, 1, way, (work, arrays))
    yield cases.training_step(2)
    yield cases.evaluation(3)


@pytest.mark.parametrize("case", list(small_cases()), ids=lambda case: case.name)
def test_both_libraries_do_the_same_work(torch, case):
    from benchmarks import npstn_side, torch_side

    results = []
    for side in (npstn_side, torch_side):
        timed = getattr(side, case.timed)(*case.arguments)
        first = [array.copy() for array in timed.result(timed.run(timed.prepare()))]
        if case.timed != "training_step":  # which changes the weights
            worker.check_same([first, timed.result(timed.run(timed.prepare()))])
        results.append(first)
    assert all(np.any(array) for array in results[1])
    worker.check_same(results)


def test_results_that_differ_are_an_error():
    with pytest.raises(AssertionError):
        worker.check_same([[np.zeros(3)], [np.array([0, 1e-4, 0])]])
    with pytest.raises(ValueError):
        worker.check_same([[np.zeros(3)], []])


def test_each_library_is_alone_in_its_process(torch):
    case = cases.Case("small", "nothing", 1, 1, "forward", (cases.affine_grid, [cases.normal(2, 2, 3)]))
    with worker.Worker("npstn", 1) as ours, worker.Worker("torch", 1) as theirs:
        times = worker.duel(case, {"npstn": ours, "torch": theirs}, turns=2)
        assert ours.loaded() == ["npstn"]
        assert theirs.loaded() == ["torch"]
    assert all(len(of_one) == 2 and min(of_one) > 0 for of_one in times.values())


def test_the_peers_recipe_is_npstns(torch):
    from benchmarks import peer_training as peer

    recipe = training.RECIPES["fast"]
    theirs = training.Recipe(
        "adamw",
        peer.LR,
        peer.BATCH,
        peer.EPOCHS,
        peer.DROPOUT,
        peer.LOCALISER_FACTOR,
        warmup=peer.WARMUP,
        average=peer.AVERAGE,
        label_smoothing=peer.LABEL_SMOOTHING,
    )
    assert theirs == recipe

    images = 10 * recipe.batch_size + 1
    net, net_torch = models.STNClsNet(recipe.dropout), peer.STNClsNet(peer.DROPOUT)
    ours, our_schedule = recipe.optimizer_for(net, images)
    optimizer, schedule = peer.begin(net_torch, images)
    settings, of_localiser = optimizer.param_groups
    assert isinstance(ours, optim.AdamW)
    assert (settings["weight_decay"], settings["eps"]) == (ours.weight_decay, ours.eps)
    assert tuple(settings["betas"]) == ours.betas
    assert schedule.total_steps == our_schedule.total_steps == 11 * recipe.epochs
    for _ in range(schedule.total_steps - 1):
        assert settings["lr"] == pytest.approx(ours.lr, rel=1e-6)
        assert of_localiser["lr"] == pytest.approx(recipe.localiser_factor * ours.lr, rel=1e-6)
        optimizer.step()
        schedule.step()
        our_schedule.step()

    averages = recipe.average_for(net), peer.averaged(net_torch)
    for number in range(1, 5):
        net.cls_net.cnn.fc2.bias.data[...] = number**2
        net_torch.cls_net.cnn.fc2.bias.data.fill_(number**2)
        for average, trained in zip(averages, (net, net_torch), strict=True):
            average.update_parameters(trained)
    ours, theirs = (average.module.cls_net.cnn.fc2.bias.data for average in averages)
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-6)


def test_the_peer_starts_as_npstn_does(torch):
    from benchmarks.peer import STNClsNet

    npstn.manual_seed(0)
    torch.manual_seed(0)
    ours, theirs = models.STNClsNet(0.0).state_dict(), STNClsNet(0.0).state_dict()
    assert ours.keys() == theirs.keys()
    for name, weight in ours.items():
        assert weight.shape == tuple(theirs[name].shape)
        if name.startswith("loc_net.cnn.fc2"):
            assert not weight.any() and not theirs[name].any()
        elif weight.size >= 200:  # uniform, within the same bound
            assert np.std(weight) == pytest.approx(float(theirs[name].std()), rel=0.1)
            assert np.abs(weight).max() == pytest.approx(float(theirs[name].abs().max()), rel=0.05)


def test_the_peer_turns_digits_as_npstn_does(torch, tmp_path):
    from benchmarks import peer_training as peer

    images, labels = data.draw_digits(20, 0)
    for part, array, header in ("images", images, 16), ("labels", labels.astype(np.uint8), 8):
        (tmp_path / f"t10k-{part}-idx{3 if part == 'images' else 1}-ubyte").write_bytes(bytes(header) + array.tobytes())
    theirs, their_labels = peer.digits(tmp_path, "t10k")
    np.testing.assert_array_equal(their_labels.numpy(), labels)
    degrees = np.linspace(-45, 45, 20, dtype=np.float32)
    turned = peer.rotate(theirs, torch.tensor(np.deg2rad(degrees)))
    np.testing.assert_allclose(tasks.rotate(images, degrees), turned.numpy(), rtol=0, atol=1e-5)


def test_the_time_of_a_unit_of_work_at_both_ends():
    row = {"name": "step", "unit": "image", "threads": 1, "work": [16, 64, 256], "seconds": [0.016, 0.1, 0.512]}
    text = tables.table({"scaling": [row]})
    assert "| 1000 µs for each of 16 images | 2000 µs for each of 256 images |" in text
