"""Max pooling: the largest pixel in each window.

    b, c       a sample of the batch, a channel
    k, l       row and column in the window, 0 .. K-1, 0 .. L-1
    n, m       row and column in the input, 0 .. H-1, 0 .. W-1 (pixels)
    i, j       row and column in the output, 0 .. h-1, 0 .. w-1 (pixels)
    U (B, C, H, W)   V (B, C, h, w)   A (B, C, h, w) where in the window the largest stood: k W + l

    V[b, c, i, j] = max_{k, l} U[b, c, n, m],  n = i stride_y - padding_y + k,  m = j stride_x - padding_x + l
    A[b, c, i, j] = k W + l of the (k, l) at which it stands

A pixel outside the image is never the largest. By the chain rule the gradient goes where the value came from, added up
where windows overlap:

    dU[b, c, n, m] = sum of dV[b, c, i, j] over all (i, j) with A[b, c, i, j] = k W + l

At a tie max has a kink; the first of the equal pixels in row order takes all. NaN counts as larger than any number, and
one NaN as equal to another.

The windows of a sample are compared all at once, one (k, l) after the other: u[p] is the pixel that window
p = (c, i, j) has there. Window by window, the processor would guess wrong every other time which pixel is larger.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npstn.autograd import Context, Function, Tensor
from npstn.ops.checks import check_floats, check_shape, contiguous, pair, window_positions
from npstn.runtime import kernel
from npstn.threads import share_out


RUNS = 8  # at most so many runs of samples, each with one set of buffers


@kernel
def first_pixels(C, H, W, h, w, stride):
    """Where the first pixel of each window stands in a padded sample, (C, H, W)."""
    first = np.empty((C, h, w), np.uint32)  # unsigned: Numba need not look for indices counted from the end
    for c in range(C):
        for i in range(h):
            for j in range(w):
                first[c, i, j] = (c * H + i * stride[0]) * W + j * stride[1]
    return first.reshape(C * h * w)


@kernel
def padded(U, padding):
    """A sample (C, H, W) with pixels round it that are never the largest."""
    C, H, W = U.shape
    if padding[0] == 0 and padding[1] == 0:
        return U
    P = np.empty((C, H + 2 * padding[0], W + 2 * padding[1]), U.dtype)
    for c in range(C):  # loops, because Numba takes seconds to compile np.full and the copy of a slice
        for n in range(P.shape[1]):
            for m in range(P.shape[2]):
                P[c, n, m] = -np.inf
        for n in range(H):
            for m in range(W):
                P[c, n + padding[0], m + padding[1]] = U[c, n, m]
    return P


@kernel
def windows_of_nothing(V, A, W, stride, padding):
    """Where a window holds nothing above -inf, its first pixel that is in the image is the largest."""
    for c in range(V.shape[0]):
        for i in range(V.shape[1]):
            for j in range(V.shape[2]):
                if V[c, i, j] == -np.inf:
                    A[c, i, j] = max(padding[0] - i * stride[0], 0) * W + max(padding[1] - j * stride[1], 0)


@kernel
def max_pool2d_forward(start, end, U, K, L, stride, padding, V, A):
    """V and A of the samples start .. end-1."""
    _, C, H, W = U.shape
    first = first_pixels(C, H + 2 * padding[0], W + 2 * padding[1], V.shape[2], V.shape[3], stride)
    zero, N = np.int32(0), first.size
    u, other = np.empty(N, U.dtype), np.empty(N, U.dtype)
    for b in range(start, end):
        P = padded(U[b], padding)
        pixels, at = P.reshape(P.size), A[b].reshape(N)
        # Each (k, l) reads one of these and writes the other, the last V: no store need spare what stays the same.
        u_max, spare = V[b].reshape(N), other
        if K * L % 2 == 0:
            u_max, spare = spare, u_max
        for k in range(K):
            for l in range(L):
                here, pixels_here = np.int32(k * W + l), pixels[k * P.shape[2] + l :]
                if k == 0 and l == 0:
                    for p in range(N):
                        u_max[p], at[p] = pixels_here[first[p]], 0
                    continue
                for p in range(N):
                    u[p] = pixels_here[first[p]]
                for p in range(N):
                    new, old = u[p], u_max[p]
                    take = (new > old) | ((new != new) & (old == old))  # larger, or the first NaN
                    spare[p] = new if take else old
                    at[p] = max(at[p], here if take else zero)  # `here` grows from one (k, l) to the next
                u_max, spare = spare, u_max
        if padding[0] or padding[1]:
            windows_of_nothing(V[b], A[b], W, stride, padding)


@kernel
def max_pool2d_backward(first, end, dV, A, stride, padding, dU):
    _, C, H, W = dU.shape
    _, _, h, w = dV.shape
    for b in range(first, end):
        for c in range(C):
            pixels = dU[b, c].reshape(H * W)
            for q in range(pixels.size):
                pixels[q] = 0
            for i in range(h):
                top_left = (i * stride[0] - padding[0]) * W - padding[1]
                for j in range(w):
                    pixels[top_left + A[b, c, i, j]] += dV[b, c, i, j]
                    top_left += stride[1]


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
        share_out(max_pool2d_forward, len(U), contiguous(U), K, L, stride, padding, V, A)
        ctx.save_for_backward(A)
        ctx.shape_of_U, ctx.windows = U.shape, (stride, padding)
        return V

    @staticmethod
    def backward(ctx: Context, dV: np.ndarray) -> Any:
        (A,) = ctx.saved
        dU = np.empty(ctx.shape_of_U, dV.dtype)
        share_out(max_pool2d_backward, len(dV), contiguous(dV), A, *ctx.windows, dU)
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
