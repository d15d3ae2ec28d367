"""Every operation of the library, and the whole transformer network, with inputs to check its gradients at.

What `npstn gradcheck` runs, and the tests; an operation that is missing here fails a test. The inputs are random, of
several samples where there is a batch, and of unlike lengths along the axes: a mistake in one sample, one channel or
one border, or x for y, must show. Some lie on a kink on purpose.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import npstn.functional as F
from npstn import models
from npstn.backend.random import manual_seed
from npstn.autograd import Tensor
from npstn.gradcheck import Report, check_op
from npstn.ops import arithmetic, elementary, shaping
from npstn.backend.parallel import get_num_threads, set_num_threads

LINEAR = 1e-9  # the tolerance where a function is linear in each argument, but for kinks; or elementary
SOFTMAX = 1e-8


class Sample(NamedTuple):
    """An operation with inputs."""

    operation: str
    fn: Callable[..., Tensor]
    inputs: tuple[Any, ...]
    linear: tuple[int, ...] = ()  # the positions of the inputs that it is linear in
    batch: tuple[int, ...] = ()  # of those whose first axis is the batch
    rtol: float = LINEAR
    max_kinks: float = 0.1
    max_entries: int = 1000

    def check(self, **options: Any) -> Report:
        """The checker's report on it, whatever it finds; options as for `check_op`."""
        own = {name: getattr(self, name) for name in ("linear", "batch", "rtol", "max_kinks", "max_entries")}
        return check_op(self.fn, self.inputs, name=self.operation, raise_exception=False, **own | options)


def samples() -> list[Sample]:
    """All of them, in the order of the library's files; the same each time."""
    rng = np.random.default_rng(20150605)
    files = _arithmetic, _elementary, _shaping, _layers, _losses, _transformer, _stn
    return [sample for file in files for sample in file(rng)]


def _seeded(fn: Callable[..., Tensor], **options: Any) -> Callable[..., Tensor]:
    """A random fn that draws the same numbers in each call."""

    def seeded(input: Tensor) -> Tensor:
        manual_seed(0)
        return fn(input, **options)

    return seeded


def _arithmetic(rng: np.random.Generator) -> list[Sample]:
    a, b, row, column = (rng.normal(size=shape) for shape in ((3, 4), (3, 4), (4,), (2, 3, 1)))
    positive, exponent = rng.uniform(0.5, 2, (3, 4)), rng.uniform(-2, 3, (3, 4))
    away = rng.uniform(0.5, 2, (2, 3, 1)) * rng.choice([-1, 1], (2, 3, 1))
    n_k, k_m, batch_n_k = (rng.normal(size=shape) for shape in ((3, 4), (4, 5), (2, 3, 4)))
    return [
        Sample("add", arithmetic.add, (a, b), (0, 1), (0, 1)),
        Sample("add", arithmetic.add, (row, column), (0, 1)),
        Sample("sub", arithmetic.sub, (a, b), (0, 1), (0, 1)),
        Sample("sub", arithmetic.sub, (row, column), (0, 1)),
        Sample("neg", arithmetic.neg, (a,), (0,), (0,)),
        Sample("mul", arithmetic.mul, (a, b), (0, 1), (0, 1)),
        Sample("mul", arithmetic.mul, (row, column), (0, 1)),
        Sample("div", arithmetic.div, (a, positive), (0,), (0, 1)),
        Sample("div", arithmetic.div, (row, away), (0,)),
        Sample("pow", arithmetic.pow, (positive, exponent), (), (0, 1)),
        Sample("pow", partial(arithmetic.pow, exponent=3), (away,), (), (0,)),
        Sample("matmul", arithmetic.matmul, (n_k, k_m), (0, 1), (0,)),
        Sample("matmul", arithmetic.matmul, (batch_n_k, k_m), (0, 1), (0,)),
    ]


def _elementary(rng: np.random.Generator) -> list[Sample]:
    x, positive = rng.normal(size=(3, 4)), rng.uniform(0.2, 3, (3, 4))
    kinked = np.where(np.arange(12).reshape(3, 4) == 5, 0, x)  # relu has its kink there
    functions: list[Callable[..., Tensor]] = [elementary.exp, elementary.sin, elementary.cos, F.tanh, F.sigmoid]
    return [
        *[Sample(fn.__name__, fn, (x,), (), (0,)) for fn in functions],
        *[Sample(fn.__name__, fn, (positive,), (), (0,)) for fn in (elementary.log, elementary.sqrt)],
        Sample("relu", F.relu, (x,), (), (0,)),
        Sample("relu", F.relu, (kinked,), (), (0,)),
    ]


