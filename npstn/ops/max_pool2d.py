"""Max pooling: the largest pixel in each window.

    b, c       a sample of the batch, a channel
    k, l       row and column in the window, 0 .. K-1, 0 .. L-1
    n, m       row and column in the input, 0 .. H-1, 0 .. W-1 (pixels)
    i, j       row and column in the output, 0 .. h-1, 0 .. w-1 (pixels)
    U (B, C, H, W)   V (B, C, h, w)   A (B, C, h, w) where the largest stood: (c H + n) W + m

    V[b, c, i, j] = max_{k, l} U[b, c, n, m],  n = i stride_y + k,  m = j stride_x + l
    A[b, c, i, j] = (c H + n) W + m of the (k, l) at which it stands

Here H and W are the image's with its padding, which is never the largest. By the chain rule the gradient goes where the
value came from, added up where windows overlap:

    dU[b, c, n, m] = sum of dV[b, c, i, j] over all (i, j) with A[b, c, i, j] = (c H + n) W + m

At a tie max has a kink; the first of the equal pixels in row order takes all. NaN counts as larger than any number, and
one NaN as equal to another.

The windows of a sample are compared all at once, one (k, l) after the other: u[p] is the pixel that window
p = (c, i, j) has there. Window by window, the processor would guess wrong every other time which pixel is larger.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from npstn.autograd import Context, Function, Tensor
from npstn.ops.arguments import MOST, check_floats, check_shape, contiguous, pair, rows
from npstn.ops.windows import window_positions
from npstn.backend.compiler import kernel
from npstn.backend.parallel import share_out


@functools.lru_cache(maxsize=8)  # a training loop asks for the same few at each step; they may be large
def corners(C: int, H: int, W: int, h: int, w: int, stride: tuple[int, int]) -> np.ndarray:
    """Where in a sample (C, H, W) the first pixel of each window p = (c, i, j) stands."""
    c, i, j = np.indices((C, h, w)).reshape(3, C * h * w)
    return ((c * H + i * stride[0]) * W + j * stride[1]).astype(np.uint32)  # unsigned: none counts from the end


@kernel
def max_pool2d_forward(first, end, U, K, L, W, corner, V, A):
    """V and A (B, C h w) of the samples first .. end-1 of U (B, C H W)."""
    N, zero = corner.size, np.int32(0)
    u, u_right, at = np.empty(N, U.dtype), np.empty(N, U.dtype), np.empty(N, np.int32)
    largest = np.empty((2, N), U.dtype)
    for b in range(first, end):
        turn = 0
        for k in range(K):
            for l in range(0, L, 2):  # a pixel and its right neighbour at a time, of an odd L the last one twice
                here, there = np.int32(k * W + l), np.int32(k * W + min(l + 1, L - 1))
                pixels, right = U[b, here:], U[b, there:]
                for p in range(N):
                    u[p], u_right[p] = pixels[corner[p]], right[corner[p]]
                # Reads one buffer and writes the other: no store need spare what stays as it is, which would be slow.
                u_max, u_next = largest[turn], largest[1 - turn]
                if k == 0 and l == 0:
                    for p in range(N):
                        u_max[p], at[p] = u[p], zero
                for p in range(N):
                    new, newer, old, place = u[p], u_right[p], u_max[p], at[p]
                    take = (new > old) | ((new != new) & (old == old))  # larger, or the first NaN
                    old, place = new if take else old, max(place, here if take else zero)  # places grow
                    take = (newer > old) | ((newer != newer) & (old == old))
                    u_next[p], at[p] = newer if take else old, max(place, there if take else zero)
                turn = 1 - turn
        V_b, A_b, u_max = V[b], A[b], largest[turn]
        for p in range(N):
            V_b[p], A_b[p] = u_max[p], corner[p] + at[p]


@kernel
def max_pool2d_backward(first, end, dV, A, dU):
    """dU (B, C H W) of the samples first .. end-1."""
    for b in range(first, end):
        dV_b, A_b, dU_b = dV[b], A[b], dU[b]
        for p in range(dU_b.size):
            dU_b[p] = 0
        for p in range(dV_b.size):
            dU_b[A_b[p]] += dV_b[p]


def padded(U: np.ndarray, padding: tuple[int, int]) -> np.ndarray:
    """The images with pixels round them that are never the largest."""
    return np.pad(U, ((0, 0), (0, 0), *((n, n) for n in padding)), constant_values=-np.inf)


def start_inside(V: np.ndarray, A: np.ndarray, H: int, W: int, stride: tuple, padding: tuple) -> None:
    """Where a window holds nothing above -inf, its first pixel that is in the image is the largest."""
    b, c, i, j = np.nonzero(V == -np.inf)
    n, m = np.maximum(i * stride[0], padding[0]), np.maximum(j * stride[1], padding[1])
    A[b, c, i, j] = (c * H + n) * W + m


class MaxPool2d(Function):
    gives_new_arrays = True

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
        U = padded(U, padding) if any(padding) else contiguous(U)
        B, C, H, W = U.shape
        if C * H * W >= MOST:
            raise ValueError(f"max_pool2d: expected samples of fewer than 2^31 pixels, got input of shape {U.shape}")
        V, A = np.empty((B, C * h * w), U.dtype), np.empty((B, C * h * w), np.uint32)
        corner = corners(C, H, W, h, w, stride)
        share_out(max_pool2d_forward, B, rows(U), K, L, W, corner, V, A, work=V.size * K * L)
        V = V.reshape(B, C, h, w)
        if any(padding):
            start_inside(V, A.reshape(V.shape), H, W, stride, padding)
        ctx.save_for_backward(A)
        ctx.shape_of_U, ctx.padding = U.shape, padding
        return V

    @staticmethod
    def backward(ctx: Context, dV: np.ndarray) -> Any:
        (A,) = ctx.saved
        dU = np.empty(ctx.shape_of_U, dV.dtype)
        share_out(max_pool2d_backward, len(dV), rows(contiguous(dV)), A, rows(dU), work=dU.size)
        (y, x), (H, W) = ctx.padding, dU.shape[2:]
        return np.ascontiguousarray(dU[:, :, y : H - y, x : W - x]), None, None, None


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
