"""Several runs next to each other. Runs that are alike but for the seed make one group, with a mean and a spread."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from npstn.runs.config import Config, read_config
from npstn.runs.errors import RunError
from npstn.runs.folder import METRICS, read_metrics
from npstn.tasks import TASKS, Measure
from npstn.training import COLUMNS, RECIPES

# Entries of config.json that do not make two runs different experiments.
INCIDENTAL = ("seed", "versions", "data_folder")


class Group(NamedTuple):
    """Runs that are alike but for the seed."""

    name: str  # what sets it apart from the other groups
    seeds: list[int]
    planned: int  # epochs
    measured: dict[str, Measure]  # by its task
    metrics: dict[str, np.ndarray]  # column of metrics.csv -> (runs, epochs), the epochs that all of them have done
    shared: str = ""  # what is the same in all groups

    @property
    def epochs(self) -> int:
        return self.metrics["epoch"].shape[1]


def read(folders: Sequence[str | os.PathLike[str]]) -> list[Group]:
    """Group some runs, in the order in which they are given.

    Raises RunError for a folder that is no run, for one that is given twice, for one without a finished epoch, and for
    one whose metrics.csv has other columns than its task.
    """
    paths = [Path(folder) for folder in folders]
    configs = [read_config(path) for path in paths]
    for i, path in enumerate(paths):
        if path.resolve() in [other.resolve() for other in paths[:i]]:  # it would pass for a second seed without spread
            raise RunError(f"expected each run once, got {path} twice")
    alike: dict[str, list[int]] = {}
    for i, config in enumerate(configs):
        what = {name: value for name, value in config.as_json().items() if name not in INCIDENTAL}
        alike.setdefault(repr(what), []).append(i)
    firsts = [configs[members[0]] for members in alike.values()]
    groups, shared = [], _shared(firsts)
    for members in alike.values():
        config = configs[members[0]]
        measured = TASKS[config.task["name"]].measured
        tables = [_metrics(paths[i], (*COLUMNS, *measured)) for i in members]
        done = min(len(table["epoch"]) for table in tables)
        metrics = {name: np.stack([table[name][:done] for table in tables]) for name in tables[0]}
        name = _name(config, firsts)
        groups.append(Group(name, [configs[i].seed for i in members], config.recipe.epochs, measured, metrics, shared))
    return groups


def _metrics(folder: Path, columns: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The columns of a run's metrics.csv without the learning rate, which early runs do not have."""
    metrics = read_metrics(folder)
    without = tuple(name for name in columns if name != "lr")
    if tuple(metrics) not in (columns, without):
        got = ", ".join(metrics)
        raise RunError(f"expected the columns {', '.join(columns)} in {folder / METRICS}, got {got}")
    return {name: metrics[name] for name in without}


def _name(config: Config, others: Sequence[Config]) -> str:
    """The transformer, and each entry that is not the same in all groups that have it.

    What follows from other entries is left out.
    """
    entries = [_entries(other) for other in others]
    kind = config.model["transformer"]
    parts = ["no transformer" if kind == "none" else kind]
    for name, value in _entries(config).items():
        if _is_shared(name, entries):
            continue
        if name == "data" and len({other["source"] for other in entries}) > 1:  # other images anyway
            continue
        if all(_follows_from_recipe(other, name) for other in others):
            continue
        parts.append(_shown(name, value))
    return ", ".join(parts)


def _shared(configs: Sequence[Config]) -> str:
    """What is the same in all runs that have it, without what follows from the recipe."""
    entries = [_entries(config) for config in configs]
    parts = []
    for name, value in {name: value for own in entries for name, value in own.items()}.items():
        if name not in ("data", "epochs") and _is_shared(name, entries):
            if not all(_follows_from_recipe(config, name) for config in configs):
                parts.append(_shown(name, value))
    return ", ".join(parts)


def _is_shared(name: str, entries: Sequence[dict[str, Any]]) -> bool:
    return len({repr(other[name]) for other in entries if name in other}) == 1


