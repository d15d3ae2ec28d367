"""Long sums. In float32, ones that are added one after the other stop counting at 2^24.

NumPy adds pairwise only along an axis whose numbers lie next to each other in memory, and over other axes one after the
other. So such an axis is folded when it is long: it is cut into BLOCK pieces, which are added, and what that gives is
folded again. Rows that stand next to each other make a piece where they are wide; where they are narrow, the pieces are
added as wholes, so that NumPy's loops are long. The order follows from the shape alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

BLOCK = 128  # pieces
LONG = 4 * BLOCK  # numbers that are added one after the other at most; to fold fewer takes longer than it gains


WIDE = 256  # numbers: in such rows NumPy's loops are long enough, and each sum can stay in the cache


def total(x: np.ndarray, axis: Any = None, keepdims: Any = False) -> Any:
    """x.sum(axis, keepdims=keepdims), without the loss.

    >>> float(total(np.ones((20_000_000, 2), np.float32), axis=0)[0])
    20000000.0
    """
    if x.size > LONG and not (axis is None and x.flags.forc):
        for a in range(x.ndim) if axis is None else normalize_axis_tuple(axis, x.ndim):
            while x.shape[a] > LONG and x.strides[a] != x.itemsize:
                x = _folded(x, a)
    return x.sum(axis=axis, keepdims=keepdims)


def _folded(x: np.ndarray, axis: int) -> np.ndarray:
    """The sum of BLOCK pieces of the axis, and behind it that of the numbers that are left over."""
    x = np.moveaxis(x, axis, 0)
    length = len(x) // BLOCK
    pieces, rest = x[: BLOCK * length], x[BLOCK * length :]
    if x[0].size < WIDE:
        folded = pieces.reshape(BLOCK, length, *x.shape[1:]).sum(axis=0)
    else:
        folded = pieces.reshape(length, BLOCK, *x.shape[1:]).sum(axis=1)
    if len(rest):
        folded = np.concatenate([folded, rest.sum(axis=0, keepdims=True)])
    return np.moveaxis(folded, 0, axis)
