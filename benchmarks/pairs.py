"""Train every task with every transformer that makes sense with it, and without one; write docs/pairs.md.

    python -m benchmarks.pairs --data-dir DIR       all pairs
    python -m benchmarks.pairs --images 1000        a trial on so many digits

Each pair is a run of `npstn train`, in a folder of its own. A pair that is finished is not run again, and one that was
stopped goes on; so the command can be stopped and started again. The page is written after each pair.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import tables
from npstn import runs
from npstn.backend.parallel import get_num_threads
from npstn.cli.arguments import number
from npstn.cli.parser import main as npstn
from npstn.data import SOURCES, Source
from npstn.data.sources import mnist

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "pairs.md"
IMAGES = "images.json"  # next to the runs: how many training images they have
ABOUT = "about.json"  # in the folder of a pair that is finished

ALL = ("none", "rotation", "similarity", "attention", "affine", "projective", "tps")


class Row(NamedTuple):
    """A row of the page: a task, how it is trained, and the transformers that can undo a part of its distortion."""

    task: str
    transformers: tuple[str, ...]
    network: str
    parallel: int = 1
    recipe: str = "fast"
    epochs: int = 1

    def title(self) -> str:
        several = f", {self.parallel} side by side" if self.parallel > 1 else ""
        return f"{self.task}{several} | {self.network} | {self.recipe}, {self.epochs}"


# Attention does not turn: it can undo nothing of a rotation. Rotation does nothing else: it can undo no shift, and the
# maps of P and E are no rotations. The digits of the first four tasks have MNIST's 28 x 28 pixels, for which the blog's
# network is made; the others are larger, and the wider filters of the paper's CNN see more of them.
TURNED = tuple(kind for kind in ALL if kind != "attention")
MOVED = tuple(kind for kind in ALL if kind != "rotation")
ROWS = {
    "rotated": Row("rotated", TURNED, "blog"),
    "R": Row("R", TURNED, "blog"),
    "P": Row("P", MOVED, "blog"),
    "E": Row("E", MOVED, "blog"),
    "RTS": Row("RTS", ALL, "cnn"),
    "RTS_paper": Row("RTS", ALL, "cnn", recipe="paper", epochs=2),
    "cluttered": Row("cluttered", MOVED, "cnn"),
    "addition": Row("addition", ALL, "cnn", parallel=2),
}


def pairs() -> list[tuple[str, str]]:
    """The pairs of a row, by its name in `ROWS`, and a transformer."""
    return [(name, transformer) for name, row in ROWS.items() for transformer in row.transformers]


def train(name: str, transformer: str, folder: Path, data_dir: Path | None) -> None:
    """Train a pair, or go on with it, unless it is finished. Raises SystemExit where the command fails."""
    run = folder / f"{name}_{transformer}"
    if (run / ABOUT).exists():
        return
    where = ["--data-dir", str(data_dir)] if data_dir is not None else []
    if (run / "checkpoint.safetensors").exists():
        status = npstn(["train", "--resume", str(run), *where])
    else:
        row = ROWS[name]
        kind = ["--transformer", transformer, "--network", row.network]
        if transformer != "none":
            kind += ["--parallel", str(row.parallel)]
        again = ["--force"] if (run / "config.json").exists() else []
        how = ["--recipe", row.recipe, "--epochs", str(row.epochs)]
        started = ["train", "--task", row.task, "--data", "mnist", *how, "--out", str(run)]
        status = npstn([*started, *where, *kind, *again])
    if status:
        raise SystemExit(status)
    about = {**tables.machine(), "threads": get_num_threads(), "commit": commit()}
    (run / ABOUT).write_text(json.dumps(about) + "\n")


def commit() -> str:
    """The commit of the sources, with a mark where files were changed after it."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "npstn")
        return git("rev-parse", "--short=10", "HEAD") + (" and changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def page(folder: Path) -> str:
    """The page about the pairs that are finished."""
    found, machines = {}, []
    for name, transformer in pairs():
        run = folder / f"{name}_{transformer}"
        if (run / ABOUT).exists():
            metrics = {column: values.tolist() for column, values in runs.read_metrics(run).items()}
            found[name, transformer] = {
                "accuracy": f"{metrics['test_accuracy'][-1]:.2f}",
                "seconds": f"{sum(metrics['seconds']):.0f}",
                "angle": f"{metrics.get('angle_correlation', [np.nan])[-1]:.2f}".replace("nan", ""),
            }
            machines.append(json.loads((run / ABOUT).read_text()))
    images = json.loads((folder / IMAGES).read_text())
    if not found:
        return "# Every task with every transformer\n\nNo pair is finished.\n"

    def table(quantity: str) -> str:
        lines = [f"| task | network | recipe, epochs | {' | '.join(ALL)} |", "|---" * (3 + len(ALL)) + "|"]
        for name, row in ROWS.items():
            missing = {kind: "not run" if kind in row.transformers else "" for kind in ALL}
            cells = [found[name, kind][quantity] if (name, kind) in found else missing[kind] for kind in ALL]
            if "".join(cells).replace("not run", "") or quantity != "angle":
                lines.append(f"| {row.title()} | {' | '.join(cells)} |")
        return "\n".join(lines)

    return PAGE_TEXT.format(
        images=images,
        trial=TRIAL if images < 60_000 else "",
        accuracy=table("accuracy"),
        seconds=table("seconds"),
        angles=table("angle"),
        done=f"{len(found)} of {len(pairs())} pairs",
        machine="\n".join(f"- {label}: {_distinct(machines, key)}" for key, label in MACHINE.items()),
    )


MACHINE = {
    "date": "date",
    "processor": "processor",
    "cores": "cores",
    "threads": "threads of a run",
    "system": "system",
    "python": "Python",
    "numpy": "NumPy",
    "numba": "Numba",
    "scipy": "SciPy",
    "commit": "commit",
}
TRIAL = """
**This is a trial of the command. After an epoch of so few digits no network reads them well, and the accuracies
say nothing about the transformers.**
"""
PAGE_TEXT = """# Every task with every transformer

Each task was trained on {images:,} MNIST digits, without a transformer (`none`) and behind each transformer that can
undo at least a part of its distortion. `python -m benchmarks.pairs` wrote this page.
{trial}
Test accuracy in percent:

{accuracy}

Seconds for the epochs, each with the test after it. Where the machine does other work they mean little:

{seconds}

Correlation of the angle by which the transformer turned a digit with the angle by which it had been turned; -1 would be
upright:

{angles}

Transformers that can undo nothing of a distortion are left out: attention does not turn, and rotation does nothing
else. For images of 28 x 28 pixels the blog post's network was trained, and for larger ones the paper's CNN
(`npstn train --network cnn`). One epoch is short: a transformer that is ahead here need not be ahead at the end. On
`cluttered` they have only begun to find the digit, and `addition` has hardly begun, with and without them.

In `RTS` the recipe decides what a transformer learns. With `fast` (AdamW) the classifier soon reads a digit at any
angle, once it is in the centre and of one size: transformers that bring it there hardly turn it. With `paper` (SGD) the
classifier learns more slowly, and they turn digits upright, too.

{done}; seed 0.

{machine}
"""


def _distinct(machines: list[dict[str, Any]], key: str) -> str:
    """The value of all the runs; where they differ, each of the values."""
    return ", ".join(dict.fromkeys(str(machine.get(key, "unknown")) for machine in machines))


def few(count: int, data_dir: str | os.PathLike[str] | None) -> Source:
    """MNIST with so many training images, and a fifth as many test images."""
    whole = mnist(data_dir)

    def load(train: bool) -> tuple[Any, Any]:
        images, labels = whole.train if train else whole.test
        first = slice(count if train else max(count // 5, 1))
        return images[first], labels[first]

    return Source("mnist", whole.title, load, whole.size, whole.classes)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pairs", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="the folder of MNIST's files, or NPSTN_DATA_DIR")
    some = number(int, 1, 60_000, "a whole number of digits from 1 to 60,000")
    trials = "train on N digits only: a trial, which writes its page next to its runs"
    parser.add_argument("--images", type=some, metavar="N", default=60_000, help=trials)
    parser.add_argument("--only", choices=ROWS, action="append", help="this row; may be given several times")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the runs are kept; runs/pairs by default")
    parser.add_argument("--page", type=Path, metavar="FILE", help="the page to write; docs/pairs.md")
    options = parser.parse_args(arguments)
    trial = options.images < 60_000
    folder = options.out or Path("runs", f"pairs_{options.images}" if trial else "pairs")
    folder.mkdir(parents=True, exist_ok=True)
    written = options.page or (folder / "pairs.md" if trial else PAGE)
    images = folder / IMAGES
    if images.exists() and json.loads(images.read_text()) != options.images:
        parser.error(f"argument --images: the pairs in {folder} were trained on {images.read_text()} digits")
    images.write_text(json.dumps(options.images))
    if trial:
        SOURCES["mnist"] = lambda data_dir: few(options.images, data_dir)
    for name, transformer in pairs():
        if options.only is None or name in options.only:
            train(name, transformer, folder, options.data_dir)
            written.write_text(page(folder), encoding="utf-8")
    print(written)


if __name__ == "__main__":
    main()
