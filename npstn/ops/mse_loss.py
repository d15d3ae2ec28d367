"""The mean squared error.

    n            an element, 0 .. N-1
    x, t         input and target, of one shape

    loss = 1/N sum_n (x_n - t_n)^2        dx_n = 2 dloss (x_n - t_n) / N        dt_n = -dx_n
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npstn.autograd import Context, Function, Tensor
from npstn.ops.arguments import check_floats


class MseLoss(Function):
    @staticmethod
    @np.errstate(under="ignore")  # the square of a small difference
    def forward(ctx: Context, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        check_floats("mse_loss", input=x, target=t)
        if x.shape != t.shape:  # broadcasting here would hide a forgotten axis
            raise ValueError(f"mse_loss: expected target of the input's shape {x.shape}, got {t.shape}")
        difference = x - t
        ctx.save_for_backward(difference)
        square = np.square(difference)
        # In float64: some NumPy add long rows of float32 one after the other.
        return np.asarray(square.sum(dtype=np.float64) / square.size if square.size else np.nan, x.dtype)

    @staticmethod
    def backward(ctx: Context, dloss: np.ndarray) -> Any:
        (difference,) = ctx.saved
        need_x, need_t = ctx.needs_input_grad
        dx = (dloss * 2 / max(difference.size, 1) * difference).astype(difference.dtype, copy=False)
        return dx if need_x else None, -dx if need_t else None


def mse_loss(input: Tensor, target: Tensor | np.ndarray) -> Tensor:
    """The mean of the squared differences; NaN where there are no elements, as in PyTorch.

    Args:
        input: any shape.
        target: the same shape and dtype; an array is a constant.

    Raises TypeError unless both are float32 or both float64, ValueError for another shape.

    >>> mse_loss(Tensor([1.0, 2.0]), Tensor([1.0, 4.0])).item()
    2.0
    """
    return MseLoss.apply(input, target)
