"""Damage run folders and give each to every command: it answers in one line, and leaves no file half-written.

    python -m tests.damage --folders 200

Each folder is a copy of a run with one or two files that are cut, overwritten, taken away, exchanged, or those of
another run or of the format before. A command may find nothing wrong: an evaluation needs no checkpoint. Otherwise it
says so in one line, without a traceback, and changes nothing. Every file that it writes is whole.
"""

import argparse
import collections
import contextlib
import csv
import json
import random
import shutil
import sys
import tempfile
import traceback
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import pytest  # noqa: E402
from command import QUICK, npstn_, small_world  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from PIL import Image  # noqa: E402

import npstn  # noqa: E402
from npstn import models, storage  # noqa: E402
from npstn.runs.folder import FILES  # noqa: E402

CONFIG, METRICS, WEIGHTS, BEST, CHECKPOINT, FRAMES = (
    "config.json",
    "metrics.csv",
    "weights.safetensors",
    "best.safetensors",
    "checkpoint.safetensors",
    "frames.safetensors",
)
DAMAGED = CONFIG, METRICS, WEIGHTS, BEST, CHECKPOINT, FRAMES
RUNS = {  # the options of a run; "stopped" is left as after its first epoch
    "rotated": [],
    "stopped": ["--seed", "1"],
    "other": ["--seed", "2", "--angle", "60", "--recipe", "blog"],
    "cnn": ["--transformer", "none"],
    "spline": ["--task", "E", "--transformer", "tps"],
}
COMMANDS = {
    "eval": ["eval", "{run}"],
    "eval best": ["eval", "{run}", "--best"],
    "eval elsewhere": ["eval", "{run}", "--angle", "90"],
    "show": ["show", "{run}"],
    "compare": ["compare", "{run}", "{good}", "--out", "{good}.png"],
    "resume": ["train", "--resume", "{run}"],
    "train into it": ["train", *QUICK, "--out", "{run}"],
}


class Outcome(NamedTuple):
    what: str  # the damage
    command: str
    status: int
    said: str  # on standard error


def make_runs(below: Path) -> None:
    """A run of each kind, and one of the format before."""
    for name, options in RUNS.items():

        def stop(line: str, folder: Path = below / name, name: str = name) -> None:
            if name == "stopped" and line.startswith("epoch 1"):
                shutil.copytree(folder, below / "kept")

        said = npstn_("train", *QUICK, *options, "--out", below / name, after_line=stop)
        assert said.status == 0, said.err
    if (below / "kept").exists():
        shutil.rmtree(below / "stopped")
        (below / "kept").rename(below / "stopped")
    write_older(below / "older")


def write_older(folder: Path) -> None:
    """What npstn wrote before it had tasks and transformers."""
    folder.mkdir()
    recipe = {"recipe": "fast", "optimizer": "adamw", "lr": 0.003, "batch_size": 32, "epochs": 1, "dropout": 0.0}
    config = {"model": "stn", "data": "mnist", "digits_sha256": "a" * 64, "angle": 45.0, "seed": 0, **recipe}
    (folder / CONFIG).write_text(json.dumps({**config, "versions": {"npstn": "0.1.0"}}))
    columns = "epoch,seconds,train_loss,test_loss,test_accuracy,angle_correlation,residual_std_deg,input_std_deg"
    (folder / METRICS).write_text(f"{columns}\n1,9.1,0.5,0.25,92.5,-0.8,14.0,26.0\n")
    for name in (WEIGHTS, CHECKPOINT, FRAMES):
        npstn.save(models.STNClsNet().state_dict(), folder / name)


# The damages: each changes a file of a copied run, and gives its own name.


