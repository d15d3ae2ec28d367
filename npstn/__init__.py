"""Spatial transformer networks from scratch: NumPy arrays, Numba kernels, every backward pass written by hand."""

from npstn import functional, models, nn, onnx, optim
from npstn.autograd import Function, Tensor, no_grad
from npstn.backend.parallel import set_num_threads
from npstn.backend.random import manual_seed
from npstn.gradcheck import GradcheckError, check_op, gradcheck
from npstn.ops import activation, arithmetic, clamp, elementary, maximum, shaping
from npstn.ops.reference import reference
from npstn.storage import load, save
from npstn.version import __version__

__all__ = [
    "Function",
    "GradcheckError",
    "Tensor",
    "__version__",
    "check_op",
    "functional",
    "gradcheck",
    "load",
    "manual_seed",
    "models",
    "nn",
    "no_grad",
    "onnx",
    "optim",
    "reference",
    "save",
    "set_num_threads",
]

# The operators and methods of a Tensor, and the operation that each of them calls.
_OPERATORS = {
    "__add__": arithmetic.add,
    "__radd__": arithmetic.add,
    "__sub__": arithmetic.sub,
    "__rsub__": lambda self, other: arithmetic.sub(other, self),
    "__mul__": arithmetic.mul,
    "__rmul__": arithmetic.mul,
    "__truediv__": arithmetic.div,
    "__rtruediv__": lambda self, other: arithmetic.div(other, self),
    "__pow__": arithmetic.pow,
    "__rpow__": lambda self, other: arithmetic.pow(other, self),
    "__matmul__": arithmetic.matmul,
    "__rmatmul__": lambda self, other: arithmetic.matmul(other, self),
    "__neg__": arithmetic.neg,
    "__getitem__": shaping.index,
    "sum": shaping.sum,
    "mean": shaping.mean,
    "reshape": shaping.reshape,
    "transpose": shaping.transpose,
    "max": maximum.max,
    "abs": clamp.abs,
    "__abs__": clamp.abs,
    "clamp": clamp.clamp,
    "exp": elementary.exp,
    "log": elementary.log,
    "sqrt": elementary.sqrt,
    "sin": elementary.sin,
    "cos": elementary.cos,
    "relu": activation.relu,
    "tanh": activation.tanh,
    "sigmoid": activation.sigmoid,
}
for _name, _operation in _OPERATORS.items():
    setattr(Tensor, _name, _operation)
