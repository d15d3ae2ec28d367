"""The fast kernels of max pooling. The formula, and its own loops, stand in `max_pool2d.py`.

    b, c       a sample of the batch, a channel
    k, l       row and column in the window, 0 .. K-1, 0 .. L-1
    n, m       row and column in the padded image, 0 .. H-1, 0 .. W-1: here H and W count the padding
    i, j       row and column in the output, 0 .. h-1, 0 .. w-1
    p          a window of a sample: (c, i, j)
    U (B, C, H, W)   V (B, C, h, w)   A (B, C h w): where the largest pixel of each window stands, (c H + n) W + m

The windows of a sample are compared all at once, one (k, l) after the other: u[p] is the pixel that window p has there.
Window by window, the processor would guess wrong every other time which pixel is larger. The padding is -inf, which is
never the largest, unless all are -inf: `start_inside` sees to that.
"""

from __future__ import annotations

import functools

import numpy as np

from npstn.backend.compiler import kernel
from npstn.backend.lanes import pair, put
from npstn.backend.parallel import share_out
from npstn.ops.arguments import MOST, contiguous, rows


@functools.lru_cache(maxsize=8)  # a training loop asks for the same few at each step; they may be large
def corners(C: int, H: int, W: int, h: int, w: int, stride: tuple[int, int]) -> np.ndarray:
    """Where in a sample (C, H, W) the first pixel of each window p = (c, i, j) stands."""
    c, i, j = np.indices((C, h, w)).reshape(3, C * h * w)
    return ((c * H + i * stride[0]) * W + j * stride[1]).astype(np.uint32)  # unsigned: none counts from the end


@kernel
def max_pool2d_fast_forward(first, end, U, K, L, W, corner, V, A):
    """V and A (B, C h w) of the samples first .. end-1 of U (B, C H W)."""
    count, zero, next_ = corner.size, np.int32(0), np.uintp(1)
    u, at, largest = np.empty(2 * count, U.dtype), np.empty(count, np.int32), np.empty((2, count), U.dtype)
    for b in range(first, end):
        turn, U_b = 0, U[b]
        for k in range(K):
            for l in range(0, L, 2):  # a pixel and its right neighbour at a time; of an odd L one is compared twice
                l = max(0, min(l, L - 2))
                here, there = np.int32(k * W + l), np.int32(k * W + min(l + 1, L - 1))
                for p in range(0 if L == 1 else count):
                    put(u, 2 * p, pair(U_b, np.int64(corner[p]) + here))
                for p in range(count if L == 1 else 0):
                    u[2 * p] = u[2 * p + 1] = U_b[np.int64(corner[p]) + here]
                # Reads one buffer and writes the other: no store need spare what stays as it is, which would be slow.
                u_max, u_next = largest[turn], largest[1 - turn]
                if k == 0 and l == 0:
                    for p in range(np.uintp(count)):
                        u_max[p], at[p] = u[p + p], zero
                for p in range(np.uintp(count)):  # unsigned: Numba need not look for indices counted from the end
                    new, newer, old, place = u[p + p], u[p + p + next_], u_max[p], at[p]
                    take = (new > old) | ((new != new) & (old == old))  # larger, or the first NaN
                    old, place = new if take else old, max(place, here if take else zero)  # places grow
                    take = (newer > old) | ((newer != newer) & (old == old))
                    u_next[p], at[p] = newer if take else old, max(place, there if take else zero)
                turn = 1 - turn
        V_b, A_b, u_max = V[b], A[b], largest[turn]
        for p in range(count):
            V_b[p], A_b[p] = u_max[p], corner[p] + at[p]


@kernel
def max_pool2d_fast_backward(first, end, dV, A, dU):
    """dU (B, C H W) of the samples first .. end-1."""
    for b in range(first, end):
        dV_b, A_b, dU_b = dV[b], A[b], dU[b]
        for place in range(dU_b.size):
            dU_b[place] = 0
        for p in range(dV_b.size):
            dU_b[A_b[p]] += dV_b[p]


def padded(U: np.ndarray, padding: tuple[int, int]) -> np.ndarray:
    """The images with pixels round them that are never the largest."""
    return np.pad(U, ((0, 0), (0, 0), *((n, n) for n in padding)), constant_values=-np.inf)


def start_inside(V: np.ndarray, A: np.ndarray, H: int, W: int, stride: tuple, padding: tuple) -> None:
    """Where a window holds nothing above -inf, its first pixel inside the image is the largest."""
    b, c, i, j = np.nonzero(V == -np.inf)
    n, m = np.maximum(i * stride[0], padding[0]), np.maximum(j * stride[1], padding[1])
    A[b, c, i, j] = (c * H + n) * W + m


def forward(U: np.ndarray, K: int, L: int, stride: tuple, padding: tuple, V: np.ndarray) -> np.ndarray:
    """Write V, and return A. Raises ValueError for samples of 2^31 pixels or more: A has 32 bits for a place."""
    U = padded(U, padding) if any(padding) else contiguous(U)
    (B, C, H, W), (h, w) = U.shape, V.shape[2:]
    if C * H * W >= MOST:
        raise ValueError(f"max_pool2d: expected samples of fewer than 2^31 pixels, got input of shape {U.shape}")
    A = np.empty((B, C * h * w), np.uint32)
    corner = corners(C, H, W, h, w, stride)
    share_out(max_pool2d_fast_forward, B, rows(U), K, L, W, corner, rows(V), A, work=V.size * K * L)
    if any(padding):
        start_inside(V, A.reshape(V.shape), H, W, stride, padding)
    return A


def backward(dV: np.ndarray, A: np.ndarray, shape: tuple[int, ...], padding: tuple[int, int]) -> np.ndarray:
    """dU of images of this shape (B, C, H, W), without their padding."""
    (B, C, H, W), (above, left) = shape, padding
    dpadded = np.empty((B, C, H + 2 * above, W + 2 * left), dV.dtype)
    share_out(max_pool2d_fast_backward, B, rows(dV), A, rows(dpadded), work=dpadded.size)
    return np.ascontiguousarray(dpadded[:, :, above : above + H, left : left + W])