def _shaping(rng: np.random.Generator) -> list[Sample]:
    x = rng.normal(size=(2, 3, 4))
    twice = np.array([0, 2, 2, 1])
    return [
        Sample("sum", shaping.sum, (x,), (0,)),
        Sample("sum", partial(shaping.sum, dim=(0, 2)), (x,), (0,)),
        Sample("sum", partial(shaping.sum, dim=-1, keepdim=True), (x,), (0,), (0,)),
        Sample("mean", shaping.mean, (x,), (0,)),
        Sample("mean", partial(shaping.mean, dim=1), (x,), (0,), (0,)),
        Sample("reshape", lambda x: shaping.reshape(x, len(x), 12), (x,), (0,), (0,)),
        Sample("index", lambda x: shaping.index(x, (slice(None), twice)), (x,), (0,), (0,)),
        Sample("index", lambda x: shaping.index(x, (slice(None), slice(None, None, -2))), (x,), (0,), (0,)),
    ]


def _layers(rng: np.random.Generator) -> list[Sample]:
    x, W, bias = rng.normal(size=(3, 4)), rng.normal(size=(5, 4)), rng.normal(size=5)
    U, filters, biases = rng.normal(size=(3, 2, 6, 5)), rng.normal(size=(4, 2, 3, 2)), rng.normal(size=4)
    many = rng.normal(size=(10, 1, 3, 3))  # more than a kernel has runs of samples
    tied = U.copy()
    tied[1, 0, :2, 2:4] = tied[2, 1, 4:, 0] = (
        3  # a window of four equal pixels, and one whose largest stands there twice
    )
    return [
        Sample("linear", F.linear, (x, W, bias), (0, 1, 2), (0,)),
        Sample("linear", F.linear, (rng.normal(size=(2, 3, 4)), W), (0, 1), (0,)),
        Sample("conv2d", F.conv2d, (U, filters, biases), (0, 1, 2), (0,)),
        Sample("conv2d", partial(F.conv2d, stride=2, padding=1), (U, filters, biases), (0, 1, 2), (0,)),
        Sample("conv2d", partial(F.conv2d, stride=(1, 2), padding=(2, 0)), (U, filters), (0, 1), (0,)),
        Sample("conv2d", F.conv2d, (many, filters[:1, :1], biases[:1]), (0, 1, 2), (0,)),
        Sample("max_pool2d", partial(F.max_pool2d, kernel_size=2), (U,), (), (0,)),
        Sample("max_pool2d", partial(F.max_pool2d, kernel_size=(3, 2), stride=(2, 1), padding=1), (U,), (), (0,)),
        Sample("max_pool2d", partial(F.max_pool2d, kernel_size=2), (tied,), (), (0,)),
        Sample("avg_pool2d", partial(F.avg_pool2d, kernel_size=2), (U,), (0,), (0,)),
        Sample("avg_pool2d", partial(F.avg_pool2d, kernel_size=(3, 2), stride=(2, 1), padding=1), (U,), (0,), (0,)),
        Sample("dropout", _seeded(F.dropout, p=0.3), (U,), (0,), (0,)),
        Sample("dropout2d", _seeded(F.dropout2d, p=0.4), (U,), (0,), (0,)),
    ]


def _losses(rng: np.random.Generator) -> list[Sample]:
    scores, target = 2 * rng.normal(size=(4, 5)), np.array([3, 0, 4, 3])
    return [
        Sample("log_softmax", partial(F.log_softmax, dim=1), (scores,), (), (0,), SOFTMAX),
        Sample("log_softmax", partial(F.log_softmax, dim=-2), (rng.normal(size=(2, 4, 3)),), (), (0,), SOFTMAX),
        Sample("nll_loss", F.nll_loss, (scores, target), (0,), (0, 1)),
        Sample("cross_entropy", F.cross_entropy, (scores, target), (), (0, 1), SOFTMAX),
    ]


def _transformer(rng: np.random.Generator) -> list[Sample]:
    angle, theta = rng.uniform(-3, 3, 4), rng.normal(size=(2, 2, 3))
    found = [Sample("rotation_theta", F.rotation_theta, (angle,), (), (0,))]
    for align_corners in (False, True):

        def affine_grid(theta: Tensor, align_corners: bool = align_corners) -> Tensor:
            return F.affine_grid(theta, (len(theta), 1, 3, 4), align_corners)

        found.append(Sample("affine_grid", affine_grid, (theta,), (0,), (0,)))
    U, G = rng.normal(size=(3, 2, 4, 5)), rng.uniform(-1.6, 1.6, (3, 3, 4, 2))  # some of it outside
    many, points = rng.normal(size=(10, 1, 2, 3)), rng.uniform(-1, 1, (10, 1, 2, 2))  # more than runs in a kernel
    kinked = G.copy()
    kinked[:2, 1, :2, 0] = 0.5, -0.5  # with align_corners x = 3 and x = 1: pixels' centres
    for padding_mode in ("zeros", "border", "reflection"):
        for align_corners, grid in ((False, G), (True, kinked)):
            fn = partial(F.grid_sample, padding_mode=padding_mode, align_corners=align_corners)
            found.append(Sample("grid_sample", fn, (U, grid), (0,), (0, 1)))
    found.append(Sample("grid_sample", F.grid_sample, (many, points), (0,), (0, 1)))
    found.append(Sample("grid_sample", partial(F.grid_sample, mode="nearest"), (U, G), (0,), (0, 1)))
    return found


