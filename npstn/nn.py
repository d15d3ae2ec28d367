"""Modules: parts of a network that own their weights, and the layers."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

import npstn.functional as F
from npstn.autograd import Tensor
from npstn.backend.random import generator
from npstn.changes import note_changes
from npstn.ops.arguments import check_probability, pair, whole
from npstn.state_dict import Keys, as_array, compare_names


class Parameter(Tensor):
    """A tensor that a module owns and an optimiser changes."""

    __slots__ = ()

    def __init__(self, data: Any) -> None:
        super().__init__(data, requires_grad=True)


class Module:
    """A part of a network. Its weights are the Parameters among its attributes, and the weights of its Modules.

    A subclass sets the attributes in `__init__` and defines `forward`, which `net(x)` calls.
    """

    training = True

    def forward(self, *inputs: Any, **options: Any) -> Any:
        raise TypeError(f"{type(self).__name__}: expected a subclass that defines forward, got one without")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        return self.forward(*inputs, **options)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Each module among the attributes, after its name.

        Raises TypeError for a module or a parameter in a plain list or dict, also in one inside another: its weights
        would not be found.
        """
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value
            elif _holds_weights(value):
                kind, where = type(value).__name__, f"{type(self).__name__}.{name}"
                raise TypeError(
                    f"{where}: expected modules as attributes or in an nn.ModuleList, got them in a {kind}, where "
                    f"their weights would be neither trained nor saved"
                )

    def modules(self) -> Iterator[Module]:
        """This module and all modules inside it, in the order in which they were set. Raises as `named_children`."""
        yield self
        for _, child in self.named_children():
            yield from child.modules()

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """Each parameter after its dotted name, which is PyTorch's: "cnn.conv1.weight". Raises as `named_children`."""
        children = dict(self.named_children())
        for name, value in vars(self).items():
            if isinstance(value, Parameter):
                yield prefix + name, value
            elif name in children:
                yield from value.named_parameters(f"{prefix}{name}.")

    def parameters(self) -> Iterator[Parameter]:
        """Each parameter once, even if it has two names."""
        return iter(dict.fromkeys(parameter for _, parameter in self.named_parameters()))

    def zero_grad(self) -> None:
        """Set the gradients of all parameters to None."""
        for parameter in self.parameters():
            parameter.grad = None

    def train(self, mode: bool = True) -> Module:
        """Switch dropout on in this module and all modules inside it; `train(False)` is `eval()`."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Switch dropout off in this module and all modules inside it."""
        return self.train(False)

    def double(self) -> Module:
        """Convert all weights to float64, and drop their gradients."""
        return self._to(np.dtype(np.float64))

    def float(self) -> Module:
        """Convert all weights to float32, and drop their gradients."""
        return self._to(np.dtype(np.float32))

    def _to(self, dtype: np.dtype) -> Module:
        for parameter in self.parameters():
            parameter.data, parameter.grad = parameter._array.astype(dtype), None
        return self

    def extra_repr(self) -> str:
        """The arguments that `repr` shows; a subclass may define it."""
        return ""

    def __repr__(self) -> str:
        children = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.named_children()]
        inside = "".join(f"\n  {child}" for child in children) + "\n" if children else self.extra_repr()
        return f"{type(self).__name__}({inside})"

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of each weight under its dotted name, as in PyTorch."""
        return {name: parameter._array.copy() for name, parameter in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> Keys:
        """Copy weights from `state`, by dotted name: arrays or PyTorch tensors of 16, 32 or 64 bits.

        The copies have the dtype of this module; float16 and bfloat16 become float32 exactly.

        Args:
            strict: whether the names must be those of this module. Otherwise a weight without an entry stays as it is,
                and an entry without a weight is left out.

        Returns the names that were not shared: `missing_keys` and `unexpected_keys`, empty if `strict`.

        Raises KeyError for a missing or an unknown name, ValueError for another shape, TypeError for another dtype and
        for a tensor on another device. Each error names the entry; after an error no weight has changed.
        """
        own = dict(self.named_parameters())
        keys = compare_names(own, state, strict)
        arrays = {name: as_array(name, value) for name, value in state.items() if name in own}
        for name, array in arrays.items():
            if array.shape != own[name].shape:
                raise ValueError(f"load_state_dict: expected {name!r} of shape {own[name].shape}, got {array.shape}")
        note_changes(own[name]._array for name in arrays)
        for name, array in arrays.items():
            own[name]._array[...] = array
        return keys


def _uniform(fan_in: int, *shape: int) -> Parameter:
    """Uniform weights within 1 / sqrt(fan_in), or zeros if fan_in is 0; fan_in counts the inputs of one output."""
    bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
    return Parameter(generator().uniform(-bound, bound, shape).astype(np.float32))


def _holds_weights(value: Any) -> bool:
    """Whether a plain container has a module or a parameter in it."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple, set, frozenset, deque)):
        return False
    return any(isinstance(item, (Module, Parameter)) or _holds_weights(item) for item in value)


