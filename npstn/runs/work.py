"""The work in a run folder: training that keeps its numbers, weights and frames there."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path

import numpy as np

import npstn
from npstn import nn
from npstn.runs import frames
from npstn.runs.config import Config
from npstn.runs.events import EventFile
from npstn.runs.folder import WEIGHTS, MetricsFile
from npstn.runs.saver import Saver
from npstn.runs.steps import StepsFile
from npstn.tasks import Task
from npstn.training import COLUMNS, Epoch, State, Step, look, train


def at_its_start(config: Config, task: Task) -> State:
    """The training of a run before its first step; sets the library's random numbers."""
    npstn.manual_seed(config.seed)
    return State(config.build_net(), config.recipe, len(task))


def work(
    saver: Saver, task: Task, log_steps: int | None = None, tensorboard: bool = False
) -> Generator[Step | Epoch, None, None]:
    """Train a run in its folder, from where it stands to its end, and write all its files but config.json and pictures.

    What an event stands for is saved when the next one is asked for. Who stops in between calls `saver.save()`.

    Args:
        saver: of the run; entered by the caller.
        log_steps: write a line into steps.csv every so many steps.
        tensorboard: write event files.
    """
    out, recipe, state = saver.folder, saver.config.recipe, saver.state
    net, steps = state.evaluated, -(-len(task) // recipe.batch_size)
    if not state.steps_since_start():
        _keep_frame(out, state, net, task)
    saver.save()
    if state.over(recipe):  # the run may have been killed before it could write everything
        npstn.save(net.state_dict(), out / WEIGHTS)
    with MetricsFile(out, (*COLUMNS, *task.measured), state.epochs) as metrics, contextlib.ExitStack() as others:
        log = others.enter_context(StepsFile(out, log_steps, state)) if log_steps else None
        board = others.enter_context(EventFile(out, state.epochs, log.kept if log else ())) if tensorboard else None
        for event in train(state.net, task, recipe, state):
            if isinstance(event, Step):
                logged = log.after_step(event.lr) if log else None
                if board and logged:
                    board.add_steps(logged)
                if not state.epochs and frames.is_early(state.steps, steps):
                    _keep_frame(out, state, net, task)  # before a checkpoint that a resumed run goes on from
                yield event
                saver.after_step()
            else:
                metrics.add(event.row)
                if board:
                    board.add_epoch(event.row)
                npstn.save(net.state_dict(), out / WEIGHTS)
                _keep_frame(out, state, net, task)
                yield event
                saver.save()  # last: a run that is killed before this does the epoch's end again


def _keep_frame(out: Path, state: State, net: nn.Module, task: Task) -> None:
    """Keep what the transformers hand on at this point of the training, for training.gif."""
    looks = look(net, task.few())
    if looks:
        moment = frames.Moment(len(state.epochs), state.steps)
        frames.keep(out, moment, np.concatenate([seen.V.data for _, seen in looks]))
