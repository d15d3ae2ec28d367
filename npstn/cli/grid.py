"""The runs of a sweep: all combinations of the options that have several values."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from npstn.cli import arguments, run_options
from npstn.cli.errors import BadArgument
from npstn.data import Source
from npstn.runs import Config
from npstn.tasks import TASKS, Pictures
from npstn.transformers import TRANSFORMERS

GRID = "grid"  # the tables in a TOML file
ALWAYS = "task", "transformer", "network"  # at the head of a run's name
NOWHERE = "data", "data_dir"  # not in a name: where the images come from


def read(path: Path) -> list[list[str]]:
    """The grids of a TOML file, each as the options that the command would take.

    An entry is an option without its dashes, with a value or a list of them. Entries above the first table [[grid]]
    hold for all of them.

    Raises BadArgument where the file cannot be read so.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # only sweeps need it

    try:
        with path.open("rb") as file:
            entries = tomllib.load(file)
    except OSError as error:
        raise BadArgument(f"argument FILE: {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadArgument(f"argument FILE: expected TOML in {path}, got something else: {error}") from None
    grids = entries.pop(GRID, [{}])
    if not isinstance(grids, list) or not grids or not all(isinstance(grid, dict) for grid in grids):
        raise BadArgument(f"argument FILE: expected [[{GRID}]] in {path} to begin a table, got something else")
    return [_as_options({**entries, **grid}, path) for grid in grids]


def _as_options(entries: Mapping[str, Any], path: Path) -> list[str]:
    words = []
    for name, value in entries.items():
        values = value if isinstance(value, list) else [value]
        if not values or not all(isinstance(x, (str, int, float)) and not isinstance(x, bool) for x in values):
            raise BadArgument(f"argument FILE: expected numbers or texts for {name} in {path}, got {value!r}")
        words += [f"--{name}", *map(str, values)]
    return words


def configurations(grids: list[argparse.Namespace]) -> tuple[dict[str, Config], dict[str, Source]]:
    """What each run of some grids is, by the name of its folder; and the images, by their hash.

    Raises BadArgument where options do not go together, or two runs would have one name; DataError without images.
    """
    configs: dict[str, Config] = {}
    sources: run_options.Sources = {}
    for grid in grids:
        for options in _combinations(grid):
            name = _name(options)
            config, _ = run_options.configure(options, sources)
            if configs.setdefault(name, config) != config:
                raise BadArgument(f"expected runs of different names, got two that would be {name}")
    return configs, {sha256: source for source, sha256 in sources.values()}


def _combinations(grid: argparse.Namespace) -> Iterator[argparse.Namespace]:
    """One set of options for each run.

    An option that goes with some of the tasks or transformers is left out for the others.
    """
    seeds = {"seed": list(range(grid.seeds))} if grid.seeds else {}
    values = {name: getattr(grid, name) for name in run_options.NAMES} | seeds
    values["data_dir"] = values["data_dir"] and [values["data_dir"]]
    given = {name: value for name, value in values.items() if value is not None}
    seen: set[tuple] = set()
    used: set[str] = set()
    for chosen in itertools.product(*given.values()):
        options = dict(zip(given, chosen, strict=True))
        options = {name: value for name, value in options.items() if _goes_with(name, options)}
        used |= options.keys()
        if (key := tuple(options.items())) not in seen:
            seen.add(key)
            yield argparse.Namespace(**{**dict.fromkeys(run_options.NAMES), **options})
    for name in given.keys() - used:
        raise BadArgument(f"argument {arguments.option(name)}: goes with none of these tasks and transformers")


def _goes_with(name: str, options: Mapping[str, Any]) -> bool:
    """Whether an option means something for a run with these options."""
    task = options.get("task", run_options.DEFAULTS["task"])
    kind = Pictures.name if run_options.is_path(task) else task
    transformer = options.get("transformer", run_options.DEFAULTS["transformer"])
    if name in run_options.OF_TASKS:
        return name in TASKS[kind].settings
    if name in run_options.OF_TRANSFORMERS:
        return transformer != "none" and name in TRANSFORMERS[transformer].settings
    return transformer != "none" or name not in ("parallel", "localiser_factor")


def _name(options: argparse.Namespace) -> str:
    """The name of a run's folder: what it is, the options that were given, the seed."""
    head = [str(getattr(options, name) or run_options.DEFAULTS[name]) for name in ALWAYS]
    head[0] = Path(head[0]).stem  # of the user's pictures
    rest = [name for name in run_options.NAMES if name not in (*ALWAYS, *NOWHERE, "seed")]
    given = {name: getattr(options, name) for name in rest if getattr(options, name) is not None}
    parts = [f"{name.replace('_', '-')}={f'{x:g}' if isinstance(x, float) else x}" for name, x in given.items()]
    return "_".join([*head, *parts, f"seed={options.seed or 0}"])
