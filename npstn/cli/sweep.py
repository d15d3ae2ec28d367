"""`npstn sweep`: train many runs, as many at once as there are cores, here or on a cluster."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from npstn import runs
from npstn.cli import arguments, grid, run_options
from npstn.cli.arguments import say
from npstn.cli.errors import BadArgument
from npstn.cli.sweep_display import Display, counted
from npstn.runs import comparison
from npstn.runs.sweep import Run, Sweep
from npstn.storage import write_whole

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from distributed import Client

PATIENCE = 5.0  # seconds in which a scheduler must answer
START = 60.0  # seconds in which a worker of this machine should have come up
TABLES = {"table.txt": comparison.table, "table.csv": comparison.as_csv, "table.md": comparison.markdown}
PICTURE = "errors.png"
# Dask's own statistics, which nobody sees here: at its intervals of 10 and 20 ms, nearly a tenth of two cores.
RARELY = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "10s",
}
NEEDED = 'a sweep needs packages: pip install "npstn[sweep]"'


class GridParser(arguments.Parser):
    """Reads the options of one grid of a file."""

    def __init__(self, path: Path) -> None:
        super().__init__(add_help=False)
        self.path = path
        _add_grid(self)

    def error(self, message: str) -> NoReturn:
        raise BadArgument(f"{self.path}: {message}")


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    what = "train many runs, one thread each: all combinations of the options that have several values"
    parser = subparsers.add_parser("sweep", help=what)
    file = "a TOML file with grids of options; what is given here takes the place of what stands there"
    parser.add_argument("file", type=arguments.path, nargs="?", metavar="FILE", help=file)
    _add_grid(parser)
    out = "the folder of the run folders; where it is there, its runs go on"
    parser.add_argument("--out", type=arguments.path, required=True, metavar="FOLDER", help=out)
    most = "how many runs at once on this machine; one for each core by default"
    parser.add_argument("--workers", type=arguments.COUNT, metavar="N", help=most)
    scheduler = "a Dask scheduler, such as tcp://host:8786, whose workers take the runs: docs/sweep.md"
    parser.add_argument("--scheduler", metavar="ADDRESS", help=scheduler)
    arguments.add_checkpoint_minutes(parser)
    parser.set_defaults(run=run)
    parser.words = {}


def _add_grid(parser: argparse.ArgumentParser) -> None:
    run_options.add(parser, several=True)
    seeds = "train each run with the seeds 0 to N-1"
    parser.add_argument("--seeds", type=arguments.COUNT, metavar="N", help=seeds)


def run(options: argparse.Namespace) -> int:
    try:
        import distributed  # noqa: F401  (a sweep comes without it no further than this)
    except ImportError:
        raise BadArgument(NEEDED) from None
    configs, sources = grid.configurations(grids(options))
    if options.scheduler is not None and options.workers is not None:
        raise BadArgument("argument --workers: goes with this machine, not with --scheduler")
    if options.out.exists() and not options.out.is_dir():
        raise BadArgument(f"argument --out: expected a folder, got the file {options.out}")
    _check_that_nothing_is_overwritten(options.out)
    options.out.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as until_the_end:
        until_the_end.enter_context(runs.locked(options.out))
        from npstn.figures.run import draw_run  # here, because importing matplotlib takes a while

        sweep = Sweep(options.out, configs, sources, options.checkpoint_minutes, draw_run)
        if any(not run.done for run in sweep.runs):
            _train(sweep, options)
        else:
            say(f"{counted(len(sweep.runs), 'run')}, all done before; folder: {options.out}")
        return _conclude(sweep, options.out)


def _check_that_nothing_is_overwritten(out: Path) -> None:
    """A folder with a file of the name of a table, and without any run, is not one of a sweep."""
    there = [name for name in (*TABLES, PICTURE) if (out / name).exists()]
    if there and not any(runs.is_run(folder) for folder in out.iterdir()):
        got = f"{out} with {there[0]}, which would be overwritten: remove it, or choose another folder"
        raise BadArgument(f"argument --out: expected the folder of a sweep or a new one, got {got}")


def grids(options: argparse.Namespace) -> list[argparse.Namespace]:
    """The grids of the file, each with the options that were given in place of its own.

    A task that was given chooses the grids that have it; if none has it, it takes the place of theirs.
    """
    names = *run_options.NAMES, "seeds"
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if {"seed", "seeds"} <= given.keys():
        raise BadArgument("argument --seeds: expected no --seed next to it")
    if options.file is None:
        return [argparse.Namespace(**{**dict.fromkeys(names), **given})]
    of_file = [vars(GridParser(options.file).parse_args(words)) for words in grid.read(options.file)]
    for one in of_file:
        if {"seed", "seeds"} & given.keys():
            one["seed"] = one["seeds"] = None
    replaced = [{**one, **given} for one in of_file]
    asked, of_each = given.get("task", []), [one["task"] or [run_options.DEFAULTS["task"]] for one in of_file]
    if there := {task for tasks in of_each for task in tasks} & set(asked):  # a part of the file
        for task in asked:
            if task not in there:
                raise BadArgument(f"argument --task: expected tasks of {options.file}, got {task} among them")
        chosen = [[task for task in tasks if task in asked] for tasks in of_each]
        replaced = [{**one, "task": own} for one, own in zip(replaced, chosen, strict=True) if own]
    return [argparse.Namespace(**one) for one in replaced]


def _train(sweep: Sweep, options: argparse.Namespace) -> None:
    """Train what is not done. A Ctrl-C or a SIGTERM ends it; what workers have given back is there."""
    done = sum(run.done for run in sweep.runs)
    found = f", {done} of them done before" if done else ""
    _allow_open_files(len(sweep.runs))
    handler = signal.signal(signal.SIGTERM, _interrupt)
    try:
        say(f"{counted(len(sweep.runs), 'run')}{found}; folder: {options.out}")
        with _client(options) as client:
            display = Display(sweep)
            try:
                for event in sweep.go(client):
                    display.show(event)
            except KeyboardInterrupt:
                logging.disable(logging.CRITICAL)  # Dask says of each of its processes that it was ended
                raise
            finally:
                display.close()
                sweep.close(client)
    except KeyboardInterrupt as error:
        number = signal.SIGTERM if error.args else signal.SIGINT
        done = sum(run.done for run in sweep.runs)
        how = "the same command again goes on"
        raise runs.Stopped(f"stopped; {done} of {len(sweep.runs)} runs are done; {how}", number) from None
    finally:
        signal.signal(signal.SIGTERM, handler)
        logging.disable(logging.NOTSET)


def _allow_open_files(count: int) -> None:
    """Each run that is not done holds the lock of its folder open: often no more than 1,024 may be."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 512  # Dask's connections, files that are written, modules
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(number)


