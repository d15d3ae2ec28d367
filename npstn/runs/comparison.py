"""Several runs side by side; runs that are alike but for the seed are one group, with mean and spread."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from npstn import runs
from npstn.training import RECIPES, Epoch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What does not make two runs different experiments.
INCIDENTAL = ("seed", "versions")


class Group(NamedTuple):
    """Runs that are alike but for the seed."""

    name: str  # what sets it apart from the other groups
    seeds: list[int]
    planned: int  # epochs
    metrics: dict[str, np.ndarray]  # column of metrics.csv -> (runs, epochs), the epochs that all of them have done

    @property
    def epochs(self) -> int:
        return self.metrics["epoch"].shape[1]


def read(folders: Sequence[str | os.PathLike[str]]) -> list[Group]:
    """Group some runs, in the order in which they are given.

    Raises runs.RunError for what is no run, for one that is given twice, for one that has not finished an epoch, and
    for one whose metrics.csv has other columns.
    """
    paths = [Path(folder) for folder in folders]
    configs = [runs.read_config(path) for path in paths]
    for i, path in enumerate(paths):
        if path.resolve() in [other.resolve() for other in paths[:i]]:  # it would pass for a second seed without spread
            raise runs.RunError(f"expected each run once, got {path} twice")
    alike: dict[str, list[int]] = {}
    for i, config in enumerate(configs):
        what = {name: value for name, value in sorted(config.items()) if name not in INCIDENTAL}
        alike.setdefault(repr(what), []).append(i)
    firsts = [configs[members[0]] for members in alike.values()]
    groups = []
    for first, members in zip(firsts, alike.values(), strict=True):
        tables = [_metrics(paths[i]) for i in members]
        done = min(len(table["epoch"]) for table in tables)
        metrics = {name: np.stack([table[name][:done] for table in tables]) for name in Epoch._fields}
        planned = first.get("epochs", done)
        groups.append(Group(_name(first, firsts), [configs[i]["seed"] for i in members], planned, metrics))
    return groups


def _metrics(folder: Path) -> dict[str, np.ndarray]:
    from npstn import plots  # here, because importing matplotlib takes a while

    path = folder / "metrics.csv"
    try:
        metrics = plots.read_metrics(path)
    except (FileNotFoundError, IndexError):
        raise runs.RunError(f"expected an epoch at least in {path}, got none: is the run still in its first?") from None
    except (ValueError, TypeError):
        raise runs.RunError(f"expected numbers in {path}, got something else") from None
    if tuple(metrics) != Epoch._fields:
        raise runs.RunError(f"expected the columns {', '.join(Epoch._fields)} in {path}, got {', '.join(metrics)}")
    return metrics


def _name(config: dict[str, Any], others: Sequence[dict[str, Any]]) -> str:
    """The model, and whatever is not the same in all the groups; what follows from other entries is left out."""
    names = dict.fromkeys(name for other in others for name in other if name not in ("model", *INCIDENTAL))
    differing = [name for name in names if len({repr(other.get(name)) for other in others}) > 1]
    if "data" in differing and "digits_sha256" in differing:
        differing.remove("digits_sha256")
    parts = [config["model"]]
    for name in differing:
        value = config.get(name, "-")
        if name == "angle":
            parts.append(f"±{value:g}°")
        elif name == "data":
            parts.append(runs.DIGITS[value])
        elif name == "digits_sha256":
            parts.append(f"digits {str(value)[:8]}")
        elif not all(_follows_from_recipe(other, name) for other in others):
            parts.append(f"{name.replace('_', ' ')} {value}")
    return ", ".join(parts)


def _follows_from_recipe(config: dict[str, Any], name: str) -> bool:
    return name in config and getattr(RECIPES.get(config.get("recipe", "")), name, None) == config[name]


def table(groups: Sequence[Group]) -> str:
    """The last epoch of each group: the mean over its runs and, where there are several, their standard deviation."""
    rows = [["run", "seeds", "epochs", "test accuracy", "test loss", "angle correlation", "spread in a class", "time"]]
    for group in groups:

        def last(column: str, form: str, unit: str = "", group: Group = group) -> str:
            values = group.metrics[column][:, -1]
            if np.isnan(values).any():
                return "-"
            spread = f" ± {np.std(values, ddof=1):{form}}" if len(values) > 1 else ""
            return f"{np.mean(values):{form}}{spread}{unit}"

        rows.append(
            [
                group.name,
                " ".join(map(str, group.seeds)),
                f"{group.epochs}" if group.epochs == group.planned else f"{group.epochs} of {group.planned}",
                last("test_accuracy", ".2f", " %"),
                last("test_loss", ".4f"),
                last("angle_correlation", ".3f"),
                last("residual_std_deg", ".1f", "°"),
                f"{group.metrics['seconds'].sum(axis=1).mean():.0f} s",
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    if any(len(group.seeds) > 1 for group in groups):
        lines.append("mean ± standard deviation over the seeds")
    return "\n".join(lines)


def compare(folders: Sequence[str | os.PathLike[str]]) -> Figure:
    """The curves of several runs in one picture: see `plots.comparison`. Raises as `read` does."""
    from npstn import plots

    return plots.comparison(read(folders))
