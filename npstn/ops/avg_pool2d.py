"""Average pooling: the mean of the pixels in each window.

    b, c       a sample of the batch, a channel
    k, l       row and column in the window, 0 .. K-1, 0 .. L-1
    n, m       row and column in the input, 0 .. H-1, 0 .. W-1 (pixels)
    i, j       row and column in the output, 0 .. h-1, 0 .. w-1 (pixels)
    U (B, C, H, W)   V (B, C, h, w)

    V[b, c, i, j] = 1 / (K L) sum_{k, l} U[b, c, n, m],  n = i stride_y - padding_y + k,  m = j stride_x - padding_x + l

with U = 0 outside the image: the padding counts as pixels, as it does by default in PyTorch. By the chain rule each
pixel gets its share from every window that it was in:

    dU[b, c, n, m] = 1 / (K L) sum of dV[b, c, i, j] over all (i, j) whose window holds (n, m)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npstn.autograd import Context, Function, Tensor
from npstn.ops.arguments import check_floats, check_shape, contiguous, pair
from npstn.ops.windows import window_positions
from npstn.backend.compiler import kernel
from npstn.backend.parallel import share_out


@kernel
def avg_pool2d_forward(first, end, U, K, L, stride, padding, V):
    _, C, H, W = U.shape
    for b in range(first, end):
        for c in range(C):
            for i in range(V.shape[2]):
                top = i * stride[0] - padding[0]
                for j in range(V.shape[3]):
                    left = j * stride[1] - padding[1]
                    total = U.dtype.type(0)
                    for n in range(max(top, 0), min(top + K, H)):
                        for m in range(max(left, 0), min(left + L, W)):
                            total += U[b, c, n, m]
                    V[b, c, i, j] = total / (K * L)


@kernel
def avg_pool2d_backward(first, end, dV, K, L, stride, padding, dU):
    _, C, H, W = dU.shape
    for b in range(first, end):
        for c in range(C):
            for n in range(H):
                for m in range(W):
                    dU[b, c, n, m] = 0
            for i in range(dV.shape[2]):
                top = i * stride[0] - padding[0]
                for j in range(dV.shape[3]):
                    left = j * stride[1] - padding[1]
                    share = dV[b, c, i, j] / (K * L)
                    for n in range(max(top, 0), min(top + K, H)):
                        for m in range(max(left, 0), min(left + L, W)):
                            dU[b, c, n, m] += share


class AvgPool2d(Function):
    gives_new_arrays = True

    @staticmethod
    def forward(ctx: Context, U: np.ndarray, kernel_size: Any, stride: Any, padding: Any) -> np.ndarray:
        check_floats("avg_pool2d", input=U)
        check_shape("avg_pool2d", "input", U, "B, C, H, W")
        K, L = pair("avg_pool2d", "kernel_size", kernel_size, 1)
        stride = (K, L) if stride is None else pair("avg_pool2d", "stride", stride, 1)
        padding = pair("avg_pool2d", "padding", padding, 0)
        if 2 * padding[0] > K or 2 * padding[1] > L:
            raise ValueError(f"avg_pool2d: expected padding of at most half the kernel {(K, L)}, got {padding}")
        h, w = window_positions("avg_pool2d", U.shape[2:], (K, L), stride, padding)
        ctx.geometry = K, L, stride, padding
        ctx.shape_of_U = U.shape
        V = np.empty((*U.shape[:2], h, w), U.dtype)
        share_out(avg_pool2d_forward, len(V), contiguous(U), *ctx.geometry, V)
        return V

    @staticmethod
    def backward(ctx: Context, dV: np.ndarray) -> Any:
        dU = np.empty(ctx.shape_of_U, dV.dtype)
        share_out(avg_pool2d_backward, len(dV), contiguous(dV), *ctx.geometry, dU)
        return dU, None, None, None


def avg_pool2d(
    input: Tensor,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
) -> Tensor:
    """The mean of the pixels in each window.

    Args:
        input: (B, C, H, W).
        kernel_size: rows and columns of the window in pixels; one number, or (rows, columns).
        stride: pixels from one window to the next; the window's size where None.
        padding: pixels of zeros round the image, that count in the mean; at most half the window.

    Returns (B, C, h, w), h = floor((H + 2 padding - K) / stride) + 1 and w alike, in the input's dtype. Raises
    TypeError for dtypes other than float32 and float64, ValueError for another rank, a window larger than the padded
    image, and more padding than half the window.

    >>> avg_pool2d(Tensor([[[[1.0, 2.0], [4.0, 3.0]]]]), 2).data
    array([[[[2.5]]]], dtype=float32)
    """
    return AvgPool2d.apply(input, kernel_size, stride, padding)
