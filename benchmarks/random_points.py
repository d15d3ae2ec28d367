"""Random points: the GridSample of each engine next to npstn's `grid_sample`; the counts in docs/elsewhere.md.

    python -m benchmarks.random_points 10000                      every engine that is installed
    python -m benchmarks.random_points 10000 --engine OpenVINO    one

Images and volumes have 1 to 6 pixels a side. On each axis the points lie anywhere, at centres, halfway between them, at
the edges, up to 20 pixels away, or as far as float32 goes. An engine may round a coordinate otherwise, so it agrees
where it is between npstn's answers for the same points moved by a few roundings to all sides.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import npstn.functional as F
from benchmarks.engines import ENGINES, Run, installed
from npstn import Tensor
from npstn.ops.grid_sample import MODES, PADDINGS

MOVED = 4e-6  # of a coordinate, and at least of 1
TOLERANCE = 1e-5
FAR = 5  # the last of six kinds of points

Options = tuple[str, str, bool]  # mode, padding_mode, align_corners


class Case(NamedTuple):
    U: np.ndarray
    G: np.ndarray
    options: Options
    far: bool  # whether a point may be more than 20 pixels away


def random_case(rng: np.random.Generator) -> Case:
    dimensions = int(rng.choice([2, 2, 3]))
    mode = str(rng.choice([mode for mode in MODES if dimensions == 2 or mode != "bicubic"]))
    options = mode, str(rng.choice(PADDINGS)), bool(rng.integers(2))
    size, out, (B, C) = rng.integers(1, 7, dimensions), rng.integers(1, 4, dimensions), rng.integers(1, 3, 2)
    axes, kinds = [], []
    for n in size[::-1]:  # x first
        kinds.append(rng.integers(6))
        pixels = [
            rng.uniform(-1, n, (B, *out)),
            rng.integers(-2, n + 2, (B, *out)),
            rng.integers(-2, n + 2, (B, *out)) + 0.5,
            rng.choice([-0.5, 0, n - 1, n - 0.5], (B, *out)),
            rng.uniform(-20, 20, (B, *out)),
            rng.choice([-1, 1], (B, *out)) * 10 ** rng.uniform(2, 37, (B, *out)),
        ][kinds[-1]]  # the last one is FAR
        span = n - 1 if options[2] else n
        axes.append((2 * pixels + (0 if options[2] else 1)) / max(span, 1) - 1)
    U, G = rng.normal(size=(B, C, *size)).astype(np.float32), np.stack(axes, axis=-1).astype(np.float32)
    return Case(U, G, options, FAR in kinds)


def bounds(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest that npstn reads at the points, and at the points moved a little."""
    step = MOVED * np.maximum(1, np.abs(case.G)) * (np.abs(case.G) < 1e3)  # a far point is outside, or folded exactly
    sides = [(0,) * case.G.shape[-1], *itertools.product([-1, 1], repeat=case.G.shape[-1])]
    grids = [(case.G + step * side).astype(np.float32) for side in sides]
    answers = [F.grid_sample(Tensor(case.U), Tensor(grid), *case.options).data for grid in grids]
    return np.min(answers, axis=0) - TOLERANCE, np.max(answers, axis=0) + TOLERANCE


@cache
def sampler(engine: str, options: Options, rank: int) -> Run | str:
    """One GridSample node in the engine, or the name of the error with which the engine refuses it."""
    from onnx import TensorProto, helper, save

    mode, padding_mode, align_corners = options
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    attributes: dict[str, Any] = {"mode": mode, "padding_mode": padding_mode, "align_corners": int(align_corners)}
    node = helper.make_node("GridSample", ["U", "G"], ["V"], **attributes)
    U, G, V = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * rank) for name in "UGV")
    graph = helper.make_graph([node], "one", [U, G], [V])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "one.onnx")
        save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
        try:
            return ENGINES[engine](path)
        except Exception as error:  # each engine has its own kinds
            return type(error).__name__


def outcome(engine: str, case: Case) -> str:
    """What the engine makes of a case; where it is not npstn's answer, also of what kind the case is."""
    run = sampler(engine, case.options, case.U.ndim)
    mode, padding_mode, align_corners = case.options
    volumes = "volumes, " if case.U.ndim == 5 else ""
    kind = f"{volumes}{mode}, {padding_mode}, {'FT'[align_corners]}, {'far' if case.far else 'near'} points"
    if isinstance(run, str):
        return f"refuses: {volumes}{mode}"
    try:
        V = run(case.U, case.G)
    except Exception:
        return f"raises: {kind}"
    low, high = bounds(case)
    return "agrees" if ((low <= V) & (V <= high)).all() else f"differs: {kind}"


def main() -> None:
    about = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.random_points", description=about)
    parser.add_argument("cases", type=int, help="how many for each engine")
    parser.add_argument("--engine", choices=ENGINES, help="this engine alone")
    options = parser.parse_args()
    for engine in [options.engine] if options.engine else installed():
        rng = np.random.default_rng(0)
        counts = Counter(outcome(engine, random_case(rng)) for _ in range(options.cases))
        print(engine)
        for found, count in sorted(counts.items()):
            print(f"{count:7,}  {found}", flush=True)


if __name__ == "__main__":
    main()
