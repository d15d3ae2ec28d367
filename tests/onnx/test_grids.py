"""The transformer's grids and sampler give the same numbers in every engine where good guesses are wrong."""

import numpy as np
import pytest
from exported import agree, both, every_engine

import npstn.functional as F
from npstn import Tensor
from npstn.transformers import TRANSFORMERS, Tps

pytest.importorskip("onnx")

NUMBERS = np.float32([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e7, 17.3, -9.2, 5, -5, 1.2, -1.2, 1, -1, 0, 0.5, -0.5])
KINDS = [*(kind() for kind in TRANSFORMERS.values()), Tps(grid_size=3, bounded=1)]


@every_engine
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (4, 1), (4, 5)], ids=str)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.name}{kind.chosen or ''}")
def test_a_grid(kind, size, engine):
    """Also of one row or column, which lies in the middle."""
    rng = np.random.default_rng(0)
    parameters = np.float32(kind.identity + rng.normal(0, 0.3, (4, len(kind.identity))))
    agree(lambda x: kind.grid(x, size), parameters, engine)


@every_engine
@pytest.mark.parametrize("align_corners", [True, False])
def test_an_affine_grid_of_either_convention(align_corners, engine):
    theta = np.float32(np.random.default_rng(0).normal(size=(2, 6)))
    agree(lambda x: F.affine_grid(x.reshape(len(x), 2, 3), (len(x), 1, 1, 3), align_corners), theta, engine)


@every_engine
@pytest.mark.parametrize("size", [(1, 4), (2, 1), (3, 4)], ids=str)
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align_corners", [True, False])
def test_the_sampler_at_points_of_all_kinds(size, mode, padding_mode, align_corners, engine):
    """NaN, infinite, far, at the border and on it."""
    H, W = size
    points = [(x, y) for x in NUMBERS for y in (0.0, 0.3)] + [(0.2, y) for y in NUMBERS]
    image = np.arange(1, 1 + H * W)
    columns = np.concatenate([image, np.ravel(points)]).astype(np.float32)[None]

    def net(x):
        U, G = x[:, : H * W].reshape(len(x), 1, H, W), x[:, H * W :].reshape(len(x), 1, len(points), 2)
        return F.grid_sample(U, G, mode, padding_mode, align_corners)

    agree(net, columns, engine, atol=3e-6)


@every_engine
@pytest.mark.parametrize("align_corners", [True, False])
def test_the_nearest_pixel_is_that_of_the_point_in_the_image(align_corners, engine):
    """Halves outside the image, where an engine would round first and mirror then."""
    x = np.arange(-24, 25) / 4

    def net(images):
        G = np.repeat(np.stack([x, 0 * x], axis=1)[None, None].astype(np.float32), len(images), axis=0)
        return F.grid_sample(images, Tensor(G), "nearest", "reflection", align_corners)

    agree(net, np.float32([[[[1, 2, 3, 4]]]]), engine)


@every_engine
def test_a_mirror_image_that_lies_far_away(engine):
    """4 is the distance after which mirror images repeat, and so 2^100 is 0."""
    image = np.float32([[[[1, 2, 3, 4]]]])

    def net(x):
        G = (x.reshape(len(x), 1, 1, 1) * np.float32([1, 0])).reshape(len(x), 1, 1, 2)
        return F.grid_sample(Tensor(np.repeat(image, len(x), axis=0)), G, padding_mode="reflection", align_corners=True)

    for V in both(net, np.float32([[0], [2.0**100], [1 + 2.0**22]]), engine):
        np.testing.assert_allclose(V.ravel(), [2.5, 2.5, 4], atol=1e-6)


@every_engine
def test_the_horizon_of_a_projective_map(engine):
    """Where q_2 = 0 the grid is infinite or NaN, and the pixel NaN; next to it the points are far, and read 0."""
    image = np.ones((1, 1, 3, 3), np.float32)

    def net(theta):
        grid = F.projective_grid(theta.reshape(len(theta), 3, 3), (3, 5))
        return F.grid_sample(Tensor(np.repeat(image, len(theta), axis=0)), grid, align_corners=True)

    tilted = np.tile(np.float32([1, 0, 0.1, 0, 1, 0, 1, 0, 0]), (3, 1))
    tilted[1:, 6:] = [2, 0, 1], [1, 0, 1.000001]
    found, wanted = both(net, tilted, engine)
    assert np.isnan(wanted).any(axis=(1, 2, 3)).tolist() == [True, True, False]
    np.testing.assert_allclose(found, wanted, atol=1e-6)
