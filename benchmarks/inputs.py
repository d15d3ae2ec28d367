"""What the cases are given: images, grids, weights; made with NumPy alone, the same for both libraries."""

from __future__ import annotations

import numpy as np

SPAN = 0.9  # how far from the centre the outermost control points of a spline stand
CONTROL_POINTS = np.stack(np.meshgrid(*[np.linspace(-SPAN, SPAN, 4)] * 2), axis=-1).reshape(16, 2)  # row by row

# The parameters that change nothing. A matrix is given row by row, and the projective one without its last entry, 1.
IDENTITY = {
    "rotation": np.zeros(1),
    "affine": np.array([1, 0, 0, 0, 1, 0]),
    "projective": np.array([1, 0, 0, 0, 1, 0, 0, 0]),
    "tps": CONTROL_POINTS.ravel(),
}


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def smooth(images: int, side: int) -> np.ndarray:
    """Images (images, 1, side, side), 0 .. 1, of which neighbours are alike, as in pictures.

    In white noise the gradient of a map's parameters is a sum of which little is left. There one pixel that is largest
    in its window but for rounding changes it by a hundredth.
    """
    distance = np.minimum(np.arange(side), side - np.arange(side))
    blur = np.exp(-((distance / 6) ** 2))  # of frequencies
    x = np.fft.ifft2(np.fft.fft2(normal(images, 1, side, side)) * blur[:, None] * blur).real
    low, high = x.min(axis=(2, 3), keepdims=True), x.max(axis=(2, 3), keepdims=True)
    return ((x - low) / (high - low)).astype(np.float32)


def places(side: int) -> np.ndarray:
    """The (x, y) of all pixels of a square image, row by row: (side^2, 2); -1 and 1 are the corner pixels."""
    return np.stack(np.meshgrid(*[np.linspace(-1, 1, side)] * 2), axis=-1).reshape(side**2, 2)


def turned_grid(images: int, side: int) -> np.ndarray:
    """For each image the grid of a rotation by up to 45 degrees: (images, side, side, 2), (x, y) last."""
    angle = np.random.default_rng(1).uniform(-0.8, 0.8, (images, 1, 1))
    x, y = places(side).reshape(side, side, 2).transpose(2, 0, 1)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1).astype(np.float32)


def grids(transformer: str, images: int, side: int) -> np.ndarray:
    """For each image a grid of the kind affine, projective or tps, near the identity: (images, side, side, 2)."""
    identity = IDENTITY[transformer]
    parameters = identity + np.random.default_rng(1).normal(0, 0.1, (images, len(identity)))
    if transformer == "tps":
        grid = spline_matrix(side) @ parameters.reshape(images, 16, 2)
    else:
        theta = np.tile(np.eye(3).ravel(), (images, 1))
        theta[:, : len(identity)] = parameters
        homogeneous = np.insert(places(side), 2, 1, axis=1)  # (x, y, 1)
        q = homogeneous @ theta.reshape(images, 3, 3).transpose(0, 2, 1)
        grid = q[..., :2] / q[..., 2:]
    return grid.reshape(images, side, side, 2).astype(np.float32)


def spline_matrix(side: int) -> np.ndarray:
    """From where the control points of a thin-plate spline look to where each pixel looks: (side^2, 16), float64.

    The spline is f(z) = sum_k w_k U(|z - c_k|) + a_0 + a_1 x + a_2 y with U(r) = r^2 ln r. Its coefficients solve the
    system of Bookstein 1989, "Principal warps".
    """

    def radial(z: np.ndarray) -> np.ndarray:
        r2 = ((z[:, None] - CONTROL_POINTS) ** 2).sum(axis=2)
        return np.where(r2 > 0, r2 * np.log(np.where(r2 > 0, r2, 1)) / 2, 0)

    affine = np.insert(CONTROL_POINTS, 0, 1, axis=1)  # (1, x, y)
    L = np.block([[radial(CONTROL_POINTS), affine], [affine.T, np.zeros((3, 3))]])
    at_pixels = np.concatenate([radial(places(side)), np.insert(places(side), 0, 1, axis=1)], axis=1)
    return at_pixels @ np.linalg.solve(L, np.eye(19, 16))


def weights(transformer: str = "rotation", network: str = "blog", side: int = 28) -> dict[str, np.ndarray]:
    """A state of the network, random as at the start; but its localiser does move each image, by a map of its own.

    Args:
        network: "blog", or "cnn" or "fcn" for those of the paper.
        side: pixels along a side of the images; 28 for "blog".
    """
    rng, state = np.random.default_rng(2), {}
    layers = _layers(network, len(IDENTITY[transformer]), side)
    for layer, shape in layers.items():
        bound = 1 / np.sqrt(np.prod(shape[1:]))
        state[f"{layer}.weight"] = rng.uniform(-bound, bound, shape).astype(np.float32)
        state[f"{layer}.bias"] = rng.uniform(-bound, bound, shape[0]).astype(np.float32)
    *_, last = (layer for layer in layers if layer.startswith("loc_net"))
    state[f"{last}.weight"] *= 4
    state[f"{last}.bias"] += IDENTITY[transformer].astype(np.float32)
    return state


def _layers(network: str, parameters: int, side: int) -> dict[str, tuple[int, ...]]:
    """The layers of a localiser and of a classifier by name, and the shapes of their weights."""
    if network == "blog":
        layers: dict[str, tuple[int, ...]] = {"conv1": (10, 1, 5, 5), "conv2": (20, 10, 5, 5), "fc1": (50, 320)}
        nets = ("loc_net", parameters), ("cls_net", 10)
        return {f"{net}.cnn.{layer}": shape for net, n in nets for layer, shape in {**layers, "fc2": (n, 50)}.items()}
    if network == "fcn":
        pixels = side**2
        width = round((np.sqrt(pixels**2 + 4 * 400_000) - pixels) / 2)  # about 400,000 weights: see models.py
        localiser = {"loc_net.1": (32, pixels), "loc_net.3": (32, 32), "loc_net.5": (parameters, 32)}
        classifier = (width, pixels), (width, width), (10, width)
        return localiser | {f"cls_net.scores.{1 + 2 * n}": shape for n, shape in enumerate(classifier)}
    left = (side // 2 - 4) // 2 - 4, ((side - 8) // 2 - 6) // 2  # pixels along a side before the first linear layers
    return {
        "loc_net.1": (20, 1, 5, 5),
        "loc_net.4": (20, 20, 5, 5),
        "loc_net.7": (20, 20 * left[0] ** 2),
        "loc_net.9": (parameters, 20),
        "cls_net.scores.0": (32, 1, 9, 9),
        "cls_net.scores.3": (32, 32, 7, 7),
        "cls_net.scores.7": (10, 32 * left[1] ** 2),
    }
