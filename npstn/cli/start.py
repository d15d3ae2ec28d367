"""How a run starts: anew, as the options have it, or from its last checkpoint."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from pathlib import Path

from npstn import runs
from npstn.cli import arguments, run_options
from npstn.cli.arguments import say
from npstn.cli.errors import BadArgument
from npstn.runs import Config
from npstn.runs.config import versions
from npstn.runs.work import at_its_start
from npstn.tasks import Task
from npstn.training import COLUMNS, State, best_epoch

NEW = tuple(name for name in run_options.NAMES if name not in ("data_dir", "epochs", "patience"))  # for new runs alone

Start = tuple[Path, Config, Task, State]  # the run folder, what the run was started with, and where it stands


def anew(options: argparse.Namespace, until_the_end: contextlib.ExitStack) -> Start:
    """A new run, as the options have it, in a folder of its own that is locked until the end."""
    arguments.set_threads(options.threads)
    config, task = run_options.configure(options, {})
    out = options.out or runs.named_after_now(Path("runs"))
    _enter(runs.create(out, replace=bool(options.force)), "--force" if options.force else "--out", out, until_the_end)
    config = config.below(out)
    runs.write_config(out, config)
    return out, config, task, at_its_start(config, task)


def again(options: argparse.Namespace, until_the_end: contextlib.ExitStack) -> Start:
    """A run that is there, where it stands, in its folder, which is locked until the end.

    It is as it was started, but for its length: --epochs and --patience.
    """
    for name in (*NEW, "out", "force"):
        if getattr(options, name) is not None:
            expected = f"expected no {arguments.option(name)}"
            raise BadArgument(f"argument --resume: goes on with a run as it was started; {expected}")
    arguments.set_threads(options.threads)
    out = options.resume
    _enter(runs.locked(out), "--resume", out, until_the_end)
    config = runs.read_config(out)
    task = arguments.open_task(config, out, options.data_dir)
    if task.source.sha256() != config.data_sha256:
        raise runs.RunError(f"expected the images that the run in {out} was started with, got others (SHA-256)")
    before = config.versions
    others = [f"{name} {before.get(name)}, not {now}" for name, now in versions().items() if before.get(name) != now]
    if others:
        say(f"note: the run was started with {'; '.join(others)}: it will end with other weights than there")
    given = {name: getattr(options, name) for name in ("epochs", "patience") if getattr(options, name) is not None}
    longer = dataclasses.replace(config, recipe=dataclasses.replace(config.recipe, **given))
    state = at_its_start(longer, task)
    saved = runs.load_checkpoint(out, longer, state, (*COLUMNS, *task.measured))
    _check_length(out, config, longer, state)
    runs.tidy(out)
    if longer != config:
        runs.write_config(out, longer)  # before the checkpoint: one that is shorter goes on as this says
    if longer.recipe.epochs != saved.epochs and not state.over(longer.recipe):
        say(_rate(saved, longer, state))
        if changed := _distorted(config, longer, state, len(task)):
            say(changed)
    return out, longer, task, state


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


def _distorted(before: Config, now: Config, state: State, images: int) -> str:
    """How far images are distorted from here on, where the new number of epochs changes this; "" where it does not."""
    taken = state.steps_since_start()
    was, will_be = (f"{100 * next(c.recipe.strengths(taken, images)):.0f} %" for c in (before, now))
    if was == will_be:
        return ""
    return f"note: images are distorted by {will_be} of the whole from here on, not by {was} (--curriculum)"


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
