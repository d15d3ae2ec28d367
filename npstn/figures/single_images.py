"""What trained transformers do to single test images, and where the loss would rather have them read."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import npstn.functional as F
from npstn import nn, runs
from npstn.autograd import Tensor
from npstn.figures.images import shown
from npstn.figures.picture import Picture
from npstn.models import Look, watch
from npstn.tasks import Batch, Task
from npstn.training.metrics import evaluate, evaluating, misread
from npstn.transformers import Transformer
from npstn.transformers.words import changes_in_words, in_words


MOST_ROWS = 50  # of a picture: 200 would be about 100,000 pixels high


class View(NamedTuple):
    """A test image on its way through the network; places and steps in pixels of the image, x to the right, y down."""

    number: int  # in the test set
    label: int
    truth: dict[str, float]  # how the image had been distorted
    image: np.ndarray  # (C, H, W), what the transformer is given
    found: dict[str, float]  # what the transformer does to it
    points: np.ndarray  # (h, w, 2): where each output pixel reads, (x, y)
    output: np.ndarray  # (C, h, w), what it reads there
    probabilities: np.ndarray  # (classes,), by the classifier
    loss: float  # -log of the probability of the label
    slopes: np.ndarray  # (h, w, 2): ∂loss/∂points, per pixel
    downhill: dict[str, float]  # change of `found` along which the transformer lowers the loss most quickly, such that
    #                             the point that moves farthest moves by one pixel
    fall: float  # by how much the loss falls then, to first order
    whose: str = "the transformer"  # which one, where there are several


def view(net: nn.Module, test: Batch, numbers: Sequence[int]) -> list[View]:
    """Follow test images through a network, in eval mode, and the loss of each back to the grid of each transformer.

    Of several transformers, the views of the first image come first.
    """
    which = np.asarray(numbers)
    labels = test.labels[which]
    with evaluating(net), watch(net) as looks:
        y = net(Tensor(test.images[which]))
        for _, look in looks:
            look.parameters.retain_grad()
            look.grid.retain_grad()
        # nll_loss is the mean over the images; with this upstream gradient it is their sum: each stands for itself.
        F.nll_loss(y, labels).backward(np.array(len(which), y.dtype))
        net.zero_grad()
    of_each = [_views(transformer, look, test, numbers, y.data) for transformer, look in looks]
    if len(looks) > 1:
        of_each = [[v._replace(whose=f"transformer {k}") for v in views] for k, views in enumerate(of_each, start=1)]
    return [seen for views in zip(*of_each, strict=True) for seen in views]


def _views(transformer: Transformer, look: Look, test: Batch, numbers: Sequence[int], y: np.ndarray) -> list[View]:
    """The views of one transformer. Args: y: the log-probabilities, (B, classes)."""
    labels = test.labels[np.asarray(numbers)]
    dp, dG = look.parameters.grad, look.grid.grad
    assert dp is not None and dG is not None
    G, half = look.grid.data, _pixels(look.U.data)
    size = G.shape[1], G.shape[2]
    found = transformer.describe(look.parameters.data, size)
    step, fall = _downhill(transformer, look.parameters.data, G, dp, half)
    changed = transformer.describe(look.parameters.data + step, size)
    return [
        View(
            number,
            int(labels[b]),
            {name: float(values[number]) for name, values in test.truth.items()},
            look.U.data[b],
            {name: float(values[b]) for name, values in found.items()},
            (G[b] + 1) * half,
            look.V.data[b],
            np.exp(y[b]),
            -float(y[b, labels[b]]),
            dG[b] / half,
            {name: float(changed[name][b] - found[name][b]) for name in found},
            float(fall[b]),
        )
        for b, number in enumerate(numbers)
    ]


def _pixels(U: np.ndarray) -> np.ndarray:
    """How many pixels of an image a step of 1 in the grid is, along x and y."""
    return (np.array(U.shape[:1:-1], U.dtype) - 1) / 2


def _downhill(
    transformer: Transformer, parameters: np.ndarray, G: np.ndarray, dp: np.ndarray, half: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The step of the parameters against their gradient that moves the farthest point by one pixel, and by how much
    the loss falls along it, to first order."""
    tiny = 1e-3 / (np.linalg.norm(dp, axis=1, keepdims=True) + np.finfo(dp.dtype).tiny)
    moved = transformer.grid(Tensor(parameters - tiny * dp), (G.shape[1], G.shape[2])).data
    farthest = np.linalg.norm((moved - G) * half, axis=3).max(axis=(1, 2))  # pixels
    step = np.where(farthest[:, None] > 0, -tiny * dp / np.maximum(farthest, 1e-12)[:, None], 0).astype(dp.dtype)
    return step, -(step * dp).sum(axis=1)


