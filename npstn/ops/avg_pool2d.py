"""Average pooling: the mean of the pixels in each window.

    b, c       a sample of the batch, a channel
    k, l       row and column in the window, 0 .. K-1, 0 .. L-1
    n, m       row and column in the input, 0 .. H-1, 0 .. W-1 (pixels)
    i, j       row and column in the output, 0 .. h-1, 0 .. w-1 (pixels)
    U (B, C, H, W)   V (B, C, h, w)

    V[b, c, i, j] = 1 / (K L) sum_{k, l} U[b, c, n, m],  n = i stride_y - padding_y + k,  m = j stride_x - padding_x + l

with U = 0 outside the image: the padding counts as pixels, as it does by default in PyTorch. V is linear in U:

    ∂V[b, c, i, j] / ∂U[b, c, n, m] = 1 / (K L) where the window of (i, j) holds (n, m), else 0

so there are no kinks, and by the chain rule a pixel gets its share from every window that holds it:

    dU[b, c, n, m] = 1 / (K L) sum of dV[b, c, i, j] over all (i, j) whose window holds (n, m)

Source: LeCun et al. 1998, section II, where it is called sub-sampling.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npstn.autograd import Context, Function, Tensor
from npstn.backend.compiler import kernel
from npstn.backend.parallel import share_out
from npstn.ops.arguments import contiguous
from npstn.ops.windows import pooling_windows


@kernel
def avg_pool2d_forward(first, end, U, K, L, stride, padding, V):
    """V of the samples first .. end-1."""
    _, C, H, W = U.shape
    for b in range(first, end):
        for c in range(C):
            for i in range(V.shape[2]):
                top = i * stride[0] - padding[0]
                for j in range(V.shape[3]):
                    left = j * stride[1] - padding[1]
                    # 1 / (K L) sum_{k, l} U[b, c, n, m], over the pixels inside the image
                    total = np.float64(0)  # a window may be large, and long sums in float32 lose digits
                    for n in range(max(top, 0), min(top + K, H)):
                        for m in range(max(left, 0), min(left + L, W)):
                            total += U[b, c, n, m]
                    V[b, c, i, j] = total / (K * L)


@kernel
def avg_pool2d_backward(first, end, dV, K, L, stride, padding, dU):
    """dU of the samples first .. end-1."""
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
                    # every pixel that the window of (i, j) holds gets 1 / (K L) dV[b, c, i, j]
                    share = dV[b, c, i, j] / (K * L)
                    for n in range(max(top, 0), min(top + K, H)):
                        for m in range(max(left, 0), min(left + L, W)):
                            dU[b, c, n, m] += share


class AvgPool2d(Function):
    gives_new_arrays = True

    @staticmethod
    def forward(ctx: Context, U: np.ndarray, kernel_size: Any, stride: Any, padding: Any) -> np.ndarray:
        (K, L), stride, padding, (h, w) = pooling_windows("avg_pool2d", U, kernel_size, stride, padding)
        ctx.windows = K, L, stride, padding
        ctx.shape_of_U = U.shape
        V = np.empty((*U.shape[:2], h, w), U.dtype)
        share_out(avg_pool2d_forward, len(V), contiguous(U), *ctx.windows, V)
        return V

    @staticmethod
    def backward(ctx: Context, dV: np.ndarray) -> Any:
        dU = np.empty(ctx.shape_of_U, dV.dtype)
        share_out(avg_pool2d_backward, len(dV), contiguous(dV), *ctx.windows, dU)
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
        stride: pixels from one window to the next; the size of the window where None.
        padding: pixels of zeros round the image, which count in the mean; at most half the window.

    Returns (B, C, h, w), h = floor((H + 2 padding - K) / stride) + 1 and w alike, in the dtype of the input. Raises
    TypeError for dtypes other than float32 and float64; ValueError for another rank, for a window larger than the
    padded image, and for more padding than half the window.

    >>> avg_pool2d(Tensor([[[[1.0, 2.0], [4.0, 3.0]]]]), 2).data
    array([[[[2.5]]]], dtype=float32)
    """
    return AvgPool2d.apply(input, kernel_size, stride, padding)
