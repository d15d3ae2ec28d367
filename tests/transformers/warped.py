"""Pictures, warped by a transformer and as somebody would who knows only its description."""

import numpy as np
from scipy import ndimage

import npstn.functional as F
from npstn import Tensor
from npstn.transformers import Affine, Attention, Projective, Rotation, Similarity, Tps

SIZES = [(28, 28), (21, 41), (41, 21)]
KINDS = [
    Rotation(),
    Similarity(),
    Attention(),
    Affine(),
    Projective(),
    Tps(),
    Tps(grid_size=2, span=1.0),
    Tps(grid_size=3, span=0.5, bounded=1),
    Tps(grid_size=16),
]
NAMES = [f"{kind.name} {' '.join(f'{value:g}' for value in kind.chosen.values())}".strip() for kind in KINDS]


def warp(kind, parameters, image):
    """An image (H, W) as the transformer hands it on, in float64."""
    grid = kind.grid(Tensor(np.asarray([parameters], np.float64)), image.shape)
    return F.grid_sample(Tensor(image[None, None].astype(np.float64)), grid, align_corners=True).data[0, 0]


def matrix(angle_deg=0.0, scale=1.0, shear=0.0):
    """What turns, scales and shears points (x to the right, y down) about the centre: counter-clockwise on the screen.

    A point on the right, (1, 0), goes up, to (cos a, -sin a).
    """
    a = np.deg2rad(angle_deg)
    turn = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    return turn @ (scale * np.array([[1, shear], [0, 1]]))


def as_described(image, shift_x_px=0.0, shift_y_px=0.0, **rest):
    """An image, shifted and then turned, scaled and sheared about its centre, by SciPy."""
    centre = (np.array(image.shape) - 1) / 2
    back = np.linalg.inv(matrix(**rest))[::-1, ::-1]  # SciPy counts (row, column)
    offset = centre - back @ centre - [shift_y_px, shift_x_px]
    return ndimage.affine_transform(image, back, offset, order=1, mode="grid-constant", cval=0.0)


def described(kind, parameters, size):
    """The description of one map: name -> number."""
    return {name: values.item() for name, values in kind.describe(np.asarray([parameters], float), size).items()}
