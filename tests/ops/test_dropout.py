"""dropout and dropout2d: what is dropped, what the others become, and that the gradient takes the same way."""

import numpy as np
import pytest
from assertions import assert_close, dtypes, normal, refuses, seeds
from finite_differences import assert_gradients, differentiate
from hypothesis import given
from hypothesis import strategies as st

import npstn
import npstn.functional as F
from npstn import Tensor

OPERATIONS = {"dropout": F.dropout, "dropout2d": F.dropout2d}
names = st.sampled_from(sorted(OPERATIONS))
probabilities = st.sampled_from([0.1, 0.25, 0.5, 0.9])


def seeded(name, p, seed=0):
    """The operation with the same random numbers at every call."""

    def fn(U):
        npstn.manual_seed(seed)
        return OPERATIONS[name](U, p)

    return fn


@given(names, probabilities, seeds, dtypes)
def test_each_number_is_dropped_or_divided_by_what_is_kept(name, p, seed, dtype):
    U = np.full((4, 5, 3, 2), 3, dtype)
    V, (dU,), dV = differentiate(seeded(name, p, seed), U)
    dropped = V == 0
    tolerance = {np.float32: 1e-6, np.float64: 1e-15}[dtype]
    assert V.dtype == dtype
    assert_close(V, np.where(dropped, 0, 3 / (1 - p)), tolerance)
    assert_close(dU, np.where(dropped, 0, dV / (1 - p)), tolerance)


@given(names, probabilities, seeds)
def test_gradients_by_finite_differences(name, p, seed):
    (U,) = normal(seed, (2, 3, 2, 2))
    assert_gradients(seeded(name, p, seed), U, step=0.5, tolerance=1e-12)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_share_of_the_dropped_is_p(name, p):
    V = seeded(name, p)(Tensor(np.ones((200, 50, 1, 1))))
    spread = np.sqrt(p * (1 - p) / V.data.size)  # standard deviation of the share
    assert abs((V.data == 0).mean() - p) < 4 * spread


def test_dropout_drops_pixels_one_by_one():
    V = seeded("dropout", 0.5)(Tensor(np.ones((4, 4, 8, 8)))).data
    assert all(0 < (channel == 0).mean() < 1 for channel in V.reshape(16, 64))


def test_dropout2d_drops_channels_as_a_whole_and_each_sample_its_own():
    V = seeded("dropout2d", 0.5)(Tensor(np.ones((8, 16, 3, 3)))).data
    dropped = V == 0
    np.testing.assert_array_equal(dropped, np.broadcast_to(dropped[:, :, :1, :1], dropped.shape))
    assert len({sample.tobytes() for sample in dropped}) == 8


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_each_call_draws_anew_and_the_seed_repeats_them(name):
    U = Tensor(np.ones((4, 64, 1, 1)))
    npstn.manual_seed(3)
    first, second = OPERATIONS[name](U).data, OPERATIONS[name](U).data
    assert (first != second).any()
    npstn.manual_seed(3)
    np.testing.assert_array_equal(OPERATIONS[name](U).data, first)
    np.testing.assert_array_equal(OPERATIONS[name](U).data, second)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_both_dtypes_drop_the_same(name):
    single, double = (seeded(name, 0.5)(Tensor(np.ones((4, 16, 2, 2), dtype))).data for dtype in "fd")
    assert single.dtype == np.float32 and double.dtype == np.float64
    np.testing.assert_array_equal(single, double)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
@pytest.mark.parametrize("options", [{"training": False}, {"p": 0}, {"p": 1.0, "training": False}])
def test_nothing_is_dropped_and_nothing_drawn(name, options):
    (U,) = normal(0, (2, 3, 2, 2))
    npstn.manual_seed(0)
    expected_next = npstn.backend.random.generator().random()
    npstn.manual_seed(0)
    V, (dU,), dV = differentiate(lambda U: OPERATIONS[name](U, **options) * 1, U)
    np.testing.assert_array_equal(V, U)
    np.testing.assert_array_equal(dU, dV)
    assert npstn.backend.random.generator().random() == expected_next


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_p_of_one_drops_all(name):
    V, (dU,), _ = differentiate(seeded(name, 1), np.ones((2, 3, 2, 2), np.float32))
    np.testing.assert_array_equal(V, np.zeros((2, 3, 2, 2)))
    np.testing.assert_array_equal(dU, np.zeros((2, 3, 2, 2)))
    assert V.dtype == dU.dtype == np.float32


@pytest.mark.parametrize("name", sorted(OPERATIONS))
@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan"), float("inf"), None, "2", (0.5,)])
@pytest.mark.parametrize("training", [True, False])
def test_p_outside_0_to_1_is_refused(name, p, training):
    with refuses(ValueError, f"{name}: expected a probability p from 0 to 1, got {p!r}"):
        OPERATIONS[name](Tensor(np.ones((1, 1, 1, 1))), p, training)


@pytest.mark.parametrize("training", [True, False])
def test_dropout2d_refuses_another_rank(training):
    with refuses(ValueError, "dropout2d: expected input of shape (B, C, H, W), got (2, 3)"):
        F.dropout2d(Tensor(np.ones((2, 3))), 0.5, training)
