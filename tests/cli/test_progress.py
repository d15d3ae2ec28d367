"""How far a training is: on a terminal of any width, in a pipe, in a notebook, with standard error closed."""

import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from command import COMMAND, ROOT, names

from npstn.cli import progress
from npstn.cli.progress import Progress, crowd, with_progress
from npstn.training import Epoch, Step

# The command, with lines as often as there are steps.
EAGER = f"import npstn.cli.progress\nnpstn.cli.progress.EVERY = 0.0\n{COMMAND}"
TRAIN = ["train", "--data", "drawn", "--transformer", "none", "--epochs", "2", "--batch-size", "100", "--threads", "1"]
LINE = r"epoch [12]/2, \d+ %, loss \d\.\d{3}(, \d+ (s|min) left)?"


@pytest.fixture
def clock(monkeypatch):
    """The time, which the test moves on, on a machine with nothing else to do."""
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0), raising=False)
    now = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr("time.monotonic", lambda: now.seconds)
    return now


def training(clock, epochs, steps, seconds, state, loss=0.5):
    """The events of a training with so many seconds a step; its evaluations take none."""
    for epoch in range(epochs):
        for step in range(1, steps + 1):
            clock.seconds += seconds
            state.steps = step
            yield Step(100, loss, 0.1)
        state.epochs.append({})
        state.steps = 0
        yield Epoch({"epoch": epoch}, None)


def test_without_a_terminal_there_is_a_line_every_half_minute(clock, capsys):
    state = SimpleNamespace(epochs=[], steps=0)
    seen = []
    for event in with_progress(training(clock, 2, 10, 8.0, state), state, 2, 10):
        printed = capsys.readouterr().out
        seen += [(clock.seconds - 1000, line) for line in printed.splitlines()]
        assert isinstance(event, Step) or not printed
    assert seen == [
        (32, "epoch 1/2, 40 %, loss 0.500, 2 min left"),
        (64, "epoch 1/2, 80 %, loss 0.500, 2 min left"),
        (96, "epoch 2/2, 20 %, loss 0.500, 64 s left"),
        (128, "epoch 2/2, 60 %, loss 0.500, 32 s left"),
        (160, "epoch 2/2, 100 %, loss 0.500, 0 s left"),
    ]


def test_the_time_left_is_that_of_all_epochs_without_the_first_step(clock):
    state = SimpleNamespace(epochs=[{}, {}], steps=30)  # a run that goes on
    shown = Progress(state, 8, 100)
    clock.seconds += 60  # for the compiler
    shown.add(Step(32, 1.0, 0.1))
    assert str(shown) == "epoch 3/8, 30 %, loss 1.000"
    for _ in range(10):
        clock.seconds += 0.5
        state.steps += 1
        shown.add(Step(32, 0.0, 0.1))
    assert str(shown) == f"epoch 3/8, 40 %, loss {1 / 11:.3f}, 5 min left"  # 560 steps of half a second


def test_the_loss_is_that_of_the_last_steps():
    shown = Progress(SimpleNamespace(epochs=[], steps=1), 8, 10**6)
    for loss in [5.0] * 1000 + [0.25] * 1000:
        shown.add(Step(32, loss, 0.1))
    assert "loss 0.250" in str(shown)


@pytest.mark.parametrize(
    ("load", "threads", "noted"), [(2.4, 2, False), (2.6, 2, True), (9.0, 1, False)], ids=["room", "full", "one thread"]
)
def test_a_full_machine_is_noted_once(clock, capsys, monkeypatch, load, threads, noted):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0), raising=False)
    monkeypatch.setattr(progress, "get_num_threads", lambda: threads)
    state = SimpleNamespace(epochs=[], steps=0)
    list(with_progress(training(clock, 2, 10, 8.0, state), state, 2, 10))
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note")]
    note = "note: the machine is full (2.6 threads want to run on 2 cores): runs that share the cores are faster with "
    assert notes == [note + "--threads 1 each"] * noted


def test_where_the_load_is_not_known_nothing_is_noted(monkeypatch):
    monkeypatch.delattr(os, "getloadavg", raising=False)
    monkeypatch.setattr(progress, "get_num_threads", lambda: 2)
    assert crowd() == ""


# Real processes


def start(tmp_path, **streams):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", EAGER, *TRAIN, "--out", tmp_path / "run"], env=env, **streams)


@pytest.fixture
def on_a_terminal(tmp_path):
    """A function that trains on a terminal of so many columns, and gives what appears there."""
    pty, fcntl, termios, struct = map(pytest.importorskip, ("pty", "fcntl", "termios", "struct"))

    def train(columns):
        ours, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24 if columns else 0, columns, 0, 0))
        shown = b""
        with start(tmp_path, stdout=its, stderr=its) as process:
            os.close(its)
            try:
                while part := os.read(ours, 10_000):
                    shown += part
            except OSError:  # so Linux says that the other end is closed
                pass
        os.close(ours)
        assert process.returncode == 0, shown
        return shown.decode()

    return train


def test_a_wide_terminal_has_a_bar(on_a_terminal):
    shown = on_a_terminal(100)
    states = [text for text in re.split("[\r\n]", shown) if re.match(r"epoch \d/", text) and "|" in text]
    assert len(states) >= 2
    for text in states:
        assert re.fullmatch(rf"{LINE} \|.*\|", text.strip()), text
        assert len(text) <= 100
    assert states[-1].startswith("epoch 2/2, ") and " left |" in states[-1]
    assert not re.search(rf"{LINE}\r\n", shown)  # a bar, and no lines


@pytest.mark.parametrize("columns", [0, 30])
def test_a_terminal_without_room_has_lines(on_a_terminal, columns):
    shown = on_a_terminal(columns)
    assert "|" not in shown
    assert len(re.findall(rf"^{LINE}\r$", shown, re.MULTILINE)) == 12  # one for each step


def test_a_pipe_has_lines(tmp_path):
    with start(tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        out, err = process.communicate(timeout=200)
    assert (process.returncode, err) == (0, "")
    assert len(re.findall(rf"^{LINE}$", out, re.MULTILINE)) == 12


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&- <&-"])
def test_closed_streams_are_no_reason_to_stop(tmp_path, closed):
    given = [sys.executable, "-c", COMMAND, *TRAIN, "--out", str(tmp_path / "run")]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["sh", "-c", f'"$@" {closed}', "sh", *given], env=env, timeout=200, check=False)
    assert done.returncode == 0
    assert "curves.png" in names(tmp_path / "run")
