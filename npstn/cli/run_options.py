"""The options that say what a run is, and the configuration that follows from them."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
from pathlib import Path
from typing import Any

from npstn import models
from npstn.cli import arguments
from npstn.cli.errors import BadArgument
from npstn.data import SOURCES, Source, pictures
from npstn.models import MOST_PARALLEL, NETWORKS
from npstn.runs import Config
from npstn.runs.config import versions
from npstn.tasks import TASKS, Pictures, Task
from npstn.training import RECIPES, WEIGHT_DECAYS
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
OF_TASKS, OF_TRANSFORMERS = arguments.all_settings(TASKS), arguments.all_settings(TRANSFORMERS)
OF_RECIPE = "optimizer", "epochs", "batch_size", "lr", "localiser_factor", "curriculum", "weight_decay", "patience"
NAMES = (*DEFAULTS, "data_dir", *OF_TASKS, *OF_TRANSFORMERS, *OF_RECIPE)

Sources = dict[tuple, tuple[Source, str]]  # what was asked for -> the source, and its hash


def add(parser: argparse.ArgumentParser, several: bool = False) -> None:
    """Add the options; with `several`, each takes several values."""
    add_argument = functools.partial(parser.add_argument, nargs="+") if several else parser.add_argument
    names = ", ".join(name for name in TASKS if name != Pictures.name)
    tasks = f"{names}: how digits are distorted; rotated by default; or pictures of your own: a folder, or an .npz"
    add_argument("--task", type=arguments.task, help=tasks)
    auto = "drawn: digits drawn by the program; auto, the default: mnist if at hand or downloadable, else drawn"
    add_argument("--data", choices=("auto", *SOURCES), help=auto)
    arguments.add_data_dir(parser)
    kinds = "the map that undoes the distortion; rotation by default; none: the classifier alone"
    add_argument("--transformer", choices=(*TRANSFORMERS, "none"), help=kinds)
    arguments.add_settings(parser, TASKS, several=several)
    arguments.add_settings(parser, TRANSFORMERS, several=several)
    count = arguments.number(int, 1, MOST_PARALLEL, f"a whole number from 1 to {MOST_PARALLEL}")
    side = "how many transformers read the images side by side; 1 by default"
    add_argument("--parallel", type=count, metavar="N", help=side)
    networks = "the networks: the blog post's, the default, or the paper's CNN or FCN"
    add_argument("--network", choices=tuple(NETWORKS), help=networks)
    recipes = "fast, the default, or as in the blog post, in the paper (but in smaller batches), or in tps_stn_pytorch"
    add_argument("--recipe", choices=tuple(RECIPES), help=recipes)
    changes = "what changes the weights; muon is AdamW but for filters; muon (fast) or sgd by default"
    add_argument("--optimizer", choices=tuple(WEIGHT_DECAYS), help=changes)
    add_argument("--epochs", type=arguments.COUNT, metavar="N", help=_of_recipes("epochs"))
    add_argument("--batch-size", type=arguments.COUNT, metavar="N", help=_of_recipes("batch_size"))
    until = "stop after N epochs in a row without a better test accuracy; with fast, while the rate is high"
    add_argument("--patience", type=arguments.COUNT, metavar="N", help=until)
    rate = arguments.number(float, 1e-12, 1e3, "a learning rate above 0 and at most 1000")
    add_argument("--lr", type=rate, metavar="X", help=_of_recipes("lr") + "; fast: the highest of its cycle")
    times = arguments.number(float, 1e-12, 1e3, "how many times --lr, above 0 and at most 1000")
    factor = RECIPES["fast"].localiser_factor
    slower = f"the learning rate of localisation networks is X times --lr; by default 1, for fast {factor:g}, "
    hard = {name: factor * task.localiser_factor for name, task in TASKS.items() if task.localiser_factor != 1}
    slower += "but " + " and ".join(f"{x:g} ({name})" for name, x in hard.items())
    add_argument("--localiser-factor", type=times, metavar="X", help=slower)
    share = arguments.number(float, 0, 1, "a share of the steps, from 0 to 1")
    growing = "over which share of the steps the distortions grow from none to their whole; 0 by default"
    add_argument("--curriculum", type=share, metavar="X", help=growing)
    decay = arguments.number(float, 0, 1e3, "a weight decay from 0 to 1000")
    usual = ", ".join(f"{usual:g} ({name})" for name, usual in WEIGHT_DECAYS.items())
    shrinking = f"a step shrinks each weight by X times its learning rate; by default {usual}"
    add_argument("--weight-decay", type=decay, metavar="X", help=shrinking)
    add_argument("--seed", type=arguments.NATURAL, metavar="N", help="of all random numbers; 0 by default")


def _of_recipes(field: str) -> str:
    defaults = (f"{getattr(recipe, field):g} ({name})" for name, recipe in RECIPES.items())
    return " or ".join(defaults) + " by default"


def is_path(task: str | None) -> bool:
    """Whether a --task is the path of the user's pictures."""
    return task is not None and task not in TASKS.keys() - {Pictures.name}