def show(
    run: str | os.PathLike[str],
    numbers: Sequence[int] = range(5),
    data_dir: str | os.PathLike[str] | None = None,
    wrong: int = 0,
    best: bool = False,
) -> Figure:
    """The picture of some test images of a run, one a row, or one for each of several transformers: see `draw`.

    Args:
        run: the folder that `npstn train` wrote.
        numbers: those of the test images, from 0.
        data_dir: the folder of the data's files; where the run found them if None.
        wrong: draw so many misread images in place of `numbers`, first those with the highest loss.
        best: take the weights of the run's best epoch in place of those of its last.

    Raises RunError where there is no such run, no transformer in it or no such image; also for more than 50 rows.
    """
    folder = Path(run)
    config = runs.read_config(folder)
    net = runs.load_net(folder, config, best)
    if config.model["transformer"] == "none":
        raise runs.RunError(f"expected a run with a transformer, got {run}, which has none")
    if wrong:
        numbers = range(wrong)  # until it is known which
    if not len(numbers):
        raise runs.RunError("expected a test image at least, got none")
    most = MOST_ROWS // config.model["parallel"]
    if len(numbers) > most:
        raise runs.RunError(f"expected at most {most} test images in a picture, got {len(numbers)}: draw several")
    task = config.open_task(folder, data_dir)
    test = task.test()
    if wrong:
        numbers = misread(test.labels, evaluate(net, test))[:wrong].tolist()
        if not numbers:
            raise runs.RunError(f"expected a misread test image, got none among {len(test.labels)}: all are read right")
    for number in numbers:
        if not 0 <= number < len(test.labels):
            raise runs.RunError(f"expected test images from 0 to {len(test.labels) - 1}, got {number}")
    return draw(view(net, test, numbers), task)


def draw(views: Sequence[View], task: Task) -> Figure:
    """Test images on their way through a transformer, one a row.

    From the left: the image; the sampling grid over it; what is read there, with the classifier's answer; and the
    arrows along which the loss would fall if each point of the grid were free to move, in one scale for all rows.
    """
    # In inches, by hand: panels of a fixed shape with texts all round are more than a layout engine gets right.
    panel, gap, edge, line = 2.5, 0.3, 0.2, 0.17
    rows = [_texts(seen, task.classes) for seen in views]
    above = max(title.count("\n") + 1 for *titles, _ in rows for title in titles)
    below = max(note.count("\n") + 1 for *_, note in rows)
    tall = panel * max(min(1, image.shape[1] / image.shape[2]) for seen in views for image in (seen.image, seen.output))
    head, foot, between = 0.63 + line * above, 0.3 + line * below, 0.3 + line * (above + below)
    width, height = 2 * edge + 4 * panel + 3 * gap, head + len(views) * tall + (len(views) - 1) * between + foot
    figure = Picture(figsize=(width, height))
    sides = {"left": edge / width, "right": 1 - edge / width, "top": 1 - head / height, "bottom": foot / height}
    spaces = {**sides, "wspace": gap / panel, "hspace": between / tall}
    panels = figure.subplots(len(views), 4, squeeze=False, gridspec_kw=spaces)
    steepest = max(np.hypot(*seen.slopes.T).max() for seen in views)
    for row, seen, texts in zip(panels, views, rows, strict=True):
        _row(row, seen, texts, steepest)
    angles = any(name.endswith("_deg") for seen in views for name in (*seen.truth, *seen.found))
    for i, heading in enumerate((HEADINGS[0] + COUNTER_CLOCKWISE * angles, *HEADINGS[1:])):
        middle = edge + i * (panel + gap) + panel / 2
        figure.text(middle / width, 1 - 0.12 / height, heading, ha="center", va="top", fontsize=10.5, weight="bold")
    return figure


