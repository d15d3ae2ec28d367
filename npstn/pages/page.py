"""A page: one file that holds figures, texts, tables of numbers and Bokeh itself, and asks no network for anything."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bokeh.document import Document
from bokeh.embed import file_html
from bokeh.events import DocumentReady, Pan, PanStart, Tap
from bokeh.models import ColumnDataSource, CustomJS, Model
from bokeh.models.annotations import Arrow, VeeHead
from bokeh.plotting import figure
from bokeh.resources import INLINE

from npstn.storage import write_whole

HERE = Path(__file__).parent
ORANGE, RED, YELLOW, GREEN, BLUE, GREY = "#ff8c1a", "#ff3030", "#ffe600", "#3a9d3a", "#3d7edb", "#8a8a8a"


class Tables:
    """Arrays that the script of a page looks numbers up in: one block of bytes, compressed."""

    def __init__(self) -> None:
        self._arrays: dict[str, list[np.ndarray]] = {}

    def add(self, name: str, rows: np.ndarray) -> int:
        """Add rows to a table: uint8, int16, float32 or float64 (N, ...). Returns the number of the first one."""
        parts = self._arrays.setdefault(name, [])
        parts.append(np.ascontiguousarray(rows))
        return sum(map(len, parts[:-1]))

    def contents(self) -> dict[str, Any]:
        """Where each table starts, in bytes, how many numbers it has, and how many of them make a row."""
        start, tables, widths = 0, [], {}
        for name, array in self._joined().items():
            tables.append({"name": name, "dtype": array.dtype.name, "start": start, "length": array.size})
            widths[name] = array[0].size
            start += _padded(array.nbytes)
        return {"tables": tables, "widths": widths}

    def packed(self) -> str:
        data = b"".join(a.tobytes().ljust(_padded(a.nbytes), b"\0") for a in self._joined().values())
        return base64.b64encode(gzip.compress(data, mtime=0)).decode()

    def _joined(self) -> dict[str, np.ndarray]:
        return {name: np.concatenate(parts) for name, parts in self._arrays.items()}


def _padded(size: int) -> int:
    """A size in bytes, such that what follows can be an array of float64."""
    return -(-size // 8) * 8


def pixels(image: np.ndarray) -> np.ndarray:
    """An image as `figures.images.shown` gives it, or several, as a page keeps them: uint8."""
    return np.rint(255 * image.clip(0, 1)).astype(np.uint8)


def rgba(rows: int, columns: int) -> np.ndarray:
    """An image of Bokeh, opaque, into which the script paints."""
    return np.full((rows, columns), 0xFF000000, np.uint32)


def panel(name: str, **options: Any) -> figure:
    """A figure as large as its place on the page."""
    drawn = figure(name=name, sizing_mode="stretch_both", toolbar_location=None, tools="", **options)
    drawn.axis.axis_label_text_font_style = "normal"
    drawn.axis.axis_label_text_font_size = drawn.axis.major_label_text_font_size = "13px"
    drawn.min_border = 4
    return drawn


def image_panel(name: str, rows: int, columns: int, margin: float = 0) -> figure:
    """A figure for an image: the middle of pixel (0, 0), above on the left, is at (0, 0)."""
    across, down = (-0.5 - margin, columns - 0.5 + margin), (rows - 0.5 + margin, -0.5 - margin)
    drawn = panel(name, x_range=across, y_range=down, match_aspect=True)
    drawn.grid.visible = drawn.axis.visible = False
    return drawn


def arrows(source: ColumnDataSource, width: int) -> Arrow:
    """Yellow arrows from (x0, y0) to (x1, y1), columns of the source."""
    head = VeeHead(size=3 * width, fill_color=YELLOW, line_color=YELLOW)
    arrow = Arrow(end=head, source=source)
    arrow.update(x_start="x0", y_start="y0", x_end="x1", y_end="y1", line_color=YELLOW, line_width=width)
    return arrow


def draggable(drawn: figure) -> None:
    """Let the script of the page know what is dragged on a figure: see `on_drag` in page.js."""
    drawn.styles = {"touch-action": "none"}  # a finger on it would otherwise scroll the page
    for event in (Tap, PanStart, Pan):
        drawn.js_on_event(event, CustomJS(code="window.dragged(cb_obj)"))


def write(
    path: Path,
    name: str,
    figures: Sequence[figure],
    script: dict[str, Model],
    tables: Tables,
    contents: dict[str, Any],
    **texts: str,
) -> None:
    """Write a page, whole or not at all.

    Args:
        name: of its template and its script, NAME.html and NAME.js.
        figures: which the template places by their names.
        script: what the script draws with: its variables.
        contents: what the script reads; `tables` adds its own entries.
        texts: of the template; "title" among them.
    """
    document = Document()
    for drawn in figures:
        document.add_root(drawn)
    for variable, model in script.items():
        model.name = variable
    code = "\n".join((HERE / f"{part}.js").read_text(encoding="utf-8") for part in ("page", name))
    document.js_on_event(DocumentReady, CustomJS(args=script, code=code))
    written = json.dumps({**contents, **tables.contents()}, separators=(",", ":"), allow_nan=False)
    written = written.replace("<", "\\u003c")  # a class may be called </script>
    variables = {**texts, "contents": written, "packed": tables.packed(), "style": (HERE / "page.css").read_text()}
    template = (HERE / f"{name}.html").read_text(encoding="utf-8")
    page = file_html(document, INLINE, texts["title"], template=template, template_variables=variables)
    write_whole(path, page.encode())
