"""Put the runs of the paper's experiments into docs/paper.md: numbers, tables and pictures.

    npstn sweep examples/paper/table1.toml --out runs/table1
    python -m benchmarks.paper runs/table1/*

Each run is measured on its test set, and is a line in docs/paper.csv, which keeps the lines of runs that are not named.
A run of another number of epochs than those in the tables is only a line. The files of this clone are overwritten.
From these lines the command writes the tables of docs/paper.md, between the marks there. It draws the pictures of those
tasks of which it is given runs of the paper's CNN with seed 0, alone and behind every transformer.
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import paper_pictures, paper_runs, tables
from npstn import runs
from npstn.cli import arguments
from npstn.storage import write_whole
from npstn.training import RECIPES

DOCS = Path(__file__).parent.parent / "docs"
PAGE, LINES, PICTURES = DOCS / "paper.md", DOCS / "paper.csv", DOCS / "pictures"

TASKS = "R", "RTS", "P", "E"
# How strong the distortions of the tables are; of P, other strengths are measured too.
STRENGTHS = {"R": "90", "RTS": "45", "P": "2.5", "E": "1.5", "cluttered": "16", "addition": "45"}
RATES = {"cluttered": "0.003", "addition": "0.003"}  # the learning rates that are not the recipe's: see examples/paper
EPOCHS = {"R": "24", "RTS": "14", "P": "10", "E": "16", "cluttered": "6", "addition": "10"}
SPLINE = "grid_size=4 span=0.9 bounded=0"
KINDS = "affine", "projective", "tps"
# Test errors in percent: Jaderberg et al. 2015, table 1 and section 4.1.
OF_THE_PAPER = {
    ("fcn", "none"): (2.1, 5.2, 3.1, 3.2),
    ("cnn", "none"): (1.2, 0.8, 1.5, 1.4),
    ("fcn", "affine"): (1.2, 0.8, 1.5, 2.7),
    ("fcn", "projective"): (1.3, 0.9, 1.4, 2.6),
    ("fcn", "tps"): (1.1, 0.8, 1.4, 2.4),
    ("cnn", "affine"): (0.7, 0.5, 0.8, 1.2),
    ("cnn", "projective"): (0.8, 0.6, 0.8, 1.3),
    ("cnn", "tps"): (0.7, 0.5, 0.8, 1.1),
}
OF_CLUTTERED = {("fcn", "none"): 13.2, ("cnn", "none"): 3.5, ("fcn", "affine"): 2.0, ("cnn", "affine"): 1.7}
# Of its appendix: addition, behind one transformer and behind two; without one, its CNN.
OF_ADDITION = {"none": (14.7, None), "affine": (22.6, 9.0), "projective": (18.5, 5.9), "tps": (19.1, 5.8)}


class Lines:
    """The lines of docs/paper.csv: what was measured of each run."""

    def __init__(self, lines: Iterable[Mapping[str, Any]]) -> None:
        self.lines = list(lines)

    def of(self, **what: Any) -> Lines:
        """Those with these entries."""
        return Lines(line for line in self.lines if all(line[name] == str(value) for name, value in what.items()))

    def values(self, column: str) -> np.ndarray:
        """A column of those that have a number there, (N,)."""
        return np.array([float(line[column]) for line in self.lines if line.get(column, "") != ""])

    def mean(self, column: str, form: str = ".2f", spread: bool = False) -> str:
        """The mean over the lines, with their standard deviation if asked for; "" where there is none."""
        values = self.values(column)
        if not len(values):
            return ""
        deviation = f" ± {np.std(values, ddof=1):{form}}" if spread and len(values) > 1 else ""
        return f"{np.mean(values):{form}}{deviation}"


def cell(lines: Lines, paper: float) -> str:
    """The mean error over the seeds with its spread, and the paper's in brackets."""
    ours = lines.mean("error", spread=True) or "not run"
    few = f", {len(lines.lines)} of 3 seeds" if 0 < len(lines.lines) < 3 else ""
    return f"{ours} ({paper:.1f}){few}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)) + "\n"


def name_of(network: str, kind: str) -> str:
    """The paper's name of a network.

    >>> name_of("cnn", "none"), name_of("fcn", "tps")
    ('CNN', 'ST-FCN tps')
    """
    return network.upper() if kind == "none" else f"ST-{network.upper()} {kind}"


def rate_of(task: str) -> str:
    """The learning rate of a task's runs in the tables."""
    return RATES.get(task, f"{RECIPES['fast'].lr:g}")


def of_task(lines: Lines, task: str, parallel: int = 1) -> Lines:
    """The runs of a task that have a place in the tables."""
    as_there = {"recipe": "fast", "lr": rate_of(task), "epochs": EPOCHS[task]}
    of = lines.of(task=task, strength=STRENGTHS[task], **as_there, parallel=parallel)
    return Lines(line for line in of.lines if line["of_transformer"] in ("", SPLINE))


