"""The picture of single test images on their way through the transformers of a run."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from npstn import nn, runs
from npstn.figures import steering
from npstn.figures.images import shown
from npstn.figures.picture import Picture
from npstn.figures.views import View, view
from npstn.models import spatial_transformer
from npstn.tasks import Batch, Task
from npstn.training.metrics import evaluate, misread
from npstn.transformers.words import changes_in_words, in_words, parameter_in_words

MOST = 50  # columns of a picture: 50 are about 10,000 pixels high
COLUMNS = 5  # side by side: as many fit on a screen
LINE = 0.16  # inches


def show(
    run: str | os.PathLike[str],
    numbers: Sequence[int] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    wrong: int = 0,
    parameter: Sequence[str | float] = (),
    best: bool = False,
) -> Figure:
    """The picture of some test images of a run, one a column, or one for each of several transformers: see `draw`.

    Args:
        run: the folder that `npstn train` wrote.
        numbers: those of the test images, from 0; the first five where None.
        data_dir: the folder of the data's files; where the run found them if None.
        wrong: draw so many misread images in place of `numbers`, first those with the highest loss.
        parameter: draw one image, the first where `numbers` is None, as the transformer reads it with a parameter set
            to these values, angles in degrees. The name of the parameter comes first: ["t_x", -0.5, 0, 0.5]. It can be
            left out where the transformer has one parameter. The others stay as the localisation network finds them.
        best: take the weights of the run's best epoch in place of those of its last.

    Raises RunError where there is no such run, no transformer in it, no such image or no such parameter; also for more
    than 50 columns.
    """
    folder = Path(run)
    config = runs.read_config(folder)
    net = runs.load_net(folder, config, best)
    if config.model["transformer"] == "none":
        raise runs.RunError(f"expected a run with a transformer, got {run}, which has none")
    if len(parameter):
        if config.model["parallel"] > 1:
            several = f"{config.model['parallel']} of them side by side: parameters can be set in a single one only"
            raise runs.RunError(f"expected a run with one transformer, got {several}")
        which, values = _which(net, parameter)
        numbers = [0] if numbers is None else numbers
        if wrong or len(numbers) != 1:
            got = f"{wrong} misread ones" if wrong else len(numbers)
            raise runs.RunError(f"expected one test image to draw with a parameter set, got {got}")
    elif wrong:
        numbers = range(wrong)  # until it is known which
    elif numbers is None:
        numbers = range(5)
    if not len(numbers):
        raise runs.RunError("expected a test image at least, got none")
    most, drawn = MOST // config.model["parallel"], len(values) if len(parameter) else len(numbers)
    if drawn > most:
        what = "values" if len(parameter) else "test images"
        raise runs.RunError(f"expected at most {most} {what} in a picture, got {drawn}: draw several")
    task = config.open_task(folder, data_dir)
    test = task.test()
    if wrong:
        numbers = misread(test.labels, evaluate(net, test))[:wrong].tolist()
        if not numbers:
            raise runs.RunError(f"expected a misread test image, got none among {len(test.labels)}: all are read right")
    for number in numbers:
        if not 0 <= number < len(test.labels):
            raise runs.RunError(f"expected test images from 0 to {len(test.labels) - 1}, got {number}")
    if len(parameter):
        return draw(set_to(net, test, numbers[0], which, values), task)
    return draw(view(net, test, numbers), task)


def _which(net: nn.Module, parameter: Sequence[str | float]) -> tuple[int, list[float]]:
    """Which parameter is meant, from 0, and the values that it is set to."""
    transformer = spatial_transformer(net).transformer
    names, (first, *rest) = transformer.parameter_names, parameter
    named = steering.which_parameter(names, first) if isinstance(first, str) else None
    if named is not None:
        which, values = named, rest
    elif isinstance(first, str) or len(names) > 1:
        known = f"parameter of the transformer {transformer.name} ({', '.join(names)})"
        raise runs.RunError(f"expected the name of a {known}, and then its values; got {first}")
    else:
        which, values = 0, list(parameter)
    if not values:
        raise runs.RunError(f"expected values of {names[which]} after its name, got none")
    for value in values:
        if not isinstance(value, (int, float)) or not abs(value) <= 1e6:
            raise runs.RunError(f"expected values of {names[which]} from -1e6 to 1e6, got {value}")
    return which, [float(value) for value in values]


def set_to(net: nn.Module, test: Batch, number: int, parameter: int, values: Sequence[float]) -> list[View]:
    """The views of one test image with one parameter of the first transformer set to each of these values.

    Args:
        parameter: which one, from 0.
        values: angles in degrees.
    """
    name = spatial_transformer(net).transformer.parameter_names[parameter]
    parameters = steering.setting(net, test.images[number], parameter, values)
    views = view(net, test, [number] * len(values), parameters)
    return [seen._replace(set_to=parameter_in_words(name, x)) for seen, x in zip(views, values, strict=True)]


def draw(views: Sequence[View], task: Task) -> Figure:
    """Test images on their way through a transformer, one a column, five columns side by side.

    From above: the image; the sampling grid over it; what is read there, with the classifier's answer; and the arrows
    along which the loss would fall if each point of the grid were free to move, in one scale for all images.
    """
    # In inches, by hand: panels of a fixed shape with texts all round are more than a layout engine gets right.
    aside, pitch, widest, highest, edge = 1.45, 2.25, 2.1, 1.48, 0.12
    texts = [_texts(seen, task.classes) for seen in views]
    lines = np.array([[text.count("\n") + 1 for text in column] for column in texts]).max(axis=0)
    above, below = 0.1 + LINE * lines[:4], 0.08 + LINE * lines[4]
    shape = max(image.shape[1] / image.shape[2] for seen in views for image in (seen.image, seen.output))
    tall = min(highest, widest * max(shape, 0.75))  # the grid's panel has margins, and so a shape of its own
    tops = edge + np.cumsum(above) + tall * np.arange(4)  # of the panels, from the top of a block of columns
    block = tops[-1] + tall + below + edge
    side_by_side = _side_by_side(views)
    width = aside + pitch * min(side_by_side, len(views)) + edge
    height = -(-len(views) // side_by_side) * block
    figure = Picture(figsize=(width, height))
    steepest = max(np.hypot(*seen.slopes.T).max() for seen in views)
    angles = any(name.endswith("_deg") for seen in views for name in (*seen.truth, *seen.found))
    for k, (seen, column) in enumerate(zip(views, texts, strict=True)):
        row, place = divmod(k, side_by_side)
        left, upper = aside + pitch * place + (pitch - widest) / 2, height - row * block - tops
        if place == 0:
            for (heading, note), y in zip(HEADINGS, upper, strict=True):
                note += COUNTER_CLOCKWISE * (angles and heading == HEADINGS[0][0])
                _heading(figure, edge, y, heading, note)
        boxes = [(left / width, (y - tall) / height, widest / width, tall / height) for y in upper]
        _column([figure.add_axes(box) for box in boxes], seen, column, steepest)
    return figure


def _heading(figure: Figure, x: float, y: float, heading: str, note: str) -> None:
    """Write the heading of a row, and a note on it; (x, y): the upper left corner, in inches."""
    width, height = figure.get_size_inches()
    beneath = y - LINE * (heading.count("\n") + 1.3)
    figure.text(x / width, y / height, heading, ha="left", va="top", fontsize=9, weight="bold")
    figure.text(x / width, beneath / height, note, ha="left", va="top", fontsize=9)


def _side_by_side(views: Sequence[View]) -> int:
    """How many columns are side by side: whole images, of which each transformer has a column."""
    transformers = len({seen.whose for seen in views})
    return COLUMNS // transformers * transformers or COLUMNS


COUNTER_CLOCKWISE = "(angles counter-\nclockwise)"
HEADINGS = (  # of the rows: in bold, and not
    ("What the\ntransformer\nis given", ""),
    ("Where it reads:\nthe grid", "(red: upper edge)"),
    ("What it reads\nthere, and what\nthe classifier\nsays", ""),
    ("Where the loss\nwould move\nthe grid", "(arrows: one scale\nfor all images)"),
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
    reads = f"{seen.whose}: {_kept(in_words(seen.found))}"
    if seen.set_to:
        reads = f"set to: {_kept(seen.set_to)}" + (f"; {reads}" if len(seen.found) > 1 else "")
    texts = (
        f"test image {seen.number}, class {classes[seen.label]}{truth}",
        reads,
        f"{'right' if answer == seen.label else 'wrong'}: {', '.join(says)}",
        f"the loss is {seen.loss + 0.0:.2g}",
        f"it falls by {steepest:.2g} at most per pixel that a point moves, and by {seen.fall + 0.0:.2g} if "
        f"{seen.whose} changes: {_kept(changes_in_words(seen.downhill))}",
    )
    return [_wrapped(text) for text in texts]


def _wrapped(text: str) -> str:
    """A text in lines that fit into a column."""
    return "\n".join(textwrap.wrap(text, 33)).replace(SPACE, " ")


def _kept(words: str) -> str:
    """Quantities in words, none of which `_wrapped` breaks."""
    return ", ".join(quantity.replace(" ", SPACE) for quantity in words.split(", "))


def _column(panels: Sequence[Axes], seen: View, texts: Sequence[str], steepest: float) -> None:
    """One image of `draw`; steepest: the slope of the longest arrow of all images."""
    _, grid, output, arrows = panels
    *titles, note = texts
    for axes, image, white, title in zip(
        panels, (seen.image, seen.image, seen.output, seen.image), WHITE, titles, strict=True
    ):
        axes.imshow(shown(image) / white, cmap="gray", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, fontsize=9, pad=4)
    if np.argmax(seen.probabilities) != seen.label:
        output.title.set_color("red")
    arrows.set_xlabel(note, fontsize=8.5)

    # About ten lines of the grid each way; its corners may lie outside of the image.
    H, W = seen.image.shape[1:]
    x, y = seen.points[..., 0], seen.points[..., 1]
    every, margin = max(1, round(max(x.shape) / 9.5)), max(H, W) / 4
    grid.plot(x[::every].T, y[::every].T, x[:, ::every], y[:, ::every], color="tab:orange", linewidth=0.7)
    grid.plot(x[0], y[0], color="red", linewidth=1.5)
    grid.set(xlim=(-margin, W - 1 + margin), ylim=(H - 1 + margin, -margin), facecolor="0.85")

    fall = -seen.slopes
    length = np.hypot(fall[..., 0], fall[..., 1])
    far = length > 0.02 * steepest  # the others would be dots
    scale = steepest / (W / 7) or 1  # the longest is a seventh of the image
    u, v = fall[far].T / scale
    arrows.quiver(x[far], y[far], u, v, angles="xy", scale_units="xy", scale=1, width=0.009, color="yellow")
    arrows.set(xlim=(-0.5, W - 0.5), ylim=(H - 0.5, -0.5))
