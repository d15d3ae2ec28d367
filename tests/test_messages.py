"""Every message about an argument is one line, also where the argument is an array, which prints in many lines."""

import numpy as np
import pytest

import npstn
import npstn.functional as F
from npstn import Tensor, models, nn, optim
from npstn.data import draw_digits
from npstn.messages import one_line
from npstn.training import Recipe
from npstn.transformers import Tps

IN_LINES = np.arange(6).reshape(3, 2)
LONG = list(range(10**5))
U = Tensor(np.zeros((1, 1, 4, 4), np.float32))
THETA = Tensor(np.zeros((1, 2, 3), np.float32))
GRID = Tensor(np.zeros((1, 2, 2, 2), np.float32))


@pytest.mark.parametrize(
    "call",
    [
        lambda given: F.affine_grid(THETA, given),
        lambda given: F.tps_grid(Tensor(np.zeros((1, 3, 2))), np.eye(3, 2), given),
        lambda given: F.grid_sample(U, GRID, mode=given),
        lambda given: F.grid_sample(U, GRID, padding_mode=given),
        lambda given: F.max_pool2d(U, given),
        lambda given: F.conv2d(U, U, padding=given),
        lambda given: F.dropout(U, given),
        lambda given: F.softmax(U, given),
        lambda given: U.reshape(given),
        lambda given: U.sum(dim=given),
        nn.Dropout,
        lambda given: nn.Linear(given, 2),
        models.CNN,
        lambda given: models.ClsNet(image=given),
        lambda given: models.build(given, (1, 28, 28), 10),
        lambda given: models.STNClsNet(transformer=given),
        lambda given: optim.SGD([nn.Parameter(np.zeros(2, np.float32))], lr=given),
        lambda given: Tps(grid_size=given),
        lambda given: Recipe("adamw", lr=0.1, batch_size=given, epochs=1, dropout=0.0),
        lambda given: Recipe(given, lr=0.1, batch_size=1, epochs=1, dropout=0.0),
        draw_digits,
        npstn.manual_seed,
        npstn.set_num_threads,
    ],
)
@pytest.mark.parametrize("given", [IN_LINES, LONG], ids=["in lines", "long"])
def test_a_message_is_one_line(call, given):
    with pytest.raises((TypeError, ValueError)) as refused:
        call(given)
    message = str(refused.value)
    assert ": expected " in message and "got " in message
    assert "\n" not in message and len(message) < 300


def test_the_value_of_a_module_is_one_line_too():
    assert one_line(nn.Sequential(nn.ReLU(), nn.Flatten())) == "Sequential( (0): ReLU() (1): Flatten() )"
