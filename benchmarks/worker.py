"""A process for each library, and the turns that they take.

npstn tells the C library to keep freed memory, and both libraries have threads that wait in a loop for more work. In
one process they would disturb each other. So each library has its own process, and only one runs at a time.

Where its arrays lie in memory makes a kernel faster or slower: one convolution took from 0.50 to 0.88 ms. A process
that does the same again finds the same places. So before each turn blocks of random sizes are put in the way.
"""

from __future__ import annotations

import collections
import importlib
import importlib.util
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases import Case, Timed

LIBRARIES = ("npstn", "torch")
BLOCK = 0.03  # seconds that one library runs before it is the other's turn
REST = 0.01  # seconds between two turns: threads that wait for more work give up meanwhile
TURNS, FEWEST = 31, 11
LONGEST = 8.0  # seconds of timed calls of a case: where one call takes long there are fewer turns, down to the fewest
IN_THE_WAY = 16, 2**20  # so many blocks, of at most so many bytes


def installed() -> list[str]:
    """The libraries that can be timed here: npstn, and PyTorch if it is installed."""
    return [library for library in LIBRARIES if library == "npstn" or importlib.util.find_spec(library)]


class Worker:
    """A process that runs cases in one library, for use in a `with`.

    Args:
        path: a folder in which the library is looked for first.
    """

    def __init__(self, library: str, threads: int, path: Path | None = None) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would share what the parent has loaded
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, library, threads, path), daemon=True)
        self._process.start()
        other.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: Any) -> None:
        self._pipe.close()
        self._process.join()

    def loaded(self) -> list[str]:
        """The libraries that the process has imported."""
        return self._ask("loaded")

    def open(self, name: str, case: Case) -> list[np.ndarray]:
        """Prepare a case under a name, run it once, and return its result."""
        return self._ask("open", name, case.timed, case.arguments)

    def block(self, name: str, calls: int) -> float:
        """The median time of so many calls of a case, in seconds, after one call that does not count."""
        return self._ask("block", name, calls)

    def close(self) -> None:
        """Forget all cases."""
        self._ask("close")

    def _ask(self, *request: Any) -> Any:
        self._pipe.send(request)
        answer = self._pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


def _serve(pipe: Connection, library: str, threads: int, path: Path | None) -> None:
    """Run in the worker's process: answer requests until the pipe is closed."""
    there = [name for name in LIBRARIES if name in sys.modules]
    assert not there, f"the command itself imports {', '.join(there)}, which would be timed in place of that in {path}"
    if path is not None:
        sys.path.insert(0, str(path))
    side = importlib.import_module(f"benchmarks.{library}_side")
    side.set_num_threads(threads)
    opened: dict[str, Timed] = {}

    def open_case(name: str, timed: str, arguments: tuple[Any, ...]) -> list[np.ndarray]:
        opened[name] = case = getattr(side, timed)(*arguments)
        return case.result(case.run(case.prepare()))

    rng = np.random.default_rng()
    blocks: collections.deque[bytes] = collections.deque(maxlen=IN_THE_WAY[0])

    def block(name: str, calls: int) -> float:
        blocks.extend(bytes(size) for size in rng.integers(1, IN_THE_WAY[1], 2))
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
        try:
            pipe.send(answers[what](*arguments))
        except Exception as error:
            pipe.send(RuntimeError(f"{library}: {type(error).__name__}: {error}"))


def check_same(results: list[list[np.ndarray]]) -> None:
    """Raise AssertionError unless the first and the last result agree up to rounding.

    Of the gradient of 9 x 9 filters, sums of 173,056 products, PyTorch's result is 2e-5 of the largest number off, and
    npstn's 2.4e-7 (measured in float64). Where two pixels of a window are equal but for rounding, max pooling may send
    its gradient to the other one. In a step of the paper's network one such window makes the gradients of the
    localisation network 5.8e-5 wrong, in PyTorch on a Zen 3; npstn's are 7e-9 off. The tolerance has room for one.
    """
    for ours, theirs in zip(results[0], results[-1], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=8e-5 * max(np.abs(theirs).max(), 1))


def take_turns(blocks: Iterable[Callable[[int], float]], turns: int = TURNS) -> list[list[float]]:
    """Run blocks in turns, and return for each the time of a call in every turn, in seconds.

    A block takes a number of calls, and returns the time of one call. The blocks run one after the other, forwards and
    backwards in turn, so that a slow spell of the machine meets all of them. Slow blocks get fewer turns.
    """
    blocks = list(blocks)
    one = [block(1) for block in blocks]
    calls = [max(1, int(BLOCK / took)) for took in one]
    turns = min(turns, max(FEWEST, int(LONGEST / sum(max(BLOCK, took) for took in one))))
    times: list[list[float]] = [[] for _ in blocks]
    for turn in range(turns):
        for i in range(len(blocks))[:: 1 if turn % 2 else -1]:
            time.sleep(REST)
            times[i].append(blocks[i](calls[i]))
    return times


def duel(case: Case, workers: dict[str, Worker], turns: int = TURNS) -> dict[str, list[float]]:
    """Check that the libraries agree on a case, then time it in turns: for each, seconds a call in every turn."""
    check_same([worker.open(case.name, case) for worker in workers.values()])
    blocks = [lambda calls, worker=worker: worker.block(case.name, calls) for worker in workers.values()]
    times = take_turns(blocks, turns)
    for worker in workers.values():
        worker.close()
    return dict(zip(workers, times, strict=True))
