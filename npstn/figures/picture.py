"""A matplotlib figure that a notebook shows without being asked to."""

from __future__ import annotations

import io

from matplotlib.figure import Figure


class Picture(Figure):
    """A figure that shows itself as the value of a notebook's cell.

    After `%matplotlib inline`, or once pyplot has been imported there, the notebook draws figures in its own way; in a
    fresh one it would print `<Figure size ...>`.
    """

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png", bbox_inches="tight")
        return content.getvalue()