def cut(rng: random.Random, path: Path, below: Path) -> str:
    content = path.read_bytes()
    kept = rng.choice([0, 1, 7, 8, 9, len(content) // 2, rng.randrange(len(content)), len(content) - 1])
    path.write_bytes(content[:kept])
    return f"cut to {min(kept, len(content))} of {len(content)} bytes"


def overwritten(rng: random.Random, path: Path, below: Path) -> str:
    content = bytearray(path.read_bytes())
    start = rng.choice([0, rng.randrange(len(content))])
    length = rng.choice([1, 8, 200, len(content)])
    content[start : start + length] = rng.choice([bytes(length), rng.randbytes(length), b"\xff" * length])
    path.write_bytes(content)
    return f"{length} bytes overwritten from {start} on"


def more_at_the_end(rng: random.Random, path: Path, below: Path) -> str:
    with path.open("ab") as file:
        file.write(rng.choice([b"\0", b"{}", path.read_bytes()]))
    return "longer"


def another_text(rng: random.Random, path: Path, below: Path) -> str:
    text = path.read_bytes()
    numbers = [(b"1", b"-1"), (b"0", b"1e999"), (b"1", b"nan"), (b"2", b"99999999999")]
    old, new = rng.choice([*numbers, (b'"', b"'"), (b",", b",,"), (b"\n", b"\r")])
    path.write_bytes(text.replace(old, new, rng.choice([1, -1])))
    return f"{old!r} replaced by {new!r}"


def taken_away(rng: random.Random, path: Path, below: Path) -> str:
    path.unlink()
    return "taken away"


def a_folder(rng: random.Random, path: Path, below: Path) -> str:
    path.unlink()
    path.mkdir()
    return "a folder"


def a_loop(rng: random.Random, path: Path, below: Path) -> str:
    path.unlink()
    path.symlink_to(path.name)
    return "a link to itself"


def exchanged(rng: random.Random, path: Path, below: Path) -> str:
    other = path.with_name(rng.choice(sorted({*DAMAGED} - {path.name})))
    if other.exists():
        path.write_bytes(other.read_bytes())
    return f"exchanged for {other.name}"


def of_another_run(rng: random.Random, path: Path, below: Path) -> str:
    name = rng.choice(sorted({*RUNS, "older"} - {path.parent.name}))
    if (below / name / path.name).is_file():
        path.write_bytes((below / name / path.name).read_bytes())
    return f"that of the run {name!r}"


DAMAGES = cut, overwritten, more_at_the_end, another_text, taken_away, a_folder, a_loop, exchanged, of_another_run


def damage(rng: random.Random, folder: Path, below: Path) -> str:
    """Damage a file of a run, or two; gives what was done."""
    done = []
    files = [path for path in sorted(folder.iterdir()) if path.name in DAMAGED]
    for path in rng.sample(files, rng.choice([1, 1, 2])):
        done.append(f"{path.name} {rng.choice(DAMAGES)(rng, path, below)}")
    return f"{folder.name}: {', '.join(done)}"


# The judge


def try_commands(folder: Path, what: str, good: Path) -> list[Outcome]:
    """Give a copy of the folder to each command."""
    outcomes = []
    for name, words in COMMANDS.items():
        with tempfile.TemporaryDirectory() as place:
            run = Path(shutil.copytree(folder, Path(place, folder.name), symlinks=True))
            before = files_of(run)
            said = npstn_(*[word.format(run=run, good=good) for word in words])
            after = files_of(run)
            outcome = Outcome(what, name, said.status, said.err.replace(str(run), "RUN"))
            if said.status:
                assert said.status in (1, 2), outcome
                assert said.err.startswith("npstn: error: ") and said.err.count("\n") == 1, outcome
                # A run that goes on may fail as it writes: into a folder where it wants a file, say.
                assert after == before or name == "resume", outcome
            assert storage.leftovers(run, FILES) == [], outcome
            for path in after.keys() - {path for path in before if before[path] == after.get(path)}:
                assert is_whole(run / path), (path, outcome)
            outcomes.append(outcome)
    return outcomes


def files_of(folder: Path) -> dict[str, bytes | None]:
    """What is in a folder, but for what is hidden, as a lock is."""
    shown = (path for path in folder.iterdir() if not path.name.startswith("."))
    return {path.name: path.read_bytes() if path.is_file() else None for path in shown}


def is_whole(path: Path) -> bool:
    """Whether a file that a command wrote can be read."""
    if path.suffix == ".safetensors":
        storage.load(path)
    elif path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix == ".csv":
        with path.open(newline="") as file:
            columns, *rows = csv.reader(file)
        return all(len(row) == len(columns) for row in rows)
    else:
        with Image.open(path) as picture:
            picture.load()
    return True


@contextlib.contextmanager
def unpainted():
    """Inside, figures are made but not painted, which takes most of the time of a command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda figure, path, **options: Image.new("L", (400, 400)).save(path))
        yield


def damaged_folder(below: Path, seed: int, number: int) -> list[Outcome]:
    """What the commands say of one damaged folder; raises AssertionError for one that fails."""
    rng = random.Random(f"{seed}, {number}")
    name = rng.choice(sorted(RUNS))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(shutil.copytree(below / name, Path(place, name)))
        what = damage(rng, folder, below)
        try:
            return try_commands(folder, what, below / "rotated")
        except Exception as error:
            raise AssertionError(f"folder {number} of seed {seed}, {what}: {error!r}") from error


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folders", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quiet", action="store_true", help="do not print each answer")
    options = parser.parse_args()
    statuses: collections.Counter = collections.Counter()
    faults = 0
    with tempfile.TemporaryDirectory() as place, small_world(), unpainted():
        make_runs(Path(place))
        for number in range(options.folders):
            try:
                outcomes = damaged_folder(Path(place), options.seed, number)
            except AssertionError:
                traceback.print_exc()
                faults += 1
                continue
            for outcome in outcomes:
                statuses[outcome.command, outcome.status] += 1
                if not options.quiet:
                    print(f"{number}, {outcome.what}; {outcome.command}: {outcome.status} {outcome.said.strip()}")
    for (command, status), count in sorted(statuses.items()):
        print(f"{command}: {count} times status {status}")
    print(f"{options.folders} damaged folders, {faults} with a fault")
    return min(faults, 1)


if __name__ == "__main__":
    sys.exit(main())
