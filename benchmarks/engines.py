"""The programs that run an ONNX model; how far their answers are from npstn's, for every task and transformer.

    python -m benchmarks.engines --data-dir DIR                 every pair; writes the table of docs/export.md
    python -m benchmarks.engines --data-dir DIR --only P        one task; the other rows stay as they are

The network of each pair is trained for 150 steps, and on until it is sure of something, so that its transformer does
something to each image. Then it is exported, and 1,000 distorted MNIST test digits go through npstn and through each
engine. ONNX's own evaluator is plain Python and takes a second an image: it gets the first few (`--reference`).
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import itertools
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import npstn
import npstn.functional as F
from benchmarks import pairs
from npstn import Tensor, models, nn, optim
from npstn.tasks import TASKS, Task
from npstn.transformers import TRANSFORMERS

PAGE = pairs.ROOT / "docs" / "export.md"
STEPS, MOST_STEPS = 150, 600
SEEDS = 4
SURE = -8  # a log-probability
IMAGES = 1000
LIMIT = 1e-5
DIGITS = [name for name in pairs.ROWS if name in TASKS]

Run = Callable[..., np.ndarray]  # of the model's inputs, in their order


def onnxruntime(path: Path) -> Run:
    """Microsoft's ONNX Runtime on the CPU."""
    from onnxruntime import InferenceSession, SessionOptions

    quiet = SessionOptions()
    quiet.log_severity_level = 4
    session = InferenceSession(path, quiet, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    return lambda *arrays: session.run(None, dict(zip(names, arrays, strict=True)))[0]


def reference(path: Path) -> Run:
    """ONNX's own evaluator, plain Python: slow, and the standard's word on what a node means."""
    from onnx.reference import ReferenceEvaluator

    evaluator: Any = ReferenceEvaluator(str(path))
    return lambda *arrays: evaluator.run(None, dict(zip(evaluator.input_names, arrays, strict=True)))[0]


def openvino(path: Path) -> Run:
    """Intel's OpenVINO on the CPU. Where the processor has bfloat16, it is what OpenVINO computes in unless told."""
    from openvino import Core

    core = Core()
    compiled = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda *arrays: compiled(list(arrays))[0].copy()


ENGINES: dict[str, Callable[[Path], Run]] = {
    "onnxruntime": onnxruntime,
    "ONNX reference": reference,
    "OpenVINO": openvino,
}
PACKAGES = {"onnxruntime": "onnxruntime", "ONNX reference": "onnx", "OpenVINO": "openvino"}


def installed() -> list[str]:
    """The names of the engines that can be imported here."""
    found = []
    for name, package in PACKAGES.items():
        try:
            importlib.import_module(package)
        except ImportError:
            continue
        found.append(name)
    return found


def trained(task: Task, transformer: str, network: str, parallel: int) -> nn.Module:
    """A network that has seen images of the task, and is sure of what some of them do not show.

    Where one seed's network does not get there, the next seed's is trained. Raises SystemExit where none does.
    """
    for seed in range(SEEDS):
        npstn.manual_seed(seed)
        net = models.build(transformer, task.image, len(task.classes), network=network, parallel=parallel)
        optimizer, rng = optim.AdamW(net.parameters(), lr=2e-3), np.random.default_rng(seed)
        epochs = (task.batches(32, rng) for _ in itertools.count())
        for step, batch in enumerate(itertools.islice(itertools.chain.from_iterable(epochs), MOST_STEPS), 1):
            net.zero_grad()
            log_p = net(Tensor(batch.images))
            F.nll_loss(log_p, batch.labels).backward()
            optimizer.step()
            if step >= STEPS and log_p.data.min() < SURE:
                return net.eval()
    raise SystemExit(f"{task.name}, {transformer}: expected a log-probability below {SURE}, got none in training")


def compared(net: nn.Module, images: np.ndarray, counts: dict[str, int]) -> tuple[dict[str, float], float]:
    """The largest difference of each engine's log-probabilities from npstn's, over its first so many images.

    A difference is divided by the size of the log-probability where that is below -1: float32 has seven digits. As a
    yardstick, "float64" is the difference of npstn in float64. Also returns the least log-probability.
    """
    given = np.split(images, 10)
    with tempfile.TemporaryDirectory() as folder, npstn.no_grad():
        path = Path(folder, "model.onnx")
        npstn.onnx.save(net, path, images.shape[1:])
        wanted = np.concatenate([net(Tensor(part)).data for part in given])
        answers = {name: ENGINES[name](path)(images[:count]) for name, count in counts.items()}
        exact = net.double()
        answers["float64"] = np.concatenate([exact(Tensor(part.astype(np.float64))).data for part in given])
    size = np.maximum(1, np.abs(wanted))
    found = {name: float((np.abs(y - wanted[: len(y)]) / size[: len(y)]).max()) for name, y in answers.items()}
    return found, float(wanted.min())


def row(task: Task, transformer: str, reference: int) -> str:
    """A line of the table: the differences of a pair, and the engines' numbers of images."""
    kind = pairs.ROWS[task.name]
    net = trained(task, transformer, kind.network, kind.parallel)
    counts = {name: reference if name == "ONNX reference" else IMAGES for name in ENGINES}
    found, least = compared(net, task.test().images[:IMAGES], counts)
    if not all(found[name] < LIMIT for name in ENGINES):
        raise SystemExit(f"{task.name}, {transformer}: expected differences below {LIMIT:g}, got {found}")
    cells = [f"{found[name]:.1e} ({counts[name]:,})" for name in ENGINES]
    return f"| {task.name} | {transformer} | {least:.0f} | {' | '.join(cells)} | {found['float64']:.1e} ({IMAGES:,}) |"


TABLE = re.compile(r"(?<=<!-- table -->\n).*?(?=<!-- end of the table -->)", re.DOTALL)


def written(page: str, rows: list[str]) -> str:
    """The page with these rows in its table, in the order of tasks and transformers; its other rows stay."""
    key = re.compile(r"\| (\w+) \| (\w+) \|")
    (table,) = TABLE.findall(page)
    lines = {match.groups(): match.string for match in map(key.match, [*table.splitlines(), *rows]) if match}
    order = [(task, kind) for task in DIGITS for kind in TRANSFORMERS]
    versions = [f"{name} {importlib.metadata.version(package)}" for name, package in PACKAGES.items()]
    columns = "task", "transformer", "least log p", *versions, "npstn in float64"
    head = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    return TABLE.sub("\n".join([*head, *(lines[pair] for pair in order if pair in lines)]) + "\n", page)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engines", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="the folder of MNIST's files, or NPSTN_DATA_DIR")
    parser.add_argument("--only", choices=DIGITS, help="this task alone")
    parser.add_argument("--transformer", choices=TRANSFORMERS, help="this transformer alone")
    parser.add_argument("--reference", type=int, metavar="N", default=10, help="images for ONNX's evaluator; 10")
    options = parser.parse_args()
    source = pairs.few(5 * IMAGES, options.data_dir)
    for name in DIGITS:
        for transformer in TRANSFORMERS:
            if options.only in (None, name) and options.transformer in (None, transformer):
                line = row(TASKS[name](source), transformer, options.reference)
                print(line, flush=True)
                PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), [line]), encoding="utf-8")


if __name__ == "__main__":
    main()
