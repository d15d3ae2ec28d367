"""`npstn train`: train a network into a run folder, or go on with a run that was stopped."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from pathlib import Path

import numpy as np

from npstn import runs
from npstn.cli import arguments, run_options, start
from npstn.cli.arguments import say
from npstn.cli.errors import BadArgument
from npstn.cli.progress import with_progress
from npstn.data.sources import is_pictures
from npstn.runs import Config, events
from npstn.runs.folder import BEST
from npstn.runs.work import work
from npstn.tasks import TASKS, Task
from npstn.training import Epoch, Score, State, best_epoch, evaluate
from npstn.training.first_start import compile_at_first_start


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("train", help="train a network on distorted images")
    run_options.add(parser)
    out = "the run folder to write; runs/TIME by default"
    parser.add_argument("--out", type=arguments.path, metavar="RUN", help=out)
    parser.add_argument("--force", action="store_true", default=None, help="replace the run that is there")
    onward = "go on with a run that was stopped, from its last checkpoint and with its own recipe; with --epochs or "
    onward += "--patience it goes on longer"
    parser.add_argument("--resume", type=arguments.path, metavar="RUN", help=onward)
    arguments.add_checkpoint_minutes(parser)
    lines = "write the loss and the learning rate into steps.csv every N steps; after --resume only if given again"
    parser.add_argument("--log-steps", type=arguments.COUNT, metavar="N", help=lines)
    board = "write event files for TensorBoard into RUN/tensorboard; after --resume only if given again"
    parser.add_argument("--tensorboard", action="store_true", help=board)
    arguments.add_threads(parser)
    parser.set_defaults(run=run)
    parser.words = {"--resume": runs.is_run, "--task": lambda word: word in TASKS or is_pictures(word)}


def run(options: argparse.Namespace) -> None:
    if options.tensorboard and not events.available():
        raise BadArgument('argument --tensorboard: needs a package: pip install "npstn[tensorboard]"')
    with contextlib.ExitStack() as until_the_end:
        if options.resume is None:
            _train(*start.anew(options, until_the_end), options)
        else:
            _train(*start.again(options, until_the_end), options)


def _train(out: Path, config: Config, task: Task, state: State, options: argparse.Namespace) -> None:
    """Train a run from where it stands to its end."""
    recipe, resuming = config.recipe, options.resume is not None
    doing = f"going on {state.place()}: training" if resuming else "training"
    if state.over(recipe):
        doing = "this run has been trained to its end:"
    say(f"{doing} {_kind(config)} on {task.summary(len(task))}; run: {out}")
    compile_at_first_start(config.model, dataclasses.asdict(recipe))
    score = None
    with runs.Saver(out, config, state, options.checkpoint_minutes) as saver:
        steps = -(-len(task) // recipe.batch_size)
        events = work(saver, task, options.log_steps, options.tensorboard)
        for event in with_progress(events, state, recipe.epochs, steps):
            if isinstance(event, Epoch):
                score = event.score
                say(line(event, recipe.epochs, task))
                for alarm in filter(None, (task.alarm(task.test(), score.found), no_better_than_chance(score, task))):
                    say(f"warning: {alarm}")
        score = score or evaluate(state.evaluated, task.test())  # nothing was left to train: only the score is missing
        if recipe.out_of_patience(state.epochs):
            since = f"{recipe.patience} epoch{'s' * (recipe.patience != 1)}"
            say(f"stopped early: {since} in a row brought no better test accuracy (--patience {recipe.patience})")
        say(result(score, state))
        task.source.forget_train()  # the pictures take as much memory, and show the test set
        from npstn.figures.run import draw_run  # here, because importing matplotlib takes a while

        for path in draw_run(out, state.evaluated, task, score):
            say(str(path))


def line(epoch: Epoch, epochs: int, task: Task) -> str:
    """The line printed after an epoch."""
    row = epoch.row
    parts = [f"epoch {row['epoch']}/{epochs}: test accuracy {row['test_accuracy']:.2f} %"]
    for name, measure in task.measured.items():
        if not np.isnan(row[name]):
            parts.append(f"{measure.label} {measure.written(row[name])}")
    return f"{', '.join(parts)} ({row['seconds']:.0f} s)"


def result(score: Score, state: State) -> str:
    """The line printed after a training: its last epoch, and the best one where that is another."""
    done, best = len(state.epochs), best_epoch(state.epochs)
    last = f"test accuracy {score.accuracy:.2f} % after {done} epoch{'s' * (done > 1)}"
    if best == done:
        return last
    return f"{last}; the best was {state.epochs[best - 1]['test_accuracy']:.2f} % after epoch {best} ({BEST})"


def no_better_than_chance(score: Score, task: Task) -> str:
    """A warning where the network reads as many test images as one that has learned nothing; "" where all is well."""
    share = 100 * np.bincount(task.test().labels).max() / len(task.test().labels)
    if not score.accuracy <= share < 100:
        return ""
    behind = bool(score.found)  # a transformer
    or_lost = ", or its transformer loses the image" if behind else ""
    or_factor = ", or a lower --localiser-factor" if behind else ""
    return (
        f"the network reads no more test images right than one that always answers the most frequent class "
        f"({share:.2f} %): it has learned nothing{or_lost}. Early in training this may change; otherwise try a lower "
        f"--lr{or_factor}"
    )


def _kind(config: Config) -> str:
    kind, several = config.model["transformer"], config.model["parallel"]
    if kind == "none":
        return "a classifier without a transformer"
    a = "an" if kind[0] in "aeiou" else "a"
    return f"a classifier behind {a if several == 1 else several} {kind} transformer{'s' * (several > 1)}"
