"""Max pooling: the largest pixel in each window.

    b, c       a sample of the batch, a channel
    k, l       row and column in the window, 0 .. K-1, 0 .. L-1
    n, m       row and column in the input, 0 .. H-1, 0 .. W-1 (pixels)
    i, j       row and column in the output, 0 .. h-1, 0 .. w-1 (pixels)
    U (B, C, H, W)   V (B, C, h, w)   A (B, C, h, w) where the largest stood, n W + m

    V[b, c, i, j] = max_{k, l} U[b, c, n, m],  n = i stride_y - padding_y + k,  m = j stride_x - padding_x + l
    A[b, c, i, j] = the (n, m) at which it stands

A pixel outside the image is never the largest. By the chain rule the gradient goes where the value came from, added up
where windows overlap:

    dU[b, c, n, m] = sum of dV[b, c, i, j] over all (i, j) with A[b, c, i, j] = (n, m)

At a tie max has a kink; the first of the equal pixels in row order takes all. NaN counts as larger than any number, and
one NaN as equal to another.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from npstn.autograd import Context, Function, Tensor
from npstn.ops.checks import check_floats, check_shape, contiguous, pair, window_positions
from npstn.runtime import kernel


@kernel(parallel=True)
def max_pool2d_forward(U, K, L, stride, padding, V, A):
    B, C, H, W = U.shape
    _, _, h, w = V.shape
    for b in prange(B):
        highest, where = np.empty(W, U.dtype), np.empty(W, np.int32)
        for c in range(C):
            for i in range(h):
                top = i * stride[0] - padding[0]
                first = max(top, 0)
                # Down the windows first: the columns of the image stand side by side in vector registers. And no
                # branch: the processor would guess it wrong every other time.
                for m in range(W):
                    highest[m], where[m] = U[b, c, first, m], first * W + m
                for n in range(first + 1, min(top + K, H)):
                    line = U[b, c, n]
                    for m in range(W):
                        u, u_max = line[m], highest[m]
                        take = (u > u_max) | ((u != u) & (u_max == u_max))  # larger, or the first NaN
                        highest[m] = u if take else u_max
                        where[m] = np.int32(n * W + m) if take else where[m]
                # Then along each window; of equal ones the first in row order, the one in the higher row.
                for j in range(w):
                    left = j * stride[1] - padding[1]
                    m = np.uintp(max(left, 0))  # unsigned: Numba need not look for indices counted from the end
                    u_max, at = highest[m], where[m]
                    for m in range(m + np.uintp(1), np.uintp(min(left + L, W))):
                        u = highest[m]
                        larger = (u > u_max) | ((u != u) & (u_max == u_max))
                        equal = (u == u_max) | ((u != u) & (u_max != u_max))
                        take = larger | (equal & (where[m] < at))
                        u_max = u if take else u_max
                        at = where[m] if take else at
                    V[b, c, i, j], A[b, c, i, j] = u_max, at


@kernel(parallel=True)
def max_pool2d_backward(dV, A, dU):
    B, C, h, w = dV.shape
    for b in prange(B):
        for c in range(C):
            pixels = dU[b, c].reshape(dU.shape[2] * dU.shape[3])
            for q in range(pixels.size):
                pixels[q] = 0
            for i in range(h):
                for j in range(w):
                    pixels[A[b, c, i, j]] += dV[b, c, i, j]


class MaxPool2d(Function):
    @staticmethod
    def forward(ctx: Context, U: np.ndarray, kernel_size: Any, stride: Any, padding: Any) -> np.ndarray:
        check_floats("max_pool2d", input=U)
        check_shape("max_pool2d", "input", U, "B, C, H, W")
        K, L = pair("max_pool2d", "kernel_size", kernel_size, 1)
        stride = (K, L) if stride is None else pair("max_pool2d", "stride", stride, 1)
        padding = pair("max_pool2d", "padding", padding, 0)
        if 2 * padding[0] > K or 2 * padding[1] > L:
            raise ValueError(f"max_pool2d: expected padding of at most half the kernel {(K, L)}, got {padding}")
        h, w = window_positions("max_pool2d", U.shape[2:], (K, L), stride, padding)
        V = np.empty((*U.shape[:2], h, w), U.dtype)
        A = np.empty(V.shape, np.int32)
        max_pool2d_forward(contiguous(U), K, L, stride, padding, V, A)
        ctx.save_for_backward(A)
        ctx.shape_of_U = U.shape
        return V

    @staticmethod
    def backward(ctx: Context, dV: np.ndarray) -> Any:
        (A,) = ctx.saved
        dU = np.empty(ctx.shape_of_U, dV.dtype)
        max_pool2d_backward(contiguous(dV), A, dU)
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
        stride: pixels from one window to the next; the window's size where None.
        padding: pixels round the image, that are never the largest; at most half the window.

    Returns (B, C, h, w), h = floor((H + 2 padding - K) / stride) + 1 and w alike, in the input's dtype. Raises
    TypeError for dtypes other than float32 and float64, ValueError for another rank, a window larger than the padded
    image, and more padding than half the window.

    >>> max_pool2d(Tensor([[[[1.0, 2.0], [4.0, 3.0]]]]), 2).data
    array([[[[4.]]]], dtype=float32)
    """
    return MaxPool2d.apply(input, kernel_size, stride, padding)