def table_1(lines: Lines) -> str:
    rows = []
    for (network, kind), papers in OF_THE_PAPER.items():
        of = lines.of(network=network, transformer=kind)
        cells = (cell(of_task(of, task), paper) for task, paper in zip(TASKS, papers, strict=True))
        rows.append([name_of(network, kind), *cells])
    return table(["error in percent", *TASKS], rows)


def quickest(lines: Lines) -> str:
    return f"{lines.values('seconds').min():.0f}" if lines.lines else ""


def seconds(lines: Lines) -> str:
    """The seconds of the quickest of the runs, and the epochs."""
    rows = []
    for network, kind in OF_THE_PAPER:
        of = lines.of(network=network, transformer=kind)
        rows.append([name_of(network, kind), *(quickest(of_task(of, task)) for task in TASKS)])
    rows.append(["epochs", *(EPOCHS[task] for task in TASKS)])
    return table(["seconds", *TASKS], rows)


def doings(lines: Lines) -> str:
    """What the transformers of table 1 do, in front of the CNN."""
    columns = "angle_undone", "scale_undone", "zoom", "alike_given", "alike_transformed", "alike_upright"
    head = "angle undone", "scale undone", "zoom", "alike: given", "alike: handed on", "alike: upright"
    return _of_kinds(lines, head, columns)


def upright(lines: Lines) -> str:
    """What the networks of table 1 do to digits that nothing has distorted."""
    head = "error, %", "turned by, each seed, °", "classes apart, °", "spread, °", "slant undone", "spread of the scale"
    spreads = "upright_angle_spread", "slant_undone", "upright_scale_spread"
    columns = "upright_error", "upright_angle", "upright_angle_of_classes", *spreads
    return _of_kinds(lines, head, columns, ("none", *KINDS))


def hurts(lines: Lines) -> str:
    """The images that a transformer loses and gains, and how many of each digit are misread."""
    rows = []
    for task in TASKS:
        for kind in ("none", *KINDS):
            of = of_task(lines, task).of(network="cnn", transformer=kind)
            if of.lines:
                of_digits = (f"{count:.0f}" for count in _by_class(of))
                rows.append([task, name_of("cnn", kind), of.mean("lost", ".0f"), of.mean("gained", ".0f"), *of_digits])
    return table(["task", "network", "lost", "gained", *map(str, range(10))], rows)


def _by_class(lines: Lines) -> np.ndarray:
    """How many images of each class are misread: the mean over the runs."""
    return np.mean([np.array(line["class_errors"].split(), float) for line in lines.lines], axis=0)


def _of_kinds(lines: Lines, head: Sequence[str], columns: Sequence[str], kinds: Sequence[str] = KINDS) -> str:
    """Some columns for each task and each transformer in front of the CNN, where there are runs."""
    rows = []
    for task in TASKS:
        for kind in kinds:
            of = of_task(lines, task).of(network="cnn", transformer=kind)
            if of.lines:
                each = ", ".join(f"{value:.1f}" for value in of.values("upright_angle"))
                cells = (each if column == "upright_angle" else of.mean(column) for column in columns)
                rows.append([task, kind, *cells])
    return table(["task", "transformer", *head], rows)


def cluttered(lines: Lines) -> str:
    of = of_task(lines, "cluttered")
    rows = []
    for (network, kind), paper in OF_CLUTTERED.items():
        these = of.of(network=network, transformer=kind)
        rows.append([name_of(network, kind), cell(these, paper), quickest(these)])
    return table(["60 x 60, cluttered", "error in percent", "seconds"], rows)


def addition(lines: Lines) -> str:
    rows = []
    for kind, papers in OF_ADDITION.items():
        of = lines.of(network="cnn", transformer=kind)
        of_each = ((paper, of_task(of, "addition", parallel)) for parallel, paper in enumerate(papers, 1))
        rows.append([name_of("cnn", kind), *("" if paper is None else cell(these, paper) for paper, these in of_each)])
    return table(["addition, error in percent", "one transformer", "two side by side"], rows)


def _accuracy(lines: Lines) -> str:
    return f"{100 - lines.values('error').mean():.2f}" if lines.lines else "not run"


def curves(lines: Lines) -> str:
    """The accuracies of splines with K x K points, as in the curves of WarBean/tps_stn_pytorch."""
    of, angles = lines.of(task="rotated", recipe="tps_stn"), ("45", "60", "90")
    kinds = {"no transformer": of.of(transformer="none")}
    for K, bounded in itertools.product(range(2, 7), (0, 1)):
        name = f"{K} x {K} points{', bounded' if bounded else ''}"
        kinds[name] = of.of(of_transformer=f"grid_size={K} span=0.9 bounded={bounded}")
    rows = [[name, *(_accuracy(these.of(strength=angle)) for angle in angles)] for name, these in kinds.items()]
    return table(["accuracy in percent", *(f"up to {angle}°" for angle in angles)], rows)


