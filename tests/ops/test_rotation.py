"""rotation_theta against rotations of the complex plane, finite differences and PyTorch; the sense of the turn."""

import numpy as np
import oracles
import pytest
from assertions import assert_close, assert_parity, dtypes, normal, refuses, seeds
from finite_differences import assert_gradients
from hypothesis import given
from hypothesis import strategies as st

import npstn.functional as F
from npstn import Tensor

batches = st.integers(1, 6)


@given(batches, seeds, dtypes)
def test_forward_is_the_rotation_matrix(B, seed, dtype):
    (angle,) = normal(seed, B, dtype=dtype)
    theta = F.rotation_theta(Tensor(3 * angle))
    assert theta.dtype == dtype
    assert_close(theta.data, oracles.rotation_theta(3 * angle), {np.float32: 1e-6, np.float64: 1e-15}[dtype])


@given(batches, seeds)
def test_gradients_by_finite_differences(B, seed):
    assert_gradients(F.rotation_theta, *normal(seed, B), tolerance=1e-9)


@given(batches, seeds, dtypes)
def test_parity_with_pytorch(torch, B, seed, dtype):
    def theirs(a):
        zero = torch.zeros_like(a)
        return torch.stack([torch.cos(a), -torch.sin(a), zero, torch.sin(a), torch.cos(a), zero], 1).reshape(-1, 2, 3)

    assert_parity(torch, F.rotation_theta, theirs, *normal(seed, B, dtype=dtype))


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_positive_angle_turns_the_picture_counter_clockwise(turns):
    image = np.arange(9.0).reshape(1, 1, 3, 3)
    theta = F.rotation_theta(Tensor(np.array([turns * np.pi / 2])))
    turned = F.grid_sample(Tensor(image), F.affine_grid(theta, image.shape, align_corners=True), align_corners=True)
    assert_close(turned.data[0, 0], np.rot90(image[0, 0], turns), 1e-14)


def test_angles_that_are_not_finite_give_nan_in_their_own_matrix_only():
    with np.errstate(invalid="ignore"):
        theta = F.rotation_theta(Tensor([np.nan, 0.0, np.inf])).data
    np.testing.assert_array_equal(np.isnan(theta).any(axis=(1, 2)), [True, False, True])
    np.testing.assert_array_equal(theta[:, :, 2], np.zeros((3, 2)))


@pytest.mark.parametrize("shape", [(), (2, 1)])
def test_another_rank_is_refused(shape):
    with refuses(ValueError, f"rotation_theta: expected angle of shape (B,), got {shape}"):
        F.rotation_theta(Tensor(np.zeros(shape)))
