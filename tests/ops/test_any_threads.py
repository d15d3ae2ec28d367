"""The number of threads changes no bit of a result, forward or backward."""

import numpy as np
import pytest
from assertions import normal
from finite_differences import differentiate

import npstn.functional as F
from npstn.backend import parallel as threads


def labels(B):
    return np.arange(B) % 10


# For a batch of B: a function, and the shapes of its inputs, about as large as the model's.
OPERATIONS = {
    "conv2d": lambda B: (F.conv2d, [(B, 3, 12, 12), (5, 3, 5, 5), (5,)]),
    "max_pool2d": lambda B: (lambda U: F.max_pool2d(U, 3, 2, 1), [(B, 3, 24, 24)]),
    "avg_pool2d": lambda B: (lambda U: F.avg_pool2d(U, 3, 2, 1), [(B, 3, 12, 12)]),
    "linear": lambda B: (F.linear, [(B, 320), (50, 320), (50,)]),
    "cross_entropy": lambda B: (lambda x: F.cross_entropy(x, labels(B)), [(B, 10)]),
    "affine_grid": lambda B: (lambda theta: F.affine_grid(theta, (B, 1, 28, 28)), [(B, 2, 3)]),
    **{
        f"grid_sample of {padding_mode}": lambda B, padding_mode=padding_mode: (
            lambda U, G: F.grid_sample(U, G, "bilinear", padding_mode),
            [(B, 2, 12, 12), (B, 28, 28, 2)],
        )
        for padding_mode in ("zeros", "border", "reflection")
    },
}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("B", [1, 3, 33, 64])
def test_one_thread_and_two_give_the_same_bits(name, B, two_threads, monkeypatch):
    in_parts, shared_out = threads._call_in_parts, []
    monkeypatch.setattr(threads, "_call_in_parts", lambda *given: (shared_out.append(name), in_parts(*given)))
    fn, shapes = OPERATIONS[name](B)
    arrays = normal(B, *shapes, dtype=np.float32)

    def run():
        y, gradients, _ = differentiate(fn, *arrays)
        return [array.tobytes() for array in (y, *gradients)]

    one, two = two_threads(run)
    assert one == two
    if B == 64:  # of the smaller ones some are too little work for two threads
        assert len(shared_out) == (0 if name in ("linear", "cross_entropy", "affine_grid") else 2)  # forward, backward
