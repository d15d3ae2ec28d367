"""A run folder belongs to one process at a time: real processes, side by side, killed, and without a lock."""

import contextlib
import errno
import os
import signal
import shutil
import subprocess
from pathlib import Path

import pytest
from command import COMMAND, COMMANDS, QUICK, last_accuracy, names, npstn_, refusal, snapshot
from processes import start_python

from npstn import runs, training

fcntl = pytest.importorskip("fcntl")
pytestmark = pytest.mark.usefixtures("small_world")

# Root, who may run the tests, could write everywhere.
WITHOUT_PRIVILEGES = """
import ctypes, os, sys
if os.geteuid() == 0:
    drop_from_bounds, override_permissions = 24, 1  # PR_CAPBSET_DROP and CAP_DAC_OVERRIDE of Linux
    ctypes.CDLL(None).prctl(drop_from_bounds, override_permissions, 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-c", *sys.argv[1:]])
"""
# Each waits for a line, so that all do the same thing in the same instant.
NAME = """
import sys, pathlib
from npstn import runs
print("ready", flush=True)
sys.stdin.readline()
print(runs.named_after_now(pathlib.Path(sys.argv[1])))
"""
CREATE = """
import sys, pathlib
from npstn import runs
print("ready", flush=True)
sys.stdin.readline()
try:
    with runs.create(pathlib.Path(sys.argv[1]), replace=False):
        print("mine", flush=True)
        sys.stdin.readline()
except runs.RunIsBusy as error:
    print(error, flush=True)
"""
PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


@contextlib.contextmanager
def at_once(count, code, *arguments):
    """Processes that have all been told to begin; they are ended."""
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(start_python(code, *arguments, **PIPES)) for _ in range(count)]
        try:
            for process in processes:
                assert process.stdout.readline() == "ready\n", process.stderr.read()
            for process in processes:
                process.stdin.write("\n")
                process.stdin.flush()
            yield processes
        finally:
            for process in processes:
                process.kill()


@pytest.fixture
def going_on(tmp_path):
    """A run that has finished an epoch and goes on, in a process of its own: the process and the folder."""
    folder = tmp_path / "run"
    options = ["--data", "drawn", "--epochs", "500", "--transformer", "none", "--threads", "1", "--out", folder]
    with start_python(COMMAND, "train", *options, **PIPES) as process:
        try:
            for line in process.stdout:
                if line.startswith("epoch 1/"):
                    break
            else:
                pytest.fail(process.stderr.read())
            yield process, folder
        finally:
            process.kill()


@pytest.fixture
def no_training(monkeypatch):
    def train(*_):
        raise training.TrainingError("recorded")

    monkeypatch.setattr("npstn.runs.work.train", train)


def test_processes_in_the_same_second_get_a_folder_each(tmp_path):
    with at_once(4, NAME, tmp_path / "runs") as processes:
        made = [Path(process.communicate(timeout=60)[0].strip()) for process in processes]
    assert len(set(made)) == 4
    assert sorted(made) == sorted((tmp_path / "runs").iterdir())


def test_of_processes_that_want_the_same_folder_one_gets_it(tmp_path):
    with at_once(4, CREATE, tmp_path / "run") as processes:
        said = [process.stdout.readline().strip() for process in processes]
        (winner,) = (process.pid for process, line in zip(processes, said, strict=True) if line == "mine")
        others = {line for line in said if line != "mine"}
    how = "wait until it ends, or choose another folder"
    busy = f"is working in the run folder {tmp_path / 'run'}; {how}"
    assert others <= {f"process {winner} {busy}", f"another process {busy}"} and len(said) == 4
    assert others


def test_a_run_that_goes_on_keeps_others_out_and_lets_them_read(going_on, tmp_path, no_training):
    process, folder = going_on
    how = f"process {process.pid} is working in the run folder {folder}; wait until it ends, or choose another folder"
    train = "train", *QUICK, "--transformer", "none"
    for arguments, option in (
        ([*train, "--out", folder], "--out"),
        ([*train, "--out", folder, "--force"], "--force"),
        (["train", "--resume", folder], "--resume"),
    ):
        assert refusal(2, *arguments) == f"argument {option}: {how}"
    assert npstn_("eval", folder).status == 0
    assert npstn_("compare", folder, "--out", tmp_path / "compare.png").status == 0
    assert process.poll() is None  # it has not been disturbed

    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    assert ".lock" in names(folder)
    assert refusal(1, "train", "--resume", folder).startswith("recorded; ")
    assert ".lock" not in names(folder)


def test_the_same_process_cannot_enter_twice(tmp_path):
    with runs.locked(tmp_path) as held:
        assert held
        with pytest.raises(runs.RunIsBusy, match=f"process {os.getpid()} is working in the run folder"):
            with runs.locked(tmp_path):
                pass
    with runs.locked(tmp_path):
        pass
    assert names(tmp_path) == []


def test_another_machine_is_named(tmp_path, monkeypatch):
    with runs.locked(tmp_path):
        monkeypatch.setattr("platform.node", lambda: "elsewhere")
        (tmp_path / ".lock").write_text("77 node3")
        with pytest.raises(runs.RunIsBusy, match="process 77 on node3 is working"):
            with runs.locked(tmp_path):
                pass


def test_a_disk_without_locks_is_told(tmp_path, monkeypatch, no_training, capsys):
    def flock(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    said = npstn_("train", *QUICK, "--transformer", "none", "--out", tmp_path / "run")
    note = f"note: the disk of {tmp_path / 'run'} has no locks: let no other process work in this folder"
    assert said.out.splitlines()[0] == note
    assert said.err.startswith("npstn: error: recorded; ")


def test_a_run_that_cannot_be_written_can_be_read(trained, tmp_path):
    folder, out = Path(shutil.copytree(trained[0], tmp_path / "run")), tmp_path / "out"
    before = snapshot(folder)
    folder.chmod(0o555)
    commands = [
        ["eval", folder],
        ["show", folder, "--out", f"{out}.png"],
        ["compare", folder, "--out", f"{out}.svg"],
        ["show", folder],
        ["train", "--resume", folder],
    ]
    lines = ["\n".join(map(str, arguments)) for arguments in commands]
    with start_python(WITHOUT_PRIVILEGES, COMMANDS, *lines, **PIPES) as process:
        said, wrong = process.communicate(timeout=200)
    folder.chmod(0o755)
    assert [line for line in said.splitlines() if line.startswith("status")] == [f"status {n}" for n in (0, 0, 0, 1, 1)]
    assert f"{last_accuracy(folder):.2f} %" in said.splitlines()
    assert [line for line in wrong.splitlines() if line.startswith("npstn: ")] == [
        f"npstn: error: cannot write {folder / 'show.png'}: Permission denied; choose another place with --out",
        f"npstn: error: cannot write the run folder {folder}: Permission denied",
    ]
    assert snapshot(folder) == before
