"""Phases: images without padding and stride, for the kernels of the convolution, which know neither.

    b, c          a sample of the batch, a channel
    U (B, C, H, W), the images, or the filters in their place

The padding's zeros are put round each image. Then it is taken apart into images whose rows and columns are a stride
apart: pixels that were a stride apart are neighbours then. Filters are taken apart alike. Convolved with stride 1 and
without padding, the phases give what the images give.
"""

from __future__ import annotations

import numpy as np

from npstn.ops.arguments import contiguous


def take_apart(U: np.ndarray, lines: int, columns: int, stride: tuple, padding: tuple) -> np.ndarray:
    """The padded images, taken apart by row and column modulo stride: (B, C stride_y stride_x, lines, columns)."""
    if stride == (1, 1) and padding == (0, 0):
        return contiguous(U)
    B, C, H, W = U.shape
    padded = np.zeros((B, C, lines * stride[0], columns * stride[1]), U.dtype)
    inner = padded[:, :, padding[0] : padding[0] + H, padding[1] : padding[1] + W]
    inner[...] = U[:, :, : inner.shape[2], : inner.shape[3]]
    apart = padded.reshape(B, C, lines, stride[0], columns, stride[1]).transpose(0, 1, 3, 5, 2, 4)
    return np.ascontiguousarray(apart).reshape(B, C * stride[0] * stride[1], lines, columns)


def put_together(dphases: np.ndarray, shape: tuple, stride: tuple, padding: tuple) -> np.ndarray:
    """The transpose of `take_apart`: the gradient of the images, of this shape, from that of the phases."""
    if stride == (1, 1) and padding == (0, 0):
        return contiguous(dphases)
    B, C, H, W = shape
    _, _, lines, columns = dphases.shape
    together = dphases.reshape(B, C, *stride, lines, columns).transpose(0, 1, 4, 2, 5, 3)
    dpadded = together.reshape(B, C, lines * stride[0], columns * stride[1])
    inner = dpadded[:, :, padding[0] :, padding[1] :][:, :, :H, :W]
    dU = np.zeros(shape, dphases.dtype)
    dU[:, :, : inner.shape[2], : inner.shape[3]] = inner
    return dU


def of_filters(weight: np.ndarray, stride: tuple) -> np.ndarray:
    """The filters, taken apart as the images are: (O, C stride_y stride_x, K, L). What they lack at the end is zero."""
    _, _, K, L = weight.shape
    return take_apart(weight, -(-K // stride[0]), -(-L // stride[1]), stride, (0, 0))
