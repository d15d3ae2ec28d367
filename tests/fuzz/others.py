"""Awkward arguments for Tensors, the gradient checker, files and settings."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np

import npstn
from npstn import Tensor
from tests.fuzz.calls import Fault, described, refused, same, spoilt
from tests.fuzz.draws import OTHER_DTYPES, STRANGE, Draws
from tests.fuzz.trials import trial_of, tried


@trial_of("Tensor")
def tensor(d: Draws, _: str) -> None:
    if d.chance(8):
        update_without_axes(d)
    x = d.array(d.shape(), d.dtype())
    given, valid = x, True
    if d.chance(6):
        given, valid = x.astype(x.dtype.newbyteorder(">")), None
    elif d.chance(2):
        other = np.ones(x.shape, d.choice(OTHER_DTYPES))
        given = d.choice([other, x.tolist(), [x, x], [[1], [1, 2]], *STRANGE, {}, Tensor(x)])
        valid = None
    t = tried(valid, Tensor, given, requires_grad=d.choice([False, True]))
    if t is None:
        return
    if t.dtype not in (np.float32, np.float64) or not t.data.flags.carray:
        raise Fault(f"a Tensor of {described(given)} is {t.dtype}, {t.data.flags}")
    if isinstance(given, np.ndarray) and np.may_share_memory(given, t.data):
        raise Fault("a Tensor shares the memory of what it was made of")
    if given is x or valid is None and getattr(given, "dtype", None) == x.dtype.newbyteorder(">"):
        same("the Tensor of an array", t.data, x)
    tried(t.data.size == 1, t.item)
    if not isinstance(repr(t), str) or t.detach().data is not t.numpy() or (t.ndim and len(t) != t.shape[0]):
        raise Fault("repr, detach, numpy or len")
    tried(None if t.requires_grad else False, t.backward, d.choice([None, x, *STRANGE]))


def update_without_axes(d: Draws) -> None:
    """NumPy makes a number of a 0-d array in `w.data - 0.1 * w.grad`; it becomes an array again."""
    w = Tensor(d.array((), d.dtype()), requires_grad=True)
    with np.errstate(all="ignore"):
        for _ in range(2):
            w.grad = None
            (w * w).backward()
            w.data = w.data - 0.1 * w.grad
            if not isinstance(w.data, np.ndarray) or w.shape != () or (w * 2).dtype != w.dtype:
                raise Fault(f"a Tensor of no axes became {w.data!r}")


@trial_of("gradcheck", "check_op")
def checker(d: Draws, name: str) -> None:
    """For any inputs there is a report or an error."""
    x = d.array(d.shape(0, 2), d.choice([np.float64, np.float64, np.float32]))
    functions = [Tensor.tanh, Tensor.relu, Tensor.log, lambda x: x * x, lambda x: x.sum(), lambda x: x[:1]]
    fn = d.choice([*functions, lambda x: None])
    options = {"raise_exception": False} if d.chance(2) else {}
    try:
        with np.errstate(all="ignore"):
            report = getattr(npstn, name)(fn, x, **options)
    except npstn.GradcheckError as error:
        if options or not str(error):
            raise Fault(f"a GradcheckError in spite of raise_exception=False, or without text: {error}") from error
    except Exception as error:  # noqa: BLE001
        refused(error, False)
    else:
        if not isinstance(str(report), str) or (not options and not report):
            raise Fault("gradcheck found a fault and did not raise an error")


@trial_of("save", "load")
def files(d: Draws, _: str) -> None:
    """load gives what was saved, and raises an error for a damaged file."""
    names = ["", "a", "b.c", "é", "x" * 99, "__metadata__", "a\nb"]
    arrays = {d.choice(names): d.array(d.shape(), d.dtype()) for _ in range(d.integer(0, 3))}
    arrays = {name: x.astype(x.dtype.newbyteorder(">")) if d.chance(5) else x for name, x in arrays.items()}
    valid: bool | None = "__metadata__" not in arrays and all(np.isfinite(array).all() for array in arrays.values())
    if d.chance(4):
        arrays["spoilt"], valid = spoilt(d, np.ones(2)), None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "w.safetensors")
        tried(valid, npstn.save, arrays, path)
        if not path.exists():
            if os.listdir(folder):
                raise Fault(f"a save that failed left {os.listdir(folder)}")
            return
        found = tried(True, npstn.load, path)
        if found.keys() != arrays.keys():
            raise Fault(f"saved {list(arrays)}, loaded {list(found)}")
        for key, array in arrays.items():
            array = np.asarray(array)
            same(key, found[key], array.astype(array.dtype.newbyteorder("=")))
        whole = bytearray(path.read_bytes())
        for _ in range(3):
            damaged = whole[: d.integer(0, len(whole))] if d.chance(2) else bytearray(whole)
            if damaged:
                damaged[d.integer(0, min(len(damaged), 200) - 1)] = d.integer(0, 255)
            path.write_bytes(damaged)
            tried(None, npstn.load, path)


@trial_of("set_num_threads", "manual_seed")
def settings(d: Draws, name: str) -> None:
    tried(None, getattr(npstn, name), d.choice([*STRANGE, 1, 2]))