BLOCKS = {
    "table 1": table_1,
    "seconds": seconds,
    "doings": doings,
    "upright": upright,
    "hurts": hurts,
    "cluttered": cluttered,
    "addition": addition,
    "curves": curves,
}


def written(page: str, lines: Lines) -> str:
    """The page with its tables made from these lines; those that have no mark in the page are left out."""
    for name, block in BLOCKS.items():
        mark = f"<!-- {name}: written by python -m benchmarks.paper -->\n"
        if mark in page:
            page = tables.written(page, mark, block(lines))
    return page


def measure(folders: Iterable[Path], data_dir: Path | None) -> Iterator[dict[str, str]]:
    """The lines of some runs; a classifier alone comes before the same one behind a transformer."""
    alone: dict[tuple[str, ...], set[int]] = {}
    for folder in sorted(folders, key=lambda folder: runs.read_config(folder).model["transformer"] != "none"):
        run = paper_runs.read(folder, data_dir)
        same = tuple(str(run.line[name]) for name in ("task", "strength", "network", "recipe", "lr", "epochs", "seed"))
        line, wrong = paper_runs.measured(run, folder, alone.get(same))
        if run.line["transformer"] == "none":
            alone[same] = wrong
        print(folder)
        yield {name: f"{value:.5g}" if isinstance(value, float) else str(value) for name, value in line.items()}


def draw(folders: Iterable[Path], data_dir: Path | None) -> None:
    """The pictures of the tasks of which there are runs of the paper's CNN with seed 0, alone and behind all kinds.

    Of addition, that of the run behind two affine transformers.
    """
    of: dict[str, dict[str, Path]] = {}
    figures = {}
    for folder in folders:
        config = runs.read_config(folder)
        task, model = config.task["name"], config.model
        (strength,) = (config.task[name] for name in config.task if name not in ("name", "source"))
        usual = f"{strength:g}" == STRENGTHS.get(task) and config.recipe_name == "fast"
        usual = usual and (f"{config.recipe.lr:g}", str(config.recipe.epochs)) == (rate_of(task), EPOCHS.get(task))
        if not usual or (model["network"], config.seed) != ("cnn", 0):
            continue
        if model["parallel"] == 1:
            of.setdefault(task, {})[model["transformer"]] = folder
        elif (task, model["transformer"], model["parallel"]) == ("addition", "affine", 2):
            figures["paper_addition.png"] = paper_pictures.side_by_side(paper_runs.read(folder, data_dir))
    for task, kinds in of.items():
        if task not in TASKS or not {"none", *KINDS} <= kinds.keys():
            continue
        opened = {kind: paper_runs.read(kinds[kind], data_dir) for kind in ("none", *KINDS)}
        alone = opened.pop("none")
        figures[f"paper_{task}.png"] = paper_pictures.distortion(opened)
        hurt = paper_pictures.hurt(alone, opened["affine"])
        if hurt is not None:
            figures[f"paper_{task}_hurt.png"] = hurt
    for name, figure in figures.items():
        figure.savefig(PICTURES / name, dpi=110)
        print(PICTURES / name)


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper", description=(__doc__ or "").splitlines()[0])
    none = "run folders; without any, only the tables are written"
    parser.add_argument("folders", type=arguments.path, nargs="*", metavar="RUN", help=none)
    arguments.add_data_dir(parser)
    options = parser.parse_args(words)
    reasons = {folder: paper_runs.why_not(folder) for folder in options.folders if not folder.is_file()}  # the tables
    for folder, reason in reasons.items():
        if reason:
            print(f"left out: {folder}: {reason}")
    folders = [folder for folder, reason in reasons.items() if not reason]
    if options.folders and not folders:
        parser.error("expected run folders, such as runs/table1/*, got none among those given")
    for folder in folders:
        config = runs.read_config(folder)
        there, got = EPOCHS.get(config.task["name"]), str(config.recipe.epochs)
        if config.recipe_name == "fast" and there not in (None, got):
            print(f"only a line in {LINES.name}: {folder}: expected {there} epochs, got {got}")
    known = csv.DictReader(LINES.read_text().splitlines()) if LINES.exists() else []
    by_key = {_key(line): line for line in known}
    for line in measure(folders, options.data_dir):
        before = by_key.get(_key(line))
        if before is not None and line["lost"] == "" and line["error"] == before["error"]:
            line |= {name: before[name] for name in ("lost", "gained")}  # the classifier alone was named another time
        by_key[_key(line)] = line
    lines = Lines(by_key[key] for key in sorted(by_key))
    text = io.StringIO()
    writer = csv.DictWriter(text, (*paper_runs.KEYS, *paper_runs.MEASURED), extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines.lines)
    write_whole(LINES, text.getvalue().encode())
    write_whole(PAGE, written(PAGE.read_text(encoding="utf-8"), lines).encode())
    print(PAGE)
    draw(folders, options.data_dir)


def _key(line: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(line[name] for name in paper_runs.KEYS)


if __name__ == "__main__":
    main()
