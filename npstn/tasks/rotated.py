"""Digits turned by random angles, with the library's own sampler, as the networks take them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

import npstn.functional as F
from npstn.autograd import Tensor, no_grad
from npstn.ops.arguments import check_shape


class Rotated(NamedTuple):
    """Images that were turned, and by how much."""

    images: np.ndarray  # float32 (N, 1, 28, 28), 0 (black, the paper) .. 1
    labels: np.ndarray  # int64 (N,)
    degrees: np.ndarray  # float32 (N,), counter-clockwise


def rotate(images: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """Turn each image about its centre, counter-clockwise; black comes in at the corners.

    Args:
        images: uint8 (N, S, S), 0 .. 255, square.
        degrees: (N,).

    Returns float32 (N, 1, S, S), 0 .. 1. Black stays 0, which is also what the sampler finds outside of an image: the
    transformer brings in no edges. Raises TypeError for other dtypes, ValueError for other shapes.
    """
    images, degrees = np.asarray(images), np.asarray(degrees)
    if images.dtype != np.uint8 or degrees.dtype.kind not in "iuf":
        raise TypeError(f"rotate: expected images of uint8 and degrees of numbers, got {images.dtype}, {degrees.dtype}")
    check_shape("rotate", "images", images, "N, S, S")
    check_shape("rotate", "images", images, f"N, {images.shape[1]}, {images.shape[1]}")
    check_shape("rotate", "degrees", degrees, f"{len(images)}")
    grey = (images[:, None] / np.float32(255)).astype(np.float32)
    theta = F.rotation_theta(Tensor(np.deg2rad(degrees).astype(np.float32)))
    with no_grad():
        grid = F.affine_grid(theta, grey.shape, align_corners=True)
        return F.grid_sample(Tensor(grey), grid, align_corners=True).data


def batches(
    images: np.ndarray,
    labels: np.ndarray,
    angle: float,
    batch_size: int,
    random: np.random.Generator,
    order: np.ndarray | None = None,
) -> Iterator[Rotated]:
    """One epoch: all images in random order, each turned by a fresh angle within +-`angle` degrees.

    The last batch may be smaller. Args: images uint8 (N, S, S), labels (N,); order: the numbers of the images to take,
    where they are not all, or not to be shuffled here.
    """
    if order is None:
        order = random.permutation(len(images))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        degrees = random.uniform(-angle, angle, len(chosen)).astype(np.float32)
        yield Rotated(rotate(images[chosen], degrees), labels[chosen], degrees)
