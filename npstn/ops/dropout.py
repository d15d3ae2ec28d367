"""Dropout: set numbers to zero at random during training.

    p       the probability that an element is dropped, 0 .. 1
    R       a random factor for each element: 0 with probability p, else 1 / (1 - p)
    U, V    input and result, of the same shape

    V = R U        ∂V/∂U = R        dU = R dV,        element by element

The division by 1 - p keeps the expected value, so that evaluation needs no correction. `dropout2d` draws one factor for
each channel of each sample, (B, C, 1, 1), and drops whole feature maps: neighbouring pixels are so alike that to drop
one of them alone would take nothing away. R is drawn in forward and kept for backward.
Sources: Hinton et al. 2012; Tompson et al. 2015.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npstn.autograd import Context, Function, Tensor
from npstn.backend.random import generator
from npstn.ops.arguments import array_of, check_floats, check_probability


def _random_factors(shape: tuple[int, ...], p: float, dtype: np.dtype) -> np.ndarray:
    """Draw R. The random numbers are float32 for both dtypes, so that both drop the same elements."""
    if p == 1:
        return np.zeros(shape, dtype)
    kept = generator().random(shape, np.float32) >= np.float32(p)
    return kept * dtype.type(1 / (1 - p))


class Dropout(Function):
    @staticmethod
    def forward(ctx: Context, U: np.ndarray, p: float, shape: tuple[int, ...]) -> np.ndarray:
        R = _random_factors(shape, p, U.dtype)
        ctx.save_for_backward(R)
        return U * R

    @staticmethod
    def backward(ctx: Context, dV: np.ndarray) -> Any:
        (R,) = ctx.saved
        return dV * R, None, None


def _check(operation: str, input: Tensor, p: float) -> None:
    check_floats(operation, input=array_of(input))
    check_probability(operation, "p", p)


def dropout(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Set each element to zero with probability p, and divide the others by 1 - p.

    Args:
        input: any shape.
        p: from 0 to 1.
        training: where False, the input is returned as it is.

    Returns the shape and dtype of the input. `npstn.manual_seed` repeats the random numbers. Raises TypeError for
    dtypes other than float32 and float64, ValueError for p outside 0 .. 1.

    >>> dropout(Tensor([1.0, 2.0]), p=0.5, training=False)
    Tensor([1., 2.], dtype=float32)
    """
    _check("dropout", input, p)
    if not training or p == 0:
        return input
    return Dropout.apply(input, p, input.shape)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Set each channel (b, c) to zero as a whole with probability p, and divide the others by 1 - p.

    Args:
        input: (B, C, H, W).
        p: from 0 to 1.
        training: where False, the input is returned as it is.

    Returns the shape and dtype of the input. `npstn.manual_seed` repeats the random numbers. Raises TypeError for
    dtypes other than float32 and float64, ValueError for another rank and for p outside 0 .. 1.

    >>> dropout2d(Tensor(np.ones((1, 2, 1, 1))), p=1.0).data.ravel()
    array([0., 0.])
    """
    _check("dropout2d", input, p)
    if input.ndim != 4:
        raise ValueError(f"dropout2d: expected input of shape (B, C, H, W), got {input.shape}")
    if not training or p == 0:
        return input
    return Dropout.apply(input, p, (*input.shape[:2], 1, 1))
