"""A sweep: many runs in one folder, handed out in legs to the workers of a Dask cluster.

The run folders belong to this process. A worker gets the files of a run, takes the run to the end of its epoch, and
gives the files back: see `leg`. So there is no shared disk, and what this process has written is what a run goes on
from: after the death of a worker, with another one; after the death of this process, with the next sweep into the same
folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from npstn import storage
from npstn.data import DataError, Source, shared
from npstn.messages import one_line
from npstn.runs import config as config_file
from npstn.runs.config import Config, read_config, versions, write_config
from npstn.runs.errors import RunError
from npstn.runs.folder import BEST, CHECKPOINT, FILES, PICTURES, tidy
from npstn.runs.leg import Files, NotReady, OtherVersions, forget, leg, missing, receive
from npstn.runs.lock import FILE as LOCK
from npstn.runs.lock import locked
from npstn.storage import write_whole

if TYPE_CHECKING:
    from distributed import Client, Future

LAST = PICTURES[0]  # a run is done when this file is there: it is written after all others
INCIDENTAL = "versions", "data_folder"  # entries of config.json that may differ where a run goes on
TICK = 1.0  # seconds
DEATHS = 5  # so many workers one after the other may die of a run, or with it


class Run:
    """A run of a sweep.

    Attributes:
        name: of its folder.
        epochs: the rows of metrics.csv of those that are done.
        done: whether it is.
        error: the line that says why it could not go on, or "".
        deaths: how many workers have died since it came on last.
    """

    def __init__(self, name: str, folder: Path, config: Config) -> None:
        self.name, self.folder, self.config = name, folder, config.below(folder)
        self.epochs: list[dict[str, float]] = []
        self.done, self.error, self.deaths = False, "", 0

    def find(self) -> None:
        """Look where the run stands. Raises RunError where the folder holds another run."""
        if not config_file.is_run(self.folder):
            if self.folder.is_dir() and set(self.folder.iterdir()) - {self.folder / LOCK, *self._leftovers()}:
                got = f"{self.folder}, with other files in it"
                raise RunError(f"expected a run folder, got {got}: choose another --out")
            return
        there, wanted = (_compared(config) for config in (read_config(self.folder), self.config))
        for name in dict.fromkeys((*wanted, *there)):
            if there.get(name) != wanted.get(name):
                got = f"{name} {there.get(name)} in {self.folder}"
                raise RunError(f"expected {name} {wanted.get(name)}, got {got}: choose another --out for these runs")
        self.epochs = self._saved_epochs()
        recipe = self.config.recipe
        over = len(self.epochs) >= recipe.epochs or recipe.out_of_patience(self.epochs)
        self.done = over and (self.folder / LAST).exists()

    def begin(self) -> None:
        """Look where the run stands, and begin it if it is not there. The caller has locked its folder."""
        self.find()
        if not config_file.is_run(self.folder):
            write_config(self.folder, self.config)
        tidy(self.folder)

    def other_versions(self) -> str:
        """A note where a run goes on that was begun with other versions; "" where all is well."""
        before, now = read_config(self.folder).versions, versions()
        others = [f"{name} {before.get(name)}, not {now[name]}" for name in now if before.get(name) != now[name]]
        if not others or not self.epochs:
            return ""
        return f"{self.name} was begun with {'; '.join(others)}: it will end with other weights than there"

    def _leftovers(self) -> list[Path]:
        return storage.leftovers(self.folder, FILES)

    def _saved_epochs(self) -> list[dict[str, float]]:
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):  # a worker will say what is wrong
            return list(storage.read_notes(self.folder / CHECKPOINT)["state"]["epochs"])
        return []

    def files(self) -> Files:
        """What a leg needs: all but the pictures and the event files."""
        kept = (self.folder / name for name in FILES if name not in PICTURES)
        return {path.name: path.read_bytes() for path in kept if path.is_file()}

    def take(self, files: Files) -> None:
        """Write what a leg has given, such that a run that is killed in between goes on from the old or the new."""
        last = (CHECKPOINT, BEST, *reversed(PICTURES))
        for name in sorted(files, key=lambda name: last.index(name) if name in last else -1):
            write_whole(self.folder / name, files[name])
        self.epochs = self._saved_epochs()
        self.done, self.deaths = LAST in files, 0


def _compared(config: Config) -> dict[str, Any]:
    """The entries that make a run what it is, by a name for a person."""
    entries = {name: value for name, value in config.as_json().items() if name not in (*INCIDENTAL, "format")}
    entries["recipe"] = dataclasses.asdict(config.recipe)  # config.json leaves out what has its default
    flat: dict[str, Any] = {}
    for name, value in entries.items():
        flat |= {f"{name} {key}": part for key, part in value.items()} if isinstance(value, dict) else {name: value}
    return flat


class WorkerDied(Exception):
    """The worker of a leg died when it had ended, before its files were here."""


class Told(NamedTuple):
    """Something about the sweep that the user should know, in one line."""

    line: str


class Sweep:
    """The runs of a sweep, and how they are handed out.

    Args:
        out: the folder, which the caller has locked.
        configs: what each run is, by the name of its folder.
        sources: the images, by their hash.
        minutes: how long a leg takes at most.
        finish: see `leg`.

    Attributes:
        runs: in order; running: those that a worker has; workers: how many there are.

    Raises RunError where a folder holds another run.
    """

    def __init__(
        self,
        out: Path,
        configs: Mapping[str, Config],
        sources: Mapping[str, Source],
        minutes: float,
        finish: Callable[..., Any],
    ) -> None:
        self.runs = [Run(name, out / name, config) for name, config in configs.items()]
        for run in self.runs:
            run.find()
        self.sources, self.minutes, self.finish = sources, minutes, finish
        self.running: dict[Future, tuple[Run, str]] = {}  # and the worker that it was given to
        self._told_none = False
        self._accepted: dict[str, bool] = {}  # a worker's address -> whether it is used

    @property
    def workers(self) -> int:
        return sum(self._accepted.values())

    def go(self, client: Client) -> Iterator[Run | Told | None]:
        """Train all runs; gives a run when it has come on, what is to be told, and None about every second.

        Raises RunError where the cluster is lost, and where none of its workers can be used.
        """
        with contextlib.ExitStack() as locks, _unless_lost(client, CancelledError):
            waiting = deque(run for run in self.runs if self._lock(run, locks))
            yield from (run for run in self.runs if run.error)
            yield from (Told(note) for note in map(Run.other_versions, waiting) if note)
            while waiting or self.running:
                with _unless_lost(client, OSError):
                    yield from self._accept(client)
                yield from self._give_up_the_dead(waiting)
                busy = {address for _, address in self.running.values()}
                for address in [address for address, used in self._accepted.items() if used and address not in busy]:
                    if waiting:
                        self._submit(client, waiting.popleft(), address)
                yield None
                for future in self._ended():
                    run, address = self.running.pop(future)
                    try:
                        files = fetch(client, future, address)
                    except NotReady:  # its worker has died, and another one has the same address
                        self._accepted.pop(address, None)
                        waiting.appendleft(run)
                        continue
                    except WorkerDied:
                        yield from self._take_back(run, waiting)
                        continue
                    except CancelledError:
                        raise
                    except Exception as error:  # noqa: BLE001 - the other runs go on
                        run.error = _one_line(error)
                    else:
                        if LAST not in files:  # before they are written: the worker need not wait
                            self._submit(client, run, address, files)
                        try:
                            run.take(files)
                        except OSError as error:
                            run.error = f"cannot write the run folder {run.folder}: {error.strerror}"
                            self._stop(run)
                    yield run

    def close(self, client: Client) -> None:
        """Let the workers' machines forget the images."""
        with contextlib.suppress(Exception):  # a worker may be gone
            client.run(forget, list(self.sources), workers=[a for a, used in self._accepted.items() if used])

    def _lock(self, run: Run, locks: contextlib.ExitStack) -> bool:
        """Lock a run's folder; False where there is nothing to do, or another process works in it."""
        if run.done:
            return False
        try:
            run.folder.mkdir(parents=True, exist_ok=True)
            locks.enter_context(locked(run.folder))
            run.begin()
        except RunError as error:
            run.error = str(error)
        except OSError as error:
            run.error = f"cannot write the run folder {run.folder}: {error.strerror}"
        return not run.error and not run.done

    def _accept(self, client: Client) -> Iterator[Told]:
        """Hand the images to workers that are new, and refuse those with other versions."""
        there = client.nthreads()
        for address in self._accepted.keys() - there.keys():
            del self._accepted[address]
        if not there and not self._told_none:
            self._told_none = True
            yield Told(f"waiting for workers: {client.scheduler.address} has none")
        for address in there.keys() - self._accepted.keys():
            try:
                about = {sha256: shared.about(source) for sha256, source in self.sources.items()}
                lacking = client.run(missing, versions(), about, workers=[address])[address]
                if lacking:
                    packed = {sha256: shared.pack(self.sources[sha256]) for sha256 in lacking}
                    client.run(receive, packed, workers=[address])
            except OtherVersions as error:
                self._accepted[address] = False
                yield Told(f"refused worker {address}: it has {error}")
            except CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - a worker without npstn cannot even read what it is asked
                if address not in client.nthreads():  # it is gone again
                    continue
                self._accepted[address] = False
                yield Told(f"refused worker {address}: {_one_line(error)}")
            else:
                self._accepted[address] = True
                self._told_none = False
                if there[address] > 1:
                    how = "start it with --nthreads 1, and with --nworkers for more runs at once"
                    yield Told(f"worker {address} has {there[address]} threads, and does one run at a time: {how}")
        if self._accepted and not self.workers:
            raise RunError(f"expected a worker that can be used at {client.scheduler.address}, got none")

    def _stop(self, run: Run) -> None:
        """Forget the leg that a worker does of a run."""
        for future, (own, _) in list(self.running.items()):
            if own is run:
                del self.running[future]
                future.cancel()

    def _give_up_the_dead(self, waiting: deque[Run]) -> Iterator[Run]:
        """Take back the runs of workers that have died: Dask would wait for another one at the same address."""
        for future, (run, address) in list(self.running.items()):
            if address in self._accepted or future.done():
                continue
            del self.running[future]
            future.cancel()
            yield from self._take_back(run, waiting)

    def _take_back(self, run: Run, waiting: deque[Run]) -> Iterator[Run]:
        """Let another worker have a run whose worker has died; give the run back if too many have."""
        run.deaths += 1
        if run.deaths < DEATHS:
            waiting.appendleft(run)
        else:
            run.error = f"{DEATHS} workers died one after the other: has the machine too little memory?"
            yield run

    def _submit(self, client: Client, run: Run, address: str, given: Files | None = None) -> None:
        """Hand a run to a worker."""
        files = {**run.files(), **{name: content for name, content in (given or {}).items() if name not in PICTURES}}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph")  # some megabytes for some seconds of work
            arguments = files, str(run.folder), versions(), self.minutes, self.finish
            future = client.submit(leg, *arguments, workers=[address], pure=False)
        self.running[future] = run, address

    def _ended(self) -> list[Future]:
        """The legs that have ended, after a second at most."""
        from distributed import wait

        if not self.running:
            time.sleep(TICK)
            return []
        with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
            wait(list(self.running), timeout=TICK, return_when="FIRST_COMPLETED")
        return [future for future in self.running if future.done()]


def fetch(client: Client, future: Future, address: str) -> Files:
    """The files that a leg has given, from the worker that did it; the leg's error where it has failed.

    Raises WorkerDied where the worker has died with them: Dask would wait for another one at its address.
    """
    patience = TICK
    while True:
        try:
            return future.result(timeout=patience)
        except (asyncio.TimeoutError, TimeoutError):
            if future.status == "error":  # it is the leg's own
                raise
            with _unless_lost(client, OSError):
                there = client.nthreads()
            if address not in there:
                future.cancel()
                raise WorkerDied from None
            patience *= 2  # the network is slow: each time it begins anew


@contextlib.contextmanager
def _unless_lost(client: Client, kind: type[Exception]) -> Iterator[None]:
    """Say in one line what such an error means here: that the scheduler no longer answers."""
    try:
        yield
    except kind:
        where = client.scheduler.address
        raise RunError(f"lost the scheduler at {where}: start it, and sweep again to go on") from None


def _one_line(error: Exception) -> str:
    return str(error) if isinstance(error, (RunError, DataError)) else one_line(error)
