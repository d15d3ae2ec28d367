"""Kill a training run with SIGKILL at random instants, go on with it each time, and see that nothing is lost.

    python -m tests.kills --kills 200

A run here is the command `npstn train` in a process of its own, on few drawn digits. Half of the kills come at any
time; the others as the process is about to open, rename or remove a file of the run, where the harm would be done.
After each kill the checkpoint must be whole and no older than the last that was saved; in the end every file of the run
must be the one that an uninterrupted run writes, to the last bit. The kills are shared out among all tasks of digits
and all transformers; `rotated` is `R` with another angle.
"""

import argparse
import csv
import functools
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import npstn.data.sources  # noqa: E402  (the sources that stand here)
from npstn import storage  # noqa: E402
from npstn.cli.parser import main as npstn_  # noqa: E402
from npstn.runs import Saver  # noqa: E402
from npstn.runs.folder import FILES  # noqa: E402
from npstn.tasks import TASKS  # noqa: E402
from npstn.transformers import TRANSFORMERS  # noqa: E402

# 225 steps and a checkpoint every few of them; with dropout, whose random numbers have the same source as all others.
RECIPE = "--data drawn --recipe blog --lr 0.05 --epochs 3 --batch-size 4 --seed 7".split()
HOW = "--threads 1 --checkpoint-minutes 0.0005 --log-steps 7".split()
DIGITS_LESS = 200  # times fewer digits than the command draws


def child(journal: Path, name: str, die_at: int, cut: float, arguments: list[str]) -> int:
    """Run the command in this process, note each step and each save in a journal, and kill the process.

    It dies at change number `die_at` of a file of the run whose name contains `name`. Before a renaming the file is cut
    to a part, as a kill in the midst of writing would have left it.
    """
    folder = next(value for option, value in zip(arguments, arguments[1:]) if option in ("--out", "--resume"))
    notes = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    changes = 0

    def audit(event: str, found: tuple) -> None:
        nonlocal changes
        if event not in ("open", "os.rename", "os.remove") or not str(found[0]).startswith(folder):
            return
        if name in str(found[0]) and (event != "open" or found[2] & (os.O_WRONLY | os.O_RDWR)):
            changes += 1
            if changes == die_at:
                if event == "os.rename":
                    os.truncate(found[0], int(cut * os.path.getsize(found[0])))
                os.kill(os.getpid(), signal.SIGKILL)

    def noting(word: str, method):
        @functools.wraps(method)
        def call(self):
            method(self)
            os.write(notes, f"{word} {len(self.state.epochs)} {self.state.steps}\n".encode())

        return call

    Saver.save = noting("saved", Saver.save)
    Saver.after_step = noting("step", Saver.after_step)
    draw = npstn.data.sources.draw_digits
    npstn.data.sources.draw_digits = lambda count, seed: draw(count // DIGITS_LESS, seed=seed)
    sys.addaudithook(audit)
    return npstn_(arguments)


class Runs:
    """Runs of one kind below a folder, each killed until it comes to its end."""

    def __init__(self, below: Path, seed: int, task: str = "rotated", transformer: str = "rotation") -> None:
        self.random, self.kind = random.Random(f"{seed}, {task}, {transformer}"), f"{task} with {transformer}"
        self.recipe = [*RECIPE, "--task", task, "--transformer", transformer]
        self.wanted = self.finish(below / "wanted")

    def start(self, run: Path, name: str = "", die_at: int = 0, cut: float = 1.0) -> subprocess.Popen:
        if (run / "checkpoint.safetensors").exists():
            arguments = ["--resume", str(run)]
        else:  # it was killed before there was anything to go on from
            arguments = ["--out", str(run), *self.recipe, *["--force"] * (run / "config.json").exists()]
        dying = [str(run.with_suffix(".journal")), name, str(die_at), str(cut)]
        command = [sys.executable, __file__, "--child", *dying, "train", *arguments, *HOW]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)

    def finish(self, run: Path) -> dict[str, object]:
        """Let a run come to its end; return what it wrote, and what it says from the test accuracy on."""
        process = self.start(run)
        out, err = process.communicate(timeout=300)
        assert (process.returncode, err) == (0, ""), err
        lines = out.replace(str(run), "RUN").splitlines()
        first = max(number for number, line in enumerate(lines) if line.startswith("test accuracy"))
        return {"said": lines[first:], **contents(run)}

    def kill_until_the_end(self, run: Path, kills: int) -> int:
        """Kill a run `kills` times, or as often as it can be killed before it ends; return how often that was."""
        place, killed = (-1, -1), 0
        while killed < kills and place != (3, 0):
            chance = self.random.random()
            if chance < 0.5:
                process = self.start(run)
                self.wait(process, run, lines=self.random.randrange(1, 60))
                time.sleep(self.random.uniform(0, 0.01))
                process.kill()
            else:
                name, most = ("", 30) if chance < 0.9 else (self.random.choice(FILES), 3)
                cut = self.random.choice([0.0, self.random.random(), 1.0])
                process = self.start(run, name, self.random.randrange(1, most), cut)
            _, err = process.communicate(timeout=300)
            assert process.returncode in (-signal.SIGKILL, 0), err
            killed += process.returncode != 0
            place = self.check(run, place)
        found = self.finish(run)
        other = [name for name in {*found, *self.wanted} if found.get(name) != self.wanted.get(name)]
        assert not other, f"{self.kind}: {run} did not end as the uninterrupted run, but with other {', '.join(other)}"
        assert storage.leftovers(run, FILES) == []
        return killed

    def wait(self, process: subprocess.Popen, run: Path, lines: int) -> None:
        """Wait until the process has written so many lines of its journal, or has ended."""
        wanted = len(noted(run)) + lines
        while process.poll() is None and len(noted(run)) < wanted:
            time.sleep(0.002)

    def check(self, run: Path, before: tuple[int, int]) -> tuple[int, int]:
        """Check that the checkpoint is whole and not behind what was saved; return where it stands."""
        saved = [tuple(map(int, line.split()[1:])) for line in noted(run) if line.startswith("saved")]
        if not saved and not (run / "checkpoint.safetensors").exists():
            return before
        storage.load(run / "checkpoint.safetensors")  # raises an error if it is damaged
        place = place_of(run)
        assert place >= max([before, *saved[-1:]]), f"{run}: {place} after {before} and {saved[-1:]}"
        return place


