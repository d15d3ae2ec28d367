"""How a run starts: anew, as the options have it, or from its last checkpoint."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import platform
from pathlib import Path

import numba
import numpy as np
import scipy

import npstn
from npstn import models, runs
from npstn.cli import arguments
from npstn.cli.arguments import say
from npstn.cli.errors import BadArgument
from npstn.data import pictures
from npstn.runs import Config
from npstn.runs.config import relative_to_run
from npstn.tasks import TASKS, Pictures, Task
from npstn.training import COLUMNS, RECIPES, State, best_epoch
from npstn.transformers import TRANSFORMERS

# Not the parser's own defaults: next to --resume, an option that is given must differ from one that is not.
DEFAULTS = {
    "task": "rotated",
    "data": "auto",
    "transformer": "rotation",
    "parallel": 1,
    "network": "blog",
    "recipe": "fast",
    "seed": 0,
}
SETTINGS = *arguments.all_settings(TASKS), *arguments.all_settings(TRANSFORMERS)

Start = tuple[Path, Config, Task, State]  # the run folder, what the run was started with, and where it stands


def anew(options: argparse.Namespace, until_the_end: contextlib.ExitStack) -> Start:
    """A new run, as the options have it, in a folder of its own that is locked until the end."""
    own = options.task is not None and options.task not in TASKS.keys() - {Pictures.name}  # a path
    for name in ("data", "data_dir") if own else ():
        if getattr(options, name) is not None:
            option = f"--{name.replace('_', '-')}"
            raise BadArgument(f"argument {option}: goes with tasks of digits; the pictures come from {options.task}")
    for name, value in DEFAULTS.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    kind = Pictures.name if own else options.task
    settings = arguments.given_settings(options, TASKS, kind)
    if options.transformer == "none" and options.parallel > 1:
        raise BadArgument("argument --parallel: goes with a transformer, not with none")
    of_transformer = arguments.given_settings(options, TRANSFORMERS, options.transformer)
    if options.transformer != "none":
        of_transformer = TRANSFORMERS[options.transformer](**of_transformer).chosen
    if options.transformer == "none":
        if options.localiser_factor is not None:
            raise BadArgument("argument --localiser-factor: goes with a transformer, not with none")
    elif options.localiser_factor is None and RECIPES[options.recipe].optimizer == "adamw":
        options.localiser_factor = RECIPES[options.recipe].localiser_factor * TASKS[kind].localiser_factor
    given = {name: getattr(options, name) for name in ("epochs", "batch_size", "lr", "localiser_factor", "patience")}
    recipe = dataclasses.replace(RECIPES[options.recipe], **{k: v for k, v in given.items() if v is not None})
    arguments.set_threads(options.threads)
    if own:
        source = pictures(options.task, int(settings.get("size", 0)) or None)
    else:
        source = arguments.find_source(options.data, options.data_dir)
    # Also the folder that the variable names now: later it may name another one, or none.
    of_mnist = options.data_dir or os.environ.get("NPSTN_DATA_DIR") or None
    data_folder = options.task if own else of_mnist if source.name == "mnist" else None
    task = TASKS[kind](source, options.seed, **settings)
    model = {
        "transformer": options.transformer,
        "image": task.image,
        "classes": len(task.classes),
        "network": options.network,
        "parallel": options.parallel,
        **of_transformer,
    }
    try:
        models.build(**model)
    except ValueError as error:  # images that the network cannot take
        why = str(error).partition(": ")[2]  # without the name of a function of the library
        raise BadArgument(f"argument --network: {why}; --network fcn takes images of any size") from None
    data_sha256 = source.sha256()
    out = options.out or runs.named_after_now(Path("runs"))
    _enter(runs.create(out, replace=bool(options.force)), "--force" if options.force else "--out", out, until_the_end)
    config = Config(
        task={"name": task.name, "source": source.name, **task.chosen},
        model=model,
        recipe=recipe,
        recipe_name=options.recipe,
        seed=options.seed,
        data_folder=relative_to_run(data_folder, out) if data_folder is not None else None,
        data_sha256=data_sha256,
        versions=_versions(),
        classes=task.classes if own else (),
    )
    runs.write_config(out, config)
    return out, config, task, _at_its_start(config, task)


def again(options: argparse.Namespace, until_the_end: contextlib.ExitStack) -> Start:
    """A run that is there, where it stands, in its folder, which is locked until the end.

    It is as it was started, but for its length: --epochs and --patience.
    """
    for name in (*DEFAULTS, *SETTINGS, "batch_size", "lr", "localiser_factor", "out", "force"):
        if getattr(options, name) is not None:
            option = f"--{name.replace('_', '-')}"
            raise BadArgument(f"argument --resume: goes on with a run as it was started; expected no {option}")
    arguments.set_threads(options.threads)
    out = options.resume
    _enter(runs.locked(out), "--resume", out, until_the_end)
    config = runs.read_config(out)
    task = arguments.open_task(config, out, options.data_dir)
    if task.source.sha256() != config.data_sha256:
        raise runs.RunError(f"expected the images that the run in {out} was started with, got others (SHA-256)")
    before = config.versions
    others = [f"{name} {before.get(name)}, not {now}" for name, now in _versions().items() if before.get(name) != now]
    if others:
        say(f"note: the run was started with {'; '.join(others)}: it will end with other weights than there")
    given = {name: getattr(options, name) for name in ("epochs", "patience") if getattr(options, name) is not None}
    longer = dataclasses.replace(config, recipe=dataclasses.replace(config.recipe, **given))
    state = _at_its_start(longer, task)
    saved = runs.load_checkpoint(out, longer, state, (*COLUMNS, *task.measured))
    _check_length(out, config, longer, state)
    runs.tidy(out)
    if longer != config:
        runs.write_config(out, longer)  # before the checkpoint: one that is shorter goes on as this says
    if longer.recipe.epochs != saved.epochs and not state.over(longer.recipe):
        say(_rate(saved, longer, state))
    return out, longer, task, state


def _at_its_start(config: Config, task: Task) -> State:
    npstn.manual_seed(config.seed)
    return State(config.build_net(), config.recipe, len(task))


def _check_length(out: Path, config: Config, longer: Config, state: State) -> None:
    """Raise BadArgument where the options make a run shorter than it is, or no longer although they should."""
    epochs, begun = longer.recipe.epochs, state.epochs_begun()
    if begun > epochs:
        expected = f"at least {begun} epochs, which the run in {out} has begun"
        raise BadArgument(f"argument --epochs: expected {expected}, got {epochs}")
    if epochs > config.recipe.epochs and longer.recipe.out_of_patience(state.epochs):
        since = len(state.epochs) - best_epoch(state.epochs)
        raise BadArgument(
            f"argument --epochs: the last {since} epoch{'s' * (since > 1)} of {out} were no better than its best, and "
            f"its patience is {longer.recipe.patience}: to go on, give a --patience above {since} too"
        )


def _rate(saved: runs.Saved, config: Config, state: State) -> str:
    """How the learning rate goes on where the number of epochs has changed."""
    epochs, lr = config.recipe.epochs, state.optimizer.lr
    if state.schedule is None:
        return f"note: the learning rate stays at {lr:.3g} for {epochs} epochs"
    return (
        f"note: the learning rate changes from {saved.lr:.3g} to {lr:.3g}: the run goes on within the cycle of "
        f"{epochs} epochs, not of {saved.epochs}"
    )


def _enter(
    folder: contextlib.AbstractContextManager[bool], option: str, out: Path, until_the_end: contextlib.ExitStack
) -> None:
    """Enter the run folder, or say which option names one that cannot be entered."""
    try:
        locked = until_the_end.enter_context(folder)
    except (runs.RunExists, runs.RunIsBusy) as error:
        raise BadArgument(f"argument {option}: {error}") from None
    if not locked:
        say(f"note: the disk of {out} has no locks: let no other process work in this folder")


def _versions() -> dict[str, str]:
    return {
        "npstn": npstn.__version__,
        "numpy": np.__version__,
        "numba": numba.__version__,
        "scipy": scipy.__version__,
        "python": platform.python_version(),
    }