@contextlib.contextmanager
def _client(options: argparse.Namespace) -> Iterator[Client]:
    """A client of the scheduler that was named, or of a cluster of processes on this machine."""
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "critical")  # of the workers: what they log, we say in one line
    import dask
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.ERROR)
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    if options.scheduler is not None:
        try:
            client = Client(options.scheduler, timeout=PATIENCE)
        except Exception as error:  # noqa: BLE001 - each kind of connection raises others, and so does TLS
            what = f"expected the address of a Dask scheduler that answers, got {options.scheduler}"
            raise BadArgument(f"argument --scheduler: {what} ({' '.join(str(error).split())})") from None
        with client:
            yield client
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.ExitStack() as until_the_end:
        until_the_end.enter_context(dask.config.set(RARELY))
        with _without_sigint():
            try:
                cluster = LocalCluster(
                    n_workers=0,
                    threads_per_worker=1,
                    memory_limit=0,  # a run's memory does not grow
                    dashboard_address="127.0.0.1:0",  # None takes port 8787 too, and warns where another sweep has it
                    silence_logs=logging.ERROR,
                )
            except RuntimeError as error:  # where TLS is asked for, say, and its certificates are not there
                why = " ".join(str(error).split())
                raise runs.RunError(f"Dask cannot start a scheduler here: {why}; see ~/.config/dask") from None
        until_the_end.enter_context(cluster)
        client = until_the_end.enter_context(Client(cluster))
        cluster.scale(options.workers or cores)
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):  # then the sweep says that it waits
            client.wait_for_workers(1, timeout=START)
        yield client


@contextlib.contextmanager
def _without_sigint() -> Iterator[None]:
    """Threads that start inside, and the processes that they start later, never see a Ctrl-C.

    A terminal sends it to all processes of a command. The workers are ended by the command, not by the terminal: else
    Dask takes them for dead, waits for them and starts others. A Ctrl-C that comes inside takes effect at the end.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # it unblocks the signal in the thread that starts it, so it must be there before
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _is_readable(run: Run) -> bool:
    """Whether a run can stand in the table; if not, it has failed."""
    try:
        comparison.read([run.folder])
    except runs.RunError as error:
        run.error = str(error)
    return not run.error


def _conclude(sweep: Sweep, out: Path) -> int:
    """Write and print the table of the runs that are done, then list those that failed. Returns the exit status."""
    done = [run.folder for run in sweep.runs if run.done and _is_readable(run)]
    if done:
        groups = comparison.read(done)
        say(comparison.table(groups))
        for name, write in TABLES.items():
            write_whole(out / name, write(groups).encode())
            say(str(out / name))
        from npstn.figures.errors import errors

        arguments.write_figure(errors(groups), out / PICTURE)
    failed = [run for run in sweep.runs if run.error]
    for run in failed:
        print(f"npstn: {run.name}: {run.error}", file=sys.stderr)
    if failed:
        again = "the same command again tries only them; to train one afresh, remove its folder"
        print(f"npstn: error: {len(failed)} of {len(sweep.runs)} runs failed; {again}", file=sys.stderr)
    return 1 if failed else 0