def noted(run: Path) -> list[str]:
    """The lines of a run's journal."""
    journal = run.with_suffix(".journal")
    return journal.read_text().splitlines() if journal.exists() else []


def place_of(run: Path) -> tuple[int, int]:
    """Where the checkpoint of a run stands: epochs that are done, and steps in the current one."""
    state = storage.read_notes(run / "checkpoint.safetensors")["state"]
    return len(state["epochs"]), state["steps"]


def contents(run: Path) -> dict[str, object]:
    """Every file of a run, without how long it took, and without the lock, which is hidden."""
    files: dict[str, object] = {path.name: path.read_bytes() for path in run.iterdir() if path.name[0] != "."}
    for path in run.glob("*.csv"):
        with path.open(newline="") as file:
            files[path.name] = [{**row, "seconds": ""} for row in csv.DictReader(file)]
    state = storage.read_notes(run / "checkpoint.safetensors")["state"]
    for timed in (state, *state["epochs"]):
        del timed["seconds"]
    arrays = storage.load(run / "checkpoint.safetensors")
    files["checkpoint.safetensors"] = state, {name: array.tobytes() for name, array in arrays.items()}
    files["config.json"] = json.loads(files["config.json"])
    return files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    kinds = list(itertools.product(sorted(TASKS.keys() - {"rotated", "pictures"}), [*TRANSFORMERS, "none"]))
    killed, ended = 0, 0
    while killed < options.kills:
        of_kind = -(-(options.kills - killed) // (len(kinds) - ended % len(kinds)))  # what is left, shared out
        with tempfile.TemporaryDirectory() as folder:
            runs = Runs(Path(folder), options.seed + ended // len(kinds), *kinds[ended % len(kinds)])
            killed += runs.kill_until_the_end(Path(folder, "run"), of_kind)
        ended += 1
        print(f"{runs.kind}: {killed} kills, {ended} runs, each ended as the uninterrupted one", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        sys.exit(child(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), float(sys.argv[5]), sys.argv[6:]))
    main()
