"""Awkward arrays and values, drawn from a source of choices: a seed in the long run, Hypothesis in the tests."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from npstn.gradcheck import contracts

FLOATS = (np.float32, np.float64)
OTHER_DTYPES = (np.float16, np.complex64, np.int64, np.bool_, np.longdouble, "U3", object)
STRANGE = (None, -1, 0, 1.5, float("nan"), "2", (), (1,), (1, 2, 3), (2, -1), [2, 1], 2**31, 2**63, 10**30, np.int8(2))
# For operations only: as the size of a layer some of these would take all memory.
NONSENSE = (*STRANGE, 2**30, 10**9, -100, 100, 1e300, float("inf"), 1j, [], {}, [True], [100], "a", (0,) * 9)


class Draws:
    """Random choices. Each follows from calls of `integer(low, high)`, with both ends included."""

    def __init__(self, integer: Callable[[int, int], int]) -> None:
        self.integer = integer

    @classmethod
    def seeded(cls, seed: int, example: int) -> Draws:
        return cls(random.Random(f"{seed}, {example}").randint)

    def choice(self, options: Sequence[Any]) -> Any:
        return options[self.integer(0, len(options) - 1)]

    def chance(self, one_in: int) -> bool:
        return self.integer(1, one_in) == one_in  # not 1, which Hypothesis simplifies to

    def dtype(self) -> np.dtype:
        return np.dtype(self.choice(FLOATS))

    def length(self, least: int = 0, most: int = 6) -> int:
        """The length of an axis: mostly more than one."""
        return self.integer(least, 1) if least < 2 and self.chance(6) else self.integer(max(least, 1), most)

    def shape(self, least: int = 0, most: int = 4) -> tuple[int, ...]:
        return tuple(self.length(0, 4) for _ in range(self.integer(least, most)))

    def array(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Numbers of any kind in any memory layout; in some layouts the entries overlap."""
        return LAYOUTS[self.choice(list(LAYOUTS))](self, self.values(shape, dtype))

    def values(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        rng = np.random.default_rng(self.integer(0, 2**32 - 1))
        x = rng.standard_normal(shape).astype(dtype)
        special = awkward_numbers(np.dtype(dtype))
        kind = self.choice(["ordinary", "ordinary", "sprinkled", "awkward", "constant"])
        if kind == "sprinkled":
            x = np.where(rng.random(shape) < 0.2, rng.choice(special, shape), x)
        elif kind == "awkward":
            x = rng.choice(special, shape)
        elif kind == "constant":
            x = np.full(shape, self.choice(special))
        return np.asarray(x, dtype)


def awkward_numbers(dtype: np.dtype) -> np.ndarray:
    limits = np.finfo(dtype)
    small, large = [limits.smallest_subnormal, limits.tiny], [limits.max, 1e30, -1e30]
    return np.array([0.0, -0.0, 1, -1, np.nan, np.inf, -np.inf, *small, *large], dtype)


def reversed_(d: Draws, x: np.ndarray) -> np.ndarray:
    backwards = tuple(slice(None, None, d.choice([1, -1])) for _ in x.shape)
    return x[backwards].copy()[backwards] if x.ndim else x


def unaligned(d: Draws, x: np.ndarray) -> np.ndarray:
    moved = np.frombuffer(bytearray(1) + x.tobytes(), np.uint8)[1:]
    return moved.view(x.dtype).reshape(x.shape) if x.size else x


def repeated(d: Draws, x: np.ndarray) -> np.ndarray:
    """One entry is repeated along an axis: stride 0, read-only."""
    if not x.size or not x.ndim:
        return x
    axis = d.integer(0, x.ndim - 1)
    return np.broadcast_to(x.take([0], axis), x.shape)


def sliding(d: Draws, x: np.ndarray) -> np.ndarray:
    """Each row begins one entry after the row above, in one short writeable line of memory."""
    if not x.size or x.ndim < 2:
        return x
    line = np.concatenate([x.ravel(), x.ravel()])
    strides = (line.itemsize,) * (x.ndim - 1)
    return np.lib.stride_tricks.as_strided(line, x.shape, (*strides, line.itemsize))


def unless_empty(layout: Callable[[np.ndarray], np.ndarray]) -> Callable[[Draws, np.ndarray], np.ndarray]:
    return lambda d, x: layout(x) if x.size else x


LAYOUTS: dict[str, Callable[[Draws, np.ndarray], np.ndarray]] = {
    "as it is": lambda d, x: x,
    **{name: unless_empty(layout) for name, layout in contracts.LAYOUTS.items()},
    "some axes reversed": reversed_,
    "unaligned": unaligned,
    "repeated": repeated,
    "sliding": sliding,
}
