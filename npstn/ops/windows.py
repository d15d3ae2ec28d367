"""Windows that move over an image: what convolution and pooling say of their size, stride and padding."""

from __future__ import annotations

import operator

from npstn.ops.arguments import MOST


def window_positions(
    operation: str, size: tuple[int, ...], kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
) -> tuple[int, int]:
    """How many rows and columns of positions a window has in an image of `size` (H, W) pixels with its padding.

    floor((H + 2 padding - kernel) / stride) + 1, and for W alike. Raises ValueError where the window does not fit, and
    where the image or the window has no pixels, or the image with its padding 2^31 or more.
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


def output_size(operation: str, size: object) -> tuple[int, int]:
    """Rows and columns of a grid, (h, w). Raises ValueError unless both are at least 1 and their product below 2^31."""
    try:
        h, w = (operator.index(n) for n in size)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        h = w = -1
    if h < 1 or w < 1 or h * w >= MOST:
        raise ValueError(f"{operation}: expected size (h, w) of at least 1 x 1 and below 2^31 pixels, got {size}")
    return h, w
