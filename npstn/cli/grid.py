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
from npstn.messages import one_line
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
        entries = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors write a mark of byte order
    except OSError as error:
        raise BadArgument(f"argument FILE: {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # also of the encoding, and of endless numbers
        hint = f"; a table begins with [[{GRID}]]" if GRID in str(error) else ""
        raise BadArgument(f"argument FILE: expected TOML in {path}, got something else: {error}{hint}") from None
    grids = entries.pop(GRID, [{}])
    if not isinstance(grids, list) or not grids or not all(isinstance(grid, dict) for grid in grids):
        raise BadArgument(f"argument FILE: expected [[{GRID}]] in {path} to begin a table, got something else")
    for own in (entries, *grids):
        if {"seed", "seeds"} <= own.keys():
            raise BadArgument(f"argument FILE: expected seed or seeds in {path}, got both in one table")
    return [_as_options({**_without_seeds(entries, grid), **grid}, path) for grid in grids]


def _without_seeds(entries: dict[str, Any], grid: Mapping[str, Any]) -> dict[str, Any]:
    """What holds for all grids, without the seeds if this one has its own."""
    own = {"seed", "seeds"} & grid.keys()
    return {name: value for name, value in entries.items() if not (own and name in ("seed", "seeds"))}


def _as_options(entries: Mapping[str, Any], path: Path) -> list[str]:
    words = []
    known = [arguments.option(name)[2:] for name in (*run_options.NAMES, "seeds")]
    for name, value in entries.items():
        if name not in known:
            is_grids = isinstance(value, list) and any(isinstance(part, dict) for part in value)
            hint = f"; a table begins with [[{GRID}]]" if is_grids else arguments.suggestion(name, known)
            raise BadArgument(f"argument FILE: expected options in {path}, got {one_line(name)}{hint}")
        values = value if isinstance(value, list) else [value]
        if not values or not all(map(_is_word, values)):
            got = one_line(value)
            raise BadArgument(f"argument FILE: expected numbers or texts for {name} in {path}, got {got}")
        words += [f"--{name}", *map(str, values)]
    return words


def _is_word(value: Any) -> bool:
    """Whether a value stands for what one would give on the command line, and cannot be taken for an option."""
    if isinstance(value, str):
        return value != "" and not value.startswith("--") and "\0" not in value
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def configurations(grids: list[argparse.Namespace]) -> tuple[dict[str, Config], dict[str, Source]]:
    """What each run of some grids is, by the name of its folder; and the images, by their hash.

    Raises BadArgument where options do not go together, or two runs would have one name; DataError without images.
    """
    configs: dict[str, Config] = {}
    sources: run_options.Sources = {}
    used: set[str] = set()
    for grid in grids:
        for options in _combinations(grid):
            used |= {name for name, value in vars(options).items() if value is not None}
            name = _name(options)
            config, _ = run_options.configure(options, sources)
            if configs.get(name, config) != config:
                raise BadArgument(f"expected runs of different names, got two that would be {name}: sweep them apart")
            if config not in configs.values():  # the same run by another name: with an option at its default, say
                configs[name] = config
    for name in sorted({name for grid in grids for name in _given(grid)} - used):
        raise BadArgument(f"argument {arguments.option(name)}: goes with none of these tasks and transformers")
    return configs, {sha256: source for source, sha256 in sources.values()}


def _combinations(grid: argparse.Namespace) -> Iterator[argparse.Namespace]:
    """One set of options for each run.

    An option that goes with some of the tasks or transformers is left out for the others.
    """
    given = _given(grid)
    seen: set[tuple] = set()
    for chosen in itertools.product(*given.values()):
        options = dict(zip(given, chosen, strict=True))
        options = {name: value for name, value in options.items() if _goes_with(name, options)}
        if (key := tuple(options.items())) not in seen:
            seen.add(key)
            yield argparse.Namespace(**{**dict.fromkeys(run_options.NAMES), **options})


def _given(grid: argparse.Namespace) -> dict[str, list[Any]]:
    """The values of each option that was given."""
    seeds = {"seed": list(range(grid.seeds))} if grid.seeds else {}
    values = {name: getattr(grid, name) for name in run_options.NAMES} | seeds
    values["data_dir"] = values["data_dir"] and [values["data_dir"]]
    return {name: value for name, value in values.items() if value is not None}


def _goes_with(name: str, options: Mapping[str, Any]) -> bool:
    """Whether an option means something for a run with these options."""
    task = options.get("task", run_options.DEFAULTS["task"])
    own = run_options.is_path(task)
    kind = Pictures.name if own else task
    transformer = options.get("transformer", run_options.DEFAULTS["transformer"])
    if name in NOWHERE:
        return not own
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
