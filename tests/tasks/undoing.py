"""Distortions, undone: some digits, the grid at which a task read them, and how alike two sets of pictures are."""

import functools

import numpy as np

import npstn.functional as F
from npstn import Tensor
from npstn.data import Source, draw_digits


@functools.cache
def few_digits(train):
    return draw_digits(60, seed=int(train))


def source(images=None, labels=None, classes=tuple("0123456789")):
    """Drawn digits, or the images that are given, for training and for testing."""
    if images is None:
        return Source("few", "digits", few_digits, (28, 28), classes)
    return Source("some", "pictures", lambda train: (images, labels), images.shape[1:], classes)


def read_at(transformer, parameters, images, size):
    """Images (B, 1, H, W) as a transformer hands them on."""
    grid = transformer.grid(Tensor(np.asarray(parameters, np.float32)), size)
    return F.grid_sample(Tensor(images), grid, align_corners=True).data


def likeness(a, b):
    """The correlation of each picture with its other: (B,)."""
    return np.array([np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(a, b, strict=True)])


def recorded(monkeypatch, module):
    """The list of the grids (B, h, w, 2) at which a task's module will read its images, in float64."""
    grids, sample = [], module.sample

    def recording(images, grid):
        grids.append(grid.data.astype(np.float64))
        return sample(images, grid)

    monkeypatch.setattr(module, "sample", recording)
    return grids
