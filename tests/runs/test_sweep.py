"""`npstn sweep`: its runs are those of `npstn train`, also when the command or a worker is killed."""

import asyncio
import csv
import dataclasses
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import types

import numpy as np
import pytest
from command import ROOT, change_config, npstn_, refusal, snapshot
from kill_sweeps import kill_until_the_end
from kills import contents
from processes import run_python
from sweeping import GRID, everything, finish, kill, start, wait_for_epochs, workers_of

from npstn.cli import sweep_display
from npstn.cli.sweep import RARELY
from npstn.runs import RunError, read_config
from npstn.runs.config import write_config
from npstn.runs.sweep import TICK, Run, WorkerDied, fetch

pytest.importorskip("distributed")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")

# With the oldest and the newest of everything, one sweep here and one on a cluster are enough.
long = pytest.mark.skipif("NPSTN_FEW_EXAMPLES" in os.environ, reason="asked to try few examples")

RUNS = [f"{task}_{kind}_fcn_recipe=blog_epochs=3_batch-size=32_seed=0" for task in "RP" for kind in ("none", "affine")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A sweep that nothing stopped: its folder, and what it said."""
    out = tmp_path_factory.mktemp("whole") / "sweep"
    return out, *finish(start(out, *GRID, "--workers", 2))


def test_a_run_of_a_sweep_is_that_of_train(whole, tmp_path, small_world):
    out, said, err = whole
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == sorted(RUNS)
    assert err == ""
    for name in RUNS[1::2]:
        task, kind = name.split("_")[:2]
        words = [*GRID[: GRID.index("--task")], "--task", task, "--transformer", kind, *GRID[-4:]]
        assert npstn_("train", *words, "--out", tmp_path / name, "--threads", 1).status == 0
        assert contents(out / name) == contents(tmp_path / name)
    assert said.count("test accuracy") >= 4 and "4 runs; folder" in said


def test_the_table_is_written_in_three_forms(whole):
    out, said, _ = whole
    text = (out / "table.txt").read_text()
    assert text in said
    rows = list(csv.DictReader((out / "table.csv").open()))
    assert [row["run"] for row in rows] == [line.split("  ")[0] for line in text.splitlines()[1:-1]]
    for row, line in zip(rows, text.splitlines()[1:-1]):
        assert f"{float(row['test_accuracy_mean']):.2f} %" in line
    marked = (out / "table.md").read_text().splitlines()
    assert [line.count("|") for line in marked[:6]] == [marked[0].count("|")] * 6
    assert (out / "errors.png").read_bytes()[1:4] == b"PNG"


@long
def test_what_is_finished_is_skipped_and_more_seeds_are_added(whole, tmp_path):
    out, before = whole[0], everything(whole[0])
    said, _ = finish(start(out, *GRID, "--task", "R", "--transformer", "affine", "--seeds", 2, "--workers", 1))
    assert "2 runs, 1 of them done before" in said and "0 1" in said
    after = everything(out)
    assert {name: after[name] for name in before} == before
    added = set(after) - set(before)
    assert added == {RUNS[1].replace("seed=0", "seed=1")}


@long
def test_a_sweep_that_is_killed_again_and_again_ends_as_if_it_had_not_been(whole, tmp_path):
    """`python -m tests.kill_sweeps` does it more often."""
    killed = kill_until_the_end(tmp_path / "sweep", [*GRID, "--workers", "2"], 3, random.Random(3), 12)
    assert "a worker" in killed
    assert everything(tmp_path / "sweep") == {name: everything(whole[0])[name] for name in RUNS}


@long
def test_a_sweep_goes_on_without_its_only_worker_and_says_how_to_go_on_when_it_is_stopped(whole, tmp_path):
    out = tmp_path / "sweep"
    process = start(out, *GRID, "--workers", "1")
    wait_for_epochs(process, out, 2)
    kill(*workers_of(process))
    wait_for_epochs(process, out, 8)  # of 12; the run that was lost is the first to go on
    process.send_signal(signal.SIGTERM)
    _, err = finish(process, 128 + signal.SIGTERM)
    assert re.fullmatch(r"\nnpstn: stopped; [12] of 4 runs are done; the same command again goes on\n", err)
    finish(start(out, *GRID, "--workers", "2"))
    assert everything(out) == {name: everything(whole[0])[name] for name in RUNS}


@pytest.mark.parametrize("epochs", [0, 2])  # at 0, workers are about to come up
def test_a_ctrl_c_that_a_terminal_sends_to_all_processes(epochs, tmp_path):
    process = start(tmp_path / "sweep", *GRID, "--workers", "2")
    if epochs:
        wait_for_epochs(process, tmp_path / "sweep", epochs)
    else:
        while "runs; folder" not in process.stdout.readline():
            assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    begun = time.monotonic()
    _, err = finish(process, 128 + signal.SIGINT)
    assert re.fullmatch(r"\nnpstn: stopped; [0-3] of 4 runs are done; the same command again goes on\n", err)
    assert time.monotonic() - begun < 20  # Dask would wait for 30 s for workers that are gone


@long
def test_a_run_that_cannot_be_written_does_not_stop_the_others(whole, tmp_path):
    full = """
from npstn.runs.sweep import Run
take = Run.take
def take_or_fail(self, files):
    if self.name.startswith("R_none"):
        raise OSError(28, "No space left on device")
    take(self, files)
Run.take = take_or_fail
"""
    _, err = finish(start(tmp_path / "sweep", *GRID, "--workers", "1", before=full), 1)
    folder = tmp_path / "sweep" / RUNS[0]
    assert f"{RUNS[0]}: cannot write the run folder {folder}: No space left on device" in err
    assert "1 of 4 runs failed" in err and err.count("\n") == 2
    for name in RUNS[1:]:
        assert contents(tmp_path / "sweep" / name) == contents(whole[0] / name)


def test_a_file_of_the_users_is_not_overwritten_by_a_table(tmp_path):
    (tmp_path / "table.csv").write_text("mine")
    message = refusal(2, "sweep", *GRID, "--out", tmp_path)
    assert message.startswith("argument --out: expected the folder of a sweep or a new one, got ")
    assert message.endswith("with table.csv, which would be overwritten: remove it, or choose another folder")
    assert (tmp_path / "table.csv").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1
    message = refusal(2, "sweep", *GRID, "--out", tmp_path / "table.csv")
    assert message == f"argument --out: expected a folder, got the file {tmp_path / 'table.csv'}"


def test_where_dask_is_told_to_encrypt_and_has_no_certificates(tmp_path):
    """A line, here as well as for a scheduler elsewhere."""
    asked = "import os; os.environ['DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION'] = 'True'\n"
    _, err = finish(start(tmp_path / "here", *GRID, before=asked), 1)
    assert "npstn: error: Dask cannot start a scheduler here: " in err and err.count("\n") == 1
    _, err = finish(start(tmp_path / "there", *GRID, "--scheduler", "tcp://127.0.0.1:9", before=asked), 2)
    assert "argument --scheduler: expected the address of a Dask scheduler that answers" in err
    assert "Traceback" not in err


def test_as_many_files_as_runs_may_be_open():
    import resource

    from npstn.cli.sweep import _allow_open_files

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (600, before[1]))
        _allow_open_files(50)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 600
        _allow_open_files(100)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 612
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_long_name_leaves_room_for_the_epoch():
    name = "addition_affine_cnn_parallel=2_epochs=10_batch-size=32_lr=0.003_localiser-factor=0.3_seed=2"
    run = types.SimpleNamespace(name=name, epochs=[{"test_accuracy": 92.5}])
    run.config = types.SimpleNamespace(recipe=types.SimpleNamespace(epochs=10))
    line = sweep_display._line(run, 60)
    assert len(line) == 60 and line.startswith("addition_affine") and line.endswith("seed=2: epoch 2/10, 92.50 %")
    assert sweep_display._line(run) == f"{name}: epoch 2/10, 92.50 %"


@long
def test_a_worker_that_dies_with_what_it_has_done(whole, tmp_path):
    """Dask would wait for its address to come back."""
    dies = """
import os, signal, time
from distributed import Future

result = Future.result

def after_a_death(future, timeout=None):
    Future.result = result
    [(worker,)] = future.client.who_has([future]).values()
    os.kill(future.client.run(os.getpid, workers=[worker])[worker], signal.SIGKILL)
    while worker in future.client.nthreads():
        time.sleep(0.01)
    print("killed")
    return result(future, timeout)

Future.result = after_a_death
"""
    grid = [*GRID, "--task", "R", "--transformer", "affine"]
    said, _ = finish(start(tmp_path / "sweep", *grid, "--workers", "1", before=dies))
    assert said.count("killed\n") == 1
    assert everything(tmp_path / "sweep") == {RUNS[1]: everything(whole[0])[RUNS[1]]}


HERE = "tcp://127.0.0.1:1"


class Leg:
    """A future of Dask: what `result` raises or gives, call after call."""

    def __init__(self, status, *outcomes):
        self.status, self.outcomes, self.waited, self.cancelled = status, list(outcomes), [], False

    def result(self, timeout):
        self.waited.append(timeout)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def cancel(self):
        self.cancelled = True


class Cluster:
    """A client of Dask: the workers that there are, or None where the scheduler is lost."""

    def __init__(self, *workers):
        self.workers, self.scheduler = workers, types.SimpleNamespace(address="tcp://there")

    def nthreads(self):
        if None in self.workers:
            raise OSError("no answer")
        return dict.fromkeys(self.workers, 1)


@pytest.mark.parametrize("error", [OSError("disk full"), TimeoutError("slow disk"), asyncio.TimeoutError("slow disk")])
def test_an_error_of_a_leg_is_not_that_of_the_cluster(error):
    with pytest.raises(type(error), match=f"^{error}$"):
        fetch(Cluster(HERE), Leg("error", error), HERE)


@pytest.mark.parametrize("late", [TimeoutError, asyncio.TimeoutError])
def test_files_that_are_long_in_coming_are_waited_for_longer_each_time(late):
    leg = Leg("finished", late(), late(), late(), {"a": b"b"})
    assert fetch(Cluster(HERE), leg, HERE) == {"a": b"b"}
    assert leg.waited == [TICK, 2 * TICK, 4 * TICK, 8 * TICK] and not leg.cancelled


def test_files_that_will_never_come_are_given_up():
    leg = Leg("lost", TimeoutError())
    with pytest.raises(WorkerDied):
        fetch(Cluster("tcp://another"), leg, HERE)
    assert leg.cancelled
    with pytest.raises(RunError, match="^lost the scheduler at tcp://there"):
        fetch(Cluster(None), Leg("lost", TimeoutError()), HERE)


@long
def test_a_run_that_fails_does_not_stop_the_others(tmp_path):
    out = tmp_path / "sweep"
    grid = [*GRID, "--transformer", "none", "--task", "R", "--epochs", 1, "--lr", "0.01", "1000"]
    said, err = finish(start(out, *grid, "--workers", 1), 1)
    assert err.count("\n") == 2 and "1 of 2 runs failed" in err and "the loss became" in err and str(out) in err
    assert len((out / "table.txt").read_text().splitlines()) == 3  # the head, the other run, and a note
    assert "lr=0.01" in said


@long
def test_the_workers_of_the_command_itself_keep_no_statistics():
    code = f"""
import argparse, dask
from npstn.cli.sweep import _client

def there():
    return {{name: dask.config.get(name) for name in {list(RARELY)}}}

with _client(argparse.Namespace(scheduler=None, workers=1)) as client:
    print(*client.run(there).values())
"""
    assert run_python(code) == str(RARELY)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def dask(*words):
    code = "import sys; from distributed.cli import dask_scheduler, dask_worker; "
    code += "{'scheduler': dask_scheduler, 'worker': dask_worker}[sys.argv.pop(1)].main()"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-c", code, *map(str, words)], cwd=ROOT, **quiet)


def test_a_cluster_of_others_with_a_worker_that_dies_and_one_of_another_version(whole, tmp_path):
    out, address = tmp_path / "sweep", f"tcp://127.0.0.1:{free_port()}"
    other = tmp_path / "other_version.py"
    other.write_text("import npstn\nnpstn.__version__ = '0.0.1'\n")
    usual = ["--nthreads", 1, "--no-dashboard", "--local-directory", tmp_path]
    processes = [dask("scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2], "--no-dashboard")]
    try:
        processes += [dask("worker", address, *usual, "--no-nanny") for _ in range(2)]
        processes += [dask("worker", address, *usual, "--no-nanny", "--preload", other)]
        process = start(out, *GRID, "--scheduler", address)
        wait_for_epochs(process, out, 2)
        kill(processes[1].pid)
        said, _ = finish(process)
        found = everything(out)
        process = start(out, *GRID, "--scheduler", address, "--seeds", 2)
        wait_for_epochs(process, out, 14)  # 12 are done
        processes[0].kill()
        _, err = finish(process, 1)
    finally:
        for one in processes:
            one.kill()
            one.wait()
    assert re.search(r"refused worker tcp://127\.0\.0\.1:\d+: it has npstn 0\.0\.1, not ", said)
    assert err == f"npstn: error: lost the scheduler at {address}: start it, and sweep again to go on\n"
    assert found == {name: everything(whole[0])[name] for name in RUNS}


@pytest.mark.usefixtures("small_world")
def test_what_cannot_be_swept_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("npstn.cli.sweep.PATIENCE", 0.5)
    out = ["--out", tmp_path / "sweep"]
    nobody = ["--scheduler", "tcp://127.0.0.1:9"]
    assert "the address of a Dask scheduler that answers, got tcp" in refusal(2, "sweep", *GRID, *out, *nobody)
    assert "goes with this machine" in refusal(2, "sweep", *out, *nobody, "--workers", 2)
    assert "no --seed next to it" in refusal(2, "sweep", *out, "--seeds", 2, "--seed", 5)


@pytest.mark.usefixtures("small_world")
def test_a_run_that_cannot_be_read_is_listed_and_the_table_has_the_others(whole, tmp_path):
    out = shutil.copytree(whole[0], tmp_path / "sweep")
    (out / RUNS[0] / "metrics.csv").write_text("damaged")
    said = npstn_("sweep", *GRID, "--out", out)
    assert said.status == 1
    assert said.err.count("\n") == 2 and RUNS[0] in said.err and "1 of 4 runs failed" in said.err
    assert len((out / "table.txt").read_text().splitlines()) == 1 + 3 + 1


def test_a_run_that_goes_on_with_other_versions_is_told(whole, tmp_path):
    folder = shutil.copytree(whole[0] / RUNS[0], tmp_path / RUNS[0])
    change_config(folder, "versions.numpy", "1.0")
    run = Run(RUNS[0], folder, read_config(folder))
    assert run.other_versions() == ""  # it was not begun
    run.find()
    note = f"{RUNS[0]} was begun with numpy 1.0, not {np.__version__}: it will end with other weights than there"
    assert run.other_versions() == note


@pytest.mark.parametrize("changed", [{"label_smoothing": 0.3}, {"localiser_factor": 0.1}, {"average": 0.5}])
def test_a_run_of_another_recipe_is_refused_either_way(trained, tmp_path, changed):
    """What has its default is not in config.json."""
    config = read_config(trained[0])
    other = dataclasses.replace(config, recipe=dataclasses.replace(config.recipe, **changed))
    name = next(iter(changed))
    for number, (there, wanted) in enumerate([(config, other), (other, config)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        write_config(folder, there)
        values = (getattr(of.recipe, name) for of in (wanted, there))
        message = "expected recipe {0} {1}, got recipe {0} {2} in ".format(name, *values)
        with pytest.raises(RunError, match=f"^{re.escape(message)}"):
            Run(folder.name, folder, wanted).find()


@pytest.mark.usefixtures("small_world")
def test_a_folder_with_other_things_or_another_run_is_left_alone(tmp_path):
    words = ["sweep", *GRID, "--task", "R", "--transformer", "none", "--out", tmp_path / "sweep"]
    folder = tmp_path / "sweep" / RUNS[0]
    folder.mkdir(parents=True)
    (folder / "mine.txt").write_text("mine")
    assert "with other files in it: choose another --out" in refusal(1, *words)
    (folder / "mine.txt").unlink()
    short = [*GRID[: GRID.index("--task")], *GRID[-2:], "--task", "R", "--transformer", "none", "--epochs", "1"]
    assert npstn_("train", *short, "--out", folder).status == 0
    before = snapshot(folder)
    assert re.match("expected recipe epochs 3, got recipe epochs 1 in .*: choose another --out", refusal(1, *words))
    assert snapshot(folder) == before
