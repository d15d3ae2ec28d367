"""`npstn train`: train a network into a run folder, or go on with a run that was stopped."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from pathlib import Path

import numpy as np

import npstn
from npstn import nn, runs
from npstn.cli import arguments, start
from npstn.cli.arguments import say
from npstn.cli.errors import BadArgument
from npstn.cli.progress import with_progress
from npstn.data import SOURCES
from npstn.data.sources import is_pictures
from npstn.models import MOST_PARALLEL, NETWORKS
from npstn.runs import Config, events, frames
from npstn.runs.events import EventFile
from npstn.runs.folder import BEST, WEIGHTS, MetricsFile
from npstn.runs.steps import StepsFile
from npstn.tasks import TASKS, Pictures, Task
from npstn.training import COLUMNS, RECIPES, Epoch, Score, State, Step, best_epoch, evaluate, look, train
from npstn.training.first_start import compile_at_first_start
from npstn.transformers import TRANSFORMERS


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    auto = "drawn: digits drawn by the program; auto, the default: mnist if at hand or downloadable, else drawn"
    parser = subparsers.add_parser("train", help="train a network on distorted images")
    names = ", ".join(name for name in TASKS if name != Pictures.name)
    tasks = f"{names}: how digits are distorted; rotated by default; or pictures of your own: a folder, or an .npz"
    parser.add_argument("--task", type=arguments.task, help=tasks)
    parser.add_argument("--data", choices=("auto", *SOURCES), help=auto)
    arguments.add_data_dir(parser)
    kinds = "the map that undoes the distortion; rotation by default; none: the classifier alone"
    parser.add_argument("--transformer", choices=(*TRANSFORMERS, "none"), help=kinds)
    arguments.add_settings(parser, TASKS)
    arguments.add_settings(parser, TRANSFORMERS)
    several = arguments.number(int, 1, MOST_PARALLEL, f"a whole number from 1 to {MOST_PARALLEL}")
    side = "how many transformers read the images side by side; 1 by default"
    parser.add_argument("--parallel", type=several, metavar="N", help=side)
    networks = "the networks: the blog post's, the default, or the paper's CNN or FCN"
    parser.add_argument("--network", choices=tuple(NETWORKS), help=networks)
    recipes = "fast, the default, or as in the blog post, in the paper (but in smaller batches), or in tps_stn_pytorch"
    parser.add_argument("--recipe", choices=tuple(RECIPES), help=recipes)
    parser.add_argument("--epochs", type=arguments.COUNT, metavar="N", help=_recipes("epochs"))
    parser.add_argument("--batch-size", type=arguments.COUNT, metavar="N", help=_recipes("batch_size"))
    until = "stop after N epochs in a row without a better test accuracy; with fast, while the rate is high"
    parser.add_argument("--patience", type=arguments.COUNT, metavar="N", help=until)
    rate = arguments.number(float, 1e-12, 1e3, "a learning rate above 0 and at most 1000")
    parser.add_argument("--lr", type=rate, metavar="X", help=_recipes("lr") + "; fast: the highest of its cycle")
    times = arguments.number(float, 1e-12, 1e3, "how many times --lr, above 0 and at most 1000")
    factor = RECIPES["fast"].localiser_factor
    slower = f"the learning rate of localisation networks is X times --lr; by default 1, for fast {factor:g}, "
    hard = {name: factor * task.localiser_factor for name, task in TASKS.items() if task.localiser_factor != 1}
    slower += "but " + " and ".join(f"{x:g} ({name})" for name, x in hard.items())
    parser.add_argument("--localiser-factor", type=times, metavar="X", help=slower)
    parser.add_argument("--seed", type=arguments.NATURAL, metavar="N", help="of all random numbers; 0 by default")
    out = "the run folder to write; runs/TIME by default"
    parser.add_argument("--out", type=arguments.path, metavar="RUN", help=out)
    parser.add_argument("--force", action="store_true", default=None, help="replace the run that is there")
    onward = "go on with a run that was stopped, from its last checkpoint and with its own recipe; with --epochs or "
    onward += "--patience it goes on longer"
    parser.add_argument("--resume", type=arguments.path, metavar="RUN", help=onward)
    minutes = arguments.number(float, 0, 1e6, "minutes, at least 0")
    often = "save the run after each epoch, and within one every M minutes; 5 by default"
    parser.add_argument("--checkpoint-minutes", type=minutes, default=5.0, metavar="M", help=often)
    lines = "write the loss and the learning rate into steps.csv every N steps; after --resume only if given again"
    parser.add_argument("--log-steps", type=arguments.COUNT, metavar="N", help=lines)
    board = "write event files for TensorBoard into RUN/tensorboard; after --resume only if given again"
    parser.add_argument("--tensorboard", action="store_true", help=board)
    arguments.add_threads(parser)
    parser.set_defaults(run=run)
    parser.words = {"--resume": runs.is_run, "--task": lambda word: word in TASKS or is_pictures(word)}


def _recipes(field: str) -> str:
    defaults = (f"{getattr(recipe, field):g} ({name})" for name, recipe in RECIPES.items())
    return " or ".join(defaults) + " by default"


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
    net, recipe, resuming = state.evaluated, config.recipe, options.resume is not None
    finished = state.over(recipe)
    doing = f"going on {state.place()}: training" if resuming else "training"
    if finished:
        doing = "this run has been trained to its end:"
    say(f"{doing} {_kind(config)} on {task.summary(len(task))}; run: {out}")
    compile_at_first_start(config.model, dataclasses.asdict(recipe))
    if not resuming:
        _keep_frame(out, state, net, task)
    with runs.Saver(out, config, state, options.checkpoint_minutes) as saver:
        saver.save()
        if finished:  # the run may have been killed before it could write everything
            npstn.save(net.state_dict(), out / WEIGHTS)
        score = None
        with MetricsFile(out, (*COLUMNS, *task.measured), state.epochs) as metrics, contextlib.ExitStack() as others:
            log = others.enter_context(StepsFile(out, options.log_steps, state)) if options.log_steps else None
            past = log.kept if log else ()
            board = others.enter_context(EventFile(out, state.epochs, past)) if options.tensorboard else None
            steps = -(-len(task) // recipe.batch_size)
            for event in with_progress(train(state.net, task, recipe, state), state, recipe.epochs, steps):
                if isinstance(event, Step):
                    logged = log.after_step(event.lr) if log else None
                    if board and logged:
                        board.add_steps(logged)
                    if not state.epochs and frames.is_early(state.steps, steps):
                        _keep_frame(out, state, net, task)  # before a checkpoint that a resumed run goes on from
                    saver.after_step()
                    continue
                score = event.score
                metrics.add(event.row)
                if board:
                    board.add_epoch(event.row)
                npstn.save(net.state_dict(), out / WEIGHTS)
                _keep_frame(out, state, net, task)
                say(line(event, recipe.epochs, task))
                for alarm in filter(None, (task.alarm(task.test(), score.found), no_better_than_chance(score, task))):
                    say(f"warning: {alarm}")
                saver.save()  # last: a run that is killed before this does the epoch's end again
        score = score or evaluate(net, task.test())  # nothing was left to train: only the score is missing
        if recipe.out_of_patience(state.epochs):
            since = f"{recipe.patience} epoch{'s' * (recipe.patience != 1)}"
            say(f"stopped early: {since} in a row brought no better test accuracy (--patience {recipe.patience})")
        say(result(score, state))
        from npstn.figures.run import draw_run  # here, because importing matplotlib takes a while

        for path in draw_run(out, net, task, score):
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


def _keep_frame(out: Path, state: State, net: nn.Module, task: Task) -> None:
    """Keep what the transformers hand on at this point of the training, for training.gif."""
    looks = look(net, task.few())
    if looks:
        moment = frames.Moment(len(state.epochs), state.steps)
        frames.keep(out, moment, np.concatenate([seen.V.data for _, seen in looks]))


def _kind(config: Config) -> str:
    kind, several = config.model["transformer"], config.model["parallel"]
    if kind == "none":
        return "a classifier without a transformer"
    a = "an" if kind[0] in "aeiou" else "a"
    return f"a classifier behind {a if several == 1 else several} {kind} transformer{'s' * (several > 1)}"
