"""The page of one point between four pixels: the sampler's weights, its value, and its gradients.

The page computes nothing: for each place of the point, on a raster of 1 / STEPS pixels, `F.grid_sample` and its
backward are called here, in float64, with padding zeros and align_corners, as in docs/derivation.md.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from bokeh.models import ColumnDataSource, Model
from bokeh.plotting import figure

import npstn.functional as F
from npstn.autograd import Tensor
from npstn.pages.page import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    Tables,
    arrows,
    draggable,
    image_panel,
    panel,
    pixels,
    rgba,
    write,
)

SIDE, STEPS = 4, 20  # pixels of the image along a side; places of the point in a pixel
IMAGES = {
    "any": [[0.1, 0.3, 0.2, 0.0], [0.4, 1.0, 0.6, 0.1], [0.2, 0.8, 0.3, 0.5], [0.0, 0.2, 0.9, 0.4]],
    "an edge": [[0.0, 0.0, 1.0, 1.0]] * 4,
    "a ramp": [[0.0, 0.2, 0.4, 0.6]] * 4,
    "one pixel": [[0.0] * 4, [0.0, 1.0, 0.0, 0.0], [0.0] * 4, [0.0] * 4],
}
UPSTREAM = -2.0, -1.0, 0.5, 1.0, 2.0  # of dV
HALF = (SIDE - 1) / 2  # pixels of a step of 1 in the grid
REACH = 0.9  # pixels: how long the arrow of a slope of 1 per pixel is


def write_page(path: Path) -> None:
    """Write the page, whole or not at all."""
    places = np.arange(STEPS * (SIDE - 1) + 1) / STEPS
    tables = Tables()
    for i, image in enumerate(IMAGES.values()):
        for dV in UPSTREAM:
            V, dU, dx = sampled(np.array(image), places, dV)
            if i == 0:  # the weights are those of any image
                tables.add("pixels", dU)
            tables.add("slopes", dx)
            tables.add("gradients", dx * HALF)
            y, x = np.meshgrid(places, places, indexing="ij")
            tables.add("tips", (np.stack([x.ravel(), y.ravel()], axis=1) - REACH * dx).astype(np.float32))
            if dV == 1:
                tables.add("values", V.astype(np.float32))
                if i == 0:
                    tables.add("weights", dU)
                    tables.add("sides", np.sqrt(dU).astype(np.float32))
    contents = {
        "places": places.tolist(),
        "upstream": UPSTREAM,
        "images": [
            {"name": name, "values": np.ravel(image).tolist(), "grey": pixels(np.ravel(image)).tolist()}
            for name, image in IMAGES.items()
        ],
        "side": SIDE,
        "start": (27, 31),
        "colour": False,
        "colours": (BLUE, GREEN),
    }
    figures, script = _figures()
    write(path, "pixel", figures, script, tables, contents, title="One point between four pixels", half=f"{HALF:g}")


def sampled(U: np.ndarray, places: np.ndarray, dV: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the sampler reads and sends back, for a point at each (x, y) of some places, row by row.

    Args:
        U: the image (n, n); places: in pixels; dV: the upstream gradient.

    Returns V (N,), dU (N, n, n), and (dx, dy), (N, 2), per pixel.
    """
    y, x = (axis.ravel() for axis in np.meshgrid(places, places, indexing="ij"))
    image = Tensor(np.repeat(U[None, None], len(x), axis=0), requires_grad=True)
    grid = Tensor(np.stack([x, y], axis=1).reshape(-1, 1, 1, 2) / HALF - 1, requires_grad=True)
    V = F.grid_sample(image, grid, align_corners=True)
    V.backward(np.full(V.shape, dV))
    assert image.grad is not None and grid.grad is not None
    return V.data.ravel(), image.grad[:, 0], grid.grad.reshape(-1, 2) / HALF


def _figures() -> tuple[list[figure], dict[str, Model]]:
    """The figures, and the sources that pixel.js fills."""
    given = ColumnDataSource({"image": [rgba(SIDE, SIDE)]})
    here, frames = ColumnDataSource({"x": [], "y": []}), ColumnDataSource({"x": [], "y": []})
    force = ColumnDataSource({"x0": [], "y0": [], "x1": [], "y1": []})
    areas = ColumnDataSource({"x": [], "y": [], "below": [], "side": [], "text": []})
    across, down = ColumnDataSource({"at": [], "V": []}), ColumnDataSource({"at": [], "V": []})
    marks = ColumnDataSource({"at": [], "V": [], "colour": []})
    y, x = np.divmod(np.arange(SIDE**2), SIDE)
    labels = ColumnDataSource({"x": x, "y": y + 0.42, "text": [""] * SIDE**2, "colour": ["white"] * SIDE**2})

    picture, weights = (image_panel(name, SIDE, SIDE) for name in ("picture", "weights"))
    picture.image_rgba("image", x=-0.5, y=-0.5, dw=SIDE, dh=SIDE, source=given)
    picture.text("x", "y", "text", text_color="colour", text_align="center", text_baseline="bottom", source=labels)
    for drawn in (picture, weights):
        drawn.rect("x", "y", 1, 1, fill_color=None, line_color=BLUE, line_width=2.5, source=frames)
    weights.rect("x", "y", "side", "side", fill_color=BLUE, fill_alpha=0.35, line_color=None, source=areas)
    words = weights.text("x", "below", "text", text_color=GREY, source=areas)
    words.glyph.update(text_align="center", text_baseline="bottom", text_font_size="12px")
    for drawn in (picture, weights):
        drawn.scatter("x", "y", size=15, fill_alpha=0.5, color=ORANGE, line_width=2, source=here)
        draggable(drawn)
    picture.add_layout(arrows(force, 3))

    lines = panel("lines", x_range=(0, SIDE - 1), y_range=(-0.05, 1.05))
    lines.xaxis.axis_label, lines.yaxis.axis_label = "x or y of the point (pixels)", "V"
    lines.xaxis.ticker = list(range(SIDE))
    for source, colour in ((across, BLUE), (down, GREEN)):
        lines.line("at", "V", line_color=colour, line_width=2, source=source)
    lines.scatter("at", "V", size=11, fill_color="colour", line_color="white", source=marks)
    sources = {"given": given, "here": here, "frames": frames, "force": force, "areas": areas}
    return [picture, weights, lines], {**sources, "across": across, "down": down, "marks": marks, "labels": labels}
