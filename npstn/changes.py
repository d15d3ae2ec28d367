"""Changes between forward and backward: backward must find the arrays that it needs as forward left them.

An array changes in two ways. The library changes weights in `step()`, `load_state_dict` and the like, and notes each
change. The caller writes with NumPy, and nobody is told; but the library has handed the array out to the caller
before, as `Tensor.data`, or the caller gave it. So:

    never handed out            it cannot have changed: almost every array of a training step
    handed out before forward   forward keeps a copy, and backward compares
    handed out after forward    the copy is made at that moment, and backward compares

Views share memory. So what is known is known of the array that owns the memory.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

now = itertools.count(1).__next__  # the time: it goes on by one at each call


class _Memory(weakref.ref):
    """What is known of the memory of an array, while the array lives."""

    __slots__ = ("changed", "copy", "key")

    def __init__(self, owner: np.ndarray) -> None:
        super().__init__(owner, _forget)  # type: ignore[call-arg]  # so says Python's documentation
        self.key = id(owner)
        self.changed = 0  # when the library changed it last
        self.copy: bytes | None = None  # its numbers when it was handed out, if a forward may have saved it before

    def __new__(cls, owner: np.ndarray) -> _Memory:
        return super().__new__(cls, owner, _forget)


_memories: dict[int, _Memory] = {}  # by the id of the owner
handed_out: set[int] = set()  # the ids of owners whose arrays the caller may have
last_change = 0  # that the library made to any array


def _forget(memory: Any) -> None:
    _memories.pop(memory.key, None)
    handed_out.discard(memory.key)


def _owner(array: np.ndarray) -> np.ndarray:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _memory(array: np.ndarray) -> _Memory:
    owner = array if array.base is None else _owner(array)
    memory = _memories.get(id(owner))
    if memory is None:
        memory = _memories[id(owner)] = _Memory(owner)
    return memory


def note_changes(arrays: Iterable[np.ndarray]) -> None:
    """The library changes these arrays in place, or puts others in their places."""
    global last_change
    last_change = time = now()
    for array in arrays:
        memory = _memory(array)
        memory.changed, memory.copy = time, None


class Steps:
    """The changes that an optimiser makes again and again: to note them costs a training step next to nothing."""

    def __init__(self) -> None:
        self.time = 0
        self.arrays: list[np.ndarray] = []
        _steps.add(self)

    def __reduce__(self) -> Any:  # a copy of an optimiser is another one
        return Steps, ()

    def note(self, arrays: list[np.ndarray]) -> None:
        """The optimiser changes these arrays in place."""
        global last_change
        last_change = self.time = now()
        self.arrays = arrays

    def have_changed(self, owner: np.ndarray, time: int) -> bool:
        return self.time > time and any(_owner(array) is owner for array in self.arrays)


_steps: weakref.WeakSet[Steps] = weakref.WeakSet()


def hand_out(array: np.ndarray, maybe_saved: bool) -> None:
    """The caller gets this array and may write to it. A forward may have saved it before."""
    owner = _owner(array)
    if id(owner) not in handed_out:
        memory = _memory(owner)
        memory.copy = owner.tobytes() if maybe_saved else None
        handed_out.add(memory.key)


def copies(saved: Sequence[Any], given: Sequence[np.ndarray]) -> dict[int, bytes]:
    """Copies of the arrays that the caller has or has `given`, by their places among the `saved`."""
    reachable = handed_out | {id(_owner(array)) for array in given} if given else handed_out
    return {
        place: array.tobytes()
        for place, array in enumerate(saved)
        if isinstance(array, np.ndarray) and id(_owner(array)) in reachable
    }


def changed(saved: Sequence[Any], copies: dict[int, bytes], time: int) -> int | None:
    """The place of an array among the `saved` that has changed since that time, when `copies` were made."""
    for place, array in enumerate(saved):
        if isinstance(array, np.ndarray):
            if place in copies and array.tobytes() != copies[place]:
                return place
            owner = _owner(array)
            if last_change > time and any(steps.have_changed(owner, time) for steps in _steps):
                return place
            memory = _memories.get(id(owner))
            if memory is not None:
                if memory.changed > time:
                    return place
                if memory.copy is not None and place not in copies and _differs(array, owner, memory.copy):
                    return place
    return None


def _differs(array: np.ndarray, owner: np.ndarray, copy: bytes) -> bool:
    """Whether an array differs from what it was when its owner's numbers were copied."""
    before = np.frombuffer(copy, owner.dtype).reshape(owner.shape)
    if owner.flags.c_contiguous and array is not owner:  # the rest of the owner may have changed
        offset = array.ctypes.data - owner.ctypes.data
        before, owner = np.ndarray(array.shape, array.dtype, before, offset, array.strides), array
    return owner.tobytes() != before.tobytes()
