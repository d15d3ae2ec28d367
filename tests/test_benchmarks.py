"""The benchmark: both libraries do the same work, in separate processes, and a ratio below its goal is marked."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

import npstn
from benchmarks import against, cases, command_timings, distorting, inputs, npstn_side, scaling, tables, worker
from benchmarks.__main__ import MILLISECONDS
from npstn import data, models, optim, runs, tasks, training
from npstn.transformers import TRANSFORMERS

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


def test_the_geometric_mean_of_some_rows_has_a_goal_of_its_own():
    mean = cases.Mean("all layers", 2.1, 3)
    rows = [{**ROW, "times": {"npstn": [1.0], "torch": [theirs]}, "mean": mean} for theirs in (1.0, 4.0)]
    other = {**ROW, "times": {"npstn": [1.0], "torch": [100.0]}, "mean": None}
    found = json.loads(json.dumps({"ratios": [*rows, other]}))
    assert tables.table(found).splitlines()[-1] == "| all layers | 1 | | | 2.00 (short) | | 2.1 | 3 |"


def test_the_summary_has_a_column_for_each_number_of_threads():
    one, two = ({**ROW, "threads": n, "at_least": 2 * n, "times": {"npstn": [1.0], "torch": [3.0]}} for n in (1, 2))
    found = {"machine": {"date": "today", "cores": 2}, "ratios": [one, two, {**two, "name": "more", "at_least": 2}]}
    assert tables.summary(found).splitlines() == [
        "Measured on: date today, cores 2.",
        "",
        "| PyTorch's time over npstn's | 1 thread | 2 threads | at least | aim |",
        "|---|---|---|---|---|",
        "| work | 3.00 | 3.00 (short) | 2 / 4 | 4 |",
        "| more |  | 3.00 | 2 | 4 |",
    ]


def test_a_text_takes_the_place_of_the_one_before_it():
    page = f"before\n{tables.START}{tables.END}\nafter"
    once = tables.written(page, tables.START, "figures\n")
    assert once == f"before\n{tables.START}\nfigures\n\n{tables.END}\nafter"
    assert tables.written(once, tables.START, "figures\n") == once


def test_the_readme_has_a_place_for_the_summary():
    page = (command_timings.ROOT / "README.md").read_text(encoding="utf-8")
    assert tables.written(page, tables.START, "") != page
    assert page.count(tables.START) == page.count(tables.END) == 1


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


def test_slow_blocks_get_fewer_turns():
    times = worker.take_turns([lambda calls: 0.4 * worker.LONGEST, lambda calls: 1e-6 * worker.LONGEST], turns=40)
    assert [len(of_one) for of_one in times] == [worker.FEWEST] * 2


def test_the_command_itself_imports_neither_library():
    """Its processes begin with what it imports: they would time that, and not the npstn of another commit."""
    imports = "import sys, benchmarks.__main__; print([name for name in ('npstn', 'torch') if name in sys.modules])"
    printed = subprocess.check_output([sys.executable, "-c", imports], cwd=command_timings.ROOT, text=True)
    assert printed == "[]\n"


def test_another_build_is_timed_in_turns_with_this_one(tmp_path):
    """The other one is a copy that rests before each grid of a map."""
    shutil.copytree(command_timings.ROOT / "npstn", tmp_path / "npstn", ignore=shutil.ignore_patterns("__pycache__"))
    with open(tmp_path / "npstn" / "ops" / "affine_grid.py", "a") as file:
        file.write("\nimport time\nquick = AffineGrid.forward\n")
        file.write("AffineGrid.forward = staticmethod(lambda *x: time.sleep(0.05) or quick(*x))\n")
    case = cases.Case("small", "grid", 1, 1, "forward", (cases.affine_grid, [cases.normal(64, 2, 3)]))
    assert against.ratio(case, tmp_path, threads=1) > 10


def test_an_error_in_a_process_is_raised_here():
    case = cases.Case("small", "wrong", 1, 1, "forward", (cases.affine_grid, [cases.normal(64, 2)]))
    with worker.Worker("npstn", 1) as ours:
        with pytest.raises(RuntimeError, match="^npstn: ValueError: affine_grid: expected"):
            ours.open("wrong", case)
        assert ours.loaded() == ["npstn"]


def test_an_unknown_commit_is_named(tmp_path):
    with pytest.raises(SystemExit, match="^benchmarks: error: --against: .*no-such-commit"):
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
        (cases.bicubic, [x, inputs.grids("affine", 2, 8)]),
        (cases.affine_grid, [cases.normal(2, 2, 3)]),
    ):
        for way in ("forward", "backward"):
            yield cases.Case("small", f"{work.__name__} {way}", 1, 1, way, (work, arrays))
    yield from cases.few_points((2, 2, 40, 50), turns=1)
    yield cases.training_step(2)
    yield cases.training_step(2, "affine", "cnn", 30)
    yield cases.training_step(2, "affine", "fcn", 20)
    yield cases.training_step(2, "projective")
    yield cases.training_step(2, "tps")
    yield cases.evaluation(3)


@pytest.mark.parametrize("case", list(small_cases()), ids=lambda case: case.name)
def test_both_libraries_do_the_same_work(torch, case):
    from benchmarks import torch_side

    results = []
    for side in (npstn_side, torch_side):
        timed = getattr(side, case.timed)(*case.arguments)
        first = [array.copy() for array in timed.result(timed.run(timed.prepare()))]
        if case.timed != "training_step":  # which changes the weights
            worker.check_same([first, timed.result(timed.run(timed.prepare()))])
        results.append(first)
    assert all(np.any(array) for array in results[1])
    worker.check_same(results)
    largest = [np.abs(array).max() for array in results[1]]  # small where the loss is a mean
    worker.check_same([[array / most for array, most in zip(of_one, largest, strict=True)] for of_one in results])


@pytest.mark.parametrize("way", ["forward_in_turns", "backward_in_turns"])
def test_each_grid_has_its_turn(torch, way):
    from benchmarks import torch_side

    case = next(case for case in cases.few_points((2, 2, 40, 50), turns=3) if case.timed == way)
    ours, theirs = (getattr(side, way)(*case.arguments) for side in (npstn_side, torch_side))
    results = [[t.result(t.run(t.prepare()))[0].copy() for _ in range(4)] for t in (ours, theirs)]
    worker.check_same(results)
    assert not np.allclose(results[0][0], results[0][1])
    np.testing.assert_array_equal(results[0][0], results[0][3])


@pytest.mark.parametrize("transformer", ["affine", "projective", "tps"])
def test_the_grids_are_those_of_the_transformers(transformer):
    made = TRANSFORMERS[transformer]()
    np.testing.assert_allclose(made.identity, inputs.IDENTITY[transformer], rtol=0, atol=1e-6)
    parameters = made.identity + np.random.default_rng(1).normal(0, 0.1, (3, len(made.identity)))
    wanted = made.grid(npstn.Tensor(parameters), (9, 9)).data
    np.testing.assert_allclose(inputs.grids(transformer, 3, 9), wanted, rtol=0, atol=1e-5)


def test_a_goal_may_depend_on_the_threads(monkeypatch):
    for maker in ("normal", "smooth", "turned_grid", "grids", "few_points"):  # whose arrays are large
        monkeypatch.setattr(cases, maker, lambda *given: ())
    known = [list(cases.cases(threads)) for threads in (1, 2)]
    goals = [{case.name: case.at_least for case in of_one} for of_one in known]
    assert len(goals[0]) == len(known[0])
    assert {case.group for case in known[0]} == set(MILLISECONDS)
    assert {name for name in goals[0] if goals[0][name] != goals[1][name]} == {"max_pool2d (64, 20, 8, 8) forward"}


@pytest.mark.parametrize("task", distorting.TASKS)
def test_the_batches_of_a_task_alone_and_its_steps(task, monkeypatch, one_thread):
    digits = data.Source("few", "digits", lambda train: data.draw_digits(40), (28, 28), tuple("0123456789"))
    monkeypatch.setitem(data.SOURCES, "mnist", lambda folder: digits)
    alone, whole = (getattr(npstn_side, timed)(task, None, 8) for timed in ("distorting", "training_on"))
    (images,), (loss,) = (timed.result(timed.run(timed.prepare())) for timed in (alone, whole))
    assert len(images) == 8 and images.max() > 0.5
    assert 0 < loss < 5


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
        "muon",
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
    trainer = peer.Trainer(net_torch, images)
    assert isinstance(ours, optim.MuonWithAuxAdam)
    muon, adamw = ([group for group in theirs.param_groups] for theirs in trainer.optimizers)
    assert all(group["weight_decay"] == ours.weight_decay for group in (*muon, *adamw))
    assert all(group["momentum"] == ours.momentum and group["nesterov"] for group in muon)
    assert all((tuple(group["betas"]), group["eps"]) == (ours.betas, ours.eps) for group in adamw)
    assert all(schedule.total_steps == our_schedule.total_steps == 11 * recipe.epochs for schedule in trainer.schedules)
    assert sum(len(group["params"]) for group in (*muon, *adamw)) == len(ours.params)
    for step in range(our_schedule.total_steps - 1):
        for classifiers, localisers in (muon, adamw):
            assert classifiers["lr"] == pytest.approx(ours.lr, rel=1e-6)
            assert localisers["lr"] == pytest.approx(recipe.localiser_factor * ours.lr, rel=1e-6)
        if step < 2:  # in the first one the localisation network's last layer gives the others no gradient
            before = [p.detach().clone() for p in net_torch.parameters()]
            trainer.step(-net_torch(torch.rand(4, 1, 28, 28))[:, 3].mean())
            same = zip(net_torch.named_parameters(), before, strict=True)
            assert step == 0 or not [name for (name, p), old in same if (p == old).all()]
        trainer.step_schedules()
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
    assert "| 1000 µs for each of 16 images | 2000 µs for each of 256 images | 2.00 (short) | 1.3 |" in text


def test_a_curve_goes_over_64_times_the_work(monkeypatch):
    for maker in ("training_step", "convolution", "sampler"):  # whose arrays are large
        monkeypatch.setattr(cases, maker, lambda *given: iter(("forward", "backward")))
    curves = list(scaling.curves())
    assert len({name for name, *_ in curves}) == len(curves) == 9
    for _, _, work, steps in curves:
        assert work[-1] == 64 * work[0] and len(steps) == len(work)


def test_the_curves_are_drawn(tmp_path):
    row = {"unit": "image", "threads": 1, "work": [1, 64], "seconds": [0.1, 6.4]}
    scaling.plot([{**row, "name": name} for name in "abcd"], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
