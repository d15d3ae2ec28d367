"""tps_grid against the spline's conditions, SciPy's interpolator, finite differences and affine maps."""

import numpy as np
import oracles
import pytest
import scipy.linalg
from assertions import assert_adjoint, assert_close, dtypes, normal, refuses, seeds
from finite_differences import assert_gradients, differentiate
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import RBFInterpolator

import npstn.functional as F
from npstn import Tensor
from npstn.ops import tps_grid

sizes = st.tuples(st.integers(1, 6), st.integers(1, 6))  # h, w


def regular(rows, columns, span=0.9):
    """Control points on a regular grid, (rows columns, 2)."""
    y, x = np.meshgrid(np.linspace(-span, span, rows), np.linspace(-span, span, columns), indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=1)


def scattered(seed, K):
    """Control points that keep apart: the corners of a triangle, and others at random around a grid."""
    rng = np.random.default_rng(seed)
    places = rng.permutation(regular(5, 5))[: K - 3] + rng.uniform(-0.1, 0.1, (K - 3, 2))
    return np.concatenate([[[-1.2, -1.1], [1.3, -1.0], [0.1, 1.4]], places])


REGULAR = [regular(4, 4), regular(3, 5), regular(2, 2, span=1)]
CONTROL_POINTS = [*REGULAR, scattered(0, 9), scattered(1, 3), scattered(2, 25)]
every_set = pytest.mark.parametrize("control_points", CONTROL_POINTS, ids=lambda c: f"K = {len(c)}")


def generator(control_points, size):
    return lambda points: F.tps_grid(points, control_points, size)


def moved(seed, control_points, B=2, dtype=np.float64):
    (change,) = normal(seed, (B, *control_points.shape))
    return (control_points + 0.2 * change).astype(dtype)


def places(size):
    """Every output pixel, (h w, 2) of (x, y); align_corners."""
    h, w = size
    x, y = ([oracles.to_normalised(k, n, True) for k in range(n)] for n in (w, h))
    return np.array([(x[j], y[i]) for i, j in np.ndindex(h, w)])


@every_set
@given(size=sizes, seed=seeds, dtype=dtypes)
def test_forward_is_the_spline_that_meets_the_conditions(control_points, size, seed, dtype):
    points = moved(seed, control_points, dtype=dtype)
    G = generator(control_points, size)(Tensor(points))
    assert G.dtype == dtype and G.shape == (2, *size, 2)
    for b in range(2):
        expected = oracles.thin_plate_spline(points[b].astype(np.float64), control_points, places(size))
        assert_close(G.data[b].reshape(-1, 2), expected, {np.float32: 5e-6, np.float64: 1e-11}[dtype])


@every_set
@given(size=sizes, seed=seeds)
def test_scipys_interpolator_gives_the_same(control_points, size, seed):
    points = moved(seed, control_points)
    G = generator(control_points, size)(Tensor(points)).data
    for b in range(2):
        theirs = RBFInterpolator(control_points, points[b], kernel="thin_plate_spline", degree=1)
        assert_close(G[b].reshape(-1, 2), theirs(places(size)), 1e-11)


@every_set
@given(size=sizes, seed=seeds)
def test_gradients_by_finite_differences(control_points, size, seed):
    assert_gradients(generator(control_points, size), moved(seed, control_points), step=0.5, tolerance=1e-11)


@every_set
@given(size=sizes, seed=seeds)
def test_backward_is_the_transpose(control_points, size, seed):
    assert_adjoint(generator(control_points, size), moved(seed, control_points))


def test_the_spline_goes_through_the_points():
    control_points = regular(3, 3, span=1)  # the pixels of an image of 3 x 3
    points = moved(0, control_points)
    assert_close(generator(control_points, (3, 3))(Tensor(points)).data.reshape(2, 9, 2), points, 1e-13)