def _stn(rng: np.random.Generator) -> list[Sample]:
    """The loss of the whole network, dropout and all, of which every weight and the images are inputs."""
    manual_seed(0)
    net = models.STNClsNet()
    net.double()
    net.loc_net.cnn.fc2.weight.data[:] = rng.normal(0, 0.1, (1, 50))  # from angle 0 every point would lie on a kink
    owners = [(m, name) for m in net.modules() for name, p in vars(m).items() if isinstance(p, Tensor)]
    weights = [getattr(*owner).data for owner in owners]

    def stn(images: Tensor, labels: np.ndarray, *weights: Tensor) -> Tensor:
        manual_seed(0)
        for owner, weight in zip(owners, weights, strict=True):
            setattr(*owner, weight)
        return F.nll_loss(net(images), labels)

    images, labels = rng.normal(size=(2, 1, 28, 28)), np.array([3, 8])
    return [Sample("stn", stn, (images, labels, *weights), (), (0, 1), SOFTMAX, max_entries=250)]


def run(names: Sequence[str] = (), as_json: bool = False, plot_dir: Path | None = None) -> int:
    """Check the operations of these names, or all of them; print a table, or JSON; the exit status: 1 if any fails.

    Args:
        plot_dir: a folder to write pictures into, one for each operation: the error of its gradients against the step.

    Raises ValueError for an unknown name.
    """
    groups: dict[str, list[Sample]] = {}
    for sample in samples():
        groups.setdefault(sample.operation, []).append(sample)
    for name in names:
        if name not in groups:
            raise ValueError(f"gradcheck: expected operations among {', '.join(groups)}; got {name!r}")
    if plot_dir:
        plot_dir.mkdir(parents=True, exist_ok=True)
    start, rows = time.perf_counter(), []
    if not as_json:
        print(_HEADER, flush=True)
    for name in names or groups:
        with _one_thread():
            rows.append(_Row(name, [sample.check(curve=plot_dir is not None) for sample in groups[name]]))
        if not as_json:
            print(rows[-1], flush=True)
        if plot_dir:
            from npstn.gradcheck.plot import plot

            plot(rows[-1].reports).savefig(plot_dir / f"{name}.png", dpi=120)
    failed = [report for row in rows for report in row.reports if not report]
    seconds = time.perf_counter() - start
    if as_json:
        operations = {row.name: [report.as_dict() for report in row.reports] for row in rows}
        print(json.dumps(_finite({"ok": not failed, "seconds": seconds, "operations": operations}), indent=2))
    else:
        for report in failed:
            print(f"\n{report}")
        wrong = sum(not row.ok for row in rows)
        print(f"\n{wrong or 'none'} of {len(rows)} operations failed, in {seconds:.0f} s")
    return 1 if failed else 0


def _finite(value: Any) -> Any:
    """For JSON, which knows neither inf nor NaN: null stands for both."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Kernels on one thread for the time being: so little work is sooner done than shared out."""
    before = get_num_threads()
    set_num_threads(1)
    try:
        yield
    finally:
        set_num_threads(before)


_HEADER = "operation        slopes  kinks  worst error  adjoint error  contracts  verdict  seconds"


class _Row(NamedTuple):
    """A line of the table: an operation, with the reports on all of its samples."""

    name: str
    reports: list[Report]

    @property
    def ok(self) -> bool:
        return all(self.reports)

    def __str__(self) -> str:
        worst = max((r.worst.error for r in self.reports if r.worst), default=np.nan)
        adjoints = [error for r in self.reports for error in r.adjoints.values()]
        kept = [not broken for r in self.reports for broken in r.contracts.values()]
        return (
            f"{self.name:15} {sum(r.entries for r in self.reports):7} {sum(len(r.kinks) for r in self.reports):6} "
            f"{worst:12.1e} {f'{max(adjoints):.1e}' if adjoints else '-':>14} {f'{sum(kept)}/{len(kept)}':>10} "
            f"{'ok' if self.ok else 'FAILED':>8} {sum(r.seconds for r in self.reports):8.1f}"
        )
