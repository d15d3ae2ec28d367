"""Max pooling: the largest pixel in each window.

    b, c       a sample of the batch, a channel
    k, l       row and column in the window, 0 .. K-1, 0 .. L-1
    n, m       row and column in the input, 0 .. H-1, 0 .. W-1 (pixels)
    i, j       row and column in the output, 0 .. h-1, 0 .. w-1 (pixels)
    U (B, C, H, W)   V (B, C, h, w)   A (B, C, h, w): where the largest pixel of each window stands, n W + m

    V[b, c, i, j] = max_{k, l} U[b, c, n, m],  n = i stride_y - padding_y + k,  m = j stride_x - padding_x + l
    A[b, c, i, j] = n W + m of the largest

The pixels of the padding do not count. Only the largest pixel moves V:

    ∂V[b, c, i, j] / ∂U[b, c, n, m] = 1 where A[b, c, i, j] = n W + m, else 0

so the chain rule takes each gradient to the place that its value came from, and adds up where windows overlap:

    dU[b, c, n, m] = sum of dV[b, c, i, j] over all (i, j) with A[b, c, i, j] = n W + m

At a tie max has a kink; the first of the equal pixels in row order takes all. NaN counts as larger than any number, and
one NaN as equal to another.

The loops below are these formulas; they run under `npstn.reference()`, and the kernels of `max_pool2d_fast.py`
otherwise. Source: Goodfellow et al., Deep Learning, section 9.3.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npstn.autograd import Context, Function, Tensor
from npstn.backend.compiler import kernel
from npstn.backend.parallel import share_out
from npstn.ops import max_pool2d_fast
from npstn.ops.arguments import contiguous
from npstn.ops.reference import plain_loops
from npstn.ops.windows import pooling_windows


@kernel
def max_pool2d_forward(first, end, U, K, L, stride, padding, V, A):
    """V and A of the samples first .. end-1."""
    _, C, H, W = U.shape
    _, _, h, w = V.shape
    for b in range(first, end):
        for c in range(C):
            for i in range(h):
                for j in range(w):
                    largest, at = U.dtype.type(-np.inf), -1  # -1: no pixel yet
                    for k in range(K):
                        for l in range(L):
                            n, m = i * stride[0] - padding[0] + k, j * stride[1] - padding[1] + l
                            if 0 <= n < H and 0 <= m < W:
                                u = U[b, c, n, m]
                                # the first pixel, or a larger one, or the first NaN
                                if at < 0 or u > largest or (np.isnan(u) and not np.isnan(largest)):
                                    largest, at = u, n * W + m
                    V[b, c, i, j], A[b, c, i, j] = largest, at


@kernel
def max_pool2d_backward(first, end, dV, A, dU):
    """dU of the samples first .. end-1."""
    _, C, h, w = dV.shape
    _, _, _, W = dU.shape
    for b in range(first, end):
        dU[b] = 0
        for c in range(C):
            for i in range(h):
                for j in range(w):
                    # every (i, j) with A[b, c, i, j] = n W + m adds its dV[b, c, i, j]
                    n, m = A[b, c, i, j] // W, A[b, c, i, j] % W
                    dU[b, c, n, m] += dV[b, c, i, j]


class MaxPool2d(Function):
    gives_new_arrays = True

    @staticmethod
    def forward(ctx: Context, U: np.ndarray, kernel_size: Any, stride: Any, padding: Any) -> np.ndarray:
        (K, L), stride, padding, (h, w) = pooling_windows("max_pool2d", U, kernel_size, stride, padding)
        V = np.empty((*U.shape[:2], h, w), U.dtype)
        ctx.shape_of_U, ctx.padding, ctx.plain_loops = U.shape, padding, plain_loops()
        if ctx.plain_loops:
            A = np.empty(V.shape, np.int64)
            share_out(max_pool2d_forward, len(V), contiguous(U), K, L, stride, padding, V, A)
        else:
            A = max_pool2d_fast.forward(U, K, L, stride, padding, V)
        ctx.save_for_backward(A)
        return V

    @staticmethod
    def backward(ctx: Context, dV: np.ndarray) -> Any:
        (A,) = ctx.saved
        dV = contiguous(dV)
        if not ctx.plain_loops:
            return max_pool2d_fast.backward(dV, A, ctx.shape_of_U, ctx.padding), None, None, None
        dU = np.empty(ctx.shape_of_U, dV.dtype)
        share_out(max_pool2d_backward, len(dV), dV, A, dU)
        return dU, None, None, None


def max_pool2d(
    input: Tensor,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
) -> Tensor:
    """The largest pixel in each window.

    Args:
        input: (B, C, H, W).
        kernel_size: rows and columns of the window in pixels; one number, or (rows, columns).
        stride: pixels from one window to the next; the size of the window where None.
        padding: pixels round the image that are never the largest; at most half the window.

    Returns (B, C, h, w), h = floor((H + 2 padding - K) / stride) + 1 and w alike, in the dtype of the input. Raises
    TypeError for dtypes other than float32 and float64; ValueError for another rank, for a window larger than the
    padded image, and for more padding than half the window.

    >>> max_pool2d(Tensor([[[[1.0, 2.0], [4.0, 3.0]]]]), 2).data
    array([[[[4.]]]], dtype=float32)
    """
    return MaxPool2d.apply(input, kernel_size, stride, padding)
