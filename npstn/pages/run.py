"""The page of a run: its figures, the tables that run.js looks up, and the text around them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, FactorRange, LinearColorMapper, Model, Range1d
from bokeh.plotting import figure
from bokeh.transform import transform

from npstn.pages.page import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    Tables,
    arrows,
    draggable,
    image_panel,
    panel,
    pixels,
    rgba,
    write,
)
from npstn.pages.states import STEP, Curve, Played, Slider
from npstn.tasks import Task

MOST_BARS = 20  # classes whose probabilities are drawn
LONGEST = 0.4  # of the image's width: the longest arrow
SHORTEST = 0.02  # of the longest: shorter arrows would be dots
PLACES = 64  # points are kept in so many parts of a pixel; run.js knows it too
FARTHEST = 500  # pixels: points beyond it are kept there, far outside of the picture
TANGENT = 0.15  # of a curve's width: half the length of the tangent along x
LOSS = "<b>The loss over the parameter,</b> and its tangent where the slider stands."
SLOPE = "<b>Its slope.</b> Line: by npstn's backward; dots: by differences. It jumps at each kink of the loss."
LOSS_OF_A_POINT = "<b>The loss over the places of the point</b> that was moved last; dark: low."
SLOPE_OF_A_POINT = (
    "<b>Its slope along x</b> (blue) <b>and along y</b> (green), by npstn's backward, close to the place that the "
    "network chose. It jumps at each kink of the loss."
)
ALL, LIKELIEST = "the probability of each class", "the {shown} classes of {classes} that become likeliest"
LONGEST_NAME = 14  # characters of a class at its bar


def write_page(path: Path, run: str, task: Task, images: Sequence[Played]) -> None:
    """Write the page of some test images of a run. Args: run: what the run is called."""
    first = images[0].sliders[0]
    grids, dragged = first.states.grids, first.curve is None
    longest = max(_lengths(slider.states.forces).max() for image in images for slider in image.sliders)
    tables = Tables()
    contents = {
        "digits": [_entry(image, tables, task.classes, longest) for image in images],
        "words": [words for image in images for slider in image.sliders for words in slider.states.words],
        "colour": images[0].image.ndim == 3,
        "rows": grids.shape[1],
        "columns": grids.shape[2],
        "names": _short(task.classes),
        "right": GREEN,
        "wrong": BLUE,
    }
    shape, output = images[0].image.shape[:2], first.states.outputs.shape[1:3]
    parts = [_images(shape, output, grids.shape[1], grids.shape[2]), _bars(task.classes)]
    parts += [_map()] if dragged else [_curves()]
    figures = [drawn for part, _ in parts for drawn in part]
    script = {name: model for _, models in parts for name, model in models.items()}
    if dragged:
        draggable(figures[0])
    others = "points" if dragged else "parameters"
    several = any(slider.number for slider in images[0].sliders)
    texts = {
        "title": f"What the transformer of the run {run} does",
        "lead": f"{'Drag one of the points' if dragged else 'Move a slider'}, and the transformer reads elsewhere. All "
        f"other {others} stay as the network chose them. npstn computed every number here.",
        "loss": LOSS_OF_A_POINT if dragged else LOSS,
        "slope": SLOPE_OF_A_POINT if dragged else SLOPE,
        "dragged": "yes" if dragged else "",
        "longest": f"{longest:.3g}",
        "read": "what this transformer hands on, one of several" if several else "what is read there",
        "bars": ALL if len(task.classes) <= MOST_BARS else LIKELIEST.format(shown=MOST_BARS, classes=len(task.classes)),
        "source": f"{task.summary(len(task.test().labels))}, task {task.name}; made by npstn play.",
    }
    write(path, "run", figures, script, tables, contents, **texts)


# What run.js looks up


def _entry(image: Played, tables: Tables, classes: tuple[str, ...], longest: float) -> dict[str, Any]:
    """What the page says of a test image; its numbers go into the tables."""
    tables.add("inputs", pixels(image.image)[None])
    likely = np.max([slider.states.probabilities.max(axis=0) for slider in image.sliders], axis=0)
    likely[image.label] = np.inf
    return {
        "title": f"{image.number}: {classes[image.label]}",
        "truth": image.truth or "-",
        "label": image.label,
        "bars": np.sort(np.argsort(-likely, kind="stable")[:MOST_BARS]).tolist(),
        "sliders": [_slider(slider, tables, longest, LONGEST * image.image.shape[1]) for slider in image.sliders],
    }


def _slider(slider: Slider, tables: Tables, longest: float, arrow: float) -> dict[str, Any]:
    """What the page says of a slider; its states go into the tables.

    Args:
        longest, arrow: the largest force of the page, and how long its arrow is, in pixels.
    """
    states = slider.states
    drawn = _lengths(states.forces)[..., None] > SHORTEST * longest
    tables.add("outputs", pixels(states.outputs))
    tables.add("grids", _places(states.grids))
    tables.add("tips", _places(states.grids + np.where(drawn, states.forces * (arrow / (longest or 1)), 0)))
    tables.add("probabilities", states.probabilities.astype(np.float32))
    tables.add("quotients", states.quotients)
    tables.add("slopes", states.slopes)
    entry = {
        "name": slider.name,
        "number": slider.number,
        "unit": slider.unit,
        "per": {"°": "per degree", " px": "per pixel"}.get(slider.unit, "per unit"),
        "positions": [values.tolist() for values in slider.values],
        "states": len(states.losses),
        "start": tables.add("losses", states.losses),
    }
    if slider.curve is None:
        slopes = np.concatenate([kinks.slopes for kinks in slider.kinks])
        tables.add("kinks_at", np.stack([kinks.values for kinks in slider.kinks]).astype(np.float32))
        start = tables.add("kinks_slopes", np.stack([kinks.slopes for kinks in slider.kinks]).astype(np.float32))
        view = {"kinks": start, "view": _range(slopes)}
        return {**entry, **view, "edges": [_edges(values) for values in slider.values]}
    return {**entry, "curve": _curve(slider, slider.curve, tables)}


def _edges(values: np.ndarray) -> list[float]:
    """Where one place of a point ends and the next begins, on the map of the loss: (n + 1,)."""
    between = (values[1:] + values[:-1]) / 2
    return [values[0] - (between[0] - values[0]), *between, values[-1] + (values[-1] - between[-1])]


def _short(classes: tuple[str, ...]) -> list[str]:
    """The names of classes at their bars: long ones are cut, if that leaves them different."""
    end = "\N{HORIZONTAL ELLIPSIS}"
    cut = [name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + end for name in classes]
    return cut if len(set(cut)) == len(cut) else list(classes)


def _curve(slider: Slider, curve: Curve, tables: Tables) -> dict[str, Any]:
    """Where the curve of a slider is in the tables, and how much of it to show: all, or where single kinks are seen."""
    (values,), states = slider.values, slider.states
    middle = values[len(values) // 2]
    reach = TANGENT * (values[-1] - values[0]) * np.array([-1, 1])
    slopes = states.slopes[:, :1]
    tables.add("tangents", np.concatenate([values[:, None] + reach, states.losses[:, None] + slopes * reach], axis=1))
    start = tables.add("curve_values", curve.values.astype(np.float32))
    tables.add("curve_losses", curve.losses.astype(np.float32))
    tables.add("curve_slopes", curve.slopes.astype(np.float32))
    near = abs(curve.values - middle) <= curve.close * (1 + 1e-9)
    views = {name: _view(curve, part) for name, part in (("whole", near | True), ("near", near))}
    return {"start": start, "length": len(curve.values), **views}


def _view(curve: Curve, part: np.ndarray) -> dict[str, list[float]]:
    """The ranges of the axes that show a part of a curve."""
    view = {"x": [curve.values[part].min(), curve.values[part].max()]}
    for name, column in (("loss", curve.losses[part]), ("slope", curve.slopes[part])):
        view[name] = _range(column)
    return view


def _range(column: np.ndarray) -> list[float]:
    """The ends of an axis that shows these numbers."""
    finite = column[np.isfinite(column)]
    least, most = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    margin = 0.06 * (most - least) or 1.0
    return [least - margin, most + margin]


def _lengths(forces: np.ndarray) -> np.ndarray:
    """Of forces (..., 2); 0 for those that are not finite."""
    return np.nan_to_num(np.linalg.norm(forces, axis=-1), nan=0.0, posinf=0.0)


def _places(points: np.ndarray) -> np.ndarray:
    """Points (x, y) in pixels as whole parts of a pixel; those that are nowhere, at a horizon, are far away."""
    return np.rint(PLACES * np.nan_to_num(points, nan=FARTHEST).clip(-FARTHEST, FARTHEST)).astype(np.int16)


# The figures, and the sources that run.js fills


def _images(
    shape: tuple[int, int], output: tuple[int, int], rows: int, columns: int
) -> tuple[list[figure], dict[str, Model]]:
    """The image with the grid over it, and what the transformer reads."""
    (H, W), (h, w) = shape, output
    picture, seen = image_panel("picture", H, W, margin=max(H, W) / 5), image_panel("output", h, w)
    sources: dict[str, Model] = {}
    for drawn, name, (m, n) in ((picture, "given", shape), (seen, "read", output)):
        sources[name] = ColumnDataSource({"image": [rgba(m, n)]})
        drawn.image_rgba("image", x=-0.5, y=-0.5, dw=n, dh=m, source=sources[name])
    colours = [ORANGE] * columns + [RED] + [ORANGE] * (rows - 1)
    widths = [1.3] * columns + [3.0] + [1.3] * (rows - 1)
    nowhere: list[list[float]] = [[]] * (rows + columns)
    grid = ColumnDataSource({"xs": nowhere, "ys": nowhere, "colour": colours, "width": widths})
    picture.multi_line("xs", "ys", line_color="colour", line_width="width", source=grid)
    forces = ColumnDataSource({"x0": [], "y0": [], "x1": [], "y1": []})
    picture.add_layout(arrows(forces, 2))
    handles = ColumnDataSource({"x": [], "y": [], "size": []})
    picture.scatter("x", "y", size="size", fill_color=BLUE, line_color="white", line_width=1.5, source=handles)
    return [picture, seen], {**sources, "picture": picture, "grid": grid, "forces": forces, "handles": handles}


def _bars(classes: tuple[str, ...]) -> tuple[list[figure], dict[str, Model]]:
    """The probabilities of the classes, upright; or lying, where their names are long."""
    bars = ColumnDataSource({"x": [], "p": [], "colour": []})
    names, scale = FactorRange(factors=["-"]), Range1d(start=0, end=1.02)
    if max(map(len, classes)) < 3:
        drawn = panel("probabilities", x_range=names, y_range=scale)
        drawn.vbar("x", top="p", width=0.8, fill_color="colour", line_color=None, source=bars)
        drawn.yaxis.axis_label, drawn.xgrid.visible = "probability", False
    else:
        drawn = panel("probabilities", x_range=scale, y_range=names)
        drawn.hbar("x", right="p", height=0.8, fill_color="colour", line_color=None, source=bars)
        drawn.xaxis.axis_label, drawn.ygrid.visible = "probability", False
    return [drawn], {"names": names, "bars": bars}


def _curves() -> tuple[list[figure], dict[str, Model]]:
    """The loss over a parameter, and its slope."""
    loss, slope = (panel(name, x_range=(0, 1), y_range=(0, 1)) for name in ("loss", "slope"))
    curve = ColumnDataSource({"x": [], "loss": [], "slope": []})
    differences = ColumnDataSource({"x": [], "slope": []})
    here = ColumnDataSource({"x": [], "loss": [], "slope": []})
    tangent = ColumnDataSource({"x": [], "y": []})
    loss.yaxis.axis_label, slope.yaxis.axis_label = "loss", "slope"
    loss.line("x", "loss", line_color=BLUE, line_width=2, source=curve)
    loss.line("x", "y", line_color=ORANGE, line_width=2, source=tangent)
    slope.line("x", "slope", line_color=BLUE, line_width=1.3, source=curve)
    slope.scatter("x", "slope", size=4, fill_color=GREY, line_color=None, source=differences)
    for drawn, name in ((loss, "loss"), (slope, "slope")):
        drawn.scatter("x", name, size=12, fill_color=ORANGE, line_color="white", source=here)
    sources = {"curve": curve, "differences": differences, "here": here, "tangent": tangent}
    return [loss, slope], {"loss": loss, "slope": slope, **sources}


def _map() -> tuple[list[figure], dict[str, Model]]:
    """The loss over the places of a point."""
    drawn = panel("loss", x_range=(0, 1), y_range=(1, 0))
    drawn.xaxis.axis_label, drawn.yaxis.axis_label = "x of the point (pixels)", "y (pixels)"
    colours = LinearColorMapper(palette="Viridis256", low=0, high=1)
    tiles = ColumnDataSource({"left": [], "right": [], "top": [], "bottom": [], "loss": []})
    drawn.quad("left", "right", "top", "bottom", fill_color=transform("loss", colours), line_color=None, source=tiles)
    here = ColumnDataSource({"x": [], "y": []})
    drawn.scatter("x", "y", size=14, fill_color=ORANGE, line_color="white", line_width=1.5, source=here)
    slope = panel("slope", x_range=(-STEP, STEP), y_range=(0, 1))
    slope.xaxis.axis_label, slope.yaxis.axis_label = "step of the point (pixels)", "slope (per pixel)"
    along_x, along_y = ColumnDataSource({"at": [], "slope": []}), ColumnDataSource({"at": [], "slope": []})
    slope.line("at", "slope", line_color=BLUE, line_width=1.3, source=along_x)
    slope.line("at", "slope", line_color=GREEN, line_width=1.3, source=along_y)
    kinks = {"slope": slope, "along_x": along_x, "along_y": along_y}
    return [drawn, slope], {"loss": drawn, **kinks, "tiles": tiles, "colours": colours, "here": here}
