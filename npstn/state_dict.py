"""What a module is given as a state dict, from whichever program: its names are compared, its weights become arrays."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from npstn.autograd import Tensor

TAKEN = tuple(np.dtype(f"f{size}") for size in (2, 4, 8))
PREFIXES = {"module.": "torch.nn.DataParallel", "_orig_mod.": "torch.compile"}  # of names, and who puts them there


class Keys(NamedTuple):
    """The names that a module and a state dict do not share, as in PyTorch."""

    missing_keys: list[str]  # of weights without an entry
    unexpected_keys: list[str]  # of entries without a weight


def compare_names(own: Iterable[str], state: Any, strict: bool) -> Keys:
    """The names that `own` and the state dict do not share.

    Raises TypeError for a state that is no mapping; with `strict`, KeyError if there is such a name.
    """
    own = list(own)
    if not isinstance(state, Mapping):
        raise TypeError(f"load_state_dict: expected a dict of weights by name, got {type(state).__name__}")
    keys = Keys([name for name in own if name not in state], [name for name in state if name not in own])
    if strict and keys.missing_keys:
        name = keys.missing_keys[0]
        raise KeyError(f"load_state_dict: expected an entry {name!r}, got {_instead(name, state)}")
    if strict and keys.unexpected_keys:
        name = keys.unexpected_keys[0]
        raise KeyError(f"load_state_dict: expected no entry {name!r}, got one: the module has no such weight")
    return keys


def _instead(name: str, state: Mapping[str, Any]) -> str:
    """What a state dict holds in place of a weight, and what to do about it."""
    for prefix, whose in PREFIXES.items():
        if prefix + name in state:
            taken_off = f"{{name.removeprefix({prefix!r}): weight for name, weight in state.items()}}"
            return f"{prefix + name!r}: take off the prefix of {whose}, with {taken_off}"
    for entry, value in state.items():
        if isinstance(value, Mapping) and any(start + name in value for start in ("", *PREFIXES)):
            return f"a checkpoint that holds the weights in its entry {entry!r}: give state[{entry!r}]"
    return "none"


def as_array(name: str, value: Any) -> np.ndarray:
    """A weight as an array of float16, float32 or float64. bfloat16, which NumPy does not have, becomes float32.

    Raises TypeError, with the name, for anything else: another dtype, a tensor that is not in the computer's memory, or
    is not stored number by number.
    """
    if isinstance(value, Tensor):
        value = value._array  # not .data, which hands it out
    if hasattr(value, "detach"):  # a tensor of PyTorch
        device, layout = value.device.type, str(value.layout)
        if device == "meta":
            raise _refusal(name, "one on the device meta, which has no numbers: load the weights first")
        if device != "cpu":
            raise _refusal(name, f"one on the device {value.device}: give {name!r}.cpu()")
        if layout != "torch.strided":
            raise _refusal(name, f"one of the layout {layout}: give its .to_dense()")
        value = value.detach()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        raise _refusal(name, str(getattr(value, "dtype", type(value).__name__))) from None
    if array.dtype.name == "bfloat16":  # JAX gives NumPy such a dtype
        array = array.astype(np.float32)
    if array.dtype.newbyteorder("=") not in TAKEN:
        raise _refusal(name, str(array.dtype))
    return array


def _refusal(name: str, got: str) -> TypeError:
    expected = f"{reprlib.repr(name)} of float16, bfloat16, float32 or float64"
    return TypeError(f"load_state_dict: expected {expected}, got {got}")
