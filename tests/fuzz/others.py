"""Awkward arguments for what is no operation: Tensors, layers and networks, optimisers, digits, the checker, files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import npstn
from npstn import Tensor, data, models, nn, optim
from tests.fuzz.calls import Call, Fault, described, judge, refused, same, spoilt, unchanged
from tests.fuzz.draws import OTHER_DTYPES, STRANGE, Draws

TRIALS: dict[str, Callable[[Draws], None]] = {}


def trial_of(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a trial under the public names that it tries; it takes the name."""

    def register(trial: Callable[[Draws, str], None]) -> Callable[[Draws, str], None]:
        for name in names:
            TRIALS[name] = lambda d, name=name: trial(d, name)
        return trial

    return register


def tried(valid: bool | None, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """The result; None where the arguments were refused in the right way. valid=None: they may be or not."""
    try:
        with np.errstate(all="ignore"):
            found = function(*arguments, **options)
    except Exception as error:  # noqa: BLE001
        try:
            refused(error, bool(valid))
        except Fault as fault:
            told = [*map(described, arguments), *(f"{k}={v!r}" for k, v in options.items())]
            raise Fault(f"{fault}, by {getattr(function, '__name__', function)}({', '.join(told)})") from error
        return None
    if valid is False:
        raise Fault(f"{function} accepts {arguments} {options}")
    return found


@trial_of("Tensor")
def tensor(d: Draws, _: str) -> None:
    x = d.array(d.shape(), d.dtype())
    given, valid = x, True
    if d.chance(2):
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
    if given is x:
        same("the Tensor of an array", t.data, x)
    tried(t.data.size == 1, t.item)
    if not isinstance(repr(t), str) or t.detach().data is not t.numpy() or (t.ndim and len(t) != t.shape[0]):
        raise Fault("repr, detach, numpy or len")
    tried(None if t.requires_grad else False, t.backward, d.choice([None, x, *STRANGE]))


@trial_of("nn.Linear", "nn.Conv2d", "nn.Dropout", "nn.Dropout2d")
def layer(d: Draws, name: str) -> None:
    sizes = [d.length(), d.length(), d.integer(1, 3)]
    valid: bool | None = True
    x = d.array((d.length(), sizes[0], 5, 6), np.float32)
    if d.chance(3):
        sizes[d.integer(0, 2)], valid = d.choice([n for n in STRANGE if n != 2**31]), None
    kind = getattr(nn, name.split(".")[1])
    arguments: list[Any] = sizes
    if name == "nn.Linear":
        x = np.moveaxis(x, 1, -1)
        arguments = sizes[:2]
    elif name != "nn.Conv2d":
        arguments = [0.5] if valid else [d.choice(STRANGE)]
    made = tried(valid, kind, *arguments)
    if made is None:
        return
    if not valid:
        tried(None, made, Tensor(x))
        return

    def shape(x: Any) -> tuple:
        if name == "nn.Linear":
            return (*x.shape[:-1], sizes[1])
        if name == "nn.Conv2d":
            return (len(x), sizes[1], *(n + 1 - sizes[2] for n in x.shape[2:]))
        return x.shape

    judge(Call(made, [x], {}, shape, may_share=True).spoil(d), d)


@trial_of("models.CNN", "models.ClsNet", "models.LocNet", "models.STNClsNet", "models.RotateGridGen")
def network(d: Draws, name: str) -> None:
    kind, B = getattr(models, name.split(".")[1]), d.integer(0, 2)
    x = d.array((B, 1, 28, 28) if name != "models.RotateGridGen" else (B,), np.float32)
    net = kind(3) if kind is models.CNN else kind()
    result = {"CNN": (3,), "ClsNet": (10,), "LocNet": (), "STNClsNet": (10,), "RotateGridGen": (28, 28, 2)}
    call = Call(net, [x], {}, lambda x: (len(x), *result[kind.__name__]))
    judge(call.spoil(d), d)


@trial_of("nn.Module", "nn.Parameter")
def state(d: Draws, _: str) -> None:
    """A state with something awkward in it is taken over as a whole, or not at all."""
    net = nn.Linear(3, 2)
    before, new = net.state_dict(), net.state_dict()
    name = d.choice(list(new))
    new[name] = d.array(new[name].shape, d.dtype())
    valid = d.chance(2)
    if not valid:
        new[name] = spoilt(d, new[name])
    if d.chance(4):
        del new[name]
        valid = False
    with np.errstate(over="ignore"):
        try:
            net.load_state_dict(new)
        except KeyError as error:
            refused(ValueError(error.args[0]), valid)
        except Exception as error:  # noqa: BLE001
            refused(error, valid)
        else:
            for key, array in net.state_dict().items():
                same(key, array, np.asarray(new[key], array.dtype))
            return
    unchanged("a weight", list(net.state_dict().values()), list(before.values()))


@trial_of("optim.SGD", "optim.Adam", "optim.AdamW", "optim.Optimizer")
def optimiser(d: Draws, name: str) -> None:
    dtype = d.dtype()
    shapes = [d.shape() for _ in range(d.integer(0, 3))]
    params = [nn.Parameter(d.array(shape, dtype)) for shape in shapes]
    for p in params:
        p.grad = None if d.chance(5) else d.array(p.shape, dtype)
    kind = getattr(optim, name.split(".")[1])
    options: dict[str, Any] = {"lr": d.choice([0, 1e-3, 1.0, 1e30, float("inf"), float("nan"), -1.0])}
    if kind is optim.SGD:
        options |= {"momentum": d.choice([0, 0.9, float("nan"), -1]), "weight_decay": d.choice([0, 0.1, 1e30, -1])}
    elif kind is not optim.Optimizer:
        options |= {"betas": d.choice([(0.9, 0.999), (0, 0), (1, 0.5), (0.5, -1)]), "eps": d.choice([1e-8, 0, -1])}
    made = tried(None, kind, params, **options)
    if made is None:
        return
    grads = [None if p.grad is None else p.grad.copy() for p in params]
    for _ in range(2):
        tried(kind is not optim.Optimizer, made.step)
    unchanged("a gradient", [p.grad for p in params], grads)
    for p, shape in zip(params, shapes, strict=True):
        if p.shape != shape or p.dtype != dtype:
            raise Fault(f"a parameter became {p.shape}, {p.dtype}")
    made.zero_grad()


@trial_of("optim.OneCycleLR")
def schedule(d: Draws, _: str) -> None:
    optimizer = optim.SGD([nn.Parameter([1.0])], 0.1)
    numbers = [0.3, 0, 1, 1e-3, -1, 1e30, float("nan"), float("inf")]
    steps = d.choice([1, 2, 3, 10, 0, -1, 2**63, 1.5, float("nan")])
    options = {"max_lr": d.choice(numbers), "total_steps": steps, "pct_start": d.choice(numbers)}
    made = tried(None, optim.OneCycleLR, optimizer, **options)
    for _ in range(5 if made else 0):
        tried(True, made.step)


@trial_of("data.rotate", "data.batches")
def rotated(d: Draws, name: str) -> None:
    N, S = d.length(), d.length(1)
    images = np.random.default_rng(d.integer(0, 99)).integers(0, 256, (N, S, S)).astype(np.uint8)
    degrees = d.array((N,), d.dtype())
    valid: bool | None = True
    if name == "data.batches":
        labels = np.zeros(N, np.int64)
        taken = tried(valid, lambda: list(data.batches(images, labels, 45, d.integer(1, 3), np.random.default_rng(0))))
        if taken is not None and sum(len(batch.images) for batch in taken) != N:
            raise Fault("batches do not hold all images")
        return
    if d.chance(3):
        images, degrees = d.choice([(spoilt(d, images), degrees), (images, spoilt(d, degrees))])
        valid = None
    before = images.copy() if isinstance(images, np.ndarray) else images
    turned = tried(valid, data.rotate, images, degrees)
    if turned is not None and (turned.dtype != np.float32 or turned.shape != (len(images), 1, *images.shape[1:])):
        raise Fault(f"{described(images)} turned are {turned.shape}, {turned.dtype}")
    unchanged("the images", [images], [before])


@trial_of("data.draw_digits")
def drawn(d: Draws, _: str) -> None:
    count, seed = d.choice([0, 1, 2, 11, np.int64(3)]), d.choice([0, 1, 2**63, 10**30])
    valid = True
    if d.chance(2):
        count, seed = d.choice([(n, 0) for n in (-1, 1.5, None, "2", 2**62, 10**30)] + [(1, -1), (1, 0.5)])
        valid = False
    found = tried(valid, data.draw_digits, count, seed)
    if found is not None and (found[0].shape != (count, 28, 28) or found[1].shape != (count,)):
        raise Fault(f"{count} digits are {found[0].shape}, {found[1].shape}")


@trial_of("data.load_images")
def own_images(d: Draws, _: str) -> None:
    """Of an .npz that does not fit, or is damaged, one line says what is wrong and names the file."""
    N, size = d.length(1), d.choice([1, 28])
    images = np.random.default_rng(d.integer(0, 99)).integers(0, 256, (N, d.length(1), d.length(1)), np.uint8)
    arrays: dict[str, Any] = {"images": images, "labels": np.arange(N) if d.chance(2) else np.arange(N).astype(str)}
    damaged = d.chance(2)
    spoiling = d.chance(2)
    if spoiling:
        name = d.choice(["images", "labels"])
        arrays[name] = spoilt(d, arrays[name])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "own.npz")
        np.savez(path, **arrays)
        if damaged:
            content = bytearray(path.read_bytes())
            content[d.integer(0, len(content) - 1)] = d.integer(0, 255)
            path.write_bytes(content[: d.integer(0, len(content))] if d.chance(2) else content)
        try:
            found = data.load_images(path, size)
        except data.DataError as error:
            if not (spoiling or damaged) or str(path) not in str(error) or "\n" in str(error):
                raise Fault(f"{described(images)} are refused: {error}") from error
        else:
            if found.images.shape != (len(found.labels), size, size) or found.images.dtype != np.uint8:
                raise Fault(f"{described(images)} are read as {described(found.images)}")
        bad = d.choice([-1, 0, 1.5, float("nan"), "2", None, (1,), 2**31, 10**30])
        tried(False, data.load_images, path, bad)


