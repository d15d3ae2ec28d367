"""A result as tables in Markdown and as a chart, and the machine that it was measured on.

A result is the content of a JSON file:

    "machine"   the date, the machine, the versions
    "ratios"    rows with the times of both libraries, in seconds, turn by turn
    "limits"    rows of npstn alone, with the values and the limit that they must stay under
    "scaling"   rows with the work and the time that it takes

What falls short of its goal is marked as such.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import textwrap
from pathlib import Path
from typing import Any

import numpy as np

RISE = 1.3  # the time per unit of work may be so many times as long with the most work as with the least
START, END = "<!-- written by python -m benchmarks --readme -->\n", "<!-- until here -->"


def ratio(row: dict[str, Any]) -> tuple[float, float, float]:
    """The median and the quartiles of PyTorch's time over npstn's, taken turn by turn."""
    turns = np.array(row["times"]["torch"]) / np.array(row["times"]["npstn"])
    low, middle, high = np.percentile(turns, (25, 50, 75))
    return float(middle), float(low), float(high)


def table(result: dict[str, Any]) -> str:
    """The tables of a result, in Markdown."""
    parts = ("ratios", _ratios), ("limits", _limits), ("scaling", _scaling)
    return "\n\n".join(as_table(result[part]) for part, as_table in parts if result.get(part))


def summary(result: dict[str, Any]) -> str:
    """The tables of a result with the ratios alone, a column for each number of threads, and what was measured on."""
    about = ", ".join(f"{key} {value}" for key, value in result["machine"].items())
    rows: dict[str, dict[int, dict[str, Any]]] = {}
    for row in [*result["ratios"], *means(result["ratios"])]:
        rows.setdefault(row["name"], {})[row["threads"]] = row
    threads = sorted({number for row in rows.values() for number in row})
    columns = [f"{number} thread{'s' * (number > 1)}" for number in threads]
    head = ["PyTorch's time over npstn's", *columns, "at least", "aim"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name, row in rows.items():
        cells = [_marked(row[number]) if number in row else "" for number in threads]
        goals = [" / ".join(dict.fromkeys(f"{row[n][goal]:g}" for n in sorted(row))) for goal in ("at_least", "aim")]
        lines.append(f"| {' | '.join([name, *cells, *goals])} |")
    rest = table({**result, "ratios": []})
    measured = textwrap.fill(f"Measured on: {about}.", 118)
    return "\n\n".join(filter(None, [measured, "\n".join(lines), rest]))


def written(page: str, start: str, made: str) -> str:
    """The page with this text, after the comment `start`, in place of the one that an earlier measurement wrote."""
    before, _, rest = page.partition(start)
    _, _, after = rest.partition(END)
    return f"{before}{start}\n{made}\n{END}{after}"


def means(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each geometric mean to reach and each number of threads."""
    found: dict[Any, list[float]] = {}
    for row in rows:
        if row.get("mean") and "torch" in row["times"]:
            found.setdefault((row["threads"], *row["mean"]), []).append(ratio(row)[0])
    return [
        {"name": name, "threads": threads, "at_least": at_least, "aim": aim, "ratio": float(np.exp(np.log(of).mean()))}
        for (threads, name, at_least, aim), of in found.items()
    ]


def _marked(row: dict[str, Any]) -> str:
    """The ratio of a row, or the mean; "" where PyTorch was not timed."""
    if "ratio" not in row and "torch" not in row["times"]:
        return ""
    middle = row["ratio"] if "ratio" in row else ratio(row)[0]
    return f"{middle:.2f}{' (short)' if middle < row['at_least'] else ''}"


def _ratios(rows: list[dict[str, Any]]) -> str:
    lines = ["| | threads | npstn | PyTorch | ratio | quartiles | at least | aim |", "|---" * 8 + "|"]
    for row in rows:
        line = f"| {row['name']} | {row['threads']} | {_time(row, 'npstn')} |"
        if "torch" in row["times"]:
            _, low, high = ratio(row)
            spread = f"{low:.2f} .. {high:.2f}" if len(row["times"]["torch"]) > 1 else "one run"
            line += f" {_time(row, 'torch')} | {_marked(row)} | {spread} |"
        else:
            line += " | | |"
        lines.append(line + f" {row['at_least']:g} | {row['aim']:g} |")
    for row in means(rows):
        line = f"| {row['name']} | {row['threads']} | | | {_marked(row)} | |"
        lines.append(line + f" {row['at_least']:g} | {row['aim']:g} |")
    return "\n".join(lines)


def _time(row: dict[str, Any], library: str) -> str:
    seconds = float(np.median(row["times"][library]))
    if "epochs" in row:
        return f"{seconds:.1f} s (epoch {row['epochs'][library]})"
    return f"{1e3 * seconds:.3f} ms"


def _limits(rows: list[dict[str, Any]]) -> str:
    lines = ["| npstn alone | measured | from .. to | under | aim |", "|---" * 5 + "|"]
    for row in rows:
        middle, unit = float(np.median(row["values"])), row["unit"]
        short = "" if middle < row["under"] else " (short)"
        spread = f"{min(row['values']):.3g} .. {max(row['values']):.3g}" if len(row["values"]) > 1 else "one run"
        aim = f"{row['aim']:g} {unit}" if row.get("aim") is not None else ""
        lines.append(f"| {row['name']} | {middle:.3g} {unit}{short} | {spread} | {row['under']:g} {unit} | {aim} |")
    return "\n".join(lines)


def _scaling(rows: list[dict[str, Any]]) -> str:
    head = "| time per unit of work | threads | with the least work | with the most | ratio | at most |"
    lines = [head, "|---" * 6 + "|"]
    for row in rows:
        microseconds = 1e6 * np.array(row["seconds"]) / np.array(row["work"])
        ends = [f"{microseconds[i]:.4g} µs for each of {row['work'][i]:,} {row['unit']}s" for i in (0, -1)]
        rise = microseconds[-1] / microseconds[0]
        short = " (short)" if rise > RISE else ""
        lines.append(f"| {row['name']} | {row['threads']} | {' | '.join(ends)} | {rise:.2f}{short} | {RISE:g} |")
    return "\n".join(lines)


def chart(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw the ratios as bars, each with the ratio to reach."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 0.28 * len(rows) + 1.2), layout="constrained")
    axes = figure.subplots()
    names = [f"{row['name']}, {row['threads']} thread{'s' * (row['threads'] > 1)}" for row in rows]
    ratios = np.array([ratio(row) for row in rows])
    spread = np.abs(ratios[:, 1:] - ratios[:, :1]).T
    axes.barh(names, ratios[:, 0], xerr=spread, color="tab:blue", ecolor="0.4")
    at_least = [row["at_least"] for row in rows]
    axes.scatter(at_least, names, marker="|", s=120, color="tab:red", zorder=3, label="at least")
    axes.axvline(1, color="0.3", linewidth=1)
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.set(xlabel="npstn, times as fast as PyTorch, float32")
    axes.legend()
    figure.savefig(path, dpi=120)


def machine() -> dict[str, Any]:
    """The date, the machine and the versions."""
    about: dict[str, Any] = {"date": datetime.date.today().isoformat(), "cores": os.cpu_count()}
    about["system"] = platform.platform()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            about["processor"] = line.split(": ", 1)[1]
    about["python"] = platform.python_version()
    for package in ("numpy", "numba", "scipy", "torch"):
        try:
            about[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass
    return about
