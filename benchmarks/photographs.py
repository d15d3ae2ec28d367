"""Let a run read photographs that are made of test digits, and write the table in docs/predict.md.

    python -m benchmarks.photographs RUN                      of the run's own test digits
    python -m benchmarks.photographs RUN --data-dir DIR       the folder of MNIST's files
    python -m benchmarks.photographs RUN --keep FOLDER        keep the photographs, in a subfolder for each digit

Next to the table it draws two pictures: how photographs were read, and those of which the digit was misread. Only such
digits count as the network reads from the test set's own pixels; what it cannot read there, no search can mend.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL
from PIL import Image
from tqdm import tqdm

from benchmarks import tables
from benchmarks.camera import KINDS, photograph
from npstn import nn, runs
from npstn.autograd import Tensor, no_grad
from npstn.data import Source
from npstn.data.photograph import NoDigit, on_black
from npstn.figures.steps import draw
from npstn.runs import Config
from npstn.runs.prediction import Prediction, can_predict, predict
from npstn.tasks.base import as_floats
from npstn.training.metrics import evaluating

DOCS = Path(__file__).parent.parent / "docs"
PAGE, FAILURES, STEPS = "predict.md", "pictures/predict_failures.png", "pictures/predict_steps.png"  # in DOCS
START = "<!-- written by python -m benchmarks.photographs -->\n"
OWN = "the test set's own 28 x 28 pixels"
MOST_FAILURES = 12  # in the picture


class Read(NamedTuple):
    """A photograph and what came of it."""

    digit: int
    kind: str
    prediction: Prediction | None  # None where nothing looked like a digit

    @property
    def right(self) -> bool:
        return self.prediction is not None and int(self.prediction.probabilities.argmax()) == self.digit


def readable(net: nn.Module, config: Config, source: Source, count: int) -> list[tuple[np.ndarray, int]]:
    """So many test digits that the network reads from their own pixels: images and labels."""
    images, labels = source.test
    _, H, W = config.model["image"]
    chosen = np.random.default_rng(0).permutation(len(images))[: 2 * count]
    given = np.stack([on_black(image, (H, W)) for image in images[chosen]])
    with evaluating(net), no_grad():
        right = net(Tensor(as_floats(given))).data.argmax(axis=1) == labels[chosen]
    return [(images[number], int(labels[number])) for number in chosen[right][:count]]


def read_all(net: nn.Module, config: Config, digits: list[tuple[np.ndarray, int]], keep: Path | None) -> Iterator[Read]:
    """Photographs of each kind of each digit, and the digits' own pixels, as the run reads them."""
    for number, (image, digit) in enumerate(digits):
        own = BytesIO()
        Image.fromarray(image).save(own, "PNG")
        files = {OWN: own.getvalue()}
        for k, (kind, what) in enumerate(KINDS.items()):
            files[kind] = photograph(image, what, np.random.default_rng([number, k]))
        for kind, data in files.items():
            if keep is not None:
                folder = keep / str(digit)
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{number}_{kind.replace(' ', '_')}{'.png' if kind == OWN else '.jpg'}").write_bytes(data)
            try:
                yield Read(digit, kind, predict(net, config, BytesIO(data), f"a {digit}: {kind}"))
            except NoDigit:
                yield Read(digit, kind, None)


def table(reads: Sequence[Read]) -> str:
    """A line for each kind of photograph, in Markdown."""
    lines = ["| the photographs | nothing found | misread | read right |", "|---|---|---|---|"]
    for kind in (OWN, *KINDS):
        of_kind = [read for read in reads if read.kind == kind]
        right, none = sum(read.right for read in of_kind), sum(read.prediction is None for read in of_kind)
        share = 100 * right / len(of_kind)
        lines.append(f"| {kind} | {none} | {len(of_kind) - right - none} | {share:.1f} % |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    about = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.photographs", description=about)
    parser.add_argument("run", type=Path, metavar="RUN", help="a run on digits")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="the folder of MNIST's files")
    parser.add_argument("--digits", type=int, metavar="N", default=200, help="how many digits; 200 by default")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where to keep the photographs")
    parser.add_argument("--docs", type=Path, metavar="FOLDER", default=DOCS, help="of predict.md; docs by default")
    options = parser.parse_args(arguments)
    config = runs.read_config(options.run)
    net = runs.load_net(options.run, config)
    task = config.open_task(options.run, options.data_dir)
    can_predict(config, task.classes)
    digits = readable(net, config, task.source, options.digits)
    reads = list(tqdm(read_all(net, config, digits, options.keep), total=len(digits) * (1 + len(KINDS)), disable=None))

    recipe, machine = config.recipe, tables.machine()
    made = f"""{len(digits)} {task.source.title} that the network reads from their own pixels, each photographed in
{len(KINDS)} ways:

{table(reads)}

The run: task `{task.name}`, {recipe.epochs} epochs, recipe `{config.recipe_name}`, seed {config.seed}.
Measured on {machine["date"]} with NumPy {machine["numpy"]}, SciPy {machine["scipy"]}, Pillow {PIL.__version__}.
"""
    page = options.docs / PAGE
    page.write_text(tables.written(page.read_text(encoding="utf-8"), START, made), encoding="utf-8")
    print(page)
    wrong = [read.prediction for read in reads if read.prediction is not None and not read.right]
    examples = [next(read.prediction for read in reads if read.kind == kind and read.right) for kind in KINDS]
    for name, predictions in ((FAILURES, wrong[:MOST_FAILURES]), (STEPS, examples)):
        if predictions:
            (options.docs / name).parent.mkdir(exist_ok=True)
            draw(predictions, task.classes).savefig(options.docs / name, dpi=70)
            print(options.docs / name)


if __name__ == "__main__":
    main()