@trial_of("gradcheck", "check_op")
def checker(d: Draws, name: str) -> None:
    """Whatever the inputs, there is a report, or an error."""
    x = d.array(d.shape(0, 2), d.choice([np.float64, np.float64, np.float32]))
    functions = [Tensor.tanh, Tensor.relu, Tensor.log, lambda x: x * x, lambda x: x.sum(), lambda x: x[:1]]
    fn = d.choice([*functions, lambda x: None])
    options = {"raise_exception": False} if d.chance(2) else {}
    try:
        with np.errstate(all="ignore"):
            report = getattr(npstn, name)(fn, x, **options)
    except npstn.GradcheckError as error:
        if options or not str(error):
            raise Fault(f"a GradcheckError where none was wanted: {error}") from error
    except Exception as error:  # noqa: BLE001
        refused(error, False)
    else:
        if not isinstance(str(report), str) or (not options and not report):
            raise Fault("gradcheck found fault and did not say so")


@trial_of("save", "load")
def files(d: Draws, _: str) -> None:
    """What was saved is what is loaded; of a file that was damaged, an error is."""
    names = ["", "a", "b.c", "é", "x" * 99, "__metadata__", "a\nb"]
    arrays = {d.choice(names): d.array(d.shape(), d.dtype()) for _ in range(d.integer(0, 3))}
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
