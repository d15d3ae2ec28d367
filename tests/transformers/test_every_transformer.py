"""What holds for every kind: the identity, the gradient, one kind as a case of another, what is refused."""

import json
from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_allclose
from warped import KINDS, NAMES, SIZES, described

import npstn
import npstn.functional as F
from npstn import Tensor
from npstn.transformers import (
    TRANSFORMERS,
    Affine,
    Attention,
    Projective,
    Rotation,
    Setting,
    Similarity,
    Tps,
    Transformer,
)

every_kind = pytest.mark.parametrize("kind", KINDS, ids=NAMES)


def test_every_transformer_is_known_by_its_own_name():
    for name, kind in TRANSFORMERS.items():
        assert issubclass(kind, Transformer) and kind.name == name
        for setting in kind.settings.values():
            assert setting.least <= setting.default <= setting.most


@every_kind
@pytest.mark.parametrize("size", [*SIZES, (3, 7), (1, 7), (7, 1), (1, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_identity_reads_every_pixel_where_it_is(kind, size, dtype):
    h, w = size
    assert kind.identity.ndim == 1 and kind.identity.dtype == np.float32
    grid = kind.grid(Tensor(np.tile(kind.identity, (2, 1)).astype(dtype)), size)
    assert (grid.shape, grid.dtype) == ((2, h, w, 2), dtype)
    x, y = (np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in (w, h))
    assert_allclose(grid.data[..., 0], np.broadcast_to(x, (2, h, w)), rtol=0, atol=1e-6)
    assert_allclose(grid.data[..., 1], np.broadcast_to(y[:, None], (2, h, w)), rtol=0, atol=1e-6)


@every_kind
def test_the_identity_is_described_as_such(kind):
    found = kind.describe(np.tile(kind.identity, (3, 1)), (21, 41))
    for name, values in found.items():
        assert values.shape == (3,)
        assert_allclose(values, 1 if name == "scale" else 0, atol=3e-5, err_msg=name)


@every_kind
@pytest.mark.parametrize("size", [(5, 4), (1, 3)])
def test_the_gradient_is_that_of_finite_differences(kind, size, rng):
    parameters = kind.identity.astype(np.float64) + rng.normal(0, 0.1, (2, len(kind.identity)))
    if len(kind.identity) > 100:
        size = (1, 2)  # each of its parameters costs as much as all pixels
    assert npstn.gradcheck(lambda given: kind.grid(given, size), (parameters,))


@every_kind
def test_each_sample_stands_for_itself(kind, rng):
    parameters = kind.identity.astype(np.float64) + rng.normal(0, 0.1, (3, len(kind.identity)))
    together = kind.grid(Tensor(parameters), (6, 5)).data
    for b, own in enumerate(parameters):
        assert_allclose(kind.grid(Tensor(own[None]), (6, 5)).data[0], together[b], rtol=0, atol=1e-14)
        for name, value in described(kind, own, (6, 5)).items():
            assert value == pytest.approx(kind.describe(parameters, (6, 5))[name][b], abs=1e-9)


# One kind as a case of another

A, S, X, Y = 0.4, 0.8, 0.15, -0.3  # an angle in radians, the scale of a grid, a shift of it


def affine_of(size):
    """The affine parameters of the similarity (A, S, X, Y) for a picture of this size, through pixels."""
    h, w = size
    half = np.array([w - 1, h - 1]) / 2
    pixels = S * np.array([[np.cos(A), -np.sin(A)], [np.sin(A), np.cos(A)]])  # the grid turns against the picture
    return np.c_[pixels * half / half[:, None], [X, Y]].ravel()


def spline_of(affine, spline):
    theta = np.reshape(affine, (2, 3))
    return (spline.control_points @ theta[:, :2].T + theta[:, 2]).ravel()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("one", "parameters", "other", "others"),
    [
        (Rotation(), [A], Similarity(), lambda size: [A, 1, 0, 0]),
        (Attention(), [S, X, Y], Similarity(), lambda size: [0, S, X, Y]),
        (Attention(), [S, X, Y], Affine(), lambda size: [S, 0, X, 0, S, Y]),
        (Similarity(), [A, S, X, Y], Affine(), affine_of),
        (Similarity(), [A, S, X, Y], Projective(), lambda size: [*affine_of(size), 0, 0]),
        (Similarity(), [A, S, X, Y], Tps(), lambda size: spline_of(affine_of(size), Tps())),
        (Affine(), [1.1, 0.3, 0.1, -0.2, 0.7, 0], Projective(), lambda size: [1.1, 0.3, 0.1, -0.2, 0.7, 0, 0, 0]),
        (
            Affine(),
            [1.1, 0.3, 0.1, -0.2, 0.7, 0],
            Tps(grid_size=2),
            lambda size: spline_of([1.1, 0.3, 0.1, -0.2, 0.7, 0], Tps(grid_size=2)),
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_same_map_by_two_kinds(one, parameters, other, others, size):
    grid = one.grid(Tensor(np.array([parameters], np.float64)), size).data
    assert_allclose(other.grid(Tensor(np.array([others(size)], np.float64)), size).data, grid, rtol=0, atol=1e-12)
    found = described(other, others(size), size)
    for name, value in described(one, parameters, size).items():
        assert found[name] == pytest.approx(value, abs=1e-9), name
    for name in found.keys() - described(one, parameters, size).keys():  # what the special case cannot do
        assert found[name] == pytest.approx(1 if name == "scale" else 0, abs=1e-9), name


@pytest.mark.parametrize("kind", [Rotation(), Similarity(), Attention()], ids=lambda kind: kind.name)
@pytest.mark.parametrize("size", [*SIZES, (2, 9)])
def test_nothing_is_sheared_on_an_image_that_is_not_square(kind, size):
    """Neighbours along x and along y stay equally far apart, in pixels, and at right angles."""
    if kind.name == "attention":
        size = (size[0], size[0])  # its shift and scale are those of the normalised coordinates, as in the paper
    parameters = {"rotation": [A], "similarity": [A, S, X, Y], "attention": [S, X, Y]}[kind.name]
    pixels = kind.grid(Tensor(np.array([parameters])), size).data[0] * (np.array(size[::-1]) - 1) / 2
    along, down = np.diff(pixels, axis=1)[:-1], np.diff(pixels, axis=0)[:, :-1]
    side = 1 if kind.name == "rotation" else S
    assert_allclose(np.linalg.norm(along, axis=2), side, rtol=1e-12)
    assert_allclose(np.linalg.norm(down, axis=2), side, rtol=1e-12)
    assert_allclose((along * down).sum(axis=2), 0, atol=1e-12)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_each_parameter_has_a_name_of_its_own(name):
    kind = TRANSFORMERS[name]()
    assert len(set(kind.parameter_names)) == len(kind.parameter_names) == len(kind.identity)


def test_parameters_without_names_are_numbered():
    class Nameless(Transformer):
        identity = np.zeros(2, np.float32)

    assert Nameless().parameter_names == ("parameter_1", "parameter_2")


# What is refused


def test_a_transformer_that_defines_nothing_says_so():
    class Lazy(Transformer):
        pass

    with pytest.raises(TypeError, match="^Lazy: expected a subclass that defines grid, got one without$"):
        Lazy().grid(Tensor([[0.0]]), (2, 2))
    with pytest.raises(TypeError, match="^Lazy: expected a subclass that defines describe, got one without$"):
        Lazy().describe(np.zeros((1, 1)), (2, 2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Tps(grid_size=1), "tps: expected grid_size to be an integer from 2 to 16, got 1"),
        (lambda: Tps(grid_size=17), "tps: expected grid_size to be an integer from 2 to 16, got 17"),
        (lambda: Tps(grid_size=4.0), "tps: expected grid_size to be an integer from 2 to 16, got 4.0"),
        (lambda: Tps(grid_size=True), "tps: expected grid_size to be an integer from 2 to 16, got True"),
        (lambda: Tps(span=0.0), "tps: expected span to be from 0.1 to 1, got 0.0"),
        (lambda: Tps(span=float("nan")), "tps: expected span to be from 0.1 to 1, got nan"),
        (lambda: Tps(span=Fraction(1, 2)), "tps: expected span to be from 0.1 to 1, got Fraction(1, 2)"),
        (lambda: Tps(bounded=2), "tps: expected bounded to be an integer from 0 to 1, got 2"),
        (lambda: Tps(angle=3), "tps: expected settings among grid_size, span, bounded; got 'angle'"),
        (lambda: Affine(span=0.5), "affine: expected settings among none; got 'span'"),
    ],
)
def test_other_settings_are_refused(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == message


def test_settings_have_defaults_and_can_be_chosen():
    assert Tps().chosen == {"grid_size": 4, "span": 0.9, "bounded": 0}
    assert Tps(span=1, grid_size=2).chosen == {"grid_size": 2, "span": 1, "bounded": 0}
    assert isinstance(Tps.settings["span"], Setting)


def test_settings_may_be_numbers_of_numpy():
    chosen = Tps(grid_size=np.int64(3), span=np.float32(0.5), bounded=np.uint8(1)).chosen
    assert json.dumps(chosen) == '{"grid_size": 3, "span": 0.5, "bounded": 1}'


@every_kind
def test_parameters_of_another_number_are_refused(kind):
    wrong = Tensor(np.zeros((2, len(kind.identity) + 1)))
    with pytest.raises((ValueError, TypeError)):
        F.grid_sample(Tensor(np.zeros((2, 1, 4, 4))), kind.grid(wrong, (4, 4)), align_corners=True)