@every_set
@given(size=sizes, seed=seeds, dtype=dtypes)
def test_an_affine_map_of_the_control_points_gives_that_map(control_points, size, seed, dtype):
    (theta,) = normal(seed, (2, 2, 3))
    points = control_points @ np.swapaxes(theta[:, :, :2], 1, 2) + theta[:, None, :, 2]
    expected = F.affine_grid(Tensor(theta), (2, 1, *size), align_corners=True).data
    G = generator(control_points, size)(Tensor(points.astype(dtype))).data
    assert_close(G, expected, {np.float32: 5e-6, np.float64: 1e-12}[dtype])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("K", [2, 4, 10, 16])
@pytest.mark.parametrize("size", [(28, 28), (60, 42)])
def test_the_identity_is_off_by_a_few_roundings(dtype, K, size):
    control_points = regular(K, K)
    G = generator(control_points, size)(Tensor(control_points[None].astype(dtype))).data
    expected = places(size).reshape(1, *size, 2)
    off = np.abs(G - expected).max() * max(size) / 2  # in pixels
    assert off < {np.float32: 1e-4, np.float64: 1e-10}[dtype]


def test_a_single_pixel_lies_in_the_middle():
    points = moved(0, regular(3, 3))
    expected = [oracles.thin_plate_spline(one, regular(3, 3), [[0, 0]])[0] for one in points]
    assert_close(generator(regular(3, 3), (1, 1))(Tensor(points)).data[:, 0, 0], expected, 1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_grids_sum_as_exactly_as_small_ones(dtype):
    control_points = regular(4, 4)
    _, (dpoints,), dG = differentiate(generator(control_points, (90, 70)), moved(0, control_points, 1, dtype))
    _, (expected,), _ = differentiate(
        generator(control_points, (90, 70)), moved(0, control_points, 1), cotangent=dG.astype(np.float64)
    )
    assert_close(dpoints, expected, {np.float32: 1e-5, np.float64: 1e-13}[dtype])


# ---- the matrix ------------------------------------------------------------------------------------------------------


def test_the_system_is_solved_once_for_each_set_of_control_points(monkeypatch):
    solved = []

    def counted(*args, solve=scipy.linalg.solve, **options):
        solved.append(1)
        return solve(*args, **options)

    monkeypatch.setattr(scipy.linalg, "solve", counted)
    control_points = scattered(12345, 7)  # of no other test
    for _ in range(3):
        for size in ((3, 4), (5, 6)):
            for dtype in (np.float32, np.float64):
                generator(control_points, size)(Tensor(moved(0, control_points, dtype=dtype)))
    assert len(solved) == 1


def test_nothing_that_a_caller_changes_reaches_the_next_grid():
    control_points = scattered(54321, 7)
    points, generate = moved(0, control_points), generator(control_points.copy(), (3, 4))
    expected = generate(Tensor(points)).data.copy()
    passed = control_points.copy()
    G, (dpoints,), dG = differentiate(generator(passed, (3, 4)), points)
    for array in (G, dpoints, passed):
        array[...] = 99
    np.testing.assert_array_equal(generate(Tensor(points)).data, expected)
    _, (again,), _ = differentiate(generate, points, cotangent=dG)
    assert np.abs(again).max() < 99


@pytest.mark.parametrize("form", [np.asarray, np.float32, np.ndarray.tolist, np.asfortranarray])
def test_control_points_in_any_form(form):
    control_points = np.array([[-1, -1], [1, -0.75], [0.5, 1], [-0.5, 0.25]])  # exact in float32
    points = moved(0, control_points)
    expected = generator(control_points, (3, 4))(Tensor(points)).data
    np.testing.assert_array_equal(generator(form(control_points), (3, 4))(Tensor(points)).data, expected)


# ---- what is refused -------------------------------------------------------------------------------------------------

line = np.linspace(-1, 1, 5)


@pytest.mark.parametrize(
    ("control_points", "message"),
    [
        (np.stack([line, 0 * line], axis=1), "do not all lie on one line, got points that do"),
        (np.stack([0 * line, line], axis=1), "do not all lie on one line, got points that do"),
        (np.stack([line, 0.3 * line + 0.1], axis=1), "do not all lie on one line, got points that do"),  # slanted
        (np.stack([line, 0.3 * line + 1e-9 * line**2], axis=1), "do not all lie on one line, got points that do"),
        (np.zeros((4, 2)), "do not all lie on one line, got points that do"),
        (np.concatenate([regular(2, 2), regular(2, 2)[1:2]]), "all differ, got points 1 and 4 at one place"),
        (np.concatenate([regular(2, 2), regular(2, 2)[3:] + 1e-9]), "all differ, got points 3 and 4 at one place"),
    ],
)
def test_control_points_without_a_spline_are_refused_with_the_reason(control_points, message):
    with refuses(ValueError, f"tps_grid: expected control_points that {message}"):
        generator(control_points, (3, 4))(Tensor(np.zeros((1, *control_points.shape))))


@pytest.mark.parametrize(
    ("control_points", "got"),
    [
        (regular(2, 2)[:2], "(2, 2)"),
        (np.zeros((0, 2)), "(0, 2)"),
        (np.zeros((4, 3)), "(4, 3)"),
        (np.zeros(4), "(4,)"),
        (np.array([[0, 0], [1, 0], [0, np.nan]]), "(3, 2) with NaN or infinity"),
        (np.array([[0, 0], [1, 0], [0, np.inf]]), "(3, 2) with NaN or infinity"),
    ],
)
def test_what_is_no_set_of_control_points_is_refused(control_points, got):
    message = f"tps_grid: expected control_points of shape (K, 2), finite, K at least 3, got {got}"
    with refuses(ValueError, message):
        generator(control_points, (3, 4))(Tensor(np.zeros((1, len(np.atleast_1d(control_points)), 2))))


NO_ARRAYS = [("a", "str"), ({}, "dict"), ([[0, 1], [2]], "list"), (None, "NoneType"), (1j * regular(2, 2), "ndarray")]


@pytest.mark.parametrize(("control_points", "got"), NO_ARRAYS)
def test_what_is_no_array_of_numbers_is_refused(control_points, got):
    with refuses(TypeError, f"tps_grid: expected control_points to be a (K, 2) array of numbers, got {got}"):
        generator(control_points, (3, 4))(Tensor(np.zeros((1, 4, 2))))


@pytest.mark.parametrize("factor", [1e-5, 1e5, 1e300, 1e-300])
def test_control_points_in_other_units_are_refused(factor):
    """In float64 the spline through them would be wrong without a word."""
    with pytest.raises(ValueError, match="^tps_grid: expected normalised control_points, .*, got [^\n]+$"):
        generator(factor * regular(3, 3), (3, 4))(Tensor(np.zeros((1, 9, 2))))


@pytest.mark.parametrize("shape", [(4, 2), (1, 3, 2), (1, 4, 3), (1, 8)])
def test_ill_shaped_points_are_refused(shape):
    with refuses(ValueError, f"tps_grid: expected points of shape (B, 4, 2), got {shape}"):
        generator(regular(2, 2), (3, 4))(Tensor(np.zeros(shape)))


@pytest.mark.parametrize("size", [(0, 3), (3, -1), (2,), (1, 1, 2, 2), 5, None, (2.0, 2), "22", (2**31, 1)])
def test_what_is_no_size_is_refused(size):
    with refuses(ValueError, f"tps_grid: expected size (h, w) of at least 1 x 1 and below 2^31 pixels, got {size!r}"):
        generator(regular(2, 2), size)(Tensor(np.zeros((1, 4, 2))))


def test_control_points_that_want_a_gradient_are_refused():
    corners = Tensor([[-1.0, -1], [1, -1], [-1, 1], [1, 1]], requires_grad=True)
    points = Tensor(corners.data[None])
    with pytest.raises(ValueError, match="^tps_grid: expected control_points that do not require grad.*detach"):
        F.tps_grid(points, corners, (2, 2))
    assert F.tps_grid(points, corners.detach(), (2, 2)).shape == (1, 2, 2, 2)


def test_the_radial_function():
    """r^2 ln r = r^2 ln(r^2) / 2, and 0 at 0."""
    z = np.array([[0.0, 0.0], [3.0, 4.0], [0.6, 0.8]])
    assert_close(tps_grid.radial(z, np.zeros((1, 2)))[:, 0], [0, 25 * np.log(5), 0], 1e-15)
