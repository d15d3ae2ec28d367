"""What every picture must hold to: no text cut off, none on another; and it can be written."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def is_png(figure, path):
    """Whether the figure goes onto disk as a PNG."""
    assert isinstance(figure, Figure)
    figure.savefig(path, dpi=50)
    return path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def check_texts(figure):
    """Each text lies within the figure, and on no other; gives them, as strings."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = canvas.get_width_height()
    drawn = {}
    for text in _texts(figure):
        if not text.get_text().strip():
            continue
        box = text.get_window_extent(canvas.get_renderer())
        assert min(box.x0, box.y0) >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1, f"cut off: {text}"
        for other, there in drawn.items():
            across = min(box.x1, there.x1) - max(box.x0, there.x0)
            down = min(box.y1, there.y1) - max(box.y0, there.y0)
            assert across <= 1 or down <= 1, f"{text} lies on {other}"
        drawn[text] = box
    return [text.get_text() for text in drawn]


def _texts(figure):
    """All that can be read in it."""
    yield from figure.texts
    for legend in figure.legends:
        yield from legend.get_texts()
    for axes in figure.axes:
        yield from (axes.title, *axes.texts)
        for axis in (axes.xaxis, axes.yaxis) if axes.axison else ():
            yield axis.label
            low, high = sorted(axis.get_view_interval())
            ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
            for tick in ticks:
                if low <= tick.get_loc() <= high:
                    yield from (text for text in (tick.label1, tick.label2) if text.get_visible())