COUNTER_CLOCKWISE = "\n(angles counter-clockwise)"
HEADINGS = (
    "What the transformer is given",
    "Where it reads: the grid\n(red: upper edge)",
    "What it reads there, and\nwhat the classifier says",
    "Where the loss would move\nthe grid (arrows: one scale)",
)
SPACE = "\N{NO-BREAK SPACE}"
WHITE = 1.0, 2.0, 1.0, 2.0  # the value drawn as white in each panel: behind lines the image is grey


def _texts(seen: View, classes: tuple[str, ...]) -> list[str]:
    """The titles of an image's four panels and the note below the last, in lines that fit."""
    truth = f", {_kept(in_words(seen.truth))}" if seen.truth else ""
    answer = int(np.argmax(seen.probabilities))
    named = dict.fromkeys((answer, seen.label))
    says = [f"{classes[k]} at{SPACE}{100 * seen.probabilities[k]:.1f}{SPACE}%" for k in named]
    steepest = np.hypot(*seen.slopes.T).max()
    texts = (
        f"test image {seen.number}, class {classes[seen.label]}{truth}",
        f"{seen.whose}: {_kept(in_words(seen.found))}",
        f"{'right' if answer == seen.label else 'wrong'}: {', '.join(says)}",
        f"the loss is {seen.loss + 0.0:.2g}",
        f"it falls by {steepest:.2g} at most per pixel that a point moves, and by {seen.fall + 0.0:.2g} if "
        f"{seen.whose} changes: {_kept(changes_in_words(seen.downhill))}",
    )
    return [_wrapped(text) for text in texts]


def _wrapped(text: str) -> str:
    """A text in lines that fit over a panel."""
    return "\n".join(textwrap.wrap(text, 36)).replace(SPACE, " ")


def _kept(words: str) -> str:
    """Quantities in words, none of which `_wrapped` breaks."""
    return ", ".join(quantity.replace(" ", SPACE) for quantity in words.split(", "))


def _row(row: Sequence[Axes], seen: View, texts: Sequence[str], steepest: float) -> None:
    """One image of `draw`; steepest: the slope of the longest arrow of all rows."""
    _, grid, output, arrows = row
    *titles, note = texts
    for axes, image, white, title in zip(
        row, (seen.image, seen.image, seen.output, seen.image), WHITE, titles, strict=True
    ):
        axes.imshow(shown(image) / white, cmap="gray", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, fontsize=10)
    if np.argmax(seen.probabilities) != seen.label:
        output.title.set_color("red")
    arrows.set_xlabel(note, fontsize=9.5)

    # About ten lines of the grid each way; its corners may lie outside of the image.
    H, W = seen.image.shape[1:]
    x, y = seen.points[..., 0], seen.points[..., 1]
    every, margin = max(1, round(max(x.shape) / 9.5)), max(H, W) / 4
    grid.plot(x[::every].T, y[::every].T, x[:, ::every], y[:, ::every], color="tab:orange", linewidth=0.8)
    grid.plot(x[0], y[0], color="red", linewidth=2)
    grid.set(xlim=(-margin, W - 1 + margin), ylim=(H - 1 + margin, -margin), facecolor="0.85")

    fall = -seen.slopes
    length = np.hypot(fall[..., 0], fall[..., 1])
    far = length > 0.02 * steepest  # the others would be dots
    scale = steepest / (W / 7) or 1  # the longest is a seventh of the image
    u, v = fall[far].T / scale
    arrows.quiver(x[far], y[far], u, v, angles="xy", scale_units="xy", scale=1, width=0.009, color="yellow")
    arrows.set(xlim=(-0.5, W - 0.5), ylim=(H - 0.5, -0.5))
