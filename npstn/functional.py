"""The operations under the names of `torch.nn.functional`, with its argument names, order and defaults.

Each is written in a file of its own in `npstn/ops`: formula, gradients, loops. `rotation_theta` has no twin in PyTorch.
The operators and methods of a Tensor (`+`, `@`, `sum`, `exp` and so on) are listed in `npstn/__init__.py`.

>>> import npstn.functional as F
>>> from npstn import Tensor
>>> F.relu(Tensor([-1.0, 2.0]))
Tensor([0., 2.], dtype=float32)
"""

from npstn.ops.activation import relu, sigmoid, tanh
from npstn.ops.affine_grid import affine_grid
from npstn.ops.avg_pool2d import avg_pool2d
from npstn.ops.conv2d import conv2d
from npstn.ops.dropout import dropout, dropout2d
from npstn.ops.grid_sample import grid_sample
from npstn.ops.joining import cat, stack
from npstn.ops.linear import linear
from npstn.ops.log_softmax import log_softmax
from npstn.ops.max_pool2d import max_pool2d
from npstn.ops.mse_loss import mse_loss
from npstn.ops.nll_loss import cross_entropy, nll_loss
from npstn.ops.projective_grid import projective_grid
from npstn.ops.rotation import rotation_theta
from npstn.ops.softmax import softmax
from npstn.ops.tps_grid import tps_grid

__all__ = [
    "affine_grid",
    "avg_pool2d",
    "cat",
    "conv2d",
    "cross_entropy",
    "dropout",
    "dropout2d",
    "grid_sample",
    "linear",
    "log_softmax",
    "max_pool2d",
    "mse_loss",
    "nll_loss",
    "projective_grid",
    "relu",
    "rotation_theta",
    "sigmoid",
    "softmax",
    "stack",
    "tanh",
    "tps_grid",
]
