"""The rotation as a transformer: on any shape it turns as SciPy turns, in pixels, and its gradient is a slope."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

import npstn
import npstn.functional as F
from npstn import Tensor
from npstn.transformers import Rotation

SIZES = [(28, 28), (24, 40), (40, 24), (2, 9)]


def turned(image, degrees):
    """An image (H, W), float64, read at the rotation's grid."""
    grid = Rotation().grid(Tensor(np.deg2rad([[degrees]])), image.shape)
    return F.grid_sample(Tensor(image[None, None]), grid, align_corners=True).data[0, 0]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("degrees", [-150, -30, 7, 45, 90])
def test_an_image_is_turned_as_scipy_turns_it(rng, size, degrees):
    image = rng.random(size)
    wanted = ndimage.rotate(image, degrees, reshape=False, order=1, mode="grid-constant", cval=0.0)
    assert_allclose(turned(image, degrees), wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("size", SIZES)
def test_points_are_turned_about_the_centre_in_pixels(size):
    """Complex numbers turn without a matrix; y points down, and the grid turns against the picture."""
    h, w = size
    a = 0.4
    grid = Rotation().grid(Tensor(np.array([[a]])), size).data[0]
    x, y = np.arange(w) - (w - 1) / 2, np.arange(h)[:, None] - (h - 1) / 2
    wanted = (x + 1j * y) * np.exp(1j * a)
    assert_allclose(grid[..., 0] * (w - 1) / 2, wanted.real, atol=1e-12)
    assert_allclose(grid[..., 1] * (h - 1) / 2, wanted.imag, atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_distances_are_kept(size):
    """No shear and no stretch: two neighbours lie one pixel apart, at every angle."""
    h, w = size
    angles = np.linspace(-3, 3, 7)[:, None]
    pixels = Rotation().grid(Tensor(angles), size).data * (np.array([w - 1, h - 1]) / 2)
    assert_allclose(np.linalg.norm(np.diff(pixels, axis=1), axis=3), 1, rtol=1e-12)
    assert_allclose(np.linalg.norm(np.diff(pixels, axis=2), axis=3), 1, rtol=1e-12)


@pytest.mark.parametrize("size", [*SIZES, (1, 7), (7, 1), (1, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_identity_reads_every_pixel_where_it_is(size, dtype):
    h, w = size
    identity = Rotation.identity
    assert identity.dtype == np.float32 and identity.shape == (1,)
    grid = Rotation().grid(Tensor(identity[None].astype(dtype)), size)
    assert (grid.shape, grid.dtype) == ((1, h, w, 2), dtype)
    assert_allclose(grid.data[0, 0, :, 0], np.linspace(-1, 1, w) if w > 1 else [0], atol=1e-6)
    assert_allclose(grid.data[0, :, 0, 1], np.linspace(-1, 1, h) if h > 1 else [0], atol=1e-6)
    image = np.random.default_rng(0).random((1, 1, h, w)).astype(dtype)
    assert_allclose(F.grid_sample(Tensor(image), grid, align_corners=True).data, image, rtol=0, atol=1e-5)


def test_a_quarter_turn_moves_the_corners():
    grid = Rotation().grid(Tensor(np.array([[0.0], [np.pi / 2]])), (5, 5)).data
    corners = grid[:, ::4, ::4]  # (x, y) of the corner pixels' centres: -1 and 1, as align_corners has it
    assert_array_equal(corners[0], [[[-1, -1], [1, -1]], [[-1, 1], [1, 1]]])
    assert_allclose(corners[1], [[[1, -1], [1, 1]], [[-1, -1], [-1, 1]]], atol=1e-15)


@pytest.mark.parametrize("size", [(5, 5), (3, 8), (1, 4)])
def test_its_gradient_is_that_of_finite_differences(size):
    angles = np.array([[-2.0], [0.3], [1.1]])
    assert npstn.gradcheck(lambda parameters: Rotation().grid(parameters, size), (angles,))


def test_describe_gives_degrees():
    described = Rotation().describe(np.float32([[0], [np.pi / 2], [-np.pi]]), (3, 9))
    assert list(described) == ["angle_deg"]
    assert_allclose(described["angle_deg"], [0, 90, -180], rtol=1e-6)
