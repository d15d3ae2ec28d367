"""`npstn train`: train a network into a run folder, or go on with a run that was stopped."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import numba
import numpy as np
import scipy
from tqdm import tqdm

import npstn
from npstn import models, nn, runs
from npstn.cli import arguments
from npstn.cli.arguments import say
from npstn.cli.errors import BadArgument
from npstn.data import SOURCES, pictures
from npstn.models import MOST_PARALLEL, NETWORKS
from npstn.runs import Config, frames
from npstn.runs.config import relative_to_run
from npstn.runs.folder import WEIGHTS, MetricsFile
from npstn.tasks import TASKS, Pictures, Task
from npstn.training import COLUMNS, RECIPES, Epoch, State, Step, evaluate, look, train
from npstn.training.first_start import compile_at_first_start
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
    side = "how many transformers read the images side by side; 1"
    parser.add_argument("--parallel", type=several, metavar="N", help=side)
    networks = "the networks: the blog post's, the default, or the paper's CNN or FCN"
    parser.add_argument("--network", choices=tuple(NETWORKS), help=networks)
    recipes = "fast, the default, or as in the blog post, or as in tps_stn_pytorch"
    parser.add_argument("--recipe", choices=tuple(RECIPES), help=recipes)
    parser.add_argument("--epochs", type=arguments.COUNT, metavar="N", help=_recipes("epochs"))
    parser.add_argument("--batch-size", type=arguments.COUNT, metavar="N", help=_recipes("batch_size"))
    rate = arguments.number(float, 1e-12, 1e3, "a learning rate above 0")
    parser.add_argument("--lr", type=rate, metavar="X", help=_recipes("lr") + "; fast: the highest of its cycle")
    parser.add_argument("--seed", type=arguments.NATURAL, metavar="N", help="of all random numbers; 0 by default")
    parser.add_argument("--out", type=Path, metavar="RUN", help="the run folder to write; runs/TIME by default")
    parser.add_argument("--force", action="store_true", default=None, help="replace the run that is there")
    onward = "go on with a run that was stopped, from its last checkpoint and with its own recipe"
    parser.add_argument("--resume", type=Path, metavar="RUN", help=onward)
    minutes = arguments.number(float, 0, 1e6, "minutes, at least 0")
    often = "save the run after each epoch, and within one every M minutes; 5 by default"
    parser.add_argument("--checkpoint-minutes", type=minutes, default=5.0, metavar="M", help=often)
    arguments.add_threads(parser)
    parser.set_defaults(run=run)


def _recipes(field: str) -> str:
    defaults = (f"{getattr(recipe, field):g} ({name})" for name, recipe in RECIPES.items())
    return " or ".join(defaults) + " by default"


def run(options: argparse.Namespace) -> None:
    resuming = options.resume is not None
    out, config, task = _resumed(options) if resuming else _started(options)
    recipe = config.recipe
    compile_at_first_start(config.model, dataclasses.asdict(recipe))
    npstn.manual_seed(config.seed)
    net = config.build_net()
    state = State(net, recipe, len(task))
    columns = (*COLUMNS, *task.measured)
    if resuming:
        runs.load_checkpoint(out, config, state, columns)
        runs.tidy(out)
    else:
        _keep_frame(out, 0, net, task)
    finished = len(state.epochs) == recipe.epochs
    doing = f"going on {state.place()}: training" if resuming else "training"
    if finished:
        doing = "this run has been trained to its end:"
    say(f"{doing} {_kind(config)} on {task.summary(len(task))}; run: {out}")
    with runs.Saver(out, config, state, options.checkpoint_minutes) as saver:
        saver.save()
        if finished:  # the run may have been killed before it could write everything
            npstn.save(net.state_dict(), out / WEIGHTS)
        score = None
        with MetricsFile(out, columns, state.epochs) as metrics:
            for event in _with_a_bar(train(net, task, recipe, state), state, len(task)):
                if isinstance(event, Step):
                    saver.after_step()
                    continue
                score = event.score
                metrics.add(event.row)
                npstn.save(net.state_dict(), out / WEIGHTS)
                _keep_frame(out, len(state.epochs), net, task)
                say(line(event, recipe.epochs, task))
                alarm = task.alarm(task.test(), score.found)
                if alarm:
                    say(f"warning: {alarm}")
                saver.save()  # last: a run that is killed before this does the epoch's end again
        score = score or evaluate(net, task.test())  # nothing was left to train: only the score is missing
        say(f"test accuracy {score.accuracy:.2f} % after {recipe.epochs} epoch{'s' * (recipe.epochs > 1)}")
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


def _with_a_bar(events: Iterator[Step | Epoch], state: State, images: int) -> Iterator[Step | Epoch]:
    """The same events, with a progress bar for each epoch; no bar where nobody is looking, in a log file."""
    bar = None
    for event in events:
        if isinstance(event, Step):
            if bar is None:
                epoch = f"epoch {len(state.epochs) + 1}"
                done = min((state.steps - 1) * event.images, images)
                bar = tqdm(total=images, initial=done, unit=" images", desc=epoch, leave=False, disable=None)
            bar.set_postfix(loss=f"{event.loss:.3f}", refresh=False)
            bar.update(event.images)
        elif bar is not None:
            bar.close()
            bar = None
        yield event


def _keep_frame(out: Path, epoch: int, net: nn.Module, task: Task) -> None:
    """Keep what the transformers hand on after an epoch (0: before the first), for training.gif."""
    looks = look(net, task.few())
    if looks:
        frames.keep(out, epoch, np.concatenate([seen.V.data for _, seen in looks]))


def _kind(config: Config) -> str:
    kind, several = config.model["transformer"], config.model["parallel"]
    if kind == "none":
        return "a classifier without a transformer"
    a = "an" if kind[0] in "aeiou" else "a"
    return f"a classifier behind {a if several == 1 else several} {kind} transformer{'s' * (several > 1)}"


def _started(options: argparse.Namespace) -> tuple[Path, Config, Task]:
    """A new run, as the options have it."""
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
    given = {name: getattr(options, name) for name in ("epochs", "batch_size", "lr")}
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
        raise BadArgument(f"argument --network: {error}; --network fcn takes images of any size") from None
    data_sha256 = source.sha256()
    out = _open_run(options.out, options.force)
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
    return out, config, task


def _resumed(options: argparse.Namespace) -> tuple[Path, Config, Task]:
    """A run that is there, as it was started."""
    for name in (*DEFAULTS, *SETTINGS, "epochs", "batch_size", "lr", "out", "force"):
        if getattr(options, name) is not None:
            option = f"--{name.replace('_', '-')}"
            raise BadArgument(f"argument --resume: goes on with a run as it was started; expected no {option}")
    arguments.set_threads(options.threads)
    out = options.resume
    config = runs.read_config(out)
    task = arguments.open_task(config, out, options.data_dir)
    if task.source.sha256() != config.data_sha256:
        raise runs.RunError(f"expected the images that the run in {out} was started with, got others (SHA-256)")
    before = config.versions
    others = [f"{name} {before.get(name)}, not {now}" for name, now in _versions().items() if before.get(name) != now]
    if others:
        say(f"note: the run was started with {'; '.join(others)}: its last digits may differ")
    return out, config, task


def _versions() -> dict[str, str]:
    return {
        "npstn": npstn.__version__,
        "numpy": np.__version__,
        "numba": numba.__version__,
        "scipy": scipy.__version__,
        "python": platform.python_version(),
    }


def _open_run(out: Path | None, force: bool | None) -> Path:
    out = out or Path("runs", datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S"))
    try:
        runs.create(out, replace=bool(force))
    except runs.RunExists as error:
        raise BadArgument(f"argument {'--force' if force else '--out'}: {error}") from None
    return out
