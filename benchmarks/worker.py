"""A process for each library, and the turns that they take.

npstn tells the C library to keep freed memory, and both libraries have threads that wait in a loop for more work: in
one process each would run differently from how its users have it. So each has a process of its own, and only one runs
at a time.
"""

from __future__ import annotations

import importlib
import importlib.util
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from benchmarks.cases import Case, Timed

LIBRARIES = ("npstn", "torch")
BLOCK = 0.03  # seconds that one library runs before it is the other's turn
REST = 0.01  # seconds between two turns, in which the threads of the one that ran stop waiting for work
TURNS = 31


def installed() -> list[str]:
    """The libraries that can be timed here: npstn, and PyTorch if it is there."""
    return [library for library in LIBRARIES if library == "npstn" or importlib.util.find_spec(library)]


class Worker:
    """One library in a process of its own, with cases open in it, to be used in a `with`."""

    def __init__(self, library: str, threads: int) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would share what the parent has loaded
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, library, threads), daemon=True)
        self._process.start()
        other.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: Any) -> None:
        self._pipe.close()
        self._process.join()

    def loaded(self) -> list[str]:
        """Which of the libraries are in that process."""
        return self._ask("loaded")

    def open(self, name: str, case: Case) -> list[np.ndarray]:
        """Make a case ready under a name, run it once, and return its result."""
        return self._ask("open", name, case.timed, case.arguments)

    def block(self, name: str, calls: int) -> float:
        """The median time, in seconds, of so many calls of a case, after one that does not count."""
        return self._ask("block", name, calls)

    def close(self) -> None:
        """Forget all cases."""
        self._ask("close")

    def _ask(self, *request: Any) -> Any:
        self._pipe.send(request)
        return self._pipe.recv()


def _serve(pipe: Connection, library: str, threads: int) -> None:
    """What a worker's process does: answer until the pipe is closed."""
    side = importlib.import_module(f"benchmarks.{library}_side")
    side.set_num_threads(threads)
    opened: dict[str, Timed] = {}

    def open_case(name: str, timed: str, arguments: tuple[Any, ...]) -> list[np.ndarray]:
        opened[name] = case = getattr(side, timed)(*arguments)
        return case.result(case.run(case.prepare()))

    def block(name: str, calls: int) -> float:
        case, took = opened[name], []
        for _ in range(calls + 1):
            given = case.prepare()
            start = time.perf_counter()
            case.run(given)
            took.append(time.perf_counter() - start)
        return float(np.median(took[1:]))

    answers: dict[str, Callable[..., Any]] = {
        "open": open_case,
        "block": block,
        "close": opened.clear,
        "loaded": lambda: [name for name in LIBRARIES if name in sys.modules],
    }
    while True:
        try:
            what, *arguments = pipe.recv()
        except EOFError:
            return
        pipe.send(answers[what](*arguments))


def compare(results: list[list[np.ndarray]]) -> None:
    """Raise AssertionError unless what the libraries computed is equal, but for the order in which sums are added."""
    for ours, theirs in zip(results[0], results[-1], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5 * max(np.abs(theirs).max(), 1))


def take_turns(blocks: Iterable[Callable[[int], float]], turns: int = TURNS) -> list[list[float]]:
    """Of each of several workers or cases, the time of a call in each turn, in seconds.

    `blocks` take a number of calls and return the time of one. They run one after the other, forth and back, so that
    whatever slows the machine down for a while meets all of them.
    """
    blocks = list(blocks)
    calls = [max(1, int(BLOCK / block(1))) for block in blocks]
    times: list[list[float]] = [[] for _ in blocks]
    for turn in range(turns):
        for i in range(len(blocks))[:: 1 if turn % 2 else -1]:
            time.sleep(REST)
            times[i].append(blocks[i](calls[i]))
    return times


def duel(case: Case, workers: dict[str, Worker], turns: int = TURNS) -> dict[str, list[float]]:
    """Compare the results of a case; then time it in each library, in alternation: seconds a call, turn by turn."""
    compare([worker.open(case.name, case) for worker in workers.values()])
    blocks = [lambda calls, worker=worker: worker.block(case.name, calls) for worker in workers.values()]
    times = take_turns(blocks, turns)
    for worker in workers.values():
        worker.close()
    return dict(zip(workers, times, strict=True))