def configure(options: argparse.Namespace, sources: Sources) -> tuple[Config, Task]:
    """What a new run is, as its options have it, and its task.

    The data folder of the configuration is the one that was named, not yet relative to a run folder.

    Args:
        options: one value for each of `NAMES`, None for those not given; these get their defaults here.
        sources: those found so far, so that several runs share their images; this adds to it.

    Raises BadArgument where the options do not go together, DataError where there are no images.
    """
    own = is_path(options.task)
    for name in ("data", "data_dir") if own else ():
        if getattr(options, name) is not None:
            option = arguments.option(name)
            raise BadArgument(f"argument {option}: goes with tasks of digits; the pictures come from {options.task}")
    for name, value in DEFAULTS.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    kind = Pictures.name if own else options.task
    settings = arguments.given_settings(options, TASKS, kind)
    if own and options.curriculum and not settings.get("angle"):
        raise BadArgument("argument --curriculum: goes with distortions; your pictures have none without --angle")
    if options.transformer == "none" and options.parallel > 1:
        raise BadArgument("argument --parallel: goes with a transformer, not with none")
    of_transformer = arguments.given_settings(options, TRANSFORMERS, options.transformer)
    if options.transformer != "none":
        of_transformer = TRANSFORMERS[options.transformer](**of_transformer).chosen
    if options.transformer == "none":
        if options.localiser_factor is not None:
            raise BadArgument("argument --localiser-factor: goes with a transformer, not with none")
    elif options.localiser_factor is None and (options.optimizer or RECIPES[options.recipe].optimizer) != "sgd":
        options.localiser_factor = RECIPES[options.recipe].localiser_factor * TASKS[kind].localiser_factor
    given = {name: getattr(options, name) for name in OF_RECIPE}
    recipe = dataclasses.replace(RECIPES[options.recipe], **{k: v for k, v in given.items() if v is not None})
    size = int(settings.get("size", 0)) or None
    wanted = (options.task, size) if own else (options.data, options.data_dir)
    if wanted not in sources:
        source = pictures(options.task, size) if own else arguments.find_source(options.data, options.data_dir)
        sources[wanted] = source, source.sha256()
    source, sha256 = sources[wanted]
    # Also the folder that the variable names now: later it may name another one, or none.
    of_mnist: Any = options.data_dir or os.environ.get("NPSTN_DATA_DIR") or None
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
    config = Config(
        task={"name": task.name, "source": source.name, **task.chosen},
        model=model,
        recipe=recipe,
        recipe_name=options.recipe,
        seed=options.seed,
        data_folder=None if data_folder is None else str(Path(data_folder)),
        data_sha256=sha256,
        versions=versions(),
        classes=task.classes if own else (),
    )
    return config, task