def _shown(name: str, value: Any) -> str:
    shown = "none" if value is None else f"{value:g}" if isinstance(value, float) else value
    return f"{name.replace('_', ' ')} {shown}"


def _entries(config: Config) -> dict[str, Any]:
    """What may set a run apart from others, by its name for a person."""
    task = {"task" if name == "name" else name: value for name, value in config.task.items()}
    model = {name: value for name, value in config.model.items() if name not in ("transformer", "image", "classes")}
    recipe = dict(vars(config.recipe))
    if config.model["transformer"] == "none":  # there is no localisation network
        del recipe["localiser_factor"]
    return {**task, **model, "recipe": config.recipe_name, **recipe, "data": config.data_sha256[:8]}


def _follows_from_recipe(config: Config, name: str) -> bool:
    usual = vars(RECIPES[config.recipe_name]) if config.recipe_name in RECIPES else {}
    return name in usual and vars(config.recipe)[name] == usual[name]


PERCENT, PLAIN = Measure("test accuracy", ".2f", " %"), Measure("test loss", ".4f")
SPREAD = "mean ± standard deviation over the seeds"


def table(groups: Sequence[Group]) -> str:
    """The last epoch of each group: the mean over its runs and, where there are several, their standard deviation."""
    rows = _rows(groups)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join([*lines, *_note(groups)])


def markdown(groups: Sequence[Group]) -> str:
    """The same table in Markdown."""
    head, *rows = _rows(groups)
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
    return "\n".join([*lines, *(line for note in _note(groups) for line in ("", note))]) + "\n"


def as_csv(groups: Sequence[Group]) -> str:
    """The same table as numbers in full: a column for each mean and each standard deviation, empty where there is none.

    The columns of the measures have the names of metrics.csv.
    """
    measured = list(_columns(groups))
    text = io.StringIO()
    parts = [f"{name}_{part}" for name in measured for part in ("mean", "std")]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", "seeds", "epochs", *parts, "seconds"])
    for group in groups:
        numbers: list[float | str] = []
        for name in measured:
            values = _last(group, name)
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else ""
            numbers += [float(np.mean(values)), spread] if len(values) else ["", ""]
        seeds = " ".join(map(str, group.seeds))
        writer.writerow([group.name, seeds, group.epochs, *numbers, f"{_seconds(group):.0f}"])
    return text.getvalue()


def _columns(groups: Sequence[Group]) -> dict[str, Measure]:
    """The columns of the metrics that are shown, by name."""
    columns = {"test_accuracy": PERCENT, "test_loss": PLAIN}
    for group in groups:
        columns |= group.measured
    return columns


def _rows(groups: Sequence[Group]) -> list[list[str]]:
    columns = _columns(groups)
    rows = [["run", "seeds", "epochs", *(measure.label for measure in columns.values()), "time"]]
    for group in groups:
        done = f"{group.epochs}" if group.epochs == group.planned else f"{group.epochs} of {group.planned}"
        last = [_written(_last(group, name), measure) for name, measure in columns.items()]
        rows.append([group.name, " ".join(map(str, group.seeds)), done, *last, f"{_seconds(group):.0f} s"])
    return rows


def _note(groups: Sequence[Group]) -> list[str]:
    spread = [SPREAD] if any(len(group.seeds) > 1 for group in groups) else []
    return [*spread, *([f"the same in all that have it: {groups[0].shared}"] if groups and groups[0].shared else [])]


def _seconds(group: Group) -> float:
    """The time of a run, without its start and its pictures: the mean over the group."""
    return float(group.metrics["seconds"].sum(axis=1).mean())


def _last(group: Group, column: str) -> np.ndarray:
    """A column of the metrics after the last epoch, (runs,); (0,) where it is not there or NaN."""
    values = group.metrics[column][:, -1] if column in group.metrics else np.array([np.nan])
    return values[:0] if np.isnan(values).any() else values


def _written(values: np.ndarray, measure: Measure) -> str:
    if not len(values):
        return "-"
    spread = f" ± {np.std(values, ddof=1):{measure.form}}" if len(values) > 1 else ""
    return f"{np.mean(values):{measure.form}}{spread}{measure.unit}"
