"""Windows that move over an image: how many there are, and the arguments of pooling."""

from __future__ import annotations

from typing import Any

import numpy as np

from npstn.ops.arguments import MOST, check_floats, check_shape, pair


def window_positions(
    operation: str, size: tuple[int, ...], kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
) -> tuple[int, int]:
    """Count the rows and columns of positions that a window has in a padded image.

    Args:
        operation: the name that messages begin with.
        size: (H, W) of the image, in pixels.
        kernel: rows and columns of the window.
        stride, padding: for rows and columns; see `conv2d`.

    Returns floor((H + 2 padding - kernel) / stride) + 1, and the same for W. Raises ValueError for a window that does
    not fit, for a window or an image without pixels, and for a padded image of 2^31 pixels or more.

    >>> window_positions("conv2d", (28, 28), (5, 5), (1, 1), (0, 0))
    (24, 24)
    """
    H, W = size[0] + 2 * padding[0], size[1] + 2 * padding[1]
    if not 1 <= size[0] * size[1] <= H * W < MOST:
        with_padding = f" with padding {padding}" if any(padding) else ""
        raise ValueError(
            f"{operation}: expected images of at least one and fewer than 2^31 pixels, got {tuple(size)}{with_padding}"
        )
    if min(kernel) < 1:
        raise ValueError(f"{operation}: expected a kernel of at least one pixel, got {kernel}")
    if kernel[0] > H or kernel[1] > W:
        raise ValueError(f"{operation}: expected a kernel no larger than the padded input {(H, W)}, got {kernel}")
    return (H - kernel[0]) // stride[0] + 1, (W - kernel[1]) // stride[1] + 1


def pooling_windows(
    operation: str, U: np.ndarray, kernel_size: Any, stride: Any, padding: Any
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Check the arguments of a pooling operation; return its (K, L), stride, padding and (h, w), for rows and columns.

    Raises TypeError unless U is an array of float32 or float64, and ValueError for another rank, for numbers out of
    range, for more padding than half the window, and for a window larger than the padded image.
    """
    check_floats(operation, input=U)
    check_shape(operation, "input", U, "B, C, H, W")
    kernel = pair(operation, "kernel_size", kernel_size, 1)
    stride = kernel if stride is None else pair(operation, "stride", stride, 1)
    padding = pair(operation, "padding", padding, 0)
    if 2 * padding[0] > kernel[0] or 2 * padding[1] > kernel[1]:
        raise ValueError(f"{operation}: expected padding of at most half the kernel {kernel}, got {padding}")
    return kernel, stride, padding, window_positions(operation, U.shape[2:], kernel, stride, padding)