class ModuleList(Module):
    """Modules in a list: their weights belong to the module that holds the list.

    >>> layers = ModuleList([Linear(4, 3), Linear(3, 2)])
    >>> [name for name, _ in layers.named_parameters()]
    ['0.weight', '0.bias', '1.weight', '1.bias']
    >>> len(layers), layers[-1]
    (2, Linear(in_features=3, out_features=2, bias=True))
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        for module in modules:
            self.append(module)

    def append(self, module: Module) -> ModuleList:
        """Add a module at the end. Raises TypeError for anything else."""
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}: expected a Module, got {type(module).__name__}")
        setattr(self, str(len(self)), module)
        return self

    def __len__(self) -> int:
        return sum(1 for _ in self.named_children())

    def __iter__(self) -> Iterator[Module]:
        return (child for _, child in self.named_children())

    def __getitem__(self, index: int | slice) -> Any:
        found = list(self)[index]
        return ModuleList(found) if isinstance(found, list) else found


class Sequential(ModuleList):
    """Modules one after the other: each takes what the one before it gave.

    >>> net = Sequential(Flatten(), Linear(4, 2), ReLU())
    >>> net(Tensor(np.ones((3, 1, 2, 2), np.float32))).shape
    (3, 2)
    """

    def __init__(self, *modules: Module) -> None:
        super().__init__(modules)

    def __getitem__(self, index: int | slice) -> Any:
        found = super().__getitem__(index)
        return Sequential(*found) if isinstance(index, slice) else found

    def forward(self, input: Any) -> Any:
        for module in self:
            input = module(input)
        return input


class ReLU(Module):
    """`F.relu` as a module."""

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(input)


class MaxPool2d(Module):
    """`F.max_pool2d` as a module. Raises ValueError for sizes and strides below 1, and for padding below 0."""

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        pair("MaxPool2d", "kernel_size", kernel_size, 1)
        pair("MaxPool2d", "stride", kernel_size if stride is None else stride, 1)
        pair("MaxPool2d", "padding", padding, 0)
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding

    def extra_repr(self) -> str:
        stride = self.kernel_size if self.stride is None else self.stride
        return f"kernel_size={self.kernel_size}, stride={stride}, padding={self.padding}"

    def forward(self, input: Tensor) -> Tensor:
        return F.max_pool2d(input, self.kernel_size, self.stride, self.padding)


class Flatten(Module):
    """All axes but the first as one: (B, ...) -> (B, N)."""

    def forward(self, input: Tensor) -> Tensor:
        if not isinstance(input, Tensor) or not input.ndim:
            got = input.shape if isinstance(input, Tensor) else type(input).__name__
            raise TypeError(f"Flatten: expected a Tensor of shape (B, ...), got {got}")
        return input.reshape(len(input), math.prod(input.shape[1:]))


class Linear(Module):
    """`F.linear` with its weights: y = x W^T + b, (..., in_features) -> (..., out_features).

    W and b start uniform within 1 / sqrt(in_features), as in PyTorch. Raises ValueError for sizes below 0.

    >>> Linear(3, 2)(Tensor(np.ones((5, 3), np.float32))).shape
    (5, 2)
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        I, O = whole("Linear", "in_features", in_features, 0), whole("Linear", "out_features", out_features, 0)
        self.weight = _uniform(I, O, I)
        self.bias = _uniform(I, O) if bias else None

    def extra_repr(self) -> str:
        O, I = self.weight.shape
        return f"in_features={I}, out_features={O}, bias={self.bias is not None}"

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)


class Conv2d(Module):
    """`F.conv2d` with its weights, (B, in_channels, H, W) -> (B, out_channels, h, w).

    Weight and bias start uniform within 1 / sqrt(in_channels kernel_height kernel_width), as in PyTorch. Raises
    ValueError for channels and padding below 0, and for a kernel size and a stride below 1.

    >>> Conv2d(1, 4, kernel_size=3, padding=1)(Tensor(np.ones((2, 1, 5, 6), np.float32))).shape
    (2, 4, 5, 6)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        bias: bool = True,
    ) -> None:
        C, O = whole("Conv2d", "in_channels", in_channels, 0), whole("Conv2d", "out_channels", out_channels, 0)
        K, L = pair("Conv2d", "kernel_size", kernel_size, 1)
        pair("Conv2d", "stride", stride, 1), pair("Conv2d", "padding", padding, 0)
        self.weight = _uniform(C * K * L, O, C, K, L)
        self.bias = _uniform(C * K * L, O) if bias else None
        self.stride, self.padding = stride, padding

    def extra_repr(self) -> str:
        O, C, K, L = self.weight.shape
        return f"{C}, {O}, kernel_size={(K, L)}, stride={self.stride}, padding={self.padding}"

    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(input, self.weight, self.bias, self.stride, self.padding)


class Dropout(Module):
    """`F.dropout` while training; in evaluation the input itself. Raises ValueError for p outside 0 .. 1."""

    def __init__(self, p: float = 0.5) -> None:
        check_probability("Dropout", "p", p)
        self.p = p

    def extra_repr(self) -> str:
        return f"p={self.p}"

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training)


class Dropout2d(Module):
    """`F.dropout2d` while training; in evaluation the input itself. Raises ValueError for p outside 0 .. 1."""

    def __init__(self, p: float = 0.5) -> None:
        check_probability("Dropout2d", "p", p)
        self.p = p

    def extra_repr(self) -> str:
        return f"p={self.p}"

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout2d(input, self.p, self.training)
