"""Awkward arguments for layers, networks, optimisers and schedules."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from npstn import Tensor, models, nn, optim
from npstn.transformers import Rotation
from tests.fuzz.calls import Call, Fault, judge, refused, same, spoilt, unchanged
from tests.fuzz.draws import STRANGE, Draws
from tests.fuzz.trials import trial_of, tried


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


@trial_of("nn.ReLU", "nn.Flatten", "nn.MaxPool2d", "nn.Sequential", "nn.ModuleList")
def layer_without_weights(d: Draws, name: str) -> None:
    x = d.array((d.length(), 2, 5, 6), np.float32)
    if name == "nn.ModuleList":
        entries = [nn.ReLU(), nn.Linear(2, 3)] + ([d.choice(STRANGE)] if d.chance(2) else [])
        made = tried(len(entries) == 2, nn.ModuleList, entries)
        if made is not None and len(list(made.parameters())) != 2:
            raise Fault("a ModuleList lost a weight")
        return
    if name == "nn.MaxPool2d" and d.chance(3):
        made = tried(None, nn.MaxPool2d, d.choice([n for n in STRANGE if n not in (1, 2, 2**31)]))
        if made is not None:
            tried(None, made, Tensor(x))
        return
    made = {
        "nn.ReLU": nn.ReLU,
        "nn.Flatten": nn.Flatten,
        "nn.MaxPool2d": lambda: nn.MaxPool2d(2),
        "nn.Sequential": lambda: nn.Sequential(nn.MaxPool2d(2), nn.ReLU()),
    }[name]()

    def shape(x: Any) -> tuple:
        if name == "nn.Flatten":
            return (len(x), math.prod(x.shape[1:]))
        if name == "nn.ReLU":
            return x.shape
        B, C, H, W = x.shape
        assert H >= 2 and W >= 2
        return (B, C, H // 2, W // 2)

    judge(Call(made, [x], {}, shape, may_share=name == "nn.Flatten").spoil(d), d)


@trial_of(
    *("models.CNN", "models.ClsNet", "models.LocNet", "models.Classifier", "models.STNClsNet"),
    *("models.SpatialTransformer", "models.Transformed", "models.SideBySide"),
)
def network(d: Draws, name: str) -> None:
    B = d.integer(0, 2)
    made, result = {
        "models.CNN": lambda: (models.CNN(3), (3,)),
        "models.ClsNet": lambda: (models.ClsNet(), (10,)),
        "models.LocNet": lambda: (models.LocNet(), (1,)),
        "models.Classifier": lambda: (models.Classifier(models.CNN(3)), (3,)),
        "models.STNClsNet": lambda: (models.STNClsNet(), (10,)),
        "models.Transformed": lambda: (models.Transformed(models.LocNet(), Rotation(), models.ClsNet()), (10,)),
        "models.SideBySide": lambda: (side_by_side(), (4,)),
        "models.SpatialTransformer": lambda: (
            models.SpatialTransformer(models.LocNet(), Rotation(), size=(5, 7)),
            (1, 5, 7),
        ),
    }[name]()
    call = Call(made, [d.array((B, 1, 28, 28), np.float32)], {}, lambda x: (len(x), *result))
    judge(call.spoil(d), d)


def side_by_side() -> models.SideBySide:
    readers = [models.SpatialTransformer(models.LocNet(), Rotation()) for _ in range(2)]
    return models.SideBySide(readers, models.ClsNet(image=(2, 28, 28), classes=4))


@trial_of("nn.Module", "nn.Parameter")
def state(d: Draws, _: str) -> None:
    """A state with an awkward array in it is loaded as a whole or not at all."""
    net = nn.Linear(3, 2)
    before, new = net.state_dict(), net.state_dict()
    name = d.choice(list(new))
    new[name] = d.array(new[name].shape, d.dtype())
    if d.chance(5):
        new[name] = new[name].astype(new[name].dtype.newbyteorder(">"))
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


@trial_of("optim.SGD", "optim.Adam", "optim.AdamW", "optim.MuonWithAuxAdam", "optim.Optimizer")
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


@trial_of("optim.AveragedModel")
def averaged(d: Draws, _: str) -> None:
    net = nn.Linear(3, 2)
    decay = d.choice([0, 0.5, 0.999, 1, -1, float("nan")])
    made = tried(None, optim.AveragedModel, net, decay)
    for _ in range(2 if made else 0):
        net.weight.data[...] = d.array(net.weight.shape, np.float32)
        tried(True, made.update_parameters, net)
    if made and made(Tensor(np.zeros((1, 3), np.float32))).shape != (1, 2):
        raise Fault("the averaged network gives another shape")


@trial_of("optim.OneCycleLR")
def schedule(d: Draws, _: str) -> None:
    optimizer = optim.SGD([nn.Parameter([1.0])], 0.1)
    numbers = [0.3, 0, 1, 1e-3, -1, 1e30, float("nan"), float("inf")]
    steps = d.choice([1, 2, 3, 10, 0, -1, 2**63, 1.5, float("nan")])
    options = {"max_lr": d.choice(numbers), "total_steps": steps, "pct_start": d.choice(numbers)}
    made = tried(None, optim.OneCycleLR, optimizer, **options)
    for _ in range(5 if made else 0):
        tried(True, made.step)
